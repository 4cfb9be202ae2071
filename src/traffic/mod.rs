//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `lag`: how long the turns of a worker take;
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `overload`: whom to send away when there is more to do than can be done.

pub mod lag;
pub mod lane;
pub mod overload;
