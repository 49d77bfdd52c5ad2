//! A bit filter and a table over the weak sums of a signature: flat arrays of at least 14 bytes per block.

/// A filter that accepts the key of every block, and rejects nearly all other keys. It has 4 KiB to 8 MiB, and fits the
/// L2 cache for a basis of up to 128 MiB with blocks of 2 KiB.
///
/// It is a Bloom filter in which all bits of one key are in one word, so a test costs one load. The words have 32
/// bits, because a processor can load eight such words at once.
///
/// The compiler knows the number of words, so testing a key needs no bounds check.
pub enum SumFilter {
    W10(Box<[u32; 1 << 10]>),
    W13(Box<[u32; 1 << 13]>),
    W16(Box<[u32; 1 << 16]>),
    W18(Box<[u32; 1 << 18]>),
    W21(Box<[u32; 1 << 21]>),
}

/// True if the filter accepts a key. The upper bits of the key choose the word; the lowest 15 bits choose three bits
/// of the word.
#[inline(always)]
pub fn test<const N: usize>(words: &[u32; N], key: u32) -> bool {
    let word = words[(key >> shift::<N>()) as usize];
    hint(words, key) & (word >> (key / 1024 % 32)) & 1 != 0
}

/// Tests two of the three bits. The result is in the lowest bit; the other bits have no meaning. When keys are tested
/// one by one, testing the third bit only after these two is faster.
#[inline(always)]
pub fn hint<const N: usize>(words: &[u32; N], key: u32) -> u32 {
    let word = words[(key >> shift::<N>()) as usize];
    (word >> (key % 32)) & (word >> (key / 32 % 32))
}

/// The number of bits by which a key is shifted to get the number of its word.
#[inline(always)]
pub const fn shift<const N: usize>() -> u32 {
    32 - N.trailing_zeros()
}

impl SumFilter {
    /// Takes at least one word for each block, up to the largest size. With one word per block, one position in 200 is
    /// accepted although no block has its key; with two words, one in 1,000.
    fn new(keys: &[u32]) -> Self {
        match keys.len() {
            0..=0x400 => SumFilter::W10(fill(keys)),
            0x401..=0x2000 => SumFilter::W13(fill(keys)),
            0x2001..=0x1_0000 => SumFilter::W16(fill(keys)),
            0x1_0001..=0x4_0000 => SumFilter::W18(fill(keys)),
            _ => SumFilter::W21(fill(keys)),
        }
    }

    /// False only if no block has this key.
    pub fn may_hold(&self, key: u32) -> bool {
        match self {
            SumFilter::W10(words) => test(words, key),
            SumFilter::W13(words) => test(words, key),
            SumFilter::W16(words) => test(words, key),
            SumFilter::W18(words) => test(words, key),
            SumFilter::W21(words) => test(words, key),
        }
    }
}

fn fill<const N: usize>(keys: &[u32]) -> Box<[u32; N]> {
    let mut words = vec![0u32; N];
    for &key in keys {
        words[(key >> shift::<N>()) as usize] |=
            1 << (key % 32) | 1 << (key / 32 % 32) | 1 << (key / 1024 % 32);
    }
    match words.into_boxed_slice().try_into() {
        Ok(words) => words,
        Err(_) => unreachable!("as many words as asked for"),
    }
}

/// Finds the blocks that have a key.
pub struct SumTable {
    pub filter: SumFilter,
    /// The key of each block.
    keys: Box<[u32]>,
    /// Block numbers, sorted by bucket (the upper bits of the key), then by key, then by number.
    order: Box<[u32]>,
    /// The index in `order` at which each bucket starts, and the index at which the last bucket ends.
    starts: Box<[u32]>,
    /// Bits by which a key is shifted to get the number of its bucket.
    shift: u32,
}

impl SumTable {
    /// Makes the table from the key of each block, by number. There must be fewer than 2^32 blocks.
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
        SumTable {
            filter: SumFilter::new(&keys),
            keys: keys.into(),
            order: order.into(),
            starts: starts.into(),
            shift,
        }
    }

    pub fn key(&self, block: u32) -> u32 {
        self.keys[block as usize]
    }

    /// The numbers of the blocks with this key, ascending.
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

/// The bucket of a key. If there is only one bucket, `shift` is 32, so the shift needs 64 bits.
fn bucket(key: u32, shift: u32) -> usize {
    (u64::from(key) >> shift) as usize
}
