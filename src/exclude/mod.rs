//! What a backup leaves out: gitignore patterns given as options and found in exclude files.
//!
//! The language is that of `gitignore(5)`, the test is `git` itself. The `ignore` crate matches; its own
//! reading of the language differs from git's in places, so [`pattern`] reads each line the way git does
//! and hands the crate a spelling that leaves nothing to interpretation. What remains different from git:
//!
//! - a malformed pattern (lone backslash at the end, class without end or of an unknown name) is reported,
//!   where git silently matches nothing;
//! - characters beyond ASCII in a class are reported: git would match single bytes of them;
//! - patterns that are not UTF-8 are reported: the crate cannot match them. Names need not be UTF-8;
//! - `**` right behind literal text (`ab**/c`) means two plain asterisks, as the manual has it; git takes it
//!   for a path of any depth.

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

/// The longest pattern, in bytes.
pub const PATTERN_LEN_MAX: usize = 4096;
/// The most patterns that the options or one exclude file may have.
pub const PATTERNS_MAX: usize = 10_000;
/// The most bytes that the exclude files of a directory and of those above it have together, each one included:
/// compiled they take some hundred times as much memory. Of directories side by side a walk compiles one large file at
/// a time.
pub const EXCLUDE_FILE_MAX: usize = 1 << 20;
/// Lines of one exclude file that are reported one by one.
const BAD_LINES_MAX: usize = 100;

/// About how many bytes of patterns are compiled together: the size of a compiled set is limited.
const PART_LEN: usize = 32 * 1024;

/// Decides about paths during one walk, which tells it when it enters and leaves a directory. A clone costs
/// little and goes its own way from where it was made.
#[derive(Clone, Debug)]
pub struct Excludes {
    options: Arc<Rules>,
    file_name: Arc<[u8]>,
    /// Of the directories on the way here those that have rules, outermost first.
    files: Vec<Arc<FileRules>>,
    /// How many directories have been entered.
    depth: usize,
    /// Shared by the exclude files that are held compiled.
    #[cfg(test)]
    pub held: Arc<Arc<()>>,
}

#[derive(Debug)]
struct FileRules {
    depth: usize,
    /// Where a path relative to this directory begins in a path relative to the source.
    base: usize,
    rules: Rules,
    /// Bytes of the file.
    len: usize,
    #[cfg(test)]
    _held: Arc<()>,
}

/// A line of an exclude file that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1; 0 if the file as a whole was not used.
    pub line: usize,
    pub message: String,
}

impl Excludes {
    /// Takes patterns written like lines of an exclude file, and the name of the exclude files (empty:
    /// there are none). `InvalidArg` names a pattern that is malformed or beyond the limits.
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

    /// Whether a pattern can be used; `Err` says why not.
    pub fn check_pattern(pattern: &[u8]) -> std::result::Result<(), String> {
        let mut builder = RulesBuilder::new();
        builder.add_line(pattern)?;
        builder.finish().map(drop)
    }

    /// The name of the exclude files; `None` if there are none.
    pub fn file_name(&self) -> Option<&[u8]> {
        (!self.file_name.is_empty()).then_some(&*self.file_name)
    }

    /// Enters the directory `path` with the contents of its exclude file, if it has one. Lines that cannot
    /// be used are returned and skipped. Of a file that would exceed [`EXCLUDE_FILE_MAX`] or [`PATTERNS_MAX`]
    /// together with those of the directories above nothing is used, so that too much is backed up, not too little.
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

    /// True if `path`, relative to the source and lying in the directory entered last, is left out. The
    /// options decide first, then the exclude files from this directory up to the root; in each the last
    /// pattern that matches. What lies below an excluded directory is not to be asked about.
    pub fn is_excluded(&self, path: &[u8], is_dir: bool) -> bool {
        let by_file =
            || self.files.iter().rev().find_map(|file| file.rules.verdict(path.get(file.base..)?, is_dir));
        self.options.verdict(path, is_dir).or_else(by_file).unwrap_or(false)
    }
}

/// Patterns of one source, compiled; later parts come later in the source.
#[derive(Debug, Default)]
struct Rules {
    parts: Vec<Gitignore>,
    /// How many patterns they have together.
    count: usize,
}

impl Rules {
    /// What the last pattern that matches says: leave out (true) or keep.
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

    /// Adds a pattern, unless the line is blank or a comment. `Err` says what is wrong with it.
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

/// Reads an exclude file: one pattern a line, a byte order mark and carriage returns ignored.
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

/// Takes trailing spaces off; one behind a backslash stays. (git: `trim_trailing_spaces` in dir.c)
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
