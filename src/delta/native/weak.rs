//! Weak sums: computed for a whole block, or rolled along a stream byte by byte.
//!
//! RabinKarp (librsync's `rabinkarp.h`) is a polynomial over the bytes modulo 2^32 with the start value 1.
//! Rollsum (`rollsum.h`) is similar to Adler-32: two sums of 16 bits.

use super::super::signature::SignatureKind;
use super::filter::{SumFilter, hint, test};

const MULT: u32 = 0x0810_4225;
/// RabinKarp adds this to a byte that leaves the window. Each step multiplies the share of the start value 1 in the sum
/// once too often, and this number corrects that.
pub const ADJ: u32 = MULT.wrapping_sub(1);
/// Rollsum adds this to each byte.
const OFFSET: u32 = 31;
/// The upper bits of a rollsum are badly distributed, so the table key of a rollsum is the sum times this
/// number. The number is odd, so different sums have different keys.
const SPREAD: u32 = 0x9e37_79b1;

/// Bytes per step of the whole-block sum.
const STEP: usize = 64;

/// `MULT^(STEP - 1 - i)` is `LOW[i] + 65536 * HIGH[i]`, both signed. So a product of 32 bits becomes two
/// products of 16 bits, and even SSE2 can multiply and add eight of these at a time.
const LOW: [i16; STEP] = halves().0;
const HIGH: [i16; STEP] = halves().1;

const fn halves() -> ([i16; STEP], [i16; STEP]) {
    let (mut low, mut high) = ([0; STEP], [0; STEP]);
    let mut i = 0;
    while i < STEP {
        let power = power(STEP - 1 - i);
        low[i] = power as i16;
        high[i] = (power.wrapping_sub(low[i] as u32) >> 16) as i16;
        i += 1;
    }
    (low, high)
}

pub const fn power(exponent: usize) -> u32 {
    MULT.wrapping_pow(exponent as u32)
}

impl SignatureKind {
    /// The weak sum of a block, as signatures store it.
    pub fn sum(self, block: &[u8]) -> u32 {
        match self {
            SignatureKind::RabinKarp => rabinkarp(block),
            SignatureKind::Rollsum => rollsum(block),
        }
    }

    /// The table key of a stored sum. Keys are equal exactly if the sums are, and their upper bits are well
    /// distributed.
    pub fn key(self, sum: u32) -> u32 {
        match self {
            SignatureKind::RabinKarp => sum,
            SignatureKind::Rollsum => sum.wrapping_mul(SPREAD),
        }
    }
}

/// The RabinKarp sum of a block.
pub fn rabinkarp(block: &[u8]) -> u32 {
    const STEP_POWER: u32 = power(STEP);
    let mut steps = block.chunks_exact(STEP);
    let mut hash = 1u32;
    for step in &mut steps {
        hash = hash.wrapping_mul(STEP_POWER).wrapping_add(polynomial(step));
    }
    steps.remainder().iter().fold(hash, |hash, &byte| hash.wrapping_mul(MULT).wrapping_add(u32::from(byte)))
}

/// The polynomial over [`STEP`] bytes, in a form that compilers turn into `pmaddwd`.
#[inline(always)]
fn polynomial(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (0i32, 0i32);
    for ((&byte, &l), &h) in bytes.iter().zip(&LOW).zip(&HIGH) {
        low = low.wrapping_add(i32::from(byte) * i32::from(l));
        high = high.wrapping_add(i32::from(byte) * i32::from(h));
    }
    (low as u32).wrapping_add((high as u32) << 16)
}

/// The rollsum of a block. Both halves are reduced modulo 2^16 only at the end.
fn rollsum(block: &[u8]) -> u32 {
    let (mut s1, mut s2) = (0u32, 0u32);
    for &byte in block {
        s1 = s1.wrapping_add(u32::from(byte) + OFFSET);
        s2 = s2.wrapping_add(s1);
    }
    (s2 << 16) | (s1 & 0xffff)
}

#[cfg(target_arch = "x86_64")]
fn has_wide() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_wide() -> bool {
    false
}

/// Rolls the sum of a window of fixed length over a stream.
pub struct Roller {
    kind: SignatureKind,
    window: u32,
    /// For each byte value, the number that RabinKarp subtracts when such a byte leaves the window:
    /// `(byte + ADJ) * MULT^window`.
    leaving: [u32; 256],
    /// True if the processor has the instructions that the module `wide` needs.
    wide: bool,
}

impl Roller {
    pub fn new(kind: SignatureKind, window: u32) -> Self {
        let power = MULT.wrapping_pow(window);
        let leaving = std::array::from_fn(|byte| power.wrapping_mul((byte as u32).wrapping_add(ADJ)));
        Roller { kind, window, leaving, wide: has_wide() }
    }

    /// The same roller without the module `wide`, for tests.
    #[cfg(test)]
    pub fn portable(self) -> Self {
        Roller { wide: false, ..self }
    }

    /// Rolls `sum` on until the filter accepts its key. Step `i` removes `leaving[i]` and adds `entering[i]`.
    ///
    /// Returns the number of steps: `leaving.len()`, or fewer if the filter accepted the key after the last
    /// step. The filter may also accept the key after step `leaving.len()`, so the caller must search the
    /// table in any case.
    pub fn roll(&self, sum: &mut u32, leaving: &[u8], entering: &[u8], filter: &SumFilter) -> usize {
        match (self.kind, filter) {
            (SignatureKind::Rollsum, _) => self.roll_rollsum(sum, leaving, entering, filter),
            (SignatureKind::RabinKarp, SumFilter::W10(words)) => {
                self.roll_rabinkarp(sum, leaving, entering, words)
            }
            (SignatureKind::RabinKarp, SumFilter::W13(words)) => {
                self.roll_rabinkarp(sum, leaving, entering, words)
            }
            (SignatureKind::RabinKarp, SumFilter::W16(words)) => {
                self.roll_rabinkarp(sum, leaving, entering, words)
            }
            (SignatureKind::RabinKarp, SumFilter::W18(words)) => {
                self.roll_rabinkarp(sum, leaving, entering, words)
            }
            (SignatureKind::RabinKarp, SumFilter::W21(words)) => {
                self.roll_rabinkarp(sum, leaving, entering, words)
            }
        }
    }

    fn roll_rabinkarp<const N: usize>(
        &self,
        sum: &mut u32,
        leaving: &[u8],
        entering: &[u8],
        words: &[u32; N],
    ) -> usize {
        let len = leaving.len().min(entering.len());
        let (leaving, entering) = (&leaving[..len], &entering[..len]);
        let wide = if self.wide { self.roll_wide(sum, leaving, entering, words) } else { (0, false) };
        let (mut done, found) = wide;
        if !found {
            done += self.roll_portable(sum, &leaving[done..], &entering[done..], words);
        }
        done
    }

    #[cfg(target_arch = "x86_64")]
    fn roll_wide<const N: usize>(
        &self,
        sum: &mut u32,
        leaving: &[u8],
        entering: &[u8],
        words: &[u32; N],
    ) -> (usize, bool) {
        // SAFETY: `self.wide` is true, so the processor has AVX2.
        unsafe { super::wide::roll(power(self.window as usize), sum, leaving, entering, words) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn roll_wide<const N: usize>(&self, _: &mut u32, _: &[u8], _: &[u8], _: &[u32; N]) -> (usize, bool) {
        (0, false)
    }

    /// Takes four steps at a time, in two pairs. Both sums of a pair are computed from the sum before the
    /// pair, which halves the chain of multiplications that depend on each other.
    fn roll_portable<const N: usize>(
        &self,
        sum: &mut u32,
        leaving: &[u8],
        entering: &[u8],
        words: &[u32; N],
    ) -> usize {
        let change = |out: u8, into: u8| u32::from(into).wrapping_sub(self.leaving[usize::from(out)]);
        let pair = |hash: u32, c0: u32, c1: u32| {
            let c1 = c0.wrapping_mul(MULT).wrapping_add(c1);
            (hash.wrapping_mul(MULT).wrapping_add(c0), hash.wrapping_mul(power(2)).wrapping_add(c1))
        };
        let mut hash = *sum;
        let mut done = 0;
        for (out, into) in leaving.chunks_exact(4).zip(entering.chunks_exact(4)) {
            let (h0, h1) = pair(hash, change(out[0], into[0]), change(out[1], into[1]));
            let (h2, h3) = pair(h1, change(out[2], into[2]), change(out[3], into[3]));
            if (hint(words, h0) | hint(words, h1) | hint(words, h2) | hint(words, h3)) & 1 != 0 {
                let hashes = [h0, h1, h2, h3];
                if let Some(first) = hashes.iter().position(|&hash| test(words, hash)) {
                    *sum = hashes[first];
                    return done + first + 1;
                }
            }
            hash = h3;
            done += 4;
        }
        for (&out, &into) in leaving[done..].iter().zip(&entering[done..]) {
            hash = hash.wrapping_mul(MULT).wrapping_add(change(out, into));
            done += 1;
            if test(words, hash) {
                break;
            }
        }
        *sum = hash;
        done
    }

    fn roll_rollsum(&self, sum: &mut u32, leaving: &[u8], entering: &[u8], filter: &SumFilter) -> usize {
        let (mut s1, mut s2) = (*sum & 0xffff, *sum >> 16);
        let mut done = 0;
        for (&out, &into) in leaving.iter().zip(entering) {
            s1 = s1.wrapping_add(u32::from(into)).wrapping_sub(u32::from(out));
            s2 = s2.wrapping_add(s1).wrapping_sub(self.window.wrapping_mul(u32::from(out) + OFFSET));
            done += 1;
            *sum = (s2 << 16) | (s1 & 0xffff);
            if filter.may_hold(self.kind.key(*sum)) {
                break;
            }
        }
        done
    }
}
