//! The marks of removed snapshots whose states stay. A state stays if another snapshot needs it, or if a running backup
//! may need it.

use super::Store;
use crate::error::{Kind, Result};
use crate::format::names::{BackupFileKind, Name};
use crate::stamp::Stamp;

/// The most bytes of a mark that are read.
const LEN_MAX: usize = 512;
/// The text before the stamp of the newest snapshot in a mark.
const NEWEST: &str = "\"newest\":\"";

/// The name of the mark for the snapshot whose state has the name `state`.
pub fn mark_of(state: &Name) -> Name {
    Name::new(&state.key, BackupFileKind::Retired, state.stamp, false)
}

/// Writes a mark. `newest` is the newest snapshot that the prune knows. The prune keeps everything that this snapshot
/// and the other remaining ones need, so a backup that finds its own snapshot here is safe.
///
/// If the disk is full, the mark is empty: most file systems have room for a name then. A mark counts whatever is in
/// it, and so a prune can make room on a full disk.
pub fn write_mark(mark: &Name, newest: Option<Stamp>, store: &mut dyn Store) -> Result<()> {
    let newest = newest.map_or(String::new(), |newest| format!(",{NEWEST}{newest}\""));
    let text = format!("{{\"format\":\"ibt-retired\",\"version\":1{newest}}}\n");
    match write_text(mark, &text, store) {
        Err(error) if matches!(error.os_code, libc::ENOSPC | libc::EDQUOT) => write_text(mark, "", store),
        written => written,
    }
}

fn write_text(mark: &Name, text: &str, store: &mut dyn Store) -> Result<()> {
    let mut draft = store.create(&mark.to_string())?;
    if !text.is_empty() {
        draft.write(text.as_bytes())?;
    }
    draft.seal()?;
    match draft.publish() {
        // Another prune without a lock removed the snapshot too, or two states have this stamp.
        Err(error) if error.kind == Kind::Exists => Ok(()),
        published => published,
    }
}

/// The newest snapshot known to the prune that wrote the mark; `None` if the mark does not name one.
pub fn newest_known(mark: &Name, store: &mut dyn Store) -> Option<Stamp> {
    let mut buf = [0; LEN_MAX];
    let read = store.read_at(&mark.to_string(), 0, &mut buf).ok()?;
    let text = std::str::from_utf8(&buf[..read]).ok()?;
    let (_, newest) = text.split_once(NEWEST)?;
    Stamp::parse(newest.split_once('"')?.0)
}
