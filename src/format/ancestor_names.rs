//! The names of the backup files of incremental-backups-tools 0.1, the Python ancestor of libibt. libibt reads such
//! files and never writes, replaces or deletes one.

use super::names::BackupFileKind;
use crate::stamp::Stamp;

/// The name of a file of the ancestor: `KEY.KIND.ISO.tgz`, or `KEY.state.ISO.json`. `ISO` is a UTC moment as Python's
/// `datetime.isoformat()` writes it, for example `2013-12-15T10:30:05.001200`, and without a fraction if that is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AncestorName {
    /// The name of the directory that was backed up. Unlike a key of libibt, it may begin with a dot.
    pub key: String,
    /// An archive or a state. The ancestor has no other files.
    pub kind: BackupFileKind,
    pub stamp: Stamp,
}

const ISO_LEN: usize = "2013-12-15T10:30:05".len();
/// The dot and six digits of a fraction.
const FRACTION_LEN: usize = ".001200".len();

impl AncestorName {
    /// Parses a name from the right, because a key may contain dots. A zero fraction is accepted, although Python
    /// leaves it out: two names of one moment are a fault that the reader of the chain reports.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, is_archive) = match text.strip_suffix(".json") {
            Some(rest) => (rest, false),
            None => (text.strip_suffix(".tgz")?, true),
        };
        let (rest, stamp) = split_iso(rest, ISO_LEN + FRACTION_LEN).or_else(|| split_iso(rest, ISO_LEN))?;
        let (key, word) = rest.rsplit_once('.')?;
        let kind = BackupFileKind::from_word(word);
        let kind = kind.filter(|kind| kind.is_archive() || *kind == BackupFileKind::State)?;
        let is_key = !key.is_empty() && !key.contains(|c: char| c == '/' || c.is_control());
        (is_key && kind.is_archive() == is_archive).then(|| AncestorName {
            key: key.to_string(),
            kind,
            stamp,
        })
    }
}

/// Splits `REST.ISO`, where `ISO` has `len` bytes.
fn split_iso(text: &str, len: usize) -> Option<(&str, Stamp)> {
    let at = text.len().checked_sub(len)?;
    Some((text.get(..at)?.strip_suffix('.')?, parse_iso(text.get(at..)?)?))
}

fn parse_iso(iso: &str) -> Option<Stamp> {
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| iso.as_bytes().get(at) != Some(&byte)) {
        return None;
    }
    let fraction = iso.get(ISO_LEN..)?;
    let fraction = if fraction.is_empty() { ".000000" } else { fraction };
    let digits: String = iso.get(..ISO_LEN)?.chars().filter(|c| *c != '-' && *c != ':').collect();
    Stamp::parse(&format!("{digits}{fraction}Z"))
}

#[cfg(test)]
mod tests {
    use super::super::names::parse_any;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_ancestor_are_read_from_the_right() {
        let name = AncestorName::parse("my.docs.updated.2013-12-15T10:30:05.001200.tgz").unwrap();
        assert_eq!((&*name.key, name.kind), ("my.docs", BackupFileKind::Updated));
        assert_eq!(name.stamp.to_string(), "20131215T103005.001200Z");
        let whole = AncestorName::parse(".config.state.2013-12-15T10:30:05.json").unwrap();
        assert_eq!((&*whole.key, whole.kind), (".config", BackupFileKind::State));
        assert_eq!(whole.stamp.to_string(), "20131215T103005.000000Z");
    }

    proptest! {
        #[test]
        fn a_name_is_of_the_ancestor_or_of_libibt_and_never_of_both(
            key in "[^\\p{Cc}/]{1,12}", old in "(|.*\\.(full|state|partial)\\.20131215T103005\\.001200Z\\.(tar|json)(\\.zst|))",
            kind in 0..7usize, fraction in "(|\\.00120[0-9])", extension in "\\.(tgz|json)(|\\.00002|\\.zst|\\.age)",
        ) {
            let word = BackupFileKind::ALL[kind].word();
            let name = format!("{key}{old}.{word}.2013-12-15T10:30:05{fraction}{extension}");
            prop_assert!(parse_any(&name).is_none(), "{}", name);
            let name = format!("{key}{old}.{word}.20131215T103005.001200Z{extension}");
            prop_assert!(AncestorName::parse(&name).is_none(), "{}", name);
        }
    }

    #[test]
    fn other_names_are_foreign() {
        for foreign in [
            "docs.full.2013-12-15T10:30:05.tar",
            "docs.full.2013-12-15T10:30:05.json",
            "docs.state.2013-12-15T10:30:05.tgz",
            "docs.retired.2013-12-15T10:30:05.json",
            "docs.partial.2013-12-15T10:30:05.json",
            "docs.full.2013-12-15T10:30:05.tgz.age",
            "docs.state.2013-12-15T10:30:05.json.zst",
            "docs.full.2013-12-15 10:30:05.tgz",
            "docs.full.2013-13-15T10:30:05.tgz",
            "docs.full.2013-12-15T10:30:05.1.tgz",
            "docs.full.2013-12-15T10:30:05+00:00.tgz",
            "docs.full.20131215T103005.001200Z.tgz",
            "docs.full.2013-12-15T10:30:05.001200Z.tgz",
            ".full.2013-12-15T10:30:05.tgz",
            "full.2013-12-15T10:30:05.tgz",
            "docs.full.\u{e9}013-12-15T10:30:05.tgz",
            "a/b.full.2013-12-15T10:30:05.tgz",
        ] {
            assert_eq!(AncestorName::parse(foreign), None, "{foreign}");
        }
    }
}
