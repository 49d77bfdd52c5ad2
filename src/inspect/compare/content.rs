//! Compares the bytes of a file of the tree with the recorded ones.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use crate::entry::{File, Hash, extents};
use crate::error::Result;
use crate::job::{Counter, Job};
use crate::platform;

/// Number of bytes read at a time.
const CHUNK: usize = 256 << 10;

/// The result of reading a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The hash of the data outside of the recorded holes. All bytes in the holes are zero.
    Hash(Hash),
    /// The content differs: there is data in a recorded hole, or the file has another size.
    Differs,
    /// The file is shorter than it was a moment ago.
    Shrunk,
}

/// Reads files and counts their bytes as done, at most as many as the file's recorded size.
pub struct LiveFileReader<'a, 'j> {
    pub job: &'a mut Job<'j>,
    pub buf: &'a mut Vec<u8>,
    /// Bytes of the file not yet counted as done.
    pub left: u64,
}

impl LiveFileReader<'_, '_> {
    /// Reads `file`, which has the size of `then`, the recorded file. Hashes the bytes outside of the recorded holes,
    /// and checks that all bytes in the recorded holes are zero. So equal bytes are found equal even if the file has
    /// other holes now, and nothing is read from the backup. The inner error is an error of `file`.
    pub fn read(&mut self, file: &fs::File, then: &File) -> Result<io::Result<ReadOutcome>> {
        match self.check_holes(file, then)? {
            Ok(None) => {}
            Ok(Some(found)) => return Ok(Ok(found)),
            Err(error) => return Ok(Err(error)),
        }
        let mut hasher = blake3::Hasher::new();
        for (offset, len) in extents(then.size, &then.holes) {
            let read = self.each(file, offset, len, &mut |bytes| {
                hasher.update(bytes);
                true
            })?;
            match read {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(ReadOutcome::Shrunk)),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(ReadOutcome::Hash(hasher.finalize().into())))
    }

    /// Looks for data in the recorded holes. `None` if all bytes there are zero. Reads only the parts of
    /// the holes that now have data.
    fn check_holes(&mut self, file: &fs::File, then: &File) -> Result<io::Result<Option<ReadOutcome>>> {
        if then.holes.is_empty() {
            return Ok(Ok(None));
        }
        let now = match platform::holes(file, then.size) {
            Ok(holes) => holes,
            Err(error) => return Ok(Err(error)),
        };
        for (offset, len) in common(&then.holes, &extents(then.size, &now)) {
            let mut zero = true;
            let read = self.each(file, offset, len, &mut |bytes| {
                zero = bytes.iter().all(|&byte| byte == 0);
                zero
            })?;
            match read {
                Err(error) => return Ok(Err(error)),
                Ok(_) if !zero => return Ok(Ok(Some(ReadOutcome::Differs))),
                Ok(false) => return Ok(Ok(Some(ReadOutcome::Shrunk))),
                Ok(true) => {}
            }
        }
        Ok(Ok(None))
    }

    /// Passes a part of the file to `take` until `take` returns false. Returns false if `take` did so or
    /// the file ended.
    fn each(
        &mut self,
        file: &fs::File,
        mut offset: u64,
        mut len: u64,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<io::Result<bool>> {
        self.buf.resize(CHUNK, 0);
        while len > 0 {
            let want = len.min(CHUNK as u64) as usize;
            let got = match file.read_at(&mut self.buf[..want], offset) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            self.done(got as u64)?;
            if got == 0 || !take(&self.buf[..got]) {
                return Ok(Ok(false));
            }
            offset += got as u64;
            len -= got as u64;
        }
        Ok(Ok(true))
    }

    fn done(&mut self, read: u64) -> Result<()> {
        self.job.report.count(Counter::BytesRead, read);
        let counted = read.min(self.left);
        self.left -= counted;
        self.job.advance(counted)
    }
}

/// The parts that lie in both of two ascending lists of (offset, length).
fn common(a: &[(u64, u64)], b: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut out = Vec::new();
    while let (Some(&&(a_from, a_len)), Some(&&(b_from, b_len))) = (a.peek(), b.peek()) {
        let (a_end, b_end) = (a_from + a_len, b_from + b_len);
        let (from, end) = (a_from.max(b_from), a_end.min(b_end));
        if from < end {
            out.push((from, end - from));
        }
        if a_end <= b_end {
            a.next();
        } else {
            b.next();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::btree_set(0u64..60, 0..12).prop_map(|cuts| {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            cuts.chunks_exact(2).map(|cut| (cut[0], cut[1] - cut[0])).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_common_is_in_both(a in lists(), b in lists()) {
            let has = |list: &[(u64, u64)], at| list.iter().any(|&(from, len)| (from..from + len).contains(&at));
            let both = common(&a, &b);
            for at in 0..60 {
                prop_assert_eq!(has(&both, at), has(&a, at) && has(&b, at));
            }
        }
    }
}
