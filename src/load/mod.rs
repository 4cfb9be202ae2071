//! The bundled load tools: `postern source` sends mail, `postern sink` throws it away.
//!
//! They take the options of Postfix's smtp-source(1) and smtp-sink(1) with the same meaning, so that
//! load tests written for those run unchanged, and run on the proxy's own reactor, so that they need
//! a fraction of the processor time of what they measure. They share no SMTP code with the proxy:
//! two readings of the RFCs that must agree are a test, one reading on both sides is none.
//!
//! What must always hold:
//! * A message is acknowledged by the sink only after it is in the dump, the journal and the hands
//!   of the test that asked to keep it.
//! * A message is written to the source's journal only after its 2xx was read.

mod address;
mod console;
pub mod sink;
pub mod source;
