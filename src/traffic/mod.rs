//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `intake`: how much each lane is read while time is short;
//! * `conduct`: how somebody has behaved lately; `register`: who, and who is here;
//! * `lag`: how long the turns of a worker take;
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `overload`: whom to send away when there is more to do than can be done;
//! * `patience`: how long somebody may take;
//! * `table`: what is remembered of many, in a memory that is fixed and that nobody can flood.

pub mod conduct;
pub mod intake;
pub mod lag;
pub mod lane;
pub mod overload;
pub mod patience;
pub mod register;
pub mod table;
