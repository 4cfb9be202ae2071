//! DKIM: who signed a message, and whether it still is what was signed.
//!
//! RFC 6376, RFC 8301 (what is too weak), RFC 8463 (Ed25519). A message is verified while it streams:
//!
//! 1. when its header section is complete, [`Signatures::read`] takes the signatures out of it and
//!    hashes what each covers of the header;
//! 2. the body goes through one [`BodyHash`], made of [`Signatures::forms`];
//! 3. meanwhile each [`Signature`] is checked where the DNS is asked ([`Signed::check`]): that is
//!    where the cost of public keys is paid;
//! 4. at the end of content [`Signature::evaluate`] joins the three.
//!
//! * `tags`: the syntax. `signature`: the field. `signed`: what is checked with a key. `key`: the key.
//! * `canonical`, `body`, `digest`: what is hashed and how. `outcome`: what it comes to.
//!
//! Invariant: the work for one message is bounded whatever its header says; what was not evaluated is
//! counted or carries a reason.

mod body;
mod canonical;
mod digest;
mod key;
mod outcome;
mod signature;
mod signed;
mod tags;

#[cfg(test)]
pub(super) mod tests;

pub use body::{BodyCheck, BodyDigests, BodyForm, BodyHash};
pub use canonical::Canonical;
pub use digest::{Digest, Hash};
pub use key::KeyCheck;
pub use outcome::{Outcome, Reason};
pub use signature::{Evaluation, Identity, Signature, Unread};
pub use signed::{Algorithm, Signed};

pub(super) use canonical::field as canonical_field;
pub(super) use canonical::signing_field;
pub(super) use digest::Hashing;
pub(super) use signature::Form;
pub(super) use signed::{Claim, required};
pub(super) use tags::{Tags, number, trim};

use super::header_section::Fields;

/// Signatures of one message that are evaluated.
pub const SIGNATURES_MAX: usize = 10;
/// Octets of header fields that are hashed for all signatures of one message together.
pub(super) const EFFORT_OCTETS: usize = 512 * 1024;

/// What a message is signed with.
#[derive(Debug, Default)]
pub struct Signatures {
    /// In the order of the fields, the newest first.
    pub read: Vec<Result<Signature, Unread>>,
    /// How many more there are.
    pub beyond: usize,
}

impl Signatures {
    pub fn read(fields: &mut Fields<'_>) -> Self {
        let own: Vec<_> = fields.named(b"DKIM-Signature").collect();
        if own.is_empty() {
            return Self::default();
        }
        fields.index();
        let mut effort = EFFORT_OCTETS;
        let first = own.iter().take(SIGNATURES_MAX);
        let read = first.map(|own| Signature::read(Form::Dkim, *own, fields, &mut effort)).collect();
        Self { read, beyond: own.len().saturating_sub(SIGNATURES_MAX) }
    }

    /// The digests that must be made of the body.
    pub fn forms(&self) -> Vec<BodyForm> {
        self.read.iter().flatten().map(|signature| signature.body).collect()
    }
}
