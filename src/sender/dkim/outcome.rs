//! What a signature is worth, and why.
//!
//! The words are those of RFC 8601 §2.7.1; which reason gives which word is one table.

/// A result as `Authentication-Results` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    None,
    Pass,
    Fail,
    /// It verifies, but with what is not acceptable here.
    Policy,
    /// It could not be read, or is not meant to count.
    Neutral,
    TempError,
    PermError,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Why a signature does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    // Of the field.
    NotTags,
    TagMissing(&'static str),
    TagBad(&'static str),
    Version,
    Algorithm,
    Canonicalization,
    QueryMethod,
    IdentityOutside,
    FromNotSigned,
    SealSigned,
    TooMuch,
    // Of the key.
    KeyUnanswered,
    KeyMissing,
    KeyBad,
    KeyRevoked,
    KeyOtherAlgorithm,
    KeyOtherHash,
    KeyOtherService,
    KeyShort,
    KeyLong,
    KeyIdentityStrict,
    // Of the message.
    SignatureWrong,
    BodyChanged,
    BodyShort,
    Expired,
    WeakHash,
}

impl Reason {
    /// What a signature with such a fault is (RFC 8601 §2.7.1, RFC 8301 §3).
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::NotTags
            | Self::TagMissing(_)
            | Self::TagBad(_)
            | Self::Version
            | Self::Algorithm
            | Self::Canonicalization
            | Self::QueryMethod => Outcome::Neutral,
            Self::KeyUnanswered => Outcome::TempError,
            Self::SignatureWrong | Self::BodyChanged | Self::BodyShort | Self::Expired => Outcome::Fail,
            Self::WeakHash => Outcome::Policy,
            Self::IdentityOutside
            | Self::FromNotSigned
            | Self::SealSigned
            | Self::TooMuch
            | Self::KeyMissing
            | Self::KeyBad
            | Self::KeyRevoked
            | Self::KeyOtherAlgorithm
            | Self::KeyOtherHash
            | Self::KeyOtherService
            | Self::KeyShort
            | Self::KeyLong
            | Self::KeyIdentityStrict => Outcome::PermError,
        }
    }

    /// For people. Nothing of it is a peer's.
    pub fn text(self) -> String {
        match self {
            Self::TagMissing(tag) => format!("no {tag}= tag"),
            Self::TagBad(tag) => format!("bad {tag}= tag"),
            other => other.words().to_owned(),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NotTags | Self::TagMissing(_) | Self::TagBad(_) => "not a tag list",
            Self::Version => "unknown version",
            Self::Algorithm => "unknown algorithm",
            Self::Canonicalization => "unknown canonicalization",
            Self::QueryMethod => "unknown query method",
            Self::IdentityOutside => "i= is not within d=",
            Self::FromNotSigned => "From is not signed",
            Self::SealSigned => "ARC-Seal is signed",
            Self::TooMuch => "too much to evaluate",
            Self::KeyUnanswered => "no answer to the query for the key",
            Self::KeyMissing => "no key",
            Self::KeyBad => "key is malformed",
            Self::KeyRevoked => "key is revoked",
            Self::KeyOtherAlgorithm => "key is for another algorithm",
            Self::KeyOtherHash => "key is for another hash",
            Self::KeyOtherService => "key is for another service",
            Self::KeyShort => "key is too short",
            Self::KeyLong => "key is too long",
            Self::KeyIdentityStrict => "key is not for subdomains",
            Self::SignatureWrong => "signature does not verify",
            Self::BodyChanged => "body hash does not verify",
            Self::BodyShort => "body is shorter than what was signed",
            Self::Expired => "signature has expired",
            Self::WeakHash => "SHA-1 is not acceptable",
        }
    }
}
