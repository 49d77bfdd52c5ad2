//! A frame between the store and whoever wants its bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffers::{Buffers, Decoded};
use super::codec::{self, Refusal};
use super::table::corrupt;
use crate::error::{Error, Result};

/// One frame of a file, fetched, and decoded once, by whichever thread first asks for its bytes.
#[derive(Debug)]
pub struct Frame {
    /// The file's, for messages.
    name: Arc<str>,
    /// Where the frame starts in the file.
    offset: u64,
    /// Bytes of the stream that it holds.
    len: usize,
    compressed: bool,
    state: Mutex<State>,
    buffers: Arc<Buffers>,
}

#[derive(Debug)]
enum State {
    /// As it is in the file, and where its bytes will be.
    Stored(Vec<u8>, Vec<u8>),
    Decoded(Arc<Decoded>),
    Failed(Error),
}

impl Frame {
    /// What `stored` holds, which starts at `offset` of the file and should make `len` bytes.
    pub(super) fn new(name: Arc<str>, offset: u64, len: usize, compressed: bool, stored: Vec<u8>) -> Self {
        let (state, buffers) = (Mutex::new(State::Stored(stored, Vec::new())), Arc::default());
        Frame { name, offset, len, compressed, state, buffers }
    }

    /// Has it decoded into what frames with the same `buffers` left, or into memory taken here: what this
    /// thread takes can be used again for the next frame, whichever thread decodes that.
    pub(super) fn with_buffers(self, buffers: Arc<Buffers>) -> Self {
        if let (true, State::Stored(_, out)) = (self.compressed, &mut *self.state()) {
            *out = buffers.take(self.len);
            // If there is none, decoding will say so.
            let _ = out.try_reserve_exact(self.len);
        }
        Frame { buffers, ..self }
    }

    /// How many bytes it makes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Exactly [`Frame::len`] bytes of the stream. Touches no store. A thread that asks while another one
    /// decodes waits for it; `Corrupt` is told to every one that asks. Memory that ran out says nothing about
    /// the frame: an error of the call.
    pub fn bytes(&self) -> Result<Arc<Decoded>> {
        let mut state = self.state();
        if let State::Stored(stored, out) = &mut *state {
            let (stored, out) = (std::mem::take(stored), std::mem::take(out));
            *state = self.decode(stored, out);
        }
        match &*state {
            State::Decoded(bytes) => Ok(bytes.clone()),
            State::Failed(error) => Err(error.clone()),
            State::Stored(..) => Err(codec::no_memory()),
        }
    }

    fn decode(&self, stored: Vec<u8>, out: Vec<u8>) -> State {
        let decoded = |bytes| State::Decoded(Arc::new(Decoded::new(bytes, self.buffers.clone())));
        let damaged = |what: &str| State::Failed(corrupt(&self.name, self.offset, what));
        if !self.compressed {
            return match stored.len() == self.len {
                true => decoded(stored),
                false => damaged("the file ends early"),
            };
        }
        match codec::decompress(&stored, self.len, out) {
            Ok(bytes) => decoded(bytes),
            Err(Refusal::Damaged(what)) => damaged(&what),
            // The next one that asks may find memory.
            Err(Refusal::NoMemory) => State::Stored(stored, Vec::new()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
