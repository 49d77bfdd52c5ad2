//! A frame that is fetched from the store first and decoded later, when its bytes are needed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffers::{Buffers, Decoded};
use super::codec::{self, FrameRefusal};
use super::table::corrupt;
use crate::error::{Error, Result};

/// One fetched frame of a file. The first thread that calls [`Frame::bytes`] decodes the frame, once.
#[derive(Debug)]
pub struct Frame {
    /// The name of the file, for messages.
    name: Arc<str>,
    /// The offset of the frame in the file.
    offset: u64,
    /// Uncompressed bytes of the frame.
    len: usize,
    compressed: bool,
    state: Mutex<FrameState>,
    buffers: Arc<Buffers>,
}

#[derive(Debug)]
enum FrameState {
    /// The stored bytes of the frame, and the empty buffer for its uncompressed bytes.
    Stored(Vec<u8>, Vec<u8>),
    Decoded(Arc<Decoded>),
    Failed(Error),
}

impl Frame {
    /// A frame that is not decoded yet. `stored` are its bytes in the file, which begin at `offset` and must decompress
    /// to `len` bytes.
    pub(super) fn new(name: Arc<str>, offset: u64, len: usize, compressed: bool, stored: Vec<u8>) -> Self {
        let (state, buffers) = (Mutex::new(FrameState::Stored(stored, Vec::new())), Arc::default());
        Frame { name, offset, len, compressed, state, buffers }
    }

    /// A frame whose bytes are decoded already.
    pub fn of(bytes: Vec<u8>) -> Self {
        let (len, buffers) = (bytes.len(), Arc::default());
        let state = Mutex::new(FrameState::Decoded(Arc::new(Decoded::new(bytes, Arc::clone(&buffers)))));
        Frame { name: "".into(), offset: 0, len, compressed: false, state, buffers }
    }

    /// Sets the buffer for decoding: a recycled buffer of `buffers`, or a new buffer that this thread allocates now.
    /// Later frames with the same `buffers` reuse the memory, even if another thread decodes them.
    pub(super) fn with_buffers(self, buffers: Arc<Buffers>) -> Self {
        if let (true, FrameState::Stored(_, out)) = (self.compressed, &mut *self.state()) {
            *out = buffers.take(self.len);
            // If memory runs out here, decoding tries again and reports the error.
            let _ = out.try_reserve_exact(self.len);
        }
        Frame { buffers, ..self }
    }

    /// Uncompressed bytes of the frame.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The [`Frame::len`] uncompressed bytes of the frame. The call does not use the store. If another thread is
    /// decoding the frame, the call waits for the result. A damaged frame is `Corrupt` for every caller. If memory runs
    /// out, only this call fails, because the frame may be good.
    pub fn bytes(&self) -> Result<Arc<Decoded>> {
        let mut state = self.state();
        if let FrameState::Stored(stored, out) = &mut *state {
            let (stored, out) = (std::mem::take(stored), std::mem::take(out));
            *state = self.decode(stored, out);
        }
        match &*state {
            FrameState::Decoded(bytes) => Ok(bytes.clone()),
            FrameState::Failed(error) => Err(error.clone()),
            FrameState::Stored(..) => Err(codec::no_memory()),
        }
    }

    fn decode(&self, stored: Vec<u8>, out: Vec<u8>) -> FrameState {
        let decoded = |bytes| FrameState::Decoded(Arc::new(Decoded::new(bytes, self.buffers.clone())));
        let damaged = |what: &str| FrameState::Failed(corrupt(&self.name, self.offset, what));
        if !self.compressed {
            return match stored.len() == self.len {
                true => decoded(stored),
                false => damaged("the file ends early"),
            };
        }
        match codec::decompress(&stored, self.len, out) {
            Ok(bytes) => decoded(bytes),
            Err(FrameRefusal::Damaged(what)) => damaged(&what),
            // The next caller may find enough memory.
            Err(FrameRefusal::NoMemory) => FrameState::Stored(stored, Vec::new()),
        }
    }

    fn state(&self) -> MutexGuard<'_, FrameState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
