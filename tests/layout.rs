//! Rules of the source tree: which module may import which, where `unsafe` is allowed, and numbers that must
//! agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules at the bottom. A module may import the modules of its row, and itself.
const BOTTOM: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("stamp", &[]),
    ("error", &["text"]),
    ("entry", &["stamp", "text"]),
    ("job", &["entry", "error", "stamp", "text"]),
    ("delta", &[]),
    ("platform", &["entry", "error", "stamp", "text"]),
    ("pool", &["error", "platform"]),
    ("spool", &["error", "platform"]),
];

/// The modules above. A module may import the modules of its row, and every shared module ([`SHARED`]). A
/// lower row never imports a higher row.
const ABOVE: &[(&str, &[&str])] = &[
    ("state", &[]),
    ("walk", &["exclude", "platform"]),
    ("exclude", &["platform"]),
    ("filter", &[]),
    ("format", &["state"]),
    ("store", &["format", "platform"]),
    ("contents", &["delta", "format", "store"]),
    ("restore", &["contents", "exclude", "filter", "format", "store", "state", "platform"]),
    ("commit", &["format", "store", "state", "delta", "platform"]),
    ("backup", &["contents", "commit", "walk", "exclude", "state", "delta", "format", "store", "platform"]),
    ("inspect", &["contents", "walk", "exclude", "filter", "format", "store", "state", "delta", "platform"]),
    ("ancestor", &["backup", "inspect", "restore", "delta", "format", "store", "platform"]),
    ("retain", &["commit", "contents", "format", "store", "state", "delta", "platform"]),
];

const SHARED: &[&str] = &["entry", "error", "stamp", "text", "pool", "spool", "job"];

/// These modules may import every module.
const TOP: &[&str] = &["ffi", "lib"];

/// The modules where `unsafe` is allowed; in `delta` only in measured kernels and in the C engine.
const UNSAFE: &[&str] = &["ffi", "platform", "delta"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Each Rust file of the library, with its module.
fn sources() -> Vec<(String, PathBuf)> {
    let walk = walkdir::WalkDir::new(root().join("src")).sort_by_file_name();
    let files = walk.into_iter().map(|entry| entry.unwrap().into_path());
    let module = |path: &Path| {
        let below = path.strip_prefix(root().join("src")).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs").to_string()
    };
    files
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .map(|path| (module(&path), path))
        .collect()
}

/// The code of a file without comments and without the inline test module. Strings stay as they are.
fn code(text: &str) -> String {
    let mut tests = text.match_indices("#[cfg(test)]\nmod ");
    // `mod tests;` only declares a module, and code follows it.
    let is_inline = |&(at, attribute): &(usize, &str)| {
        text[at + attribute.len()..].lines().next().is_some_and(|name| name.ends_with('{'))
    };
    let text = tests.find(is_inline).map_or(text, |(at, _)| &text[..at]);
    let uncommented = text.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

/// The top-level modules that the `crate::` paths of some code name, also in groups with braces.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.extend(head(rest)),
        }
    }
    found
}

/// The first name of each item of a group such as `a::{b, c}, d}`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            heads.extend(head(group[start..at].trim()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn head(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The modules that `module` may import; `None` if no row has `module`.
fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let row = |rows: &'static [(&str, &[&'static str])]| {
        rows.iter().find(|(name, _)| *name == module).map(|(_, imports)| imports.to_vec())
    };
    row(BOTTOM).or_else(|| row(ABOVE).map(|imports| [&imports, SHARED].concat()))
}

#[test]
fn imports_are_read_as_written() {
    let code =
        "use crate::{error::{Error, Kind}, job::Job, self};\nlet x = crate::text::f(); $crate::macros!()";
    let expected = ["error", "job", "self", "text"].map(String::from);
    assert_eq!(imports(code), BTreeSet::from(expected));
}

#[test]
fn code_ends_where_a_test_module_begins() {
    let file = "mod a;\n#[cfg(test)]\nmod tests;\nuse b; // c\n";
    let inline = "#[cfg(test)]\nmod inner {\nuse d;\n}\n";
    assert_eq!(code(&format!("{file}{inline}")), "mod a;\n#[cfg(test)]\nmod tests;\nuse b; ");
}

#[test]
fn lower_modules_never_import_higher_ones() {
    let modules: BTreeSet<String> = sources().into_iter().map(|(module, _)| module).collect();
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        if TOP.contains(&&*module) {
            continue;
        }
        let Some(allowed) = allowed(&module) else {
            wrong.push(format!("{}: the module is in no row", path.display()));
            continue;
        };
        for import in imports(&code(&fs::read_to_string(&path).unwrap())) {
            if modules.contains(&import) && import != module && !allowed.contains(&&*import) {
                wrong.push(format!("{}: imports {import}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of the types that the code defines: `struct`, `enum`, `union` and `trait` anywhere, and `type`
/// outside of `impl` and `trait`.
fn types(code: &str) -> Vec<String> {
    let name = |line: &str| {
        let indented = line.starts_with(' ');
        let line = line.trim_start();
        let line = match line.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
            Some(rest) => rest.trim_start(),
            None => line,
        };
        let (keyword, rest) = line.strip_prefix("unsafe ").unwrap_or(line).split_once(' ')?;
        let defines = ["struct", "enum", "union", "trait"].contains(&keyword);
        (defines || (keyword == "type" && !indented)).then(|| head(rest)).flatten()
    };
    code.lines().filter_map(name).collect()
}

#[test]
fn types_are_read_as_written() {
    let code = "pub struct A<T>(T);\n    enum B {\n}\npub(super) unsafe trait C {\n    type D;\n}\ntype E = A<u8>;\nlet structure = 1;";
    assert_eq!(types(code), ["A", "B", "C", "E"]);
}

/// If two types have the same name, a reader must ask which one is meant. So each type has its own name, with
/// these exceptions.
const SHARED_BY_DESIGN: &[&str] = &[
    // The errors of `delta` and `format`, which know no paths, and the errors of the library.
    "Error",
    "Result",
    // The two engines of `delta`.
    "Basis",
    "DeltaWriter",
    "Signer",
];

#[test]
fn one_name_is_one_type() {
    let is_test = |path: &Path| {
        path.components()
            .any(|part| ["tests", "tests.rs", "testing.rs"].iter().any(|name| part.as_os_str() == *name))
    };
    let mut types_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, path) in sources().into_iter().filter(|(_, path)| !is_test(path.strip_prefix(root()).unwrap())) {
        for name in types(&code(&fs::read_to_string(&path).unwrap())) {
            types_of.entry(name).or_default().push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    let shared: Vec<_> = types_of.iter().filter(|(_, files)| files.len() > 1).collect();
    println!("{} types, {} names are shared", types_of.len(), shared.len());
    let known = |name: &&str| shared.iter().any(|(shared, _)| shared == name);
    let mut wrong: Vec<_> = shared
        .iter()
        .filter(|(name, _)| !SHARED_BY_DESIGN.iter().any(|listed| listed == name))
        .map(|(name, files)| format!("{name} is the name of more than one type: {}", files.join(", ")))
        .collect();
    let settled = SHARED_BY_DESIGN.iter().filter(|name| !known(name));
    wrong.extend(settled.map(|name| format!("{name} is not shared any more: take it off the list")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let unsafe_word =
            |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        if !UNSAFE.contains(&&*module) && words.into_iter().any(unsafe_word) {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "unsafe in {wrong:?}");
}

/// The files under version control, or all files if there is no repository.
fn tracked() -> Vec<PathBuf> {
    let git = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    match git {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let names = String::from_utf8(output.stdout).unwrap();
            names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect()
        }
        _ => {
            let below = |entry: &walkdir::DirEntry| {
                !["target", "build", ".git"].contains(&entry.file_name().to_str().unwrap_or_default())
            };
            let walk = walkdir::WalkDir::new(root()).into_iter().filter_entry(below).filter_map(Result::ok);
            walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
        }
    }
}

#[test]
fn no_file_names_a_machine_s_own_paths() {
    // Each path is written in two halves, because this file is checked too.
    let paths =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("file:///ho", "me")];
    let mut wrong = Vec::new();
    for file in tracked() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let found = text.lines().enumerate().filter(|(_, line)| paths.iter().any(|path| line.contains(path)));
        wrong.extend(found.map(|(number, line)| format!("{}:{}: {line}", file.display(), number + 1)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file should have at most 500 lines and must have at most 700. `--nocapture` lists the files between, and
/// so does a failure.
#[test]
fn files_are_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(_, path)| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > 500)
        .collect();
    for (lines, path) in &long {
        println!("{lines} lines: {}", path.display());
    }
    assert!(long.iter().all(|(lines, _)| *lines <= 700), "{long:?}");
}

/// Comments are at most 120 columns wide, in every language. rustfmt leaves long comments as they are.
#[test]
fn lines_of_comments_are_at_most_120_columns() {
    let mut wrong = Vec::new();
    for file in tracked() {
        let marks: &[&str] = match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs" | "c" | "h" | "hpp" | "go") => &["//", "/*", "* "],
            Some("py" | "rb" | "sh") => &["#"],
            _ => continue,
        };
        let text = fs::read_to_string(&file).unwrap();
        let long = text.lines().enumerate().filter(|(_, line)| {
            line.chars().count() > 120 && marks.iter().any(|mark| line.trim_start().starts_with(mark))
        });
        wrong.extend(long.map(|(number, line)| format!("{}:{}: {line}", file.display(), number + 1)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Documents for developers: each path in a document exists, and the map names each module.
#[test]
fn documents_name_what_is_there() {
    let mut wrong = Vec::new();
    for document in [
        "docs/architecture.md",
        "docs/reliability.md",
        "docs/scale.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "README.md",
    ] {
        let text = read(document);
        let quoted = text.split('`').skip(1).step_by(2);
        let is_path = |word: &&str| {
            let first = word.split('/').next().unwrap_or_default();
            word.contains('/') && root().join(first).is_dir() && !word.contains([' ', '*'])
        };
        let absent = quoted.filter(is_path).filter(|path| !root().join(path).exists());
        wrong.extend(absent.map(|path| format!("{document} names {path}, which is not there")));
    }
    let map = read("docs/architecture.md");
    let rooms: BTreeSet<String> = sources().into_iter().map(|(module, _)| module).collect();
    let missing = rooms.iter().filter(|room| *room != "lib" && !map.contains(&format!("`{room}`")));
    wrong.extend(missing.map(|room| format!("docs/architecture.md does not name the room {room}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a file has a test of this name that runs.
fn has_test(file: &str, name: &str) -> bool {
    let text = read(file);
    if file.ends_with(".c") {
        // The definition, and a call.
        return text.contains(&format!("\nstatic void {name}("))
            && text.matches(&format!("{name}(")).count() > 1;
    }
    text.find(&format!("fn {name}(")).is_some_and(|at| {
        let before = &text[..at];
        before.rfind("#[test]") > before.rfind("fn ")
    })
}

/// docs/reliability.md names a file, and then the tests in it that show a promise.
#[test]
fn tests_that_show_a_promise_exist() {
    let text = read("docs/reliability.md");
    let (mut file, mut named, mut wrong) = ("", 0, Vec::new());
    for word in text.split('`').skip(1).step_by(2) {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if word.contains('/') && root().join(word).is_file() {
            file = word;
        } else if word.contains('_') && word.chars().all(is_name) {
            named += 1;
            if file.is_empty() || !has_test(file, word) {
                wrong.push(format!("{file} has no test {word}"));
            }
        }
    }
    assert!(named > 80, "only {named} tests are named");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let changelog = read("CHANGELOG.md");
    let sections = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let newest = sections
        .map(|title| title.trim_start_matches(['[', 'v']))
        .find(|title| title.starts_with(|c: char| c.is_ascii_digit()))
        .expect("CHANGELOG.md has a section for a version");
    let newest = newest.split([']', ' ']).next().unwrap_or_default();
    assert_eq!(newest, version, "the newest section of CHANGELOG.md");

    let header = read("include/ibt.h");
    let defined = |name: &str| {
        let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
        line.unwrap_or_else(|| panic!("{name} is not defined")).trim().trim_matches('"').to_string()
    };
    assert_eq!(defined("IBT_VERSION"), version, "the header");

    for (file, before, after) in [
        ("bindings/ruby/lib/ibt/version.rb", "VERSION = '", "'"),
        ("bindings/python/ibt/__init__.py", "__version__ = \"", "\""),
        ("debian/changelog", "libibt (", "-"),
        ("packaging/libibt.spec", "Version:", "\n"),
        ("packaging/APKBUILD", "pkgver=", "\n"),
    ] {
        let text = read(file);
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{file} has no {before}"));
        assert_eq!(rest.split(after).next().unwrap_or_default().trim(), version, "{file}");
    }
}
