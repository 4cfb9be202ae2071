//! Who is really sending: SPF, DKIM, DMARC, ARC and what the DNS says of a client.
//!
//! Pure evaluation. Nothing in here asks the network: an evaluation is a function of what is known
//! of the DNS so far ([`dns::Known`]). Where more is needed it returns what it misses, is answered,
//! and is called again from its beginning: a few microseconds, and no state between the calls.
//!
//! * `dns`: questions, answers, what is known.
//! * `address_list`: lists in the DNS, of addresses and of the domains of links.
//! * `author`: who a message says it is from, and whether every reader would say the same.
//! * `dmarc`: whether what passed is the author's, and what the author's domain wants if not.
//! * `header_section`: the fields as they came. `dkim`: who signed them, and the body.
//! * `arc`: what others on the way found. `auth_results`: how we say what we found.
//! * `helo`: names of an address and back, greetings, whether a domain takes mail.
//! * `lookalike`: whom a message seems to be from.
//! * `spf`: whether a domain let the client send in its name.
//!
//! What must always hold: an evaluation asks a bounded number of questions, whatever records say;
//! what the DNS could not answer is `temperror`, never "none".

pub mod address_list;
pub mod arc;
pub mod auth_results;
pub mod author;
pub mod dkim;
pub mod dmarc;
pub mod dns;
mod domain;
pub mod header_section;
pub mod helo;
pub mod lookalike;
pub mod spf;
#[cfg(test)]
pub(crate) mod zone;

pub use domain::{registrable, to_ascii};
