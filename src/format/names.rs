//! The names of backup files, and the rules for keys.

use std::fmt;

use super::AncestorName;
use crate::entry::is_word;
use crate::error::{Error, Kind, Result};
use crate::stamp::Stamp;

/// The names of temporary files start with this. A running operation writes a temporary file, or a killed operation
/// left it.
pub const TEMP_PREFIX: &str = ".ibt-tmp-";
/// The longest key, in bytes.
pub const KEY_LEN_MAX: usize = 128;

/// The most parts of one archive.
pub const PARTS_MAX: u32 = 1 << 16;
/// Digits of the number of a part in its name.
const PART_DIGITS: usize = 5;

const STAMP_LEN: usize = "20261122T220530.123456Z".len();

/// The kind of a backup file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupFileKind {
    /// Every file of a full backup.
    Full,
    /// Whole files of an increment.
    Created,
    /// Deltas of an increment.
    Updated,
    /// Signatures of files, for the deltas of later increments.
    SigVault,
    /// The state: without it there is no snapshot.
    State,
    /// The mark of a removed snapshot whose state other snapshots need as a layer. A prune that has no lock marks every
    /// snapshot that it removes.
    Retired,
    /// The partial state of a full backup that did not end: the entries that were stored completely. It is no snapshot;
    /// only the next full reads it.
    PartialState,
}

impl BackupFileKind {
    pub const ALL: [BackupFileKind; 7] = [
        BackupFileKind::Full,
        BackupFileKind::Created,
        BackupFileKind::Updated,
        BackupFileKind::SigVault,
        BackupFileKind::State,
        BackupFileKind::Retired,
        BackupFileKind::PartialState,
    ];

    /// The kind's word in names, states and reports.
    pub fn word(self) -> &'static str {
        match self {
            BackupFileKind::Full => "full",
            BackupFileKind::Created => "created",
            BackupFileKind::Updated => "updated",
            BackupFileKind::SigVault => "sigvault",
            BackupFileKind::State => "state",
            BackupFileKind::Retired => "retired",
            BackupFileKind::PartialState => "partial",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        BackupFileKind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// True for the files that hold contents or signatures.
    pub fn is_archive(self) -> bool {
        !matches!(self, BackupFileKind::State | BackupFileKind::Retired | BackupFileKind::PartialState)
    }

    /// True for the files of which a run may make several, told apart by a number at the end of the name.
    fn is_numbered(self) -> bool {
        self.is_archive() || self == BackupFileKind::PartialState
    }

    fn extension(self) -> &'static str {
        if self.is_archive() { ".tar" } else { ".json" }
    }
}

/// The name of a backup file: `KEY.KIND.STAMP.tar.zst` for an archive or its first part, `KEY.KIND.STAMP.tar.zst.00002`
/// for its second part, `KEY.state.STAMP.json.zst` for a state, `KEY.retired.STAMP.json` for the mark of a removed
/// snapshot, `KEY.partial.STAMP.json.zst` for the first partial state of a run, `KEY.partial.STAMP.json.zst.00002` for
/// its second one. The names of the parts of an archive, and of the partial states of a run, have the order of their
/// numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub key: String,
    pub kind: BackupFileKind,
    pub stamp: Stamp,
    /// 1, or the number of a further part of an archive or of a further partial state, 2 to [`PARTS_MAX`].
    pub part: u32,
    /// True if `.zst` follows the extension.
    pub compressed: bool,
}

impl Name {
    pub fn new(key: &str, kind: BackupFileKind, stamp: Stamp, compressed: bool) -> Self {
        Name { key: key.to_string(), kind, stamp, part: 1, compressed }
    }

    /// Accepts exactly the names that [`Display`](fmt::Display) writes for valid keys; `None` for any other
    /// name. A name is parsed from the right, because a key may contain dots: `my.docs.full.STAMP.tar`.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, part) = split_part(text);
        let (rest, compressed) = rest.strip_suffix(".zst").map_or((rest, false), |rest| (rest, true));
        let (rest, is_archive) = match rest.strip_suffix(".json") {
            Some(rest) => (rest, false),
            None => (rest.strip_suffix(".tar")?, true),
        };
        let (rest, stamp) = split_stamp(rest)?;
        let (key, word) = rest.rsplit_once('.')?;
        let kind = BackupFileKind::from_word(word).filter(|kind| kind.is_archive() == is_archive)?;
        if part > 1 && !kind.is_numbered() {
            return None;
        }
        let key = check_key(key.as_bytes()).ok()?;
        let name = Name { key, kind, stamp, part, compressed };
        (name.to_string() == text).then_some(name)
    }
}

/// The name of part `number` of `archive`: the archive's own name for the first part, else that name with the number.
/// The partial states of a run are numbered in the same way.
pub fn part_name(archive: &str, number: u32) -> String {
    match number {
        1 => archive.to_string(),
        _ => format!("{archive}.{number:0width$}", width = PART_DIGITS),
    }
}

/// Splits a name into the name of the archive and the number of the part. The number is 1 if the name does not end in
/// the number of a further part.
pub fn split_part(text: &str) -> (&str, u32) {
    let split = || {
        let (rest, digits) = text.rsplit_once('.')?;
        let is_number = digits.len() == PART_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| is_number && (2..=PARTS_MAX).contains(number))?;
        Some((rest, number))
    };
    split().unwrap_or((text, 1))
}

/// Parses the name of a backup file that a newer version of libibt stored in another form, for example encrypted: the
/// name of a state, a partial state, an archive or a part, a dot and a word, such as `docs.full.STAMP.tar.zst.age`.
/// Returns the name before the word; `None` for any other text.
pub fn parse_wrapped(text: &str) -> Option<Name> {
    let (inner, word) = text.rsplit_once('.')?;
    let name = Name::parse(inner).filter(|name| name.kind != BackupFileKind::Retired)?;
    // The number of a part is a word, too.
    (is_word(word.as_bytes()) && word != "zst" && Name::parse(text).is_none()).then_some(name)
}

/// Parses the name of a backup file of this version or of a newer one: [`Name::parse`], else [`parse_wrapped`].
pub fn parse_any(text: &str) -> Option<Name> {
    Name::parse(text).or_else(|| parse_wrapped(text))
}

/// True for the name of a backup file that any version of libibt can have written, or its Python ancestor. A store
/// lists the files with such names only.
pub fn is_backup_file(name: &str) -> bool {
    parse_any(name).is_some() || AncestorName::parse(name).is_some()
}

/// Splits `REST.STAMP`.
fn split_stamp(text: &str) -> Option<(&str, Stamp)> {
    let at = text.len().checked_sub(STAMP_LEN)?;
    let stamp = Stamp::parse(text.get(at..)?)?;
    Some((text[..at].strip_suffix('.')?, stamp))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { key, kind, stamp, part, compressed } = self;
        let zst = if *compressed { ".zst" } else { "" };
        f.write_str(&part_name(&format!("{key}.{}.{stamp}{}{zst}", kind.word(), kind.extension()), *part))
    }
}

/// The name of the file that a directory store locks for `key`. The file is never removed.
pub fn lock_name(key: &str) -> String {
    format!("{key}.lock")
}

/// Checks a key: 1 to 128 bytes of UTF-8 without `/`, NUL or control characters, not starting with `.`
/// or `-`. Any other key is `InvalidArg`.
pub fn check_key(key: &[u8]) -> Result<String> {
    let fault = |what: &str| Err(Error::new(Kind::InvalidArg, "use the key", what).at(key));
    let Ok(text) = std::str::from_utf8(key) else { return fault("a key must be UTF-8") };
    match text {
        "" => fault("a key must not be empty"),
        _ if text.len() > KEY_LEN_MAX => fault("a key is at most 128 bytes long"),
        _ if text.starts_with(['.', '-']) => fault("a key must not start with '.' or '-'"),
        _ if text.contains('/') => fault("a key must not contain '/'"),
        _ if text.chars().any(char::is_control) => fault("a key must not contain control characters"),
        _ => Ok(text.to_string()),
    }
}

/// The key of a source whose caller set none: the last component of its absolute path, for example `docs` for
/// `/home/me/docs`. If that cannot be a key (`/`, `/home/me/.config`), the error is `InvalidArg` and its
/// message asks for a key.
pub fn default_key(source: &[u8]) -> Result<String> {
    let end = source.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
    let name = source[..end].rsplit(|&b| b == b'/').next().unwrap_or_default();
    check_key(name).map_err(|error| {
        let detail = format!("{}; set a key", error.detail);
        Error::new(Kind::InvalidArg, "derive a key from the source", detail).at(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use proptest::prelude::*;

    const STAMP: &str = "20261122T220530.123456Z";

    #[test]
    fn names_look_as_documented() {
        let stamp = Stamp::parse(STAMP).unwrap();
        let name = |kind, compressed| Name::new("my.docs", kind, stamp, compressed).to_string();
        assert_eq!(name(BackupFileKind::Full, true), format!("my.docs.full.{STAMP}.tar.zst"));
        assert_eq!(name(BackupFileKind::SigVault, false), format!("my.docs.sigvault.{STAMP}.tar"));
        assert_eq!(name(BackupFileKind::State, true), format!("my.docs.state.{STAMP}.json.zst"));
        assert_eq!(name(BackupFileKind::State, false), format!("my.docs.state.{STAMP}.json"));
        assert_eq!(name(BackupFileKind::Retired, false), format!("my.docs.retired.{STAMP}.json"));
        assert_eq!(name(BackupFileKind::PartialState, true), format!("my.docs.partial.{STAMP}.json.zst"));
        let third = Name { part: 3, ..Name::new("k", BackupFileKind::PartialState, stamp, true) };
        assert_eq!(third.to_string(), format!("k.partial.{STAMP}.json.zst.00003"));
        let part = |part, compressed| {
            Name { part, ..Name::new("k", BackupFileKind::Full, stamp, compressed) }.to_string()
        };
        assert_eq!(part(2, true), format!("k.full.{STAMP}.tar.zst.00002"));
        assert_eq!(part(65_536, false), format!("k.full.{STAMP}.tar.65536"));
        for number in [1, 2, 9, 10, 65_536] {
            assert_eq!(part(number, true), part_name(&part(1, true), number));
            assert_eq!(split_part(&part(number, true)), (part(1, true).as_str(), number));
        }
        assert!([1, 2, 9, 10, 99, 100, 65_536].map(|number| part(number, true)).is_sorted());
    }

    #[test]
    fn a_wrapped_name_ends_in_a_word() {
        let names = [
            "my.docs.full.STAMP.tar.zst.00002",
            "my.docs.full.STAMP.tar.zst",
            "k.state.STAMP.json.zst",
            "k.state.STAMP.json",
            "k.full.STAMP.tar",
        ];
        for inner in names.map(|name| name.replace("STAMP", STAMP)) {
            let wrapped = format!("{inner}.age");
            assert_eq!(Name::parse(&wrapped), None);
            assert_eq!(parse_wrapped(&wrapped), Name::parse(&inner));
            assert_eq!(parse_any(&wrapped), Name::parse(&inner));
            let long = "x".repeat(33);
            for word in ["", ".", "Age", "age~", "a b", "zst", &long] {
                assert_eq!(parse_wrapped(&format!("{inner}.{word}")), None, "{word}");
            }
            assert_eq!(parse_wrapped(&inner), None);
        }
        for foreign in
            ["k.retired.STAMP.json.age", "k.full.STAMP.age", "k.full.STAMP.tar.age.00002", "k.lock.age"]
        {
            assert_eq!(parse_any(&foreign.replace("STAMP", STAMP)), None, "{foreign}");
        }
    }

    #[test]
    fn everything_else_is_foreign() {
        for foreign in [
            "",
            "k.lock",
            ".ibt-tmp-12",
            &format!("k.full.{STAMP}"),
            &format!("k.full.{STAMP}.tar.gz"),
            &format!("k.full.{STAMP}.json.zst"),
            &format!("k.state.{STAMP}.tar.zst"),
            &format!("k.state.{STAMP}.json.zst.00002"),
            &format!("k.retired.{STAMP}.json.00002"),
            &format!("k.partial.{STAMP}.tar.zst"),
            &format!("k.partial.{STAMP}.json.zst.00001"),
            &format!("k.full.{STAMP}.2.tar.zst"),
            &format!("k.full.{STAMP}.tar.zst.00000"),
            &format!("k.full.{STAMP}.tar.zst.00001"),
            &format!("k.full.{STAMP}.tar.zst.2"),
            &format!("k.full.{STAMP}.tar.zst.000002"),
            &format!("k.full.{STAMP}.tar.zst.+0002"),
            &format!("k.full.{STAMP}.tar.zst.65537"),
            &format!("k.full.{STAMP}.tar.zst.00002.00002"),
            &format!(".k.full.{STAMP}.tar.zst"),
            &format!("a/k.full.{STAMP}.tar.zst"),
            &format!(".full.{STAMP}.tar.zst"),
            &format!("full.{STAMP}.tar.zst"),
            &format!("k.other.{STAMP}.tar.zst"),
            &format!("k\u{e9}full{STAMP}.tar"),
            "k.full.20261322T220530.123456Z.tar.zst",
        ] {
            assert_eq!(Name::parse(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_source_that_gives_no_key_asks_for_one() {
        for source in [&b"/"[..], b"", b"/home/me/.config", b"/x/\xff", b"/a\nb"] {
            let error = default_key(source).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidArg);
            assert!(error.detail.ends_with("set a key"), "{error}");
        }
        assert_eq!(default_key(b"/home/me/docs//").unwrap(), "docs");
        assert!(check_key(&[b'k'; 128]).is_ok() && check_key(&[b'k'; 129]).is_err());
    }

    proptest! {
        #[test]
        fn names_survive_their_text(
            key in "[^\\p{Cc}/.-][^\\p{Cc}/]{0,20}", kind in 0..7usize, secs in 0..253_402_300_799i64,
            part in 1..=PARTS_MAX, compressed: bool,
        ) {
            let (kind, stamp) = (BackupFileKind::ALL[kind], Stamp::from_time(Time { secs, nanos: 5000 }));
            let part = if kind.is_numbered() { part } else { 1 };
            let name = Name { key, kind, stamp, part, compressed };
            prop_assert_eq!(Name::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn whatever_parses_is_written_back(text in "[a.k/-]{0,3}\\.?(full|state|partial)\\.20261122T220530\\.123456Z\\.(tar|json)(\\.zst)?(\\.[0-9]{4,6})?") {
            if let Some(name) = Name::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
