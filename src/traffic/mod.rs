//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `lag`: how long the turns of a worker take;
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `limit`: what a limit says; `limiter`: a worker's end of all of them; `bank`: who lends it tokens;
//! * `overload`: whom to send away when there is more to do than can be done;
//! * `table`: what is remembered of many, in a memory that is fixed and that nobody can flood.

pub mod bank;
pub mod lag;
pub mod lane;
pub mod limit;
pub mod limiter;
pub mod overload;
pub mod table;
