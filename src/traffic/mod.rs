//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `balance`: which of several servers is next, and which is ejected;
//! * `breaker`: whether a server gets anything at all;
//! * `concurrency`: how many transactions a next hop's server may have in hand, by how fast it answers;
//! * `conduct`: how somebody has behaved lately; `register`: who, and who is here;
//! * `intake`: how much each lane is read while time is short;
//! * `lag`: how long the turns of a worker take;
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `limit`: what a limit says; `limiter`: a worker's end of all of them; `bank`: who lends it tokens;
//! * `overload`: whom to send away when there is more to do than can be done;
//! * `patience`: how long somebody may take;
//! * `retry`: how many silent retries there may be;
//! * `table`: what is remembered of many, in a memory that is fixed and that nobody can flood;
//! * `turnstile`: who waits, in which order they are let through.

pub mod balance;
pub mod bank;
pub mod breaker;
pub mod concurrency;
pub mod conduct;
pub mod intake;
pub mod lag;
pub mod lane;
pub mod limit;
pub mod limiter;
pub mod overload;
pub mod patience;
pub mod register;
pub mod retry;
pub mod table;
pub mod turnstile;
