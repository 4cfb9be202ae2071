//! XFORWARD and XCLIENT.
use crate::smtp::reply::Reply;
use std::net::IpAddr;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(u16);
pub type XforwardAttributes = Attributes;
pub type XclientAttributes = Attributes;
impl Attributes {
    pub const NONE: Self = Self(0);
    pub const NAME: Self = Self(1);
    pub const ADDR: Self = Self(1 << 1);
    pub const PORT: Self = Self(1 << 2);
    pub const HELO: Self = Self(1 << 3);
    pub const PROTO: Self = Self(1 << 4);
    pub const SOURCE: Self = Self(1 << 5);
    pub const IDENT: Self = Self(1 << 6);
    pub const LOGIN: Self = Self(1 << 7);
    pub const DESTADDR: Self = Self(1 << 8);
    pub const DESTPORT: Self = Self(1 << 9);
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    Smtp,
    #[default]
    Esmtp,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    Local,
    #[default]
    Remote,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: Option<Vec<u8>>,
    pub addr: Option<IpAddr>,
    pub port: Option<u16>,
    pub helo: Option<Vec<u8>>,
    pub proto: Proto,
    pub source: Source,
    pub ident: Option<Vec<u8>>,
    pub login: Option<Vec<u8>>,
    pub destination_addr: Option<IpAddr>,
    pub destination_port: Option<u16>,
}
pub fn encode_xtext(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
}
pub fn decode_xtext(text: &[u8]) -> Option<Vec<u8>> {
    Some(text.to_vec())
}
pub fn parse_xforward(_arguments: &[u8], _identity: &mut Identity) -> Result<(), Reply> {
    Ok(())
}
pub fn parse_xclient(_arguments: &[u8], _identity: &mut Identity) -> Result<(), Reply> {
    Ok(())
}
pub fn write_xforward(_identity: &Identity, _attributes: Attributes, _out: &mut Vec<u8>) -> usize {
    0
}
pub fn write_xclient(_identity: &Identity, _attributes: Attributes, _out: &mut Vec<u8>) -> usize {
    0
}
