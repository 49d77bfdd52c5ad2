//! The two interfaces to the bytes of a backup file: [`Sink`] for writers, [`ReadAt`] for readers.

use crate::error::Result;

/// Receives the bytes of a file that is being written, in order.
pub trait Sink {
    /// Takes all of `data` or fails.
    fn write(&mut self, data: &[u8]) -> Result<()>;

    /// Ends the file, and begins part `number` of the archive, a file of its own. The first part has the number 1.
    fn begin_part(&mut self, _number: u32) -> Result<()> {
        Err(super::bug("write an archive in parts", "this file has no parts"))
    }
}

impl Sink for Vec<u8> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.extend_from_slice(data);
        Ok(())
    }
}

/// A file for each part.
#[cfg(test)]
impl Sink for Vec<Vec<u8>> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        if self.is_empty() {
            self.push(Vec::new());
        }
        self.last_mut().map_or(Ok(()), |file| file.write(data))
    }

    fn begin_part(&mut self, number: u32) -> Result<()> {
        assert_eq!(number as usize, self.len() + 1);
        self.push(Vec::new());
        Ok(())
    }
}

/// Reads bytes of a committed file at any offset.
pub trait ReadAt {
    /// Reads into `buf` from `offset`; returns the number of bytes read. The number may be less than the length of
    /// `buf`. It is 0 only at or past the end of the file, or for an empty `buf`.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// True if a call takes long, however few bytes it reads.
    fn is_far(&mut self) -> bool {
        false
    }
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

    fn is_far(&mut self) -> bool {
        (**self).is_far()
    }
}
