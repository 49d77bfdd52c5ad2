//! The two ends of a backup file, as the writers and readers of this module see them.

use crate::error::Result;

/// Takes the bytes of a file being written, in order.
pub trait Sink {
    /// Takes all of `data` or fails.
    fn write(&mut self, data: &[u8]) -> Result<()>;
}

impl Sink for Vec<u8> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.extend_from_slice(data);
        Ok(())
    }
}

/// Gives bytes of a committed file.
pub trait ReadAt {
    /// Reads into `buf` from `offset`; returns the bytes read, maybe fewer than asked, 0 only at or past
    /// the end (or for an empty `buf`).
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize>;
}

impl ReadAt for &[u8] {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let len = buf.len().min(self.len() - from);
        buf[..len].copy_from_slice(&self[from..from + len]);
        Ok(len)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.as_slice().read_at(offset, buf)
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &mut R {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        (**self).read_at(offset, buf)
    }
}
