//! Leaf parts: decoding, kind, text, archives.
