//! Rolls RabinKarp sums eight bytes at once, on processors with AVX2.
//!
//! Rolling by one byte changes the sum `h` to `MULT * h + c`, where `c` depends on the byte that enters and
//! on the byte that leaves. So the next eight sums are a prefix sum over eight values of `c`, weighted with
//! powers of MULT, plus `h` times MULT to the powers 1 to 8.

use std::arch::x86_64::*;

use super::filter::shift;
use super::weak::{ADJ, power};

/// Bytes that are rolled at once.
const LANES: usize = 8;

/// Rolls `sum` on, eight bytes at once, until the filter accepts a key. Byte `leaving[i]` leaves when
/// `entering[i]` enters. Returns the number of bytes rolled, and whether the filter accepted the last key.
///
/// `leaving_power` is MULT to the power of the window's length.
#[target_feature(enable = "avx2")]
pub(super) fn roll<const N: usize>(
    leaving_power: u32,
    sum: &mut u32,
    leaving: &[u8],
    entering: &[u8],
    words: &[u32; N],
) -> (usize, bool) {
    let power_of = |exponent: usize| power(exponent) as i32;
    let (p1, p2, p3, p4) = (power_of(1), power_of(2), power_of(3), power_of(4));
    let powers = _mm256_setr_epi32(p1, p2, p3, p4, power_of(5), power_of(6), power_of(7), power_of(8));
    let carried = _mm256_setr_epi32(0, 0, 0, 0, p1, p2, p3, p4);
    let (once, twice) = (_mm256_set1_epi32(p1), _mm256_set1_epi32(p2));
    let (fourth, last) = (_mm256_set1_epi32(3), _mm256_set1_epi32(7));
    let leaving_power = leaving_power as i32;
    let out_factor = _mm256_set1_epi32(leaving_power.wrapping_neg());
    let start_left = _mm256_set1_epi32(leaving_power.wrapping_mul(ADJ as i32).wrapping_neg());

    let one = _mm256_set1_epi32(1);
    let mut before = _mm256_set1_epi32(*sum as i32);
    let mut done = 0;
    for (out, into) in leaving.as_chunks::<LANES>().0.iter().zip(entering.as_chunks::<LANES>().0) {
        let (out, into) = (widen(*out), widen(*into));
        let change =
            _mm256_add_epi32(_mm256_mullo_epi32(out, out_factor), _mm256_add_epi32(into, start_left));
        // Prefix sums within each half of four lanes; then the last sum of the lower half goes into the upper
        // half.
        let pairs = _mm256_add_epi32(change, _mm256_mullo_epi32(_mm256_slli_si256(change, 4), once));
        let fours = _mm256_add_epi32(pairs, _mm256_mullo_epi32(_mm256_slli_si256(pairs, 8), twice));
        let lower = _mm256_permutevar8x32_epi32(fours, fourth);
        let eights = _mm256_add_epi32(fours, _mm256_mullo_epi32(lower, carried));
        let sums = _mm256_add_epi32(eights, _mm256_mullo_epi32(before, powers));
        before = _mm256_permutevar8x32_epi32(sums, last);
        let through = test(words, sums);
        if _mm256_testz_si256(through, one) == 0 {
            // The lowest bit of each lane becomes its sign; `movemask` collects the eight signs.
            let signs = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_slli_epi32(through, 31)));
            let first = signs.trailing_zeros() as usize;
            *sum = array(sums)[first];
            return (done + first + 1, true);
        }
        done += LANES;
    }
    if done > 0 {
        *sum = array(before)[0];
    }
    (done, false)
}

/// Tests eight keys as [`test`](super::filter::test) tests one. The results are the lowest bits of the lanes.
#[target_feature(enable = "avx2")]
fn test<const N: usize>(words: &[u32; N], keys: __m256i) -> __m256i {
    let places = _mm256_srl_epi32(keys, _mm_cvtsi32_si128(shift::<N>() as i32));
    // SAFETY: a key after the shift is less than N, which is a power of two and at most 2^21.
    let words = unsafe { _mm256_i32gather_epi32::<4>(words.as_ptr().cast(), places) };
    let low = _mm256_set1_epi32(31);
    let bit = |keys| _mm256_srlv_epi32(words, _mm256_and_si256(keys, low));
    let (second, third) = (_mm256_srli_epi32(keys, 5), _mm256_srli_epi32(keys, 10));
    _mm256_and_si256(_mm256_and_si256(bit(keys), bit(second)), bit(third))
}

#[target_feature(enable = "avx2")]
fn widen(bytes: [u8; LANES]) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes)))
}

#[target_feature(enable = "avx2")]
fn array(lanes: __m256i) -> [u32; LANES] {
    let mut array = [0; LANES];
    // SAFETY: 32 bytes are written, and the array has 32 bytes. The store needs no alignment.
    unsafe { _mm256_storeu_si256(array.as_mut_ptr().cast(), lanes) };
    array
}
