//! What is known of a message when its last byte was seen.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Octets of content.
    pub size: u64,
    /// Received fields that it came with.
    pub received: u32,
}
