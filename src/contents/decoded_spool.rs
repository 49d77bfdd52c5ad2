//! Keeps decoded frames in a temporary file. This helps if the contents lie in more frames than memory holds, and are
//! read in another order than the order of the frames. For example, small files that were moved between directories lie
//! anywhere in the archives, and a restore reads them in the order of their paths. Without this file, the restore would
//! decode a whole frame for each of them.
//!
//! A frame is written when it is decoded for the second time, so an operation that reads its frames in order
//! writes nothing. The file is a ring: if it is full, a new frame overwrites the oldest frames.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::spool::Spool;

use super::reader::FrameId;

/// Shorter frames are not written, because decoding them takes little time, and an archive may have very many of them.
pub(super) const LEN_MIN: u64 = 64 << 10;

/// A temporary file with decoded frames, of bounded length.
pub(super) struct DecodedSpool {
    /// Greatest number of bytes of the file. With 0, no frame is written.
    bytes_max: u64,
    /// For each file, one bit for each frame: the frame was fetched.
    fetched: HashMap<u32, Vec<u64>>,
    spool: Option<Spool>,
    /// For each frame in the file, the offset of its first byte.
    frames: HashMap<FrameId, u64>,
    /// The same frames and their places, in the order in which they were written.
    written: VecDeque<(FrameId, Range<u64>)>,
    /// The offset at which the next frame is written.
    next: u64,
    /// Number of frames written, and number of parts read, since the last write at offset 0.
    writes: u64,
    reads: u64,
    /// No more frames are written: a write or a read failed, or too few frames were read again.
    is_closed: bool,
}

impl DecodedSpool {
    /// An empty spool for `bytes_max` bytes. Makes no file yet.
    pub fn new(bytes_max: u64) -> Self {
        DecodedSpool {
            bytes_max,
            fetched: HashMap::new(),
            spool: None,
            frames: HashMap::new(),
            written: VecDeque::new(),
            next: 0,
            writes: 0,
            reads: 0,
            is_closed: false,
        }
    }

    pub fn has(&self, id: FrameId) -> bool {
        self.frames.contains_key(&id)
    }

    /// Notes that a frame is fetched, out of a file of `count` frames. True if it was fetched before, and should
    /// be written when it is decoded.
    pub fn wants(&mut self, (file, number): FrameId, count: usize) -> bool {
        if self.is_closed || self.bytes_max == 0 {
            return false;
        }
        let bits = self.fetched.entry(file).or_insert_with(|| vec![0; count.div_ceil(64)]);
        let Some(word) = bits.get_mut(number / 64) else { return false };
        let was_fetched = *word >> (number % 64) & 1 == 1;
        *word |= 1 << (number % 64);
        was_fetched
    }

    /// Writes a decoded frame. If that fails, for example because the disk is full, no frame is written any more.
    pub fn write(&mut self, id: FrameId, bytes: &[u8]) {
        let len = bytes.len() as u64;
        if self.is_closed || len > self.bytes_max || self.has(id) || !self.make_room(len) {
            return;
        }
        let at = self.next;
        let spool = match self.spool.take() {
            Some(spool) => Ok(spool),
            None => Spool::in_file(),
        };
        match spool.and_then(|mut spool| spool.write_at(at, bytes).map(|()| spool)) {
            Ok(spool) => {
                self.spool = Some(spool);
                self.next += len;
                self.writes += 1;
                self.frames.insert(id, at);
                self.written.push_back((id, at..at + len));
            }
            Err(_) => self.give_up(),
        }
    }

    /// Frees `len` bytes at [`DecodedSpool::next`]. At the end of the file, the next round begins at offset 0. False if
    /// the last round did not pay off: fewer parts were read than frames were written.
    fn make_room(&mut self, len: u64) -> bool {
        if self.next + len > self.bytes_max {
            self.is_closed = self.reads < self.writes;
            if self.is_closed {
                return false;
            }
            // The frames at the end of the file were written before all others.
            self.drop_written(self.next..self.bytes_max);
            (self.next, self.writes, self.reads) = (0, 0, 0);
        }
        self.drop_written(self.next..self.next + len);
        true
    }

    /// Drops the frames that begin in `places` of the file. These are the oldest frames.
    fn drop_written(&mut self, places: Range<u64>) {
        while self.written.front().is_some_and(|(_, place)| places.contains(&place.start)) {
            if let Some((id, _)) = self.written.pop_front() {
                self.frames.remove(&id);
            }
        }
    }

    /// Reads a part of a frame. `None` if the file does not have the frame, or cannot be read: the caller decodes the
    /// frame.
    pub fn read(&mut self, id: FrameId, part: Range<usize>) -> Option<Vec<u8>> {
        let at = *self.frames.get(&id)?;
        let mut bytes = vec![0; part.len()];
        match self.spool.as_ref()?.read_exact_at(at + part.start as u64, &mut bytes) {
            Ok(()) => {
                self.reads += 1;
                Some(bytes)
            }
            Err(_) => {
                self.give_up();
                None
            }
        }
    }

    /// Removes the temporary file. From now on, no frame is written.
    fn give_up(&mut self) {
        *self = DecodedSpool { is_closed: true, ..DecodedSpool::new(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes of a frame. No other frame has the same bytes.
    fn bytes(number: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn only_a_frame_that_is_fetched_again_is_wanted() {
        let mut spool = DecodedSpool::new(100);
        let wanted = [(0, 5), (0, 64), (1, 5), (0, 5), (0, 5), (1, 64)].map(|id| spool.wants(id, 65));
        assert_eq!(wanted, [false, false, false, true, true, false]);
        assert!(!spool.wants((0, 64 * 3), 65), "there is no such frame");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        /// A frame comes out as it was written, or not at all. The file stays within its limit, and has the frames
        /// written last.
        #[test]
        fn a_frame_comes_out_as_it_was_written(
            frames in proptest::collection::vec((0..20usize, 1..40usize), 1..200), bytes_max in 1..300u64,
        ) {
            let mut spool = DecodedSpool::new(bytes_max);
            let mut len_of = HashMap::new();
            for (number, len) in frames {
                let len = *len_of.entry(number).or_insert(len);
                spool.write((7, number), &bytes(number, len));
                prop_assert!(spool.is_closed || spool.has((7, number)) == (len as u64 <= bytes_max));
                prop_assert!(spool.spool.as_ref().map_or(0, Spool::end) <= bytes_max);
                let mut places: Vec<_> = spool.written.iter().map(|(_, place)| place.clone()).collect();
                places.sort_by_key(|place| place.start);
                prop_assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", places);
                for (&number, &len) in &len_of {
                    if let Some(read) = spool.read((7, number), len / 3..len) {
                        prop_assert!(read == bytes(number, len)[len / 3..]);
                    }
                }
            }
        }
    }

    #[test]
    fn frames_that_nobody_reads_are_not_written_for_ever() {
        let mut spool = DecodedSpool::new(100);
        (0..30).for_each(|number| spool.write((0, number), &bytes(number, 10)));
        assert!(spool.is_closed && spool.has((0, 9)) && !spool.has((0, 10)));
        assert!(!spool.wants((0, 3), 30));
        assert_eq!(spool.read((0, 3), 0..10), Some(bytes(3, 10)));
    }
}
