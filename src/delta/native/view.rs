//! A part of a stream that is in memory.

/// Bytes of a stream, and their position in the stream.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub bytes: &'a [u8],
    pub start: u64,
}

impl<'a> View<'a> {
    /// The position after the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from position `at` to the end of the view. `at` must be in the view or at its end.
    pub fn from(&self, at: u64) -> &'a [u8] {
        &self.bytes[(at - self.start) as usize..]
    }

    /// The `len` bytes at position `at`. All of them must be in the view.
    pub fn range(&self, at: u64, len: usize) -> &'a [u8] {
        &self.from(at)[..len]
    }
}
