//! The list of names that a backup saw in the source and did not store. A restore that deletes extra entries
//! must keep these names.
//!
//! ```text
//! "omitted":[{"path":"d","left_out":["x.o","y.o"]},{"path":"e","left_out":true,"unread":["f"]}],
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::json;
use super::object::{Capped, FromObject, JsonObject};
use crate::entry::Path;
use crate::text::decode_name;

/// The most names of one directory and one cause. If there are more, all names of the directory count as
/// omitted.
const NAMES_MAX: usize = 1000;
/// The most JSON bytes of these names. If there are more, all names of the directory count as omitted.
const NAME_BYTES_MAX: usize = 64 << 10;
/// The longest list of names that a reader accepts, in bytes of JSON.
const NAMES_TEXT_MAX: usize = 2 * NAME_BYTES_MAX;
/// The longest list of omissions that a reader accepts, in bytes of JSON.
const BYTES_MAX: usize = 8 << 20;
/// A record, the JSON object of one directory, has at least this many bytes.
const RECORD_MIN: usize = 10;
/// A record has at most this many bytes besides its path and names.
const RECORD_BYTES: usize = 64;

/// Why a backup did not store an entry that it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OmissionCause {
    /// The caller's options exclude the entry, or libibt never stores it: sockets, other file systems, marked
    /// caches, the backup's own store and cache.
    LeftOut,
    /// The entry could not be read, and the parent has no earlier version of it.
    Unread,
}

impl OmissionCause {
    const ALL: [OmissionCause; 2] = [OmissionCause::LeftOut, OmissionCause::Unread];

    fn key(self) -> &'static str {
        match self {
            OmissionCause::LeftOut => "left_out",
            OmissionCause::Unread => "unread",
        }
    }
}

/// The omitted names of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OmittedNames {
    Listed {
        names: BTreeSet<Box<[u8]>>,
        /// Bytes of these names in JSON, each with a comma.
        bytes: usize,
    },
    /// Every name in the directory for which the snapshot has no entry.
    All,
}

impl OmittedNames {
    fn none() -> OmittedNames {
        OmittedNames::Listed { names: BTreeSet::new(), bytes: 0 }
    }

    fn is_none(&self) -> bool {
        matches!(self, OmittedNames::Listed { names, .. } if names.is_empty())
    }

    fn has(&self, name: &[u8]) -> bool {
        match self {
            OmittedNames::Listed { names, .. } => names.contains(name),
            OmittedNames::All => true,
        }
    }

    fn add(&mut self, name: &[u8]) {
        let OmittedNames::Listed { names, bytes } = self else { return };
        if names.insert(name.into()) {
            *bytes += encoded_len(name);
        }
        if names.len() > NAMES_MAX || *bytes > NAME_BYTES_MAX {
            *self = OmittedNames::All;
        }
    }

    fn bytes(&self) -> usize {
        match self {
            OmittedNames::Listed { bytes, .. } => *bytes,
            OmittedNames::All => 0,
        }
    }
}

/// Bytes of a name and a comma in JSON.
fn encoded_len(name: &[u8]) -> usize {
    let mut text = Vec::new();
    json::name(&mut text, name);
    text.len() + 1
}

/// The omitted names of one directory, for each [`OmissionCause`].
type DirOmissions = [OmittedNames; 2];

/// All omissions of a snapshot, by directory. The list never exceeds [`BYTES_MAX`]: if a directory has too
/// many names, the list says "all names of this directory"; if there are too many directories, it says
/// "anything anywhere".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Omissions {
    dirs: BTreeMap<Path, DirOmissions>,
    /// An upper limit of the bytes of `dirs` in JSON. Not set in a list that was read.
    bytes: usize,
    /// True if more was omitted than the list can hold: then every missing path may have been omitted.
    anything: bool,
}

impl Omissions {
    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty() && !self.anything
    }

    /// True if both lists have the same omissions. Ignores `bytes`, which is not set in a list that was read.
    pub fn is_same(&self, other: &Omissions) -> bool {
        self.anything == other.anything && self.dirs == other.dirs
    }

    /// Records that the backup omitted `path` and everything below it.
    pub fn add(&mut self, path: &Path, cause: OmissionCause) {
        let Some(Ok(dir)) = path.parent().map(Path::new) else { return self.add_all(path, cause) };
        self.change(dir, cause, |names| names.add(path.name()));
    }

    /// Records that the backup may have omitted every name in the directory `dir` for which the snapshot has no entry.
    pub fn add_all(&mut self, dir: &Path, cause: OmissionCause) {
        self.change(dir.clone(), cause, |names| *names = OmittedNames::All);
    }

    fn change(&mut self, dir: Path, cause: OmissionCause, change: impl FnOnce(&mut OmittedNames)) {
        if self.anything {
            return;
        }
        let new = RECORD_BYTES + encoded_len(dir.as_bytes());
        let names = self.dirs.entry(dir).or_insert_with(|| {
            self.bytes += new;
            [OmittedNames::none(), OmittedNames::none()]
        });
        let names = &mut names[cause as usize];
        let before = names.bytes();
        change(names);
        self.bytes = self.bytes + names.bytes() - before;
        if self.bytes > BYTES_MAX {
            self.shorten();
        }
    }

    /// Makes the list shorter and less precise: replaces each list of names with "all names".
    fn shorten(&mut self) {
        for names in self.dirs.values_mut().flatten().filter(|names| !names.is_none()) {
            self.bytes -= names.bytes();
            *names = OmittedNames::All;
        }
        // At least half of the limit must be free again; otherwise this pass would soon repeat for every name.
        if self.bytes > BYTES_MAX / 2 {
            *self = Omissions { anything: true, ..Omissions::default() };
        }
    }

    /// The cause for which the backup may have omitted `name` in the directory `dir`; `None` if it was not
    /// omitted. The snapshot must have no entry for this path. `Unread` wins over `LeftOut`.
    pub fn cause(&self, dir: &Path, name: &[u8]) -> Option<OmissionCause> {
        if self.anything {
            return Some(OmissionCause::Unread);
        }
        let dir = self.dirs.get(dir)?;
        OmissionCause::ALL.into_iter().rev().find(|&cause| dir[cause as usize].has(name))
    }

    /// True if anything was omitted in `dir` or below it.
    pub fn are_within(&self, dir: &Path) -> bool {
        let next = self.dirs.range(dir.clone()..).next();
        self.anything || next.is_some_and(|(path, _)| path.is_within(dir.as_bytes()))
    }

    /// Appends the field, its comma and an LF. Appends nothing if nothing was omitted.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        out.extend_from_slice(b"\"omitted\":");
        if self.anything {
            return out.extend_from_slice(b"true,\n");
        }
        for (n, (path, causes)) in self.dirs.iter().enumerate() {
            out.extend_from_slice(if n > 0 { b",\n{\"path\":" } else { b"[{\"path\":" });
            json::name(out, path.as_bytes());
            for cause in OmissionCause::ALL {
                write_names(cause, &causes[cause as usize], out);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"],\n");
    }

    /// Reads the value of the field. The message of `Err` names the broken rule.
    pub(super) fn read(value: &RawValue) -> Result<Self, String> {
        if value.get() == "true" {
            return Ok(Omissions { anything: true, ..Omissions::default() });
        }
        if value.get().len() > BYTES_MAX {
            return Err("omitted: longer than 8 MiB".into());
        }
        let records: Result<Capped<Record, { BYTES_MAX / RECORD_MIN }>, _> =
            serde_json::from_str(value.get());
        let Capped(records) = records.map_err(|error| format!("omitted: {error}"))?;
        let mut read = Omissions::default();
        for Record { dir, omissions } in records {
            if read.dirs.last_key_value().is_some_and(|(last, _)| *last >= dir) {
                return Err("omitted: directories repeated or out of order".into());
            }
            read.dirs.insert(dir, omissions);
        }
        Ok(read)
    }
}

/// The omissions of one directory, as one object of the JSON list.
struct Record {
    dir: Path,
    omissions: DirOmissions,
}

impl FromObject for Record {
    fn from_object(mut fields: JsonObject<'_>) -> Result<Self, String> {
        let dir = fields.need_text("path", |text| Path::new(decode_name(text)?).ok())?;
        let mut omissions = [OmittedNames::none(), OmittedNames::none()];
        for cause in OmissionCause::ALL {
            if let Some(value) = fields.take::<&RawValue>(cause.key())? {
                omissions[cause as usize] = read_names(value)?;
            }
        }
        Ok(Record { dir, omissions })
    }
}

fn write_names(cause: OmissionCause, names: &OmittedNames, out: &mut Vec<u8>) {
    if names.is_none() {
        return;
    }
    out.extend_from_slice(format!(",\"{}\":", cause.key()).as_bytes());
    let OmittedNames::Listed { names, .. } = names else { return out.extend_from_slice(b"true") };
    for (n, name) in names.iter().enumerate() {
        out.push(if n > 0 { b',' } else { b'[' });
        json::name(out, name);
    }
    out.push(b']');
}

fn read_names(value: &RawValue) -> Result<OmittedNames, String> {
    if value.get() == "true" {
        return Ok(OmittedNames::All);
    }
    if value.get().len() > NAMES_TEXT_MAX {
        return Err("a list of names longer than 128 KiB".into());
    }
    let listed: Vec<String> = serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
    if listed.len() > NAMES_MAX {
        return Err("more than 1,000 names".into());
    }
    let mut names = BTreeSet::new();
    for text in &listed {
        let name = decode_name(text).filter(|name| Path::root().join(name).is_ok());
        let name = name.ok_or("not a name")?.into_boxed_slice();
        if names.last().is_some_and(|last| *last >= name) {
            return Err("names repeated or out of order".into());
        }
        names.insert(name);
    }
    let bytes = names.iter().map(|name| encoded_len(name)).sum();
    Ok(OmittedNames::Listed { names, bytes })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn path(text: &[u8]) -> Path {
        Path::new(text).unwrap()
    }

    fn written(omissions: &Omissions) -> String {
        let mut text = Vec::new();
        omissions.write(&mut text);
        let text = String::from_utf8(text).unwrap();
        text.strip_prefix("\"omitted\":").unwrap().strip_suffix(",\n").unwrap().to_string()
    }

    fn read(text: &str) -> Result<Omissions, String> {
        Omissions::read(&serde_json::from_str::<Box<RawValue>>(text).unwrap())
    }

    /// The list that is read back must be equal, except `bytes`, which only a writer needs.
    fn assert_reads_back(omissions: &Omissions) {
        let back = read(&written(omissions)).unwrap();
        assert_eq!((&back.dirs, back.anything), (&omissions.dirs, omissions.anything));
    }

    fn paths() -> impl Strategy<Value = Path> {
        vec("[ab\"\u{1}%]{1,2}", 1..4).prop_map(|names| path(names.join("/").as_bytes()))
    }

    proptest! {
        #[test]
        fn what_is_added_is_known(added in vec((paths(), any::<bool>(), any::<bool>()), 1..12), asked in paths()) {
            let cause = |unread| if unread { OmissionCause::Unread } else { OmissionCause::LeftOut };
            let mut omissions = Omissions::default();
            for (path, unread, all) in &added {
                match all {
                    true => omissions.add_all(path, cause(*unread)),
                    false => omissions.add(path, cause(*unread)),
                }
            }
            assert_reads_back(&omissions);
            let dir = path(asked.parent().unwrap());
            let is = |(path, unread, all): &&(Path, bool, bool), wanted: bool| {
                *unread == wanted && *(if *all { &dir } else { &asked }) == *path
            };
            let model = match (added.iter().any(|one| is(&one, true)), added.iter().any(|one| is(&one, false))) {
                (true, _) => Some(OmissionCause::Unread),
                (false, true) => Some(OmissionCause::LeftOut),
                (false, false) => None,
            };
            prop_assert_eq!(omissions.cause(&dir, asked.name()), model);
            let dir_of = |(path, _, all): &(Path, bool, bool)| match all {
                true => path.clone(),
                false => Path::new(path.parent().unwrap()).unwrap(),
            };
            let within = added.iter().any(|one| dir_of(one).is_within(asked.as_bytes()));
            prop_assert_eq!(omissions.are_within(&asked), within);
        }
    }

    #[test]
    fn however_many_there_are_none_is_forgotten_and_the_list_stays_short() {
        let long = "n".repeat(200);
        let (mut one_dir, mut many_dirs, mut too_many) =
            (Omissions::default(), Omissions::default(), Omissions::default());
        for n in 0..3000 {
            one_dir.add(&path(format!("d/{n}").as_bytes()), OmissionCause::Unread);
            for name in 0..20 {
                many_dirs.add(&path(format!("{n}/{name}{long}").as_bytes()), OmissionCause::LeftOut);
            }
        }
        for n in 0..60_000 {
            too_many.add(&path(format!("{long}/{n}/f").as_bytes()), OmissionCause::LeftOut);
        }
        assert!(written(&one_dir).len() < 100 && one_dir.cause(&path(b"d"), b"x").is_some());
        assert_eq!(one_dir.cause(&path(b""), b"d"), None);
        assert_eq!(many_dirs.cause(&path(b"7"), b"any"), Some(OmissionCause::LeftOut));
        assert_eq!(many_dirs.cause(&path(b""), b"any"), None);
        assert_eq!(written(&too_many), "true");
        assert!(too_many.cause(&path(b"x"), b"y").is_some() && too_many.are_within(&path(b"z")));
        for omissions in [&one_dir, &many_dirs, &too_many] {
            assert!(written(omissions).len() < BYTES_MAX);
            assert_reads_back(omissions);
        }
    }

    #[test]
    fn what_is_not_a_list_of_omissions_is_refused() {
        for bad in [
            "false",
            "{}",
            "[{}]",
            r#"[{"path":"/"}]"#,
            r#"[{"path":"a"},{"path":"a"}]"#,
            r#"[{"path":"b"},{"path":"a"}]"#,
            r#"[{"path":"a","unread":["y","x"]}]"#,
            r#"[{"path":"a","unread":["x","x"]}]"#,
            r#"[{"path":"a","unread":["x/y"]}]"#,
            r#"[{"path":"a","unread":["%41"]}]"#,
            r#"[{"path":"a","left_out":false}]"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(
            read(&format!("[{{\"path\":\"\",\"unread\":[{}\"z\"]}}]", "\"a\",".repeat(NAMES_MAX))).is_err()
        );
        assert!(read(r#"[{"path":"","later":1,"unread":["x"],"left_out":true}]"#).is_ok());
    }
}
