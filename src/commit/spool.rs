//! Bytes whose length must be known before they go into an archive.

use std::io::{self, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::error::{Error, Result};

/// What is kept in memory before an unlinked temporary file is used.
const BYTES_IN_MEMORY: usize = 1 << 20;

/// Bytes on their way into an archive: a delta, a signature.
pub struct Spool {
    bytes: SpooledTempFile,
    len: u64,
    hasher: blake3::Hasher,
}

impl Spool {
    pub fn new() -> Self {
        Spool { bytes: SpooledTempFile::new(BYTES_IN_MEMORY), len: 0, hasher: blake3::Hasher::new() }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The first 16 bytes of the BLAKE3 of what was written.
    pub fn short_hash(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        short
    }

    /// Hands everything to `take`, from the start.
    pub fn drain(mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.bytes.seek(SeekFrom::Start(0)).map_err(|e| spool_error(&e))?;
        let mut buf = vec![0; (self.len.min(1 << 16)) as usize];
        let mut left = self.len;
        while left > 0 {
            let want = left.min(buf.len() as u64) as usize;
            self.bytes.read_exact(&mut buf[..want]).map_err(|e| spool_error(&e))?;
            take(&buf[..want])?;
            left -= want as u64;
        }
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.bytes.write_all(data)?;
        self.hasher.update(data);
        self.len += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of a spool, or of a codec that writes into one.
pub fn spool_error(error: &io::Error) -> Error {
    Error::io("use a temporary file in", std::env::temp_dir().as_os_str().as_encoded_bytes(), error)
}
