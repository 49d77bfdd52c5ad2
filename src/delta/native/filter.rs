//! A bit filter and a table over the weak sums of a signature: flat arrays, 14 bytes a block and more.

/// Says of nearly every key that is in no block that it is in none. 4 KiB to 8 MiB; in the L2 cache
/// for bases up to 128 MiB with blocks of 2 KiB.
///
/// A Bloom filter whose two bits lie in one word, so that a key costs one load.
///
/// The number of its words is known to the compiler, so that testing a key needs no bounds check.
pub enum Filter {
    W9(Box<[u64; 1 << 9]>),
    W12(Box<[u64; 1 << 12]>),
    W15(Box<[u64; 1 << 15]>),
    W17(Box<[u64; 1 << 17]>),
    W20(Box<[u64; 1 << 20]>),
}

/// Blocks per word of 64 bits, where the cap allows it: about one position in 256 or fewer asks the
/// table for nothing.
const BLOCKS_PER_WORD: usize = 2;

/// Whether the filter lets a key through, as the lowest bit; the others mean nothing.
///
/// The upper bits of the key choose the word, the lowest twelve its two bits.
#[inline(always)]
pub fn test<const N: usize>(words: &[u64; N], key: u32) -> u64 {
    let word = words[word_of::<N>(key)];
    (word >> (key % 64)) & (word >> (key / 64 % 64))
}

impl Filter {
    fn new(keys: &[u32]) -> Self {
        match keys.len() / BLOCKS_PER_WORD {
            0..=0x200 => Filter::W9(fill(keys)),
            0x201..=0x1000 => Filter::W12(fill(keys)),
            0x1001..=0x8000 => Filter::W15(fill(keys)),
            0x8001..=0x2_0000 => Filter::W17(fill(keys)),
            _ => Filter::W20(fill(keys)),
        }
    }

    /// False only if no block has this key.
    pub fn may_hold(&self, key: u32) -> bool {
        let bit = match self {
            Filter::W9(words) => test(words, key),
            Filter::W12(words) => test(words, key),
            Filter::W15(words) => test(words, key),
            Filter::W17(words) => test(words, key),
            Filter::W20(words) => test(words, key),
        };
        bit & 1 != 0
    }
}

fn fill<const N: usize>(keys: &[u32]) -> Box<[u64; N]> {
    let mut words = vec![0u64; N];
    for &key in keys {
        words[word_of::<N>(key)] |= 1 << (key % 64) | 1 << (key / 64 % 64);
    }
    match words.into_boxed_slice().try_into() {
        Ok(words) => words,
        Err(_) => unreachable!("as many words as asked for"),
    }
}

/// The word of a key: its upper bits.
#[inline(always)]
fn word_of<const N: usize>(key: u32) -> usize {
    (key >> (32 - N.trailing_zeros())) as usize
}

/// Finds the blocks of a key.
pub struct Table {
    pub filter: Filter,
    /// The key of each block.
    keys: Box<[u32]>,
    /// Block numbers by bucket (the upper bits of the key), within it by key, then by number.
    order: Box<[u32]>,
    /// Where each bucket starts in `order`, and where the last one ends.
    starts: Box<[u32]>,
    shift: u32,
}

impl Table {
    /// Takes the key of each block; there are fewer than 2^32.
    pub fn new(keys: Vec<u32>) -> Self {
        let bits = (keys.len() / 2).next_power_of_two().trailing_zeros();
        let shift = 32 - bits;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for &key in &keys {
            starts[bucket(key, shift) + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; keys.len()];
        for (block, &key) in keys.iter().enumerate() {
            let at = &mut next[bucket(key, shift)];
            order[*at as usize] = block as u32;
            *at += 1;
        }
        for range in starts.windows(2) {
            order[range[0] as usize..range[1] as usize].sort_by_key(|&block| keys[block as usize]);
        }
        Table {
            filter: Filter::new(&keys),
            keys: keys.into(),
            order: order.into(),
            starts: starts.into(),
            shift,
        }
    }

    pub fn key(&self, block: u32) -> u32 {
        self.keys[block as usize]
    }

    /// The blocks whose key this is, ascending.
    pub fn blocks_of(&self, key: u32) -> &[u32] {
        if !self.filter.may_hold(key) {
            return &[];
        }
        let bucket = bucket(key, self.shift);
        let blocks = &self.order[self.starts[bucket] as usize..self.starts[bucket + 1] as usize];
        let from = blocks.partition_point(|&block| self.key(block) < key);
        let equal = blocks[from..].partition_point(|&block| self.key(block) == key);
        &blocks[from..from + equal]
    }
}

/// The bucket of a key; a shift by all 32 bits is that of a single bucket.
fn bucket(key: u32, shift: u32) -> usize {
    (u64::from(key) >> shift) as usize
}
