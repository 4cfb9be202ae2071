//! What is to be sealed of a message that goes on (ARC, RFC 8617 §5.1): drawn up when all is known of who
//! sends, signed where there is time for it.
//!
//! What must always hold: what is sealed is what was found; a message of which something could not be found
//! out is not sealed, and that has a name.

use std::sync::Arc;

use crate::sender::arc::{Sealer, Unsealed, Validation};
use crate::sender::dkim::Digest;
use crate::sender::header_section::HeaderSection;

/// What a seal will say, and of which body.
#[derive(Clone, Debug)]
pub struct Draft {
    pub sealer: Arc<Sealer>,
    pub validation: Validation,
    /// Authentication-Results, as we would write it.
    pub results: String,
    pub body: Digest,
    /// Seconds since 1970.
    pub now: u64,
}

/// One message that is to be sealed.
#[derive(Debug)]
pub struct OfSeal {
    pub draft: Draft,
    /// The section as it goes on, without what is ours in front.
    pub header: HeaderSection,
}

impl OfSeal {
    /// Octets that it takes in memory, as far as senders say how many.
    pub fn weight(&self) -> usize {
        self.header.len() + self.draft.results.len()
    }

    /// The set, to be put in front. Expensive: it is signed twice.
    ///
    /// # Errors
    /// Why there is none.
    pub fn seal(&self) -> Result<String, Unsealed> {
        let Draft { sealer, validation, results, body, now } = &self.draft;
        let mut fields = self.header.fields().map_err(|_| Unsealed::TooLong)?;
        sealer.seal(&mut fields, *validation, results, body, *now)
    }
}
