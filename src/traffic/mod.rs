//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `table`: what is remembered of many, in a memory that is fixed and that nobody can flood.

pub mod lane;
pub mod table;
