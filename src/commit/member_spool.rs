//! Storage for bytes whose length must be known before they go into an archive: the tar header of a member
//! comes first and holds the length.

use std::io::{self, Cursor, Read, Write};

use crate::error::Result;
use crate::spool::Spool;

/// The most bytes that are kept in memory. More bytes go to a temporary file.
const BYTES_IN_MEMORY: usize = 1 << 20;

/// A delta or a signature on its way into an archive.
#[derive(Default)]
pub struct MemberSpool {
    /// The bytes that are not in the temporary file: all bytes, or the last bytes of a long member.
    bytes: Vec<u8>,
    spilled: Option<Box<Spilled>>,
    len: u64,
}

/// The first bytes of a long member, in a temporary file.
struct Spilled {
    spool: Spool,
    /// Has hashed exactly the bytes of `spool`.
    hasher: blake3::Hasher,
}

impl MemberSpool {
    pub fn new() -> Self {
        MemberSpool::default()
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The first 16 bytes of the BLAKE3 of all bytes written.
    pub fn short_hash(&self) -> [u8; 16] {
        let hash = match &self.spilled {
            None => blake3::hash(&self.bytes),
            Some(spilled) => spilled.hasher.clone().update(&self.bytes).finalize(),
        };
        let mut short = [0; 16];
        short.copy_from_slice(&hash.as_bytes()[..16]);
        short
    }

    /// Passes all bytes to `take`, in order, in pieces.
    pub fn each(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Some(spilled) = &self.spilled {
            spilled.spool.each(0, u64::MAX, &mut take)?;
        }
        take(&self.bytes)
    }

    /// Reads all bytes, from the first on.
    pub fn into_reader(self) -> Box<dyn Read> {
        let rest = Cursor::new(self.bytes);
        match self.spilled {
            None => Box::new(rest),
            Some(spilled) => Box::new(spilled.spool.into_reader().chain(rest)),
        }
    }

    fn spill(&mut self) -> Result<()> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            free => {
                free.insert(Box::new(Spilled { spool: Spool::in_file()?, hasher: blake3::Hasher::new() }))
            }
        };
        spilled.spool.append(&self.bytes)?;
        spilled.hasher.update(&self.bytes);
        self.bytes.clear();
        Ok(())
    }
}

impl Write for MemberSpool {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(data);
        self.len += data.len() as u64;
        if self.bytes.len() > BYTES_IN_MEMORY {
            self.spill().map_err(io::Error::other)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_whether_it_fits_memory_or_not() {
        for len in [0, 1, BYTES_IN_MEMORY, BYTES_IN_MEMORY + 1, 3 * BYTES_IN_MEMORY + 7] {
            let mut bytes = vec![0; len];
            blake3::Hasher::new().finalize_xof().fill(&mut bytes);
            let mut spool = MemberSpool::new();
            bytes.chunks(100_003).for_each(|piece| spool.write_all(piece).unwrap());
            assert_eq!(spool.len(), len as u64);
            assert_eq!(spool.short_hash(), blake3::hash(&bytes).as_bytes()[..16]);
            let mut out = Vec::new();
            spool
                .each(|piece| {
                    out.extend_from_slice(piece);
                    Ok(())
                })
                .unwrap();
            assert!(out == bytes, "{len} bytes");
        }
    }
}
