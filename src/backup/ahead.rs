//! Small files read ahead: the workers read, hash, sign and compare them in batches while the calling thread
//! writes what came of the batches before. Results come back in the order in which files were added.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::Path;
use crate::platform::Dir;
use crate::pool::{Pending, Pool};
use crate::walk::{Devices, Source};

use super::reading::FileResult;
use super::small::{self, Old, Small, IN_MEMORY};

/// A batch is handed over when its files have this many bytes together, signatures of their old contents included,
const BATCH_BYTES: u64 = IN_MEMORY;
/// or are this many,
const BATCH_FILES: usize = 64;
/// or lie in this many directories, which are held open.
const BATCH_DIRS: usize = 4;

/// A file to be read.
struct Wanted {
    dir: Arc<Dir>,
    name: Box<[u8]>,
    old: Option<Old>,
}

/// What came of a file.
pub struct Ahead {
    /// `None` if it turned out too large to be read here.
    pub small: FileResult<Option<Small>>,
    /// What [`Small::bytes`] is a range of. Let go of it before asking for the next file.
    pub buffer: Arc<Vec<u8>>,
}

/// A batch that was read, and the bytes of its files.
#[derive(Default)]
struct Batch {
    files: VecDeque<FileResult<Option<Small>>>,
    buffer: Arc<Vec<u8>>,
}

/// Reads files on a pool, a bounded number of batches ahead.
pub struct Reader {
    pool: Arc<Pool>,
    source: Source,
    devices: Arc<Devices>,
    filling: Vec<Wanted>,
    filling_bytes: u64,
    filling_dirs: usize,
    in_flight: VecDeque<Pending<Batch>>,
    /// The batch that is being handed out.
    current: Batch,
    spare: Vec<Vec<u8>>,
}

impl Reader {
    pub fn new(pool: Arc<Pool>, source: Source, devices: Arc<Devices>) -> Self {
        Reader {
            pool,
            source,
            devices,
            filling: Vec::new(),
            filling_bytes: 0,
            filling_dirs: 0,
            in_flight: VecDeque::new(),
            current: Batch::default(),
            spare: Vec::new(),
        }
    }

    /// Whether the workers have enough to do.
    pub fn is_busy(&self) -> bool {
        self.in_flight.len() > 2 * self.pool.threads()
    }

    /// Adds a file of probably `size` bytes; `old` is what its content may be, or be a change of. False if its
    /// directory cannot be opened: whoever reads the file then learns why.
    pub fn add(&mut self, path: &Path, size: u64, old: Option<Old>) -> bool {
        let Ok(dir) = self.source.dir_of(path) else { return false };
        if self.filling.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, dir)) {
            self.filling_dirs += 1;
        }
        let bytes = size.saturating_add(old.as_ref().map_or(0, Old::signature_len));
        self.filling_bytes = self.filling_bytes.saturating_add(bytes);
        self.filling.push(Wanted { dir: dir.clone(), name: path.name().into(), old });
        let full = self.filling.len() >= BATCH_FILES || self.filling_dirs >= BATCH_DIRS;
        if full || self.filling_bytes >= BATCH_BYTES {
            self.hand_over();
        }
        true
    }

    /// The next file that was added, in order; `None` if there is none.
    pub fn next(&mut self) -> Option<Ahead> {
        if self.current.files.is_empty() {
            if self.in_flight.is_empty() {
                self.hand_over();
            }
            let next = self.in_flight.pop_front()?.wait();
            let done = std::mem::replace(&mut self.current, next);
            self.spare.extend(Arc::into_inner(done.buffer));
        }
        let small = self.current.files.pop_front()?;
        Some(Ahead { small, buffer: self.current.buffer.clone() })
    }

    fn hand_over(&mut self) {
        let wanted = std::mem::take(&mut self.filling);
        (self.filling_bytes, self.filling_dirs) = (0, 0);
        if wanted.is_empty() {
            return;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        let devices = self.devices.clone();
        self.in_flight.push_back(self.pool.run(move || {
            let files = wanted.iter().map(|file| read(file, &devices, &mut buffer)).collect();
            Batch { files, buffer: Arc::new(buffer) }
        }));
    }
}

fn read(wanted: &Wanted, devices: &Devices, buffer: &mut Vec<u8>) -> FileResult<Option<Small>> {
    let file = wanted.dir.open_file(&wanted.name)?;
    small::read(&file, devices, wanted.old.as_ref(), buffer)
}
