//! Makes hash, signature and delta of a long content on all cores. The content is cut into chunks, long
//! pieces of one length. Workers hash, sign and compare each chunk by itself. The results depend only on
//! the content, not on the number of threads.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use crate::commit::MemberSpool;
use crate::delta::{self, DeltaJoiner, DeltaWriter, Params, Signature, Signer};
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::pool::{Pending, Pool};
use crate::spool::spool_error;

use super::tree_hash::TreeHash;

/// At most this many bytes of chunks and margins are in work at once, or one chunk if it is longer.
const IN_FLIGHT: usize = 32 << 20;

/// Takes the bytes of a content in pieces, and hands chunks to workers.
pub struct ChunkPipeline<'p> {
    pool: &'p Pool,
    work: Arc<ChunkWork>,
    in_flight: VecDeque<Pending<ChunkResult>>,
    /// Bytes that were taken and not yet handed over: at most a chunk and its margin.
    filling: Vec<u8>,
    /// The offset of `filling` in the content.
    start: u64,
    spare: Vec<Vec<u8>>,
    hash: TreeHash,
    signature: Option<MemberSpool>,
    delta: Option<DeltaJoiner<MemberSpool>>,
}

/// The results for a whole content.
pub struct Processed {
    pub hash: Hash,
    pub signature: Option<MemberSpool>,
    pub delta: Option<MemberSpool>,
}

/// The basis of a delta: the signature and the length of the old content.
pub struct DeltaBasis {
    pub signature: Signature,
    pub len: u64,
}

/// The results that a content needs besides its hash.
pub enum Purpose {
    Hash,
    Sign(Params),
    /// The signature of the content, and its delta against the basis.
    Compare(Params, Arc<DeltaBasis>),
}

/// How each chunk is processed.
struct ChunkWork {
    purpose: Purpose,
    /// Bytes of a chunk: a power of two, and a multiple of the block length.
    chunk_len: usize,
    /// Bytes after the chunk that the delta of the chunk needs: one block of the basis, or 0 without a
    /// delta.
    margin: usize,
}

/// A chunk in its buffer, followed by its margin.
struct Chunk {
    buffer: Vec<u8>,
    len: usize,
    /// The offset of the chunk in the content.
    start: u64,
    /// The chunk is the whole content.
    only: bool,
}

/// The results for one chunk, and its buffer.
struct ChunkResult {
    hash: [u8; 32],
    sums: Sums,
    chunk: Chunk,
}

/// Signature and delta of a chunk and its margin.
type Sums = delta::Result<(Option<Vec<u8>>, Option<Vec<u8>>)>;

impl<'p> ChunkPipeline<'p> {
    /// The block length of `purpose` must be a power of two.
    pub fn new(pool: &'p Pool, purpose: Purpose) -> Self {
        let block = purpose.params().map_or(1, |params| params.block_len as usize);
        debug_assert!(block.is_power_of_two());
        let (margin, joiner) = match &purpose {
            Purpose::Compare(_, basis) => {
                (basis.signature.block_len() as usize, Some(DeltaJoiner::new(basis.len, MemberSpool::new())))
            }
            _ => (0, None),
        };
        // The chunk is at least as long as the margin, because the bytes of the margin are copied and
        // compared twice.
        let chunk_len = delta::CHUNK_LEN.max(block).max(margin.next_power_of_two());
        ChunkPipeline {
            pool,
            in_flight: VecDeque::new(),
            filling: Vec::new(),
            start: 0,
            spare: Vec::new(),
            hash: TreeHash::default(),
            signature: purpose.params().map(|_| MemberSpool::new()),
            delta: joiner,
            work: Arc::new(ChunkWork { purpose, chunk_len, margin }),
        }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<()> {
        let full = self.work.chunk_len + self.work.margin;
        while !bytes.is_empty() {
            // A full buffer is handed over only when more bytes come: the bytes left at the end are the last
            // chunk.
            if self.filling.len() == full {
                self.hand_over(self.work.chunk_len, false)?;
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
        while self.filling.len() > self.work.chunk_len {
            self.hand_over(self.work.chunk_len, false)?;
        }
        self.hand_over(self.filling.len(), true)?;
        while let Some(done) = self.in_flight.pop_front() {
            self.collect(done)?;
        }
        let delta = self.delta.map(DeltaJoiner::finish).transpose().map_err(|e| spool_error(&e))?;
        Ok(Processed { hash: self.hash.finish(), signature: self.signature, delta })
    }

    /// Hands the first `len` bytes of `filling` to the pool. The bytes after them are the margin of the
    /// chunk.
    fn hand_over(&mut self, len: usize, last: bool) -> Result<()> {
        let at_once =
            (IN_FLIGHT / (self.work.chunk_len + self.work.margin)).clamp(1, self.pool.threads() + 1);
        if self.in_flight.len() >= at_once
            && let Some(done) = self.in_flight.pop_front()
        {
            self.collect(done)?;
        }
        let mut next = self.spare.pop().unwrap_or_default();
        next.extend_from_slice(&self.filling[len..]);
        let only = last && self.start == 0;
        let buffer = std::mem::replace(&mut self.filling, next);
        let chunk = Chunk { buffer, len, start: self.start, only };
        self.start += len as u64;
        let work = self.work.clone();
        self.in_flight.push_back(self.pool.run(move || work.of(chunk)));
        Ok(())
    }

    /// Waits for a chunk, and appends its results to the results so far.
    fn collect(&mut self, done: Pending<ChunkResult>) -> Result<()> {
        let ChunkResult { hash, sums, chunk } = done.wait();
        let Chunk { mut buffer, len, start, .. } = chunk;
        let (signature, delta) = sums.map_err(|e| of_delta(&e))?;
        self.hash.add(hash);
        if let (Some(out), Some(made), Some(params)) =
            (&mut self.signature, signature, self.work.purpose.params())
        {
            // Only the first chunk adds its header. The margin's blocks come with the signature of the next
            // chunk.
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

impl ChunkWork {
    fn of(&self, chunk: Chunk) -> ChunkResult {
        let bytes = &chunk.buffer[..chunk.len];
        let hash =
            if chunk.only { *blake3::hash(bytes).as_bytes() } else { TreeHash::of_chunk(bytes, chunk.start) };
        ChunkResult { hash, sums: self.sums(&chunk), chunk }
    }

    fn sums(&self, chunk: &Chunk) -> Sums {
        match &self.purpose {
            Purpose::Hash => Ok((None, None)),
            Purpose::Sign(params) => {
                let mut signer = Signer::new(*params, Vec::new())?;
                signer.update(&chunk.buffer)?;
                Ok((Some(signer.finish()?), None))
            }
            Purpose::Compare(params, basis) => {
                let (delta, signature) = (Vec::new(), Vec::new());
                let writer =
                    DeltaWriter::with_signature(&basis.signature, basis.len, *params, delta, signature)?;
                let mut writer = writer.starting_at(chunk.start);
                writer.update(&chunk.buffer)?;
                let (delta, signature) = writer.finish_both()?;
                Ok((signature, Some(delta)))
            }
        }
    }
}

pub fn of_delta(error: &delta::Error) -> Error {
    match error {
        delta::Error::Io(error) => spool_error(error),
        error => Error::new(Kind::Corrupt, "make a delta", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 5 * delta::CHUNK_LEN + 12_345;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn content(bytes: &[u8], purpose: Purpose) -> Processed {
        let pool = Pool::new(3).unwrap();
        let mut pipeline = ChunkPipeline::new(&pool, purpose);
        bytes.chunks(300_001).for_each(|piece| pipeline.update(piece).unwrap());
        pipeline.finish().unwrap()
    }

    fn signed(bytes: &[u8], params: Params) -> Vec<u8> {
        let mut signer = Signer::new(params, Vec::new()).unwrap();
        signer.update(bytes).unwrap();
        signer.finish().unwrap()
    }

    fn bytes_of(spool: Option<MemberSpool>) -> Vec<u8> {
        let mut made = Vec::new();
        let drained = spool.unwrap().each(|bytes| {
            made.extend_from_slice(bytes);
            Ok(())
        });
        drained.map(|()| made).unwrap()
    }

    #[test]
    fn chunks_together_make_the_hash_and_the_signature_of_the_whole() {
        let bytes = noise(LEN);
        for len in [0, 1, delta::CHUNK_LEN, delta::CHUNK_LEN + 1, 4 * delta::CHUNK_LEN, LEN] {
            for block_len in [2048, 4096, 2 * delta::CHUNK_LEN as u32] {
                let params = Params { block_len, strong_len: 16 };
                let made = content(&bytes[..len], Purpose::Sign(params));
                assert!(made.hash == blake3::hash(&bytes[..len]).into(), "{len} bytes");
                let same = bytes_of(made.signature) == signed(&bytes[..len], params);
                assert!(same && made.delta.is_none(), "{len} bytes, blocks of {block_len}");
            }
        }
    }

    #[test]
    fn chunks_together_make_the_delta_of_the_whole() {
        let basis = noise(LEN);
        let inserted = [b"inserted", &basis[..]].concat();
        let cut = 2 * delta::CHUNK_LEN;
        let at_a_cut = [&basis[..cut - 60], &[7; 50], &basis[cut - 60..]].concat();
        let edited = [&basis[..3 << 20], &[7; 100_000], &basis[(3 << 20) + 5000..]].concat();
        let swapped = [&basis[2_000_000..], &basis[..2_000_000]].concat();
        let short = &basis[..delta::CHUNK_LEN + 1000];
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
                let old = || DeltaBasis { signature: Signature::parse(&sums).unwrap(), len: LEN as u64 };
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
        let basis = [&[0; 2048], &noise(LEN)[..], &vec![0; 8 * delta::CHUNK_LEN], &noise(LEN)].concat();
        let mut new = basis.clone();
        new[3_000_000] ^= 1;
        let signature = Signature::parse(&signed(&basis, params)).unwrap();
        let basis = DeltaBasis { signature, len: basis.len() as u64 };
        let delta = bytes_of(content(&new, Purpose::Compare(params, Arc::new(basis))).delta);
        assert!(delta.len() < 2048 + 100, "{} bytes", delta.len());
    }

    #[test]
    fn it_tells_of_a_delta_that_grows_too_long() {
        let params = Params { block_len: 2048, strong_len: 16 };
        let signature = Signature::parse(&signed(&[0; 5000], params)).unwrap();
        let pool = Pool::new(1).unwrap();
        let mut pipeline = ChunkPipeline::new(
            &pool,
            Purpose::Compare(params, Arc::new(DeltaBasis { signature, len: 5000 })),
        );
        pipeline.update(&noise(LEN)).unwrap();
        assert!(pipeline.delta_len() > delta::CHUNK_LEN as u64);
    }
}
