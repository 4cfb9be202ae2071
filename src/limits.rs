//! Every bound of the product in one place, in bytes, milliseconds or counts as the name says.
//!
//! What an administrator may change lives in the configuration; what protects the program from
//! its peers lives here.

/// Longest command line we take, CRLF included. RFC 5321 §4.5.3.1.4 asks for 512; extensions
/// (SIZE, DSN, SMTPUTF8, AUTH) add to it, so 2048 leaves room for all that exist together.
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Longest reply line we take from a next hop, CRLF included (RFC 5321 §4.5.3.1.5 says 512).
pub const REPLY_LINE_BYTES_MAX: usize = 2048;
/// Lines one reply may have.
pub const REPLY_LINES_MAX: usize = 128;
/// Longest line we ever send in a reply, CRLF included (RFC 5321 §4.5.3.1.5).
pub const REPLY_LINE_SENT_BYTES_MAX: usize = 512;
/// XFORWARD and XCLIENT command lines stay within this (Postfix XFORWARD_README).
pub const XFORWARD_LINE_BYTES_MAX: usize = 512;
/// RFC 5321 §4.5.3.1.1.
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// RFC 5321 §4.5.3.1.2.
pub const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 5321 §4.5.3.1.3, the angle brackets included.
pub const PATH_BYTES_MAX: usize = 256;
/// PROXY protocol v1 line (its specification, section 2.1) with CRLF.
pub const PROXY_V1_LINE_BYTES_MAX: usize = 107;
/// PROXY protocol v2 header we accept: the fixed part, addresses and TLVs.
pub const PROXY_V2_HEADER_BYTES_MAX: usize = 1024;
