//! The paths that the caller lists: a walk yields them, everything below them, and the directories that lead to them.

use std::collections::HashSet;

use crate::entry::{Path, compare_paths, is_within};

/// A list of paths below the source, sorted and without repetitions. Never empty.
#[derive(Debug)]
pub struct ListedPaths(Vec<Path>);

impl ListedPaths {
    /// `None` for an empty list, which limits nothing.
    pub fn new(paths: &[Path]) -> Option<ListedPaths> {
        let mut paths = paths.to_vec();
        paths.sort_unstable();
        paths.dedup();
        (!paths.is_empty()).then_some(ListedPaths(paths))
    }

    /// The paths in the order of entries.
    pub fn in_order(&self) -> &[Path] {
        &self.0
    }

    /// True if the path or a directory above it is listed.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let is_listed =
            |path| self.0.binary_search_by(|listed| compare_paths(listed.as_bytes(), path)).is_ok();
        let above = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
        above.chain([path.len()]).any(|end| is_listed(&path[..end]))
    }

    /// The names in the directory `dir` that are listed or lead to a listed path; `None` if every name is.
    pub(super) fn names_in(&self, dir: &[u8]) -> Option<HashSet<&[u8]>> {
        if self.covers(dir) {
            return None;
        }
        let from = self.0.partition_point(|listed| compare_paths(listed.as_bytes(), dir).is_lt());
        let below = self.0[from..].iter().map(Path::as_bytes).take_while(|path| is_within(path, dir));
        let start = dir.len() + usize::from(!dir.is_empty());
        Some(below.filter_map(|path| path[start..].split(|&byte| byte == b'/').next()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_lead_to_a_listed_path() {
        let paths = ["a/b/c", "a/b-d", "a/x", "e", "a/x/y", "a/x"].map(|path| Path::new(path).unwrap());
        let listed = ListedPaths::new(&paths).unwrap();
        let names = |dir: &str| {
            let mut names: Vec<_> = listed.names_in(dir.as_bytes())?.into_iter().collect();
            names.sort();
            Some(names.into_iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>())
        };
        assert_eq!(names("").unwrap(), ["a", "e"]);
        assert_eq!(names("a").unwrap(), ["b", "b-d", "x"]);
        assert_eq!(names("a/b").unwrap(), ["c"]);
        assert_eq!(names("f").unwrap(), [""; 0]);
        assert_eq!((names("e"), names("a/x"), names("a/x/y/z"), names("a/b-d")), (None, None, None, None));
        assert!(
            listed.covers(b"a/x/z") && listed.covers(b"e") && !listed.covers(b"a/b") && !listed.covers(b"ee")
        );
        assert_eq!(listed.in_order().len(), 5);
        assert!(ListedPaths::new(&[]).is_none());
    }
}
