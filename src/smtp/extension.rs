//! EHLO.
use crate::smtp::reply::Reply;
use crate::smtp::xforward::Attributes;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions(u32);
impl Extensions {
    pub const NONE: Self = Self(0);
    pub const PIPELINING: Self = Self(1);
    pub const SIZE: Self = Self(1 << 1);
    pub const EIGHT_BIT_MIME: Self = Self(1 << 2);
    pub const SMTPUTF8: Self = Self(1 << 3);
    pub const DSN: Self = Self(1 << 4);
    pub const CHUNKING: Self = Self(1 << 5);
    pub const ENHANCED_STATUS_CODES: Self = Self(1 << 6);
    pub const LIMITS: Self = Self(1 << 7);
    pub const STARTTLS: Self = Self(1 << 8);
    pub const AUTH: Self = Self(1 << 9);
    pub const XFORWARD: Self = Self(1 << 10);
    pub const XCLIENT: Self = Self(1 << 11);
    pub const REQUIRETLS: Self = Self(1 << 12);
    pub const MT_PRIORITY: Self = Self(1 << 13);
    pub const BINARYMIME: Self = Self(1 << 14);
    pub const HELP: Self = Self(1 << 15);
    pub const VRFY: Self = Self(1 << 16);
    pub const ETRN: Self = Self(1 << 17);
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
    pub const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub mail_max: Option<u32>,
    pub rcpt_max: Option<u32>,
    pub rcpt_domain_max: Option<u32>,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub extensions: Extensions,
    pub size: Option<u64>,
    pub limits: Limits,
    pub xforward: Attributes,
    pub xclient: Attributes,
    pub auth: Vec<u8>,
}
impl Capabilities {
    pub const fn none() -> Self {
        Self {
            extensions: Extensions::NONE,
            size: None,
            limits: Limits { mail_max: None, rcpt_max: None, rcpt_domain_max: None },
            xforward: Attributes::NONE,
            xclient: Attributes::NONE,
            auth: Vec::new(),
        }
    }
    pub fn from_ehlo(_reply: &Reply) -> Self {
        Self::none()
    }
    #[must_use]
    pub fn intersect_end_to_end(&self, _other: &Self) -> Self {
        self.clone()
    }
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub end_to_end: Extensions,
    pub size: u64,
    pub limits: Limits,
    pub xforward: bool,
    pub xclient: bool,
}
impl Offer {
    pub fn compute<'a>(
        _next_hops: impl Iterator<Item = &'a Capabilities>,
        size_max: u64,
        limits: Limits,
    ) -> Self {
        Self { size: size_max, limits, ..Self::default() }
    }
    pub fn ehlo_reply(&self, _hostname: &str, _out: &mut Vec<u8>) {}
    pub fn extensions(&self) -> Extensions {
        self.end_to_end
    }
}
