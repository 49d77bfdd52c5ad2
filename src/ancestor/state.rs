//! The state of a point: the paths of its files and directories, and the modification time of each file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::decimal_time::decimal_time;
use super::read;
use crate::entry::Path;
use crate::error::{Error, Kind, Result};
use crate::job::Job;
use crate::stamp::Time;
use crate::store::{Object, Store};
use crate::text::encode_name;

/// The longest state that is read, in bytes. A state is held in memory.
const STATE_LEN_MAX: u64 = 1 << 30;
/// The last second of the year 9999, and the distance from 1970 that a modification time may have in either direction.
const MTIME_SECS_MAX: i64 = 253_402_300_799;

/// A modification time in a state: seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mtime(f64);

impl Mtime {
    fn new(secs: f64) -> Option<Self> {
        (secs.is_finite() && secs.abs() <= MTIME_SECS_MAX as f64).then_some(Mtime(secs))
    }

    /// The moment in nanoseconds. A `double` cannot hold all of them, so the shortest decimal number that stands for it
    /// is used, which is also the one that Python wrote.
    pub fn to_time(self) -> Time {
        // A number such as 1e-7 is none of these decimal numbers.
        let rounded = || Time::from_nanos((self.0 * 1e9).round() as i128);
        decimal_time(&format!("{:?}", self.0)).unwrap_or_else(rounded)
    }
}

/// The state of one point.
#[derive(Clone, Debug)]
pub struct PointState {
    /// The path of the directory that was backed up.
    pub directory: Vec<u8>,
    /// Each regular file. The time is `None` if the file vanished before the ancestor read it.
    pub files: BTreeMap<Path, Option<Mtime>>,
    pub subdirs: BTreeSet<Path>,
}

impl PointState {
    /// Reads and checks the state in `file`. `Corrupt` if it is no such state, `Limit` if it is too long.
    pub fn read(store: &mut dyn Store, file: &Object, job: &mut Job) -> Result<PointState> {
        if file.size > STATE_LEN_MAX {
            let detail = format!("it has {} bytes, more than {STATE_LEN_MAX}", file.size);
            return Err(Error::new(Kind::Limit, read::STATE, detail).at(&file.name));
        }
        let bytes = read::whole(store, file, job)?;
        PointState::parse(&bytes).map_err(|detail| Error::corrupt(read::STATE, &file.name, detail))
    }

    /// The error names the fault.
    fn parse(bytes: &[u8]) -> Result<PointState, String> {
        let fields: Fields =
            serde_json::from_slice(bytes).map_err(|error| format!("no JSON object: {error}"))?;
        let directory: String = field(&fields, "directory")?;
        if directory.is_empty() || directory.contains('\0') {
            return Err("\"directory\" is no path".to_string());
        }
        let mtimes = mtimes(field(&fields, "index")?)?;
        let mut files = BTreeMap::new();
        for path in paths(&fields, "files")? {
            let mtime = mtimes.get(path.as_bytes()).copied();
            files.insert(path, mtime);
        }
        let state = PointState { directory: directory.into(), files, subdirs: paths(&fields, "subdirs")? };
        state.check_types()?;
        Ok(state)
    }

    /// No path is a file and a directory, and nothing lies below a file.
    fn check_types(&self) -> Result<(), String> {
        let mut paths: Vec<(&Path, bool)> = self.subdirs.iter().map(|path| (path, false)).collect();
        paths.extend(self.files.keys().map(|path| (path, true)));
        // A path sorts directly before everything below it.
        paths.sort();
        let mut file: Option<&Path> = None;
        for (path, is_file) in paths {
            if let Some(file) = file.filter(|file| path.is_within(file.as_bytes())) {
                return Err(format!("{} is a file and a directory", encode_name(file.as_bytes())));
            }
            if is_file {
                file = Some(path);
            }
        }
        let both = self.subdirs.iter().find(|path| self.files.contains_key(path));
        both.map_or(Ok(()), |path| Err(format!("{} is a file and a directory", encode_name(path.as_bytes()))))
    }

    /// True if this state has a file in the directory `dir`, at any depth.
    pub fn has_files_in(&self, dir: &Path) -> bool {
        let mut after = self.files.range(dir..).map(|(path, _)| path);
        after.next().is_some_and(|path| path.is_within(dir.as_bytes()))
    }
}

/// An object, each value as its text. A number keeps its digits: Python wrote the shortest ones for its `double`.
type Fields<'b> = BTreeMap<String, &'b RawValue>;

fn field<'b, T: serde::Deserialize<'b>>(fields: &Fields<'b>, name: &str) -> Result<T, String> {
    let value = fields.get(name).ok_or_else(|| format!("it has no \"{name}\""))?;
    serde_json::from_str(value.get()).map_err(|error| format!("\"{name}\": {error}"))
}

/// The list of paths in the field `name`. No path occurs twice.
fn paths(fields: &Fields, name: &str) -> Result<BTreeSet<Path>, String> {
    let mut paths = BTreeSet::new();
    for path in field::<Vec<String>>(fields, name)? {
        let path = path_of(path)?;
        let text = encode_name(path.as_bytes()).into_owned();
        if !paths.insert(path) {
            return Err(format!("\"{name}\" has {text} twice"));
        }
    }
    Ok(paths)
}

fn mtimes(index: Fields) -> Result<BTreeMap<Vec<u8>, Mtime>, String> {
    let read = |(path, value): (String, &RawValue)| {
        let mtime = value.get().parse().ok().and_then(Mtime::new);
        let mtime = mtime.ok_or_else(|| format!("the modification time of {path} is {}", value.get()))?;
        Ok((path_of(path)?.as_bytes().to_vec(), mtime))
    };
    index.into_iter().map(read).collect()
}

fn path_of(text: String) -> Result<Path, String> {
    let path = Path::new(text.clone()).map_err(|fault| format!("the path {text:?}: {fault}"))?;
    match path.is_root() {
        true => Err("an empty path".to_string()),
        false => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> Result<PointState, String> {
        PointState::parse(text.as_bytes())
    }

    #[test]
    fn times_are_those_that_python_wrote() {
        for (text, expected) in [
            ("0", "0.000000000"),
            ("1385900000", "1385900000.000000000"),
            ("1385900000.0", "1385900000.000000000"),
            ("1385900000.1234567", "1385900000.123456700"),
            ("-1.25", "-2.750000000"),
            ("1e-07", "0.000000100"),
            ("0.1234567891", "0.123456789"),
        ] {
            let mtime = Mtime::new(text.parse().unwrap()).unwrap();
            assert_eq!(mtime.to_time().to_string(), expected, "{text}");
        }
        assert!([f64::NAN, f64::INFINITY, 1e12].iter().all(|secs| Mtime::new(*secs).is_none()));
    }

    #[test]
    fn a_state_has_its_four_fields() {
        let whole = state(
            r#"{"directory":"/d","files":["a","b/c"],"subdirs":["b","e"],"index":{"a":1.5,"b/c":2,"gone":3}}"#,
        )
        .unwrap();
        assert_eq!(whole.directory, b"/d");
        assert_eq!((whole.files.len(), whole.subdirs.len()), (2, 2));
        let path = |text: &str| Path::new(text).unwrap();
        assert_eq!(whole.files[&path("a")].unwrap().to_time().to_string(), "1.500000000");
        assert!(whole.has_files_in(&path("b")) && !whole.has_files_in(&path("e")));
    }

    #[test]
    fn other_states_are_refused() {
        let made = |files: &str, subdirs: &str, index: &str| {
            state(&format!(r#"{{"directory":"/d","files":{files},"subdirs":{subdirs},"index":{index}}}"#))
        };
        assert!(made("[]", "[]", "{}").is_ok());
        for (files, subdirs, index) in [
            ("{}", "[]", "{}"),
            ("[1]", "[]", "{}"),
            ("[]", "null", "{}"),
            ("[]", "[]", "[]"),
            ("[\"a\"]", "[]", "{\"a\":\"1\"}"),
            ("[\"a\"]", "[]", "{\"a\":1e400}"),
            ("[\"a\"]", "[]", "{\"a\":NaN}"),
            ("[\"a\"]", "[]", "{\"a\":null}"),
            ("[\"a\",\"a\"]", "[]", "{}"),
            ("[\"/a\"]", "[]", "{}"),
            ("[\"../a\"]", "[]", "{}"),
            ("[\"a//b\"]", "[]", "{}"),
            ("[\"\"]", "[]", "{}"),
            ("[\"a\"]", "[\"a\"]", "{}"),
            ("[\"a\",\"a/b\"]", "[]", "{}"),
            ("[\"a\"]", "[\"a/b\"]", "{}"),
            ("[\"\\udcff\"]", "[]", "{}"),
        ] {
            assert!(made(files, subdirs, index).is_err(), "{files} {subdirs} {index}");
        }
        for text in ["", "[]", "{}", r#"{"directory":1,"files":[],"subdirs":[],"index":{}}"#] {
            assert!(state(text).is_err(), "{text}");
        }
    }
}
