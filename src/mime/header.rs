//! Header sections (RFC 5322 §2.2).
