//! Limits for stored signatures. A signature is stored like a content: a whole signature, then deltas. But the length
//! of a signature is not recorded. So these limits bound the work for the signatures of a damaged or forged state.

use std::io::Cursor;

use crate::delta;
use crate::entry::SigRef;
use crate::error::{Error, Kind, Result};
use crate::job::sum;

/// Bytes of a signature before its blocks. A signature is never longer than the data and these bytes together.
const SIGNATURE_HEAD: u64 = 12;
/// The longest signature: that of a content of 200 TiB. The limit is needed because a damaged state may claim any
/// length, and because a signature is read into memory.
const SIGNATURE_MAX: u64 = 256 << 20;
/// No version of a signature is longer than this number of times the length of the whole signature.
const VERSION_MAX: u64 = 2;

/// The lengths of a stored signature, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct SignatureLen {
    /// Length of the whole signature.
    pub whole: u64,
    /// Length of all deltas.
    pub deltas: u64,
    /// Number of deltas.
    pub count: usize,
}

impl SignatureLen {
    pub fn of(sig: &SigRef) -> Self {
        let (whole, deltas) =
            sig.content.split_first().map_or((0, &[][..]), |(whole, rest)| (whole.len, rest));
        SignatureLen { whole, deltas: sum(deltas.iter().map(|delta| delta.len)), count: deltas.len() }
    }

    /// True if the next version, of `len` bytes, may be stored as a delta of `delta` bytes. Its length must be at least
    /// half and at most twice that of the whole signature, and all deltas together at most half of the whole signature.
    pub fn may_grow(&self, len: u64, delta: u64) -> bool {
        let double = |len: u64| len.saturating_mul(VERSION_MAX);
        let is_near = len <= double(self.whole) && self.whole <= double(len);
        is_near && self.deltas.saturating_add(delta) <= self.whole / 2
    }

    /// Checks the lengths that a state claims, for the signature of a content of `data_len` bytes. Returns the length
    /// that no version of the signature exceeds.
    pub fn check(&self, data_len: u64) -> Result<u64> {
        let refuse = |what: String| Err(Error::new(Kind::Corrupt, "read a signature", what));
        if self.whole > data_len.saturating_add(SIGNATURE_HEAD).min(SIGNATURE_MAX) {
            return refuse(format!("it claims {} bytes", self.whole));
        }
        if self.deltas > self.whole / 2 {
            return refuse(format!("its deltas claim {} bytes, more than half of it", self.deltas));
        }
        Ok(VERSION_MAX * self.whole)
    }
}

/// The hash of a signature. `Format` if a newer version made it with an algorithm that this version does not know: such
/// a signature may be right, but cannot be checked.
pub fn checkable(sig: &SigRef) -> Result<&[u8; 16]> {
    sig.hash.known().ok_or_else(|| {
        let detail = "its hash has an algorithm that only a newer libibt knows";
        Error::new(Kind::Format, "check a signature", detail)
    })
}

/// Makes the next version of a signature, of at most `len_max` bytes.
pub fn patch_signature(old: &[u8], mut delta: &[u8], len_max: u64) -> Result<Vec<u8>> {
    let mut new = Vec::with_capacity(old.len());
    match delta::patch_up_to(&mut Cursor::new(old), &mut delta, old.len() as u64, &mut new, len_max) {
        Ok(_) => Ok(new),
        Err(error) => {
            let detail = format!("a delta of the signature is damaged: {error}");
            Err(Error::new(Kind::Corrupt, "read a signature", detail))
        }
    }
}
