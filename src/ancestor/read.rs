//! Reads a stored file of the ancestor from start to end.

use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::job::Job;
use crate::store::{Object, Store, StoredFile, fetch};

/// For messages: "cannot read the state FILE".
pub const STATE: &str = "read the state";

const BUFFER: usize = 256 << 10;

/// All bytes of a file that fits into memory.
pub fn whole(store: &mut dyn Store, file: &Object, job: &mut Job) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stored = StoredFile { store, name: &file.name };
    fetch(&mut stored, file.size, &mut |piece| bytes.extend_from_slice(piece), job)?;
    Ok(bytes)
}

/// A stored file as a stream. An error of the store is the inner error of the [`io::Error`]; see [`into_error`].
pub struct StoredStream<'s> {
    store: &'s mut dyn Store,
    name: String,
    size: u64,
    /// The offset in the file of the end of `buffer`.
    at: u64,
    buffer: Vec<u8>,
    taken: usize,
}

impl<'s> StoredStream<'s> {
    pub fn new(store: &'s mut dyn Store, file: &Object) -> Self {
        let name = file.name.clone();
        StoredStream { store, name, size: file.size, at: 0, buffer: Vec::new(), taken: 0 }
    }

    fn fill(&mut self) -> Result<()> {
        let want = (self.size - self.at).min(BUFFER as u64) as usize;
        self.buffer.resize(want, 0);
        self.taken = 0;
        let got = if want == 0 { 0 } else { self.store.read_at(&self.name, self.at, &mut self.buffer)? };
        self.buffer.truncate(got);
        self.at += got as u64;
        Ok(())
    }
}

impl io::BufRead for StoredStream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.buffer.len() {
            self.fill().map_err(io::Error::other)?;
        }
        Ok(&self.buffer[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl Read for StoredStream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = io::BufRead::fill_buf(self)?;
        let len = bytes.len().min(out.len());
        out[..len].copy_from_slice(&bytes[..len]);
        io::BufRead::consume(self, len);
        Ok(len)
    }
}

/// The error of the store inside of `error`; else the stored bytes do not decode, and `name` is `Corrupt`.
pub fn into_error(op: &str, name: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::corrupt(op, name, crate::error::describe(&error)),
    }
}
