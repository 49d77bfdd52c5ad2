//! Recycles the memory of decoded frames: a thread decodes a frame into the buffer of an older frame, even if another
//! thread decoded the older frame. Otherwise the allocator would keep the memory of several frames for each thread.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::FRAME_LEN;

/// The most buffers that are kept for later frames.
const SPARE_MAX: usize = 32;
/// The most bytes of capacity of all kept buffers together.
const SPARE_BYTES_MAX: usize = 2 * FRAME_LEN;

/// Empty buffers that wait for the next frames.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// Returns an empty buffer. Its capacity is between `len` and `2 * len` bytes if such a buffer is kept,
    /// otherwise 0.
    pub fn take(&self, len: usize) -> Vec<u8> {
        let mut spare = self.spare();
        let fits = (0..spare.len()).filter(|&at| (len..=2 * len).contains(&spare[at].capacity()));
        match fits.min_by_key(|&at| spare[at].capacity()) {
            Some(at) => spare.swap_remove(at),
            None => Vec::new(),
        }
    }

    fn give(&self, mut buffer: Vec<u8>) {
        // Only files of other tools have such long frames; these are rare, so their buffers are not kept.
        if buffer.capacity() > FRAME_LEN {
            return;
        }
        buffer.clear();
        let mut spare = self.spare();
        spare.push(buffer);
        let bytes = |spare: &[Vec<u8>]| spare.iter().map(Vec::capacity).sum::<usize>();
        while spare.len() > SPARE_MAX || bytes(&spare) > SPARE_BYTES_MAX {
            spare.swap_remove(0);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The uncompressed bytes of a frame. Dropping this value gives its memory back to the [`Buffers`].
#[derive(Debug, Default)]
pub struct Decoded {
    bytes: Vec<u8>,
    buffers: Arc<Buffers>,
}

impl Decoded {
    pub(super) fn new(bytes: Vec<u8>, buffers: Arc<Buffers>) -> Self {
        Decoded { bytes, buffers }
    }
}

impl Deref for Decoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        let buffers = Arc::new(Buffers::default());
        for len in [1000, 10, 100] {
            drop(Decoded::new(Vec::with_capacity(len), buffers.clone()));
        }
        assert_eq!([50, 400, 600, 5, 1].map(|len| buffers.take(len).capacity()), [100, 0, 1000, 10, 0]);
        for _ in 0..100 {
            drop(Decoded::new(vec![1; 10], buffers.clone()));
        }
        assert_eq!(buffers.spare().len(), SPARE_MAX);
        drop(Decoded::new(Vec::with_capacity(FRAME_LEN + 1), buffers.clone()));
        assert_eq!(buffers.take(FRAME_LEN).capacity(), 0);
    }
}
