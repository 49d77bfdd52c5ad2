//! Makes hash, signature and delta of a long content on all cores. The content is cut into stretches, long
//! pieces of one length. Workers hash, sign and compare each stretch by itself. The results depend only on
//! the content, not on the number of threads.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use crate::commit::{spool_error, Spool};
use crate::delta::{self, DeltaJoiner, DeltaWriter, Params, Signature, Signer};
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::pool::{Pending, Pool};

use super::tree_hash::TreeHash;

/// At most this many bytes of stretches and margins are in work at once, or one stretch if it is longer.
const IN_FLIGHT: usize = 32 << 20;

/// Takes the bytes of a content in pieces, and hands stretches to workers.
pub struct Stretches<'p> {
    pool: &'p Pool,
    work: Arc<Work>,
    in_flight: VecDeque<Pending<Done>>,
    /// Bytes that were taken and not yet handed over: at most a stretch and its margin.
    filling: Vec<u8>,
    /// The offset of `filling` in the content.
    start: u64,
    spare: Vec<Vec<u8>>,
    hash: TreeHash,
    signature: Option<Spool>,
    delta: Option<DeltaJoiner<Spool>>,
}

/// The results for a whole content.
pub struct Processed {
    pub hash: Hash,
    pub signature: Option<Spool>,
    pub delta: Option<Spool>,
}

/// The basis of a delta: the signature and the length of the old content.
pub struct Basis {
    pub signature: Signature,
    pub len: u64,
}

/// The results that a content needs besides its hash.
pub enum Purpose {
    Hash,
    Sign(Params),
    /// The signature of the content, and its delta against the basis.
    Compare(Params, Arc<Basis>),
}

/// How each stretch is processed.
struct Work {
    purpose: Purpose,
    /// Bytes of a stretch: a power of two, and a multiple of the block length.
    stretch: usize,
    /// Bytes after the stretch that the delta of the stretch needs: one block of the basis, or 0 without a
    /// delta.
    margin: usize,
}

/// A stretch in its buffer, followed by its margin.
struct Stretch {
    buffer: Vec<u8>,
    len: usize,
    /// The offset of the stretch in the content.
    start: u64,
    /// The stretch is the whole content.
    only: bool,
}

/// The results for one stretch, and its buffer.
struct Done {
    hash: [u8; 32],
    sums: Sums,
    stretch: Stretch,
}

/// Signature and delta of a stretch and its margin.
type Sums = delta::Result<(Option<Vec<u8>>, Option<Vec<u8>>)>;

impl<'p> Stretches<'p> {
    /// The block length of `purpose` must be a power of two.
    pub fn new(pool: &'p Pool, purpose: Purpose) -> Self {
        let block = purpose.params().map_or(1, |params| params.block_len as usize);
        debug_assert!(block.is_power_of_two());
        let (margin, joiner) = match &purpose {
            Purpose::Compare(_, basis) => {
                (basis.signature.block_len() as usize, Some(DeltaJoiner::new(basis.len, Spool::new())))
            }
            _ => (0, None),
        };
        // The stretch is at least as long as the margin, because the bytes of the margin are copied and
        // compared twice.
        let stretch = delta::STRETCH.max(block).max(margin.next_power_of_two());
        Stretches {
            pool,
            in_flight: VecDeque::new(),
            filling: Vec::new(),
            start: 0,
            spare: Vec::new(),
            hash: TreeHash::default(),
            signature: purpose.params().map(|_| Spool::new()),
            delta: joiner,
            work: Arc::new(Work { purpose, stretch, margin }),
        }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<()> {
        let full = self.work.stretch + self.work.margin;
        while !bytes.is_empty() {
            // A full buffer is handed over only when more bytes come: the bytes left at the end are the last
            // stretch.
            if self.filling.len() == full {
                self.hand_over(self.work.stretch, false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(full - self.filling.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Length of the delta so far. The caller can give up when the delta grows too long.
    pub fn delta_len(&self) -> u64 {
        self.delta.as_ref().map_or(0, DeltaJoiner::bytes_out)
    }

    pub fn finish(mut self) -> Result<Processed> {
        while self.filling.len() > self.work.stretch {
            self.hand_over(self.work.stretch, false)?;
        }
        self.hand_over(self.filling.len(), true)?;
        while let Some(done) = self.in_flight.pop_front() {
            self.collect(done)?;
        }
        let delta = self.delta.map(DeltaJoiner::finish).transpose().map_err(|e| spool_error(&e))?;
        Ok(Processed { hash: self.hash.finish(), signature: self.signature, delta })
    }

    /// Hands the first `len` bytes of `filling` to the pool. The bytes after them are the margin of the
    /// stretch.
    fn hand_over(&mut self, len: usize, last: bool) -> Result<()> {
        let at_once = (IN_FLIGHT / (self.work.stretch + self.work.margin)).clamp(1, self.pool.threads() + 1);
        if self.in_flight.len() >= at_once {
            if let Some(done) = self.in_flight.pop_front() {
                self.collect(done)?;
            }
        }
        let mut next = self.spare.pop().unwrap_or_default();
        next.extend_from_slice(&self.filling[len..]);
        let only = last && self.start == 0;
        let buffer = std::mem::replace(&mut self.filling, next);
        let stretch = Stretch { buffer, len, start: self.start, only };
        self.start += len as u64;
        let work = self.work.clone();
        self.in_flight.push_back(self.pool.run(move || work.of(stretch)));
        Ok(())
    }

    /// Waits for a stretch, and appends its results to the results so far.
    fn collect(&mut self, done: Pending<Done>) -> Result<()> {
        let Done { hash, sums, stretch } = done.wait();
        let Stretch { mut buffer, len, start, .. } = stretch;
        let (signature, delta) = sums.map_err(|e| of_delta(&e))?;
        self.hash.add(hash);
        if let (Some(out), Some(made), Some(params)) =
            (&mut self.signature, signature, self.work.purpose.params())
        {
            // Only the first stretch adds its header. The margin's blocks come with the signature of the next
            // stretch.
            let header = if start == 0 { 0 } else { params.signature_len(0) as usize };
            let entries = &made[header..params.signature_len(len as u64) as usize];
            out.write_all(entries).map_err(|e| spool_error(&e))?;
        }
        if let (Some(joiner), Some(made)) = (&mut self.delta, delta) {
            joiner.add(&made, len as u64, (buffer.len() - len) as u64).map_err(|e| of_delta(&e))?;
        }
        buffer.clear();
        self.spare.push(buffer);
        Ok(())
    }
}

impl Purpose {
    fn params(&self) -> Option<Params> {
        match self {
            Purpose::Hash => None,
            Purpose::Sign(params) | Purpose::Compare(params, _) => Some(*params),
        }
    }
}

impl Work {
    fn of(&self, stretch: Stretch) -> Done {
        let bytes = &stretch.buffer[..stretch.len];
        let hash = if stretch.only {
            *blake3::hash(bytes).as_bytes()
        } else {
            TreeHash::of_stretch(bytes, stretch.start)
        };
        Done { hash, sums: self.sums(&stretch), stretch }
    }

    fn sums(&self, stretch: &Stretch) -> Sums {
        match &self.purpose {
            Purpose::Hash => Ok((None, None)),
            Purpose::Sign(params) => {
                let mut signer = Signer::new(*params, Vec::new())?;
                signer.update(&stretch.buffer)?;
                Ok((Some(signer.finish()?), None))
            }
            Purpose::Compare(params, basis) => {
                let (delta, signature) = (Vec::new(), Vec::new());
                let writer =
                    DeltaWriter::with_signature(&basis.signature, basis.len, *params, delta, signature)?;
                let mut writer = writer.starting_at(stretch.start);
                writer.update(&stretch.buffer)?;
                let (delta, signature) = writer.finish_both()?;
                Ok((signature, Some(delta)))
            }
        }
    }
}

fn of_delta(error: &delta::Error) -> Error {
    match error {
        delta::Error::Io(error) => spool_error(error),
        error => Error::new(Kind::Corrupt, "make a delta", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 5 * delta::STRETCH + 12_345;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn content(bytes: &[u8], purpose: Purpose) -> Processed {
        let pool = Pool::new(3).unwrap();
        let mut stretches = Stretches::new(&pool, purpose);
        bytes.chunks(300_001).for_each(|piece| stretches.update(piece).unwrap());
        stretches.finish().unwrap()
    }

    fn signed(bytes: &[u8], params: Params) -> Vec<u8> {
        let mut signer = Signer::new(params, Vec::new()).unwrap();
        signer.update(bytes).unwrap();
        signer.finish().unwrap()
    }

    fn bytes_of(spool: Option<Spool>) -> Vec<u8> {
        let mut made = Vec::new();
        let drained = spool.unwrap().drain(|bytes| {
            made.extend_from_slice(bytes);
            Ok(())
        });
        drained.map(|()| made).unwrap()
    }

    #[test]
    fn stretches_together_make_the_hash_and_the_signature_of_the_whole() {
        let bytes = noise(LEN);
        for len in [0, 1, delta::STRETCH, delta::STRETCH + 1, 4 * delta::STRETCH, LEN] {
            for block_len in [2048, 4096, 2 * delta::STRETCH as u32] {
                let params = Params { block_len, strong_len: 16 };
                let made = content(&bytes[..len], Purpose::Sign(params));
                assert!(made.hash == blake3::hash(&bytes[..len]).into(), "{len} bytes");
                let same = bytes_of(made.signature) == signed(&bytes[..len], params);
                assert!(same && made.delta.is_none(), "{len} bytes, blocks of {block_len}");
            }
        }
    }

    #[test]
    fn stretches_together_make_the_delta_of_the_whole() {
        let basis = noise(LEN);
        let inserted = [b"inserted", &basis[..]].concat();
        let cut = 2 * delta::STRETCH;
        let at_a_cut = [&basis[..cut - 60], &[7; 50], &basis[cut - 60..]].concat();
        let edited = [&basis[..3 << 20], &[7; 100_000], &basis[(3 << 20) + 5000..]].concat();
        let swapped = [&basis[2_000_000..], &basis[..2_000_000]].concat();
        let short = &basis[..delta::STRETCH + 1000];
        for (what, new) in [
            ("the same", &basis[..]),
            ("inserted", &inserted),
            ("inserted before a cut", &at_a_cut),
            ("edited", &edited),
            ("swapped", &swapped),
            ("short", short),
            ("nothing", &[]),
        ] {
            for (old_block, new_block) in [(2048, 2048), (2048, 4096), (1000, 2048), (4 << 20, 2048)] {
                let sums = signed(&basis, Params { block_len: old_block, strong_len: 16 });
                let params = Params { block_len: new_block, strong_len: 16 };
                let old = || Basis { signature: Signature::parse(&sums).unwrap(), len: LEN as u64 };
                let made = content(new, Purpose::Compare(params, Arc::new(old())));
                assert!(made.hash == blake3::hash(new).into(), "{what}");
                assert!(bytes_of(made.signature) == signed(new, params), "{what}");
                let delta = bytes_of(made.delta);
                let mut out = Vec::new();
                let mut source = std::io::Cursor::new(&basis);
                delta::patch(&mut source, &mut &delta[..], LEN as u64, &mut out, new.len() as u64).unwrap();
                assert!(out == new, "{what}");

                let old = old();
                let mut whole = DeltaWriter::new(&old.signature, LEN as u64, Vec::new()).unwrap();
                whole.update(new).unwrap();
                let whole = whole.finish().unwrap().len();
                assert!(delta.len() <= whole, "{what}: {} bytes, at once {whole}", delta.len());
            }
        }
    }

    #[cfg(not(feature = "librsync"))]
    #[test]
    fn equal_blocks_that_kept_their_place_are_one_copy() {
        let params = Params { block_len: 2048, strong_len: 16 };
        // The first block of zeros is separate from the others. A delta that copies this block in place of a
        // later block has to search again.
        let basis = [&[0; 2048], &noise(LEN)[..], &vec![0; 8 * delta::STRETCH], &noise(LEN)].concat();
        let mut new = basis.clone();
        new[3_000_000] ^= 1;
        let signature = Signature::parse(&signed(&basis, params)).unwrap();
        let basis = Basis { signature, len: basis.len() as u64 };
        let delta = bytes_of(content(&new, Purpose::Compare(params, Arc::new(basis))).delta);
        assert!(delta.len() < 2048 + 100, "{} bytes", delta.len());
    }

    #[test]
    fn it_tells_of_a_delta_that_grows_too_long() {
        let params = Params { block_len: 2048, strong_len: 16 };
        let signature = Signature::parse(&signed(&[0; 5000], params)).unwrap();
        let pool = Pool::new(1).unwrap();
        let mut stretches =
            Stretches::new(&pool, Purpose::Compare(params, Arc::new(Basis { signature, len: 5000 })));
        stretches.update(&noise(LEN)).unwrap();
        assert!(stretches.delta_len() > delta::STRETCH as u64);
    }
}
