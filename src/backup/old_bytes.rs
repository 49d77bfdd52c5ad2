//! The old content of a small file, for a delta that is made byte by byte.

use std::sync::Arc;

use crate::contents::{Contents, FetchedContent, FrameId, StateArchives};
use crate::delta::OLD_MAX;
use crate::entry::{Entry, Hash};
use crate::error::{Error, Kind, Result};
use crate::store::Store;

/// The frames of an old content. Any thread can make the content from these frames.
pub struct OldBytes {
    entry: Entry,
    fetched: FetchedContent,
    archives: Arc<StateArchives>,
}

impl OldBytes {
    /// Fetches the frames of an entry's content. `None` if the content is too long, or its frames need too much memory.
    pub fn fetch(contents: &mut Contents, store: &mut dyn Store, entry: &Entry) -> Result<Option<Box<Self>>> {
        let fits = entry.file().is_some_and(|file| file.data_len() <= OLD_MAX as u64);
        if !fits {
            return Ok(None);
        }
        let archives = contents.archives().clone();
        let fetched = contents.gather(store, entry)?;
        Ok(fetched.map(|fetched| Box::new(OldBytes { entry: entry.clone(), fetched, archives })))
    }

    /// The old bytes. `None` if they have too many pieces. `Corrupt` if the bytes do not have the recorded hash: a
    /// delta against other bytes would restore a wrong content.
    pub fn make(&self) -> Result<Option<Vec<u8>>> {
        let Some(pieces) = self.fetched.make(&self.entry, &self.archives)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.as_ref().len()).sum());
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece.as_ref()));
        match self.entry.file() {
            Some(file) if file.hash == Hash::from(blake3::hash(&bytes)) => Ok(Some(bytes)),
            Some(file) => Err(self.archives.differs(&self.entry, file)),
            None => Err(Error::new(Kind::Panic, "make a delta", "the old entry is no file")),
        }
    }

    /// The held frames, each with its memory in bytes. The same frame can occur several times.
    pub fn frames(&self) -> impl Iterator<Item = (FrameId, usize)> + '_ {
        self.fetched.frames()
    }

    /// Bytes of the old content.
    pub fn data_len(&self) -> u64 {
        self.entry.file().map_or(0, |file| file.data_len())
    }
}
