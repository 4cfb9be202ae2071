//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `conduct`: how somebody has behaved lately; `register`: who, and who is here;
//! * `patience`: how long somebody may take;
//! * `table`: what is remembered of many, in a memory that is fixed and that nobody can flood.

pub mod conduct;
pub mod lane;
pub mod patience;
pub mod register;
pub mod table;
