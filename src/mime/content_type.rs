//! Fields of structure: Content-Type, Content-Disposition, Content-Transfer-Encoding.
//!
//! RFC 2045 §5 and §6, RFC 2183, RFC 2231.

/// How a body is written into lines (RFC 2045 §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, or nothing said.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

/// What a header section says about its body, or an archive about an entry.
///
/// Kept and refilled from part to part: an empty string is what was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `type/subtype` in lower case; the default type where none is given (RFC 2045 §5.2).
    pub media_type: String,
    /// In lower case as given.
    pub charset: String,
    pub encoding: TransferEncoding,
    /// `attachment`, `inline` or what else is given, in lower case.
    pub disposition: String,
    /// Every file name that a client might show, decoded; the most likely first.
    pub names: Vec<String>,
    pub boundary: Vec<u8>,
    /// The archive entry can only be read with a password.
    pub encrypted: bool,
    /// What an archive says the entry's size is.
    pub size_declared: Option<u64>,
}

impl Head {
    /// The file name a client most likely shows.
    pub fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    pub fn charset(&self) -> Option<&str> {
        Some(self.charset.as_str()).filter(|charset| !charset.is_empty())
    }
}
