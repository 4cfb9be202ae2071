//! Paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    pub text: &'a [u8],
    pub local: &'a [u8],
    pub domain: &'a [u8],
    pub utf8: bool,
}
impl<'a> Path<'a> {
    pub const NULL: Path<'static> = Path { text: b"", local: b"", domain: b"", utf8: false };
    pub fn is_null(&self) -> bool {
        self.text.is_empty()
    }
    /// `<...>` at the start of `input`, and what follows the closing bracket.
    pub fn parse(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        Some((Self::NULL, input))
    }
}
