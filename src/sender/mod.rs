//! Who is really sending: SPF, DKIM, DMARC, ARC and what the DNS says of a client.
//!
//! Pure evaluation. Nothing in here asks the network: an evaluation is a function of what is known
//! of the DNS so far ([`dns::Known`]). Where more is needed it returns what it misses, is answered,
//! and is called again from its beginning: a few microseconds, and no state between the calls.
//!
//! * `dns`: questions, answers, what is known.
//! * `spf`: whether a domain let the client send in its name.
//!
//! What must always hold: an evaluation asks a bounded number of questions, whatever records say;
//! what the DNS could not answer is `temperror`, never "none".

pub mod dns;
pub mod spf;
#[cfg(test)]
mod zone;
