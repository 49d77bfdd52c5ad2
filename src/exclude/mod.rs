//! Decides which entries a backup leaves out, by gitignore patterns from the options and from exclude files.
//!
//! The language is that of `gitignore(5)`; the tests compare with `git` itself. The `ignore` crate matches
//! the paths. The crate reads some patterns in another way than git. So [`pattern`] reads each line as git does, and
//! writes it for the crate in a spelling with only one meaning. These differences to git remain:
//!
//! - A malformed pattern is reported (a lone backslash at the end, a class without an end or with an unknown
//!   name); git silently matches nothing.
//! - A character beyond ASCII in a class is reported; git would match its single bytes.
//! - A pattern that is not UTF-8 is reported, because the crate cannot match it. Names need not be UTF-8.
//! - `**` directly after literal text (`ab**/c`) means two plain asterisks, as the manual says; git matches a
//!   path of any depth.

mod pattern;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, Kind, Result};
use crate::text::encode_name;

/// Longest pattern, in bytes.
pub const PATTERN_LEN_MAX: usize = 4096;
/// Most patterns in the options, and most patterns in the exclude files of a directory and of all directories
/// above it together.
pub const PATTERNS_MAX: usize = 10_000;
/// Largest size in bytes of the exclude files of a directory and of all directories above it together. Compiled
/// patterns take about a hundred times as much memory as the files. So the threads of a walk together hold the compiled
/// form of only one large exclude file at a time, besides the files of the directories above it.
pub const EXCLUDE_FILE_MAX: usize = 1 << 20;
/// Most lines of one exclude file that are reported one by one; the others are only counted.
const BAD_LINES_MAX: usize = 100;

/// Approximate number of bytes of patterns that are compiled into one set, because the size of a compiled set is
/// limited.
const PART_LEN: usize = 32 * 1024;

/// Decides about the paths of one walk. The walk calls [`Excludes::enter_dir`] and [`Excludes::leave_dir`]. A clone
/// is cheap; it continues independently from the directory where it was made.
#[derive(Clone, Debug)]
pub struct Excludes {
    options: Arc<Rules>,
    file_name: Arc<[u8]>,
    /// The rules of the entered directories, outermost first. A directory without rules has no item.
    files: Vec<Arc<FileRules>>,
    /// Number of directories entered and not yet left.
    depth: usize,
    /// Each compiled exclude file in memory holds one reference to the inner value, so the number of these files is the
    /// inner reference count minus 1.
    #[cfg(test)]
    pub held: Arc<Arc<()>>,
}

#[derive(Debug)]
struct FileRules {
    depth: usize,
    /// Number of bytes to cut off the front of a path, so that the path is relative to this directory.
    base: usize,
    rules: Rules,
    /// Size of the exclude file in bytes.
    len: usize,
    #[cfg(test)]
    _held: Arc<()>,
}

/// A skipped line of an exclude file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line's number, counted from 1; 0 if the message concerns the whole file.
    pub line: usize,
    pub message: String,
}

impl Excludes {
    /// `patterns` are written like lines of an exclude file. `exclude_file_name` is the name of the exclude
    /// files in the source; empty for no exclude files. A malformed pattern, or one beyond the limits, is an error
    /// (`InvalidArg`) that names the pattern.
    pub fn new(patterns: &[Vec<u8>], exclude_file_name: &[u8]) -> Result<Excludes> {
        let invalid = |what: &[u8], why: String| {
            Error::new(Kind::InvalidArg, format!("use the pattern '{}'", encode_name(what)), why)
        };
        let mut builder = RulesBuilder::new();
        for pattern in patterns {
            builder.add_line(pattern).map_err(|why| invalid(pattern, why))?;
        }
        let last = patterns.last().map_or(&[][..], |pattern| pattern);
        let options = builder.finish().map_err(|why| invalid(last, why))?;
        let odd = matches!(exclude_file_name, b"." | b"..");
        if odd || exclude_file_name.iter().any(|b| matches!(b, 0 | b'/')) {
            let why = "an exclude file is named by one path component";
            return Err(Error::new(Kind::InvalidArg, "use the exclude file name", why).at(exclude_file_name));
        }
        let (options, file_name) = (Arc::new(options), exclude_file_name.into());
        Ok(Excludes {
            options,
            file_name,
            files: Vec::new(),
            depth: 0,
            #[cfg(test)]
            held: Arc::default(),
        })
    }

    /// Checks a pattern; `Err` says why it cannot be used.
    pub fn check_pattern(pattern: &[u8]) -> std::result::Result<(), String> {
        let mut builder = RulesBuilder::new();
        builder.add_line(pattern)?;
        builder.finish().map(drop)
    }

    /// The name of the exclude files; `None` if the source has none.
    pub fn file_name(&self) -> Option<&[u8]> {
        (!self.file_name.is_empty()).then_some(&*self.file_name)
    }

    /// Enters the directory `path`. `contents` is the text of its exclude file; `None` if it has no such file. Returns
    /// the lines that cannot be used. The other lines are used.
    ///
    /// A file is not used at all if it exceeds [`EXCLUDE_FILE_MAX`] or [`PATTERNS_MAX`] together with the exclude
    /// files of the directories above. The backup then stores too much rather than too little. If one file alone has
    /// more than [`PATTERNS_MAX`] patterns, the patterns after these are skipped.
    pub fn enter_dir(&mut self, path: &[u8], contents: Option<&[u8]>) -> Vec<BadLine> {
        self.depth += 1;
        let Some(contents) = contents else { return Vec::new() };
        let unused = |what: String| {
            let message = format!("not used: with those of the directories above {what}");
            vec![BadLine { line: 0, message }]
        };
        let above =
            |amount: fn(&FileRules) -> usize| self.files.iter().map(|file| amount(file)).sum::<usize>();
        if contents.len() <= EXCLUDE_FILE_MAX && above(|file| file.len) + contents.len() > EXCLUDE_FILE_MAX {
            return unused(format!("larger than {EXCLUDE_FILE_MAX} bytes"));
        }
        let (rules, bad) = read_rules(contents);
        if above(|file| file.rules.count) + rules.count > PATTERNS_MAX {
            return unused(format!("more than {PATTERNS_MAX} patterns"));
        }
        if !rules.parts.is_empty() {
            let base = if path.is_empty() { 0 } else { path.len() + 1 };
            self.files.push(Arc::new(FileRules {
                depth: self.depth,
                base,
                rules,
                len: contents.len(),
                #[cfg(test)]
                _held: (*self.held).clone(),
            }));
        }
        bad
    }

    /// Leaves the directory entered last.
    pub fn leave_dir(&mut self) {
        if self.files.last().is_some_and(|file| file.depth == self.depth) {
            self.files.pop();
        }
        self.depth -= 1;
    }

    /// True if the backup leaves out `path`. `path` is relative to the source and lies in the directory entered
    /// last. The options decide first, then the exclude files from this directory up to the root. In each of them
    /// the last pattern that matches decides. Never call this for a path below an excluded directory.
    pub fn is_excluded(&self, path: &[u8], is_dir: bool) -> bool {
        let by_file =
            || self.files.iter().rev().find_map(|file| file.rules.verdict(path.get(file.base..)?, is_dir));
        self.options.verdict(path, is_dir).or_else(by_file).unwrap_or(false)
    }
}

/// The compiled patterns of the options or of one exclude file, in parts, in the order of the lines.
#[derive(Debug, Default)]
struct Rules {
    parts: Vec<Gitignore>,
    /// Number of patterns in all parts.
    count: usize,
}

impl Rules {
    /// The decision of the last pattern that matches: true to leave out, false to keep; `None` if no pattern matches.
    fn verdict(&self, path: &[u8], is_dir: bool) -> Option<bool> {
        let path = Path::new(OsStr::from_bytes(path));
        self.parts.iter().rev().find_map(|part| match part.matched(path, is_dir) {
            ignore::Match::None => None,
            ignore::Match::Ignore(_) => Some(true),
            ignore::Match::Whitelist(_) => Some(false),
        })
    }
}

struct RulesBuilder {
    parts: Vec<Gitignore>,
    part: GitignoreBuilder,
    part_len: usize,
    count: usize,
}

impl RulesBuilder {
    fn new() -> Self {
        RulesBuilder { parts: Vec::new(), part: GitignoreBuilder::new(""), part_len: 0, count: 0 }
    }

    /// Adds the pattern of a line, unless the line is blank or a comment. `Err` names the fault of the pattern.
    fn add_line(&mut self, line: &[u8]) -> Result<(), String> {
        let line = trim_spaces(line);
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        if line.len() > PATTERN_LEN_MAX {
            return Err(format!("longer than {PATTERN_LEN_MAX} bytes"));
        }
        if self.count == PATTERNS_MAX {
            return Err(format!("more than {PATTERNS_MAX} patterns"));
        }
        let Some(glob) = pattern::translate(line)? else {
            return Ok(());
        };
        self.part.add_line(None, &glob).map_err(|error| error.to_string())?;
        self.count += 1;
        self.part_len += glob.len();
        if self.part_len > PART_LEN {
            self.finish_part()?;
        }
        Ok(())
    }

    fn finish_part(&mut self) -> Result<(), String> {
        if self.part_len > 0 {
            let part = std::mem::replace(&mut self.part, GitignoreBuilder::new(""));
            self.part_len = 0;
            self.parts.push(part.build().map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Rules, String> {
        self.finish_part()?;
        Ok(Rules { parts: self.parts, count: self.count })
    }
}

/// Reads an exclude file with one pattern per line. A byte order mark, and a carriage return at the end of a line, are
/// ignored.
fn read_rules(contents: &[u8]) -> (Rules, Vec<BadLine>) {
    if contents.len() > EXCLUDE_FILE_MAX {
        let message = format!("not used: larger than {EXCLUDE_FILE_MAX} bytes");
        return (Rules::default(), vec![BadLine { line: 0, message }]);
    }
    let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
    let mut builder = RulesBuilder::new();
    let mut bad = Vec::new();
    let mut more = 0;
    for (at, line) in contents.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Err(message) = builder.add_line(line) {
            match bad.len() < BAD_LINES_MAX {
                true => bad.push(BadLine { line: at + 1, message }),
                false => more += 1,
            }
        }
        if builder.count == PATTERNS_MAX && !bad.is_empty() {
            break;
        }
    }
    if more > 0 {
        bad.push(BadLine { line: 0, message: format!("{more} more lines cannot be used") });
    }
    let rules = builder.finish().unwrap_or_else(|message| {
        bad.push(BadLine { line: 0, message });
        Rules::default()
    });
    (rules, bad)
}

/// Cuts trailing spaces off, but keeps a space after a backslash. (git: `trim_trailing_spaces` in dir.c)
fn trim_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            b'\\' => {
                at = line.len().min(at + 2);
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}
