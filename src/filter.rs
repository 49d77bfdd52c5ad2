//! Selects the entries of a snapshot that an operation works on, by globs and literal paths. Both start at
//! the root of the snapshot. A directory that matches includes everything below it.

use globset::{Glob, GlobBuilder, GlobMatcher};

use crate::entry::{Path, is_within};
use crate::error::{Error, Kind, Result};

/// Longest glob, in bytes. The compiled form of a glob grows with its length.
const GLOB_MAX: usize = 4096;
/// Deepest nesting of braces in a glob, because globset recurses into them.
const NESTING_MAX: usize = 16;

/// A set of globs and paths. An empty set matches everything.
pub struct Filter {
    rules: Vec<Rule>,
}

struct Rule {
    what: RuleKind,
    /// The glob or path as the caller wrote it, for messages.
    text: Vec<u8>,
    used: bool,
}

enum RuleKind {
    Glob(Pattern),
    Literal(Path),
}

/// A compiled glob. Two tests of the whole path decide whether the glob matches the path or a directory above the
/// path. One test for each of these directories would cost the square of the path's length.
struct Pattern {
    /// Literal prefix of the glob; paths without it skip the matchers.
    beginning: Vec<u8>,
    itself: GlobMatcher,
    /// Matches everything below a directory that the glob matches.
    below: GlobMatcher,
}

impl Filter {
    /// A malformed glob is an error (`InvalidArg`).
    pub fn new(globs: &[Vec<u8>], paths: &[Path]) -> Result<Self> {
        let mut rules = Vec::with_capacity(globs.len() + paths.len());
        for glob in globs {
            let refused = |what: String| Error::new(Kind::InvalidArg, "use the glob", what).at(glob);
            let what = RuleKind::Glob(Pattern::new(glob).map_err(refused)?);
            rules.push(Rule { what, text: glob.clone(), used: false });
        }
        for path in paths {
            let text = path.as_bytes().to_vec();
            rules.push(Rule { what: RuleKind::Literal(path.clone()), text, used: false });
        }
        Ok(Filter { rules })
    }

    /// Checks a glob; `Err` says why it is malformed.
    pub fn check_glob(glob: &[u8]) -> Result<(), String> {
        check(glob).and_then(build).map(|_| ())
    }

    /// True if the filter matches everything.
    pub fn is_all(&self) -> bool {
        self.rules.is_empty()
    }

    /// True if a rule matches the path or a directory above it. Marks every rule that matches as used.
    pub fn matches(&mut self, path: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        let path = path.as_ref();
        let mut any = self.rules.is_empty();
        for rule in &mut self.rules {
            // After the first match, only a rule that never matched before needs a test: the test may mark it as used.
            if !(any && rule.used) && rule.what.matches(path) {
                rule.used = true;
                any = true;
            }
        }
        any
    }

    /// `NotFound` for the first rule that matched no entry. Call it after the last entry.
    pub fn check_used(&self) -> Result<()> {
        let Some(rule) = self.rules.iter().find(|rule| !rule.used) else { return Ok(()) };
        Err(Error::new(Kind::NotFound, "find in the snapshot", "nothing matches").at(&rule.text))
    }
}

impl RuleKind {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            RuleKind::Literal(dir) => is_within(path, dir.as_bytes()),
            RuleKind::Glob(pattern) => pattern.matches(path),
        }
    }
}

impl Pattern {
    fn new(glob: &[u8]) -> Result<Self, String> {
        let text = check(glob)?;
        Ok(Pattern {
            beginning: beginning(text).into(),
            itself: build(text)?.compile_matcher(),
            below: build(&format!("{text}/**"))?.compile_matcher(),
        })
    }

    /// True if the glob matches the path or a directory above it. No glob matches the root.
    fn matches(&self, path: &[u8]) -> bool {
        !path.is_empty()
            && path.starts_with(&self.beginning)
            && (is_match(&self.itself, path) || is_match(&self.below, path))
    }
}

/// Literal prefix of the glob, up to the first special character.
fn beginning(glob: &str) -> &[u8] {
    let special = glob.find(['*', '?', '[', ']', '{', '}', ',', '\\']);
    &glob.as_bytes()[..special.unwrap_or(glob.len())]
}

fn is_match(glob: &GlobMatcher, path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    glob.is_match(std::ffi::OsStr::from_bytes(path))
}

/// Checks length, encoding and nesting of a glob. Returns its text without leading and trailing slashes.
fn check(glob: &[u8]) -> Result<&str, String> {
    if glob.len() > GLOB_MAX {
        return Err(format!("longer than {GLOB_MAX} bytes"));
    }
    let text = std::str::from_utf8(glob).map_err(|_| "not UTF-8: use a path")?;
    let text = text.trim_matches('/');
    if text.is_empty() {
        return Err("empty".into());
    }
    let mut nesting = 0usize;
    for byte in text.bytes() {
        match byte {
            b'{' => nesting += 1,
            b'}' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if nesting > NESTING_MAX {
            return Err(format!("braces nested deeper than {NESTING_MAX}"));
        }
    }
    Ok(text)
}

fn build(text: &str) -> Result<Glob, String> {
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
    glob.map_err(|e| e.kind().to_string())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::entry::DEPTH_MAX;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    fn matches(glob: &str, path: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        Filter::new(&[glob.into()], &[]).unwrap().matches(path)
    }

    /// The parts that random globs are made of.
    const GLOB_PARTS: &[&str] = &[
        "a", "b", "*", "**", "/", "/**", "**/", "/**/", "?", "[a]", "[!a]", "[/b]", "{a,", "{", "}", ",",
        "\\*",
    ];

    /// The path and every directory above it, without the root.
    fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        let ends = path.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        ends.chain(Some(path.len())).map(|end| &path[..end]).filter(|prefix| !prefix.is_empty())
    }

    /// The model: a glob matches the path or a directory above it, tested one by one.
    fn means(glob: &str, path: &[u8]) -> bool {
        let bare = build(glob).unwrap().compile_matcher();
        prefixes(path).any(|prefix| is_match(&bare, prefix))
    }

    #[test]
    fn nothing_given_matches_everything() {
        let mut filter = Filter::new(&[], &[]).unwrap();
        assert!(filter.is_all() && filter.matches(&path("any/thing")));
        assert!(filter.check_used().is_ok());
    }

    #[test]
    fn stars_and_slashes() {
        for (glob, hits, misses) in [
            ("*.c", &["a.c", "a.c/below"][..], &["d/a.c", "a.h"][..]),
            ("d/*.c", &["d/a.c"], &["d/e/a.c", "d"]),
            ("**/*.c", &["a.c", "d/e/a.c"], &["a.cc"]),
            ("d/**", &["d/x", "d/x/y"], &["d", "dd/x"]),
            ("/d/", &["d", "d/x"], &["e/d"]),
            ("?[a-c]{x,y}", &["1bx", "1ay"], &["1/bx", "1dx"]),
            ("a\\*", &["a*"], &["ab"]),
        ] {
            hits.iter().for_each(|hit| assert!(matches(glob, hit), "{glob} {hit}"));
            misses.iter().for_each(|miss| assert!(!matches(glob, miss), "{glob} {miss}"));
        }
    }

    /// The literal prefix saves time only: with it and without it the same paths match.
    #[test]
    fn a_glob_means_what_it_says_without_its_beginning() {
        let globs = [
            "ab", "a/b", "ab*", "a/**", "a/**/b", "a?b", "[a]b", "a{,b}", "a,b", "a\\*", "a]", "**/b", "a**",
        ];
        let paths = [
            "a", "ab", "a,b", "a/b", "a/b/c", "a/x/b", "a*", "a]", "abc/d", "b", "ba", "x/b", "xab", "a{,b}",
        ];
        let mut hits = 0;
        for glob in globs {
            for path in paths {
                let meant = means(glob, path.as_bytes());
                assert_eq!(matches(glob, path), meant, "{glob} {path}");
                hits += usize::from(meant);
            }
        }
        assert!(hits > 20, "{hits}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, max_local_rejects: 100_000, ..ProptestConfig::default() })]

        #[test]
        fn a_glob_means_what_it_matches_and_all_below(
            glob in vec(select(GLOB_PARTS), 1..8).prop_map(|parts| parts.concat())
                .prop_filter("malformed", |glob| Filter::check_glob(glob.as_bytes()).is_ok()),
            names in vec("[ab,*\\n]{1,2}", 0..6),
        ) {
            let text = glob.trim_matches('/');
            let path = path(&names.join("/"));
            prop_assert_eq!(matches(&glob, path.as_bytes()), means(text, path.as_bytes()));
        }
    }

    /// The deepest path that is allowed. With a cost that grows with the square of the path's length, this test
    /// would not end.
    #[test]
    fn the_deepest_path_is_looked_at_once() {
        let deep = ["a"; DEPTH_MAX].join("/");
        for glob in ["**/zz", "a/**/b/**/c/**/zz*", "*/**/a/**/[!a]", "{a,**/b}/zz"] {
            assert!(!matches(glob, &deep), "{glob}");
        }
        assert!(matches("a/**/a/*", &deep) && matches("a/?/a", &deep));
    }

    #[test]
    fn names_that_are_not_utf8() {
        let mut filter = Filter::new(&[b"d/*".to_vec()], &[]).unwrap();
        assert!(filter.matches(&Path::new(&b"d/\xff\xfe"[..]).unwrap()));
        let odd = Path::new(&b"\xff"[..]).unwrap();
        let mut filter = Filter::new(&[], std::slice::from_ref(&odd)).unwrap();
        assert!(filter.matches(&odd.join(b"x").unwrap()) && !filter.matches(&path("x")));
    }

    #[test]
    fn a_rule_without_use_is_named() {
        let mut filter = Filter::new(&[b"*.c".to_vec(), b"*.h".to_vec()], &[path("no")]).unwrap();
        filter.matches(&path("a.c"));
        let error = filter.check_used().unwrap_err();
        assert_eq!((error.kind, error.path.as_deref()), (Kind::NotFound, Some(&b"*.h"[..])));
        filter.matches(&path("a.h"));
        assert_eq!(filter.check_used().unwrap_err().path.as_deref(), Some(&b"no"[..]));
        filter.matches(&path("no/where"));
        assert!(filter.check_used().is_ok());
    }

    #[test]
    fn a_second_rule_is_used_by_what_the_first_matches_too() {
        let mut filter = Filter::new(&[b"d".to_vec(), b"d/*.c".to_vec()], &[]).unwrap();
        filter.matches(&path("d/a.c"));
        assert!(filter.check_used().is_ok());
    }

    #[test]
    fn malformed_globs() {
        let nested = "{".repeat(200_000);
        let deep = format!("{}a{}", "{".repeat(17), "}".repeat(17));
        for glob in ["", "/", "[", "{a", &nested, &deep, &"a".repeat(5000)] {
            assert!(Filter::check_glob(glob.as_bytes()).is_err(), "{}", &glob[..glob.len().min(20)]);
        }
        assert!(Filter::check_glob(b"\xff").is_err());
    }
}
