//! Encoded words (RFC 2047).
