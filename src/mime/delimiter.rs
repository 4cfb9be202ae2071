//! Multipart delimiters (RFC 2046 §5.1).
