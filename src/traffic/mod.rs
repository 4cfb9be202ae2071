//! What is admitted, in which lane, and how fast: so that legitimate mail comes first under any load.
//!
//! Pure: time is an argument, and nothing here knows SMTP or the kernel. The files:
//!
//! * `lane`: classes of mail, each with a share that is its own under pressure;
//! * `overload`: whom to send away when there is more to do than can be done;
//! * `concurrency`: how many transactions a next hop's server may have in hand, by how fast it answers;
//! * `breaker`: whether a server gets anything at all;
//! * `balance`: which of several servers is next, and which is ejected;
//! * `turnstile`: who waits, in which order they are let through;
//! * `retry`: how many silent retries there may be.

pub mod balance;
pub mod breaker;
pub mod concurrency;
pub mod lane;
pub mod overload;
pub mod retry;
pub mod turnstile;
