//! Temporary storage: bytes that a later step reads again. They stay in memory up to a limit. Beyond the limit they go
//! to an unlinked file in the temporary directory (`$TMPDIR`, else `/tmp`). The file ends with the spool or with the
//! process.
//!
//! All errors of spools are made here. They name the temporary directory and count as libibt's own ([`Error::is_own`]):
//! a full temporary directory ends the call, because it says nothing about a file of the source or of the store.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use crate::error::{Error, Result, is_shortage};
use crate::platform::{beside_streams, patiently};

/// Bytes of the write buffer of a temporary file.
const WRITE_BUFFER: usize = 64 << 10;
/// The most bytes that [`Spool::each`] passes on at a time.
const PIECE: usize = 256 << 10;

/// A growing sequence of bytes.
#[derive(Debug)]
pub struct Spool {
    file: Option<File>,
    /// Number of bytes in `file`, which has the first bytes of the spool.
    file_len: u64,
    /// The bytes after those in `file`. Without a file, all bytes.
    tail: Vec<u8>,
    /// If `tail` would be longer than this, its bytes go to the file.
    tail_max: usize,
    has_failed: bool,
}

impl Spool {
    /// An empty spool, which keeps up to `memory_max` bytes in memory.
    pub fn new(memory_max: usize) -> Self {
        Spool { file: None, file_len: 0, tail: Vec::new(), tail_max: memory_max, has_failed: false }
    }

    /// An empty spool, which keeps its bytes in a temporary file from the start.
    pub fn in_file() -> Result<Self> {
        let mut spool = Spool::new(0);
        spool.make_file()?;
        Ok(spool)
    }

    /// The offset of the end: the number of bytes.
    pub fn end(&self) -> u64 {
        self.file_len + self.tail.len() as u64
    }

    /// True after a write failed, or the file could not be made. The bytes of such a spool are not complete.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.tail.len() + bytes.len() <= self.tail_max {
            self.tail.extend_from_slice(bytes);
            return Ok(());
        }
        self.empty_tail()?;
        if bytes.len() < self.tail_max {
            self.tail.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_file(self.file_len, bytes)
    }

    /// Writes `bytes` at the offset `at`. Bytes between the end of the spool and `at` become zeros.
    pub fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let end = at + bytes.len() as u64;
        if self.file.is_none() && end <= self.tail_max as u64 {
            let (at, end) = (at as usize, end as usize);
            self.tail.resize(self.tail.len().max(end), 0);
            self.tail[at..end].copy_from_slice(bytes);
            return Ok(());
        }
        self.empty_tail()?;
        self.write_file(at, bytes)
    }

    /// Reads `buf.len()` bytes from the offset `at`, which must be in the spool.
    pub fn read_exact_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        self.reader(at, buf.len() as u64).read_exact(buf).map_err(|e| spool_error(&e))
    }

    /// Passes `len` bytes from the offset `at` to `sink`, in order and in pieces; fewer bytes if the spool ends before.
    pub fn each(&self, mut at: u64, len: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let end = at.saturating_add(len).min(self.end());
        if at < end.min(self.file_len) {
            let mut buf = vec![0; PIECE];
            while at < end.min(self.file_len) {
                let want = (end - at).min(PIECE as u64) as usize;
                let got = self.read_at(at, &mut buf[..want])?;
                sink(&buf[..got])?;
                at += got as u64;
            }
        }
        if at >= end {
            return Ok(());
        }
        let in_tail = (at - self.file_len) as usize..(end - self.file_len) as usize;
        self.tail[in_tail].chunks(PIECE).try_for_each(sink)
    }

    /// Reads `len` bytes from the offset `at`; fewer bytes if the spool ends before.
    pub fn reader(&self, at: u64, len: u64) -> SpoolReader<&Spool> {
        SpoolReader { end: at.saturating_add(len).min(self.end()), spool: self, at }
    }

    /// Reads all bytes, from the first on.
    pub fn into_reader(self) -> SpoolReader<Spool> {
        SpoolReader { at: 0, end: self.end(), spool: self }
    }

    /// Reads bytes of the file, or bytes of the tail: at least one byte, unless `buf` is empty or `at` is the end.
    fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<usize> {
        let Some(file) = self.file.as_ref().filter(|_| at < self.file_len) else {
            let from = self.tail.len().min((at - self.file_len) as usize);
            return Ok((&self.tail[from..]).read(buf).unwrap_or(0));
        };
        let want = (self.file_len - at).min(buf.len() as u64) as usize;
        loop {
            match file.read_at(&mut buf[..want], at) {
                Ok(0) if want > 0 => return Err(failed("read", &io::ErrorKind::UnexpectedEof.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|e| failed("read", &e)),
            }
        }
    }

    /// Makes the file if there is none, and moves the tail to it.
    fn empty_tail(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.make_file()?;
        }
        // The tail may have grown to the limit of memory. A long tail is freed, because the tail is only a write buffer
        // from now on.
        let tail = std::mem::take(&mut self.tail);
        self.write_file(self.file_len, &tail)?;
        if tail.capacity() <= 2 * WRITE_BUFFER {
            self.tail = tail;
            self.tail.clear();
        }
        Ok(())
    }

    fn make_file(&mut self) -> Result<()> {
        let made = patiently(is_shortage, || tempfile::tempfile().and_then(beside_streams).map(File::from));
        self.has_failed = made.is_err();
        self.file = Some(made.map_err(|e| failed("make", &e))?);
        self.tail_max = WRITE_BUFFER;
        Ok(())
    }

    fn write_file(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Err(error) = file.write_all_at(bytes, at) {
            self.has_failed = true;
            return Err(failed("write", &error));
        }
        self.file_len = self.file_len.max(at + bytes.len() as u64);
        Ok(())
    }
}

/// A spool that keeps these bytes in memory, for any number of bytes.
impl From<Vec<u8>> for Spool {
    fn from(bytes: Vec<u8>) -> Self {
        Spool { tail: bytes, ..Spool::new(usize::MAX) }
    }
}

/// Appends to the spool. [`spool_error`] turns the [`io::Error`] of a failed write into the [`Error`] that caused it.
impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a part of a spool from its beginning to its end. [`spool_error`] turns the [`io::Error`] of a failed read into
/// the [`Error`] that caused it.
pub struct SpoolReader<S: Borrow<Spool>> {
    spool: S,
    at: u64,
    end: u64,
}

impl<S: Borrow<Spool>> Read for SpoolReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = self.end.saturating_sub(self.at).min(buf.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        let got = self.spool.borrow().read_at(self.at, &mut buf[..want]).map_err(io::Error::other)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// The error of a spool that is written or read through [`Write`] or [`Read`], for example by a codec.
pub fn spool_error(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => error.clone(),
        None => failed("use", error),
    }
}

/// The error for a spool that returns other bytes than were written, because another process has changed the file.
pub fn changed() -> Error {
    failed("read", &io::Error::other("it has changed"))
}

fn failed(deed: &str, error: &io::Error) -> Error {
    let dir = std::env::temp_dir();
    Error::own(format!("{deed} a temporary file in"), error).at(dir.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::process::Command;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    /// `len` bytes that depend on `seed`.
    fn bytes(seed: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn each(spool: &Spool, at: u64, len: u64) -> Vec<u8> {
        let mut all = Vec::new();
        let mut sink = |piece: &[u8]| {
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            all.extend_from_slice(piece);
            Ok(())
        };
        spool.each(at, len, &mut sink).unwrap();
        all
    }

    /// The model of [`Spool::write_at`]: the same change, made to plain bytes.
    fn write(model: &mut Vec<u8>, at: usize, bytes: &[u8]) {
        model.resize(model.len().max(at + bytes.len()), 0);
        model[at..at + bytes.len()].copy_from_slice(bytes);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn a_spool_holds_what_was_written_whether_it_fits_memory_or_not(
            memory_max in prop_oneof![Just(0), Just(1000), Just(150_000), Just(usize::MAX)],
            writes in vec((any::<bool>(), 0..300_000usize, 0..90_000usize), 1..12),
            reads in vec((0..700_000usize, 0..700_000usize), 4),
        ) {
            let (mut spool, mut model) = (Spool::new(memory_max), Vec::new());
            for (number, &(append, at, len)) in writes.iter().enumerate() {
                let bytes = bytes(number as u8, len);
                let at = if append { model.len() } else { at };
                match append {
                    true => spool.append(&bytes).unwrap(),
                    false => spool.write_at(at as u64, &bytes).unwrap(),
                }
                write(&mut model, at, &bytes);
                prop_assert_eq!(spool.end(), model.len() as u64);
            }
            prop_assert!(model.len() <= memory_max || spool.file.is_some(), "too many bytes in memory");
            prop_assert!(spool.tail.capacity() <= 2 * WRITE_BUFFER || spool.file.is_none());
            for (at, len) in reads {
                let expected = &model[at.min(model.len())..(at + len).min(model.len()).max(at.min(model.len()))];
                prop_assert!(each(&spool, at as u64, len as u64) == expected, "{} bytes from {}", len, at);
                let mut exact = vec![0; expected.len()];
                spool.read_exact_at(at as u64, &mut exact).unwrap();
                prop_assert!(exact == expected);
            }
            let mut read = Vec::new();
            BufReader::new(spool.into_reader()).read_to_end(&mut read).unwrap();
            prop_assert!(read == model);
        }
    }

    #[test]
    fn up_to_the_limit_no_file_is_made() {
        let mut spool = Spool::new(1000);
        spool.append(&bytes(0, 1000)).unwrap();
        assert!(spool.file.is_none());
        spool.append(b"1").unwrap();
        assert!(spool.file.is_some());
    }

    /// Checks the kind of a spool's error, and that it names `deed` and the temporary directory.
    fn assert_names(error: &Error, deed: &str) {
        assert_eq!((error.kind, error.is_own), (Kind::Io, true), "{error}");
        assert_eq!(error.op, format!("{deed} a temporary file in"));
        let dir = std::env::temp_dir();
        assert_eq!(error.path.as_deref(), Some(dir.as_os_str().as_encoded_bytes()));
    }

    #[test]
    fn a_file_that_another_process_made_shorter_is_an_error() {
        let mut spool = Spool::in_file().unwrap();
        spool.append(&bytes(0, 300_000)).unwrap();
        spool.file.as_ref().unwrap().set_len(299_999).unwrap();
        let mut all = vec![0; 300_000];
        assert_names(&spool.read_exact_at(0, &mut all).unwrap_err(), "read");
        assert_names(&spool.each(0, 300_000, &mut |_| Ok(())).unwrap_err(), "read");
        let through_io = spool.reader(0, u64::MAX).read_to_end(&mut all).unwrap_err();
        assert_names(&spool_error(&through_io), "read");
        assert!(!spool.has_failed(), "the bytes were written");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let mut spool = Spool::new(usize::MAX);
        spool.file = Some(File::open("/").unwrap());
        spool.file_len = 10;
        let error = spool.read_exact_at(0, &mut [0; 10]).unwrap_err();
        assert_names(&error, "read");
        assert_eq!(error.os_code, libc::EISDIR);
    }

    const ROLE: &str = "IBT_TEST_CHILD";

    /// Runs the test `name` again with a temporary directory of 256 KiB.
    fn run_in_a_small_directory(name: &str) {
        let room = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=256k tmpfs \"$TMPDIR\" || exit 77; exec \"$0\" \"$@\"";
        let mut child = Command::new("unshare");
        child.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        child.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
        child.env("TMPDIR", room.path()).env(ROLE, "small temporary directory");
        let output = match child.output() {
            Ok(output) => output,
            Err(error) => return println!("skipped: unshare: {error}"),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let ran = said.contains("running 1 test");
        if !ran {
            return println!("skipped: mounting in a namespace is not allowed here");
        }
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_full_temporary_directory_is_the_error_of_the_write() {
        if std::env::var_os(ROLE).is_none() {
            return run_in_a_small_directory(
                "spool::tests::a_full_temporary_directory_is_the_error_of_the_write",
            );
        }
        let full = |error: &Error| {
            assert_names(error, "write");
            assert_eq!(error.os_code, libc::ENOSPC);
        };
        let mut spool = Spool::new(100_000);
        let appended = std::iter::repeat_with(|| spool.append(&[7; 10_000])).take(50).find_map(Result::err);
        full(&appended.unwrap());
        assert!(spool.has_failed());
        drop(spool);
        // The failed spool has freed its disk space.
        let mut spool = Spool::in_file().unwrap();
        spool.write_at(100_000, &[7; 100_000]).unwrap();
        assert!(!spool.has_failed());
        full(&spool.write_at(0, &[7; 300_000]).unwrap_err());
        assert!(spool.has_failed());
        drop(spool);
        let through_io = Spool::in_file().unwrap().write_all(&[7; 300_000]).unwrap_err();
        full(&spool_error(&through_io));
    }

    #[test]
    fn without_a_temporary_directory_spools_cannot_leave_the_memory() {
        const TEST: &str = "spool::tests::without_a_temporary_directory_spools_cannot_leave_the_memory";
        if std::env::var_os(ROLE).is_none() {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", TEST, "--nocapture"]).env("TMPDIR", "/nonexistent");
            let output = child.env(ROLE, "no temporary directory").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("running 1 test"), "{said}");
            return assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        }
        let error = Spool::in_file().unwrap_err();
        assert_names(&error, "make");
        let mut spool = Spool::new(10);
        assert_names(&spool.append(&[7; 11]).unwrap_err(), "make");
        assert!(spool.has_failed());
    }
}
