//! Joins short pieces of a content for a sink.

use crate::error::Result;

/// Greatest number of bytes that are copied together. Longer pieces go to the sink directly.
const CHUNK: usize = 256 << 10;

/// Passes bytes on in longer pieces, because the pieces of a composed content are often as short as
/// a page.
pub(super) struct Joined<'s> {
    sink: &'s mut dyn FnMut(&[u8]) -> Result<()>,
    buf: Vec<u8>,
}

impl<'s> Joined<'s> {
    pub fn new(sink: &'s mut dyn FnMut(&[u8]) -> Result<()>) -> Self {
        Joined { sink, buf: Vec::new() }
    }

    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buf.len() + bytes.len() > CHUNK {
            self.flush()?;
        }
        if bytes.len() >= CHUNK {
            return (self.sink)(bytes);
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        if !self.buf.is_empty() {
            (self.sink)(&self.buf)?;
        }
        self.buf.clear();
        Ok(())
    }
}
