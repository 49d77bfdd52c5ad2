//! Joins short pieces of a content for a sink.

use crate::error::Result;

/// Length of the buffer that joins short pieces, in bytes. Pieces of this length or more go to the sink directly.
const CHUNK: usize = 256 << 10;

/// Joins short pieces before they go to the sink. The pieces of a composed content are often as short as a page of a
/// database, 4 KiB.
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
