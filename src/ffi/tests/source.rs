//! Rules that hold for every export, checked in the source text.

use std::fs;
use std::path::{Path, PathBuf};

/// A function that is exported: its name, and the text between its braces.
struct Export {
    name: String,
    body: String,
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "tests" {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn exports() -> Vec<Export> {
    let mut files = Vec::new();
    rust_files(&root().join("src/ffi"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for part in text.split("extern \"C\" fn ibt_").skip(1) {
            let (head, rest) = part.split_once("{\n").expect("a function has a body");
            let (body, _) = rest.split_once("\n}\n").expect("rustfmt ends a function at the margin");
            let name = format!("ibt_{}", head.split('(').next().unwrap());
            found.push(Export { name, body: body.trim().to_string() });
        }
        let all = ["pub extern", "pub unsafe extern"]
            .map(|start| text.matches(&format!("#[unsafe(no_mangle)]\n{start} \"C\" fn ibt_")).count())
            .iter()
            .sum::<usize>();
        assert_eq!(all, text.matches("no_mangle").count(), "unusual export in {}", file.display());
        assert_eq!(all, text.matches("extern \"C\" fn ibt_").count(), "{}", file.display());
    }
    assert!(found.len() > 90);
    found
}

#[test]
fn every_export_is_guarded() {
    for export in exports() {
        let guards = export.body.matches("guard!(").count();
        let statics = export.body.lines().take_while(|line| line.trim().starts_with("static ")).count();
        let rest: Vec<_> = export.body.lines().skip(statics).collect();
        let rest = rest.join("\n");
        let whole = rest.trim().starts_with("guard!(") && rest.trim_end().ends_with("})");
        assert!(guards == 1 && whole, "{} is not one guard! and nothing else", export.name);
    }
}

#[test]
fn every_setter_names_itself() {
    for Export { name, body } in exports() {
        if name.starts_with("ibt_options_set_") || name.starts_with("ibt_options_add_") {
            assert!(body.contains(&format!("set(options, \"{name}\", ")), "{name}");
        }
    }
}

#[test]
fn the_list_of_symbols_is_complete() {
    let mut names: Vec<_> = exports().into_iter().map(|export| export.name).collect();
    names.sort();
    let listed = fs::read_to_string(root().join("abi/ibt.symbols")).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
}

#[test]
fn the_header_declares_every_export_and_when_it_came() {
    let header = fs::read_to_string(root().join("include/ibt.h")).unwrap();
    for Export { name, .. } in exports() {
        // Comments mention functions too. Their lines begin with `/*` or `*`.
        let line_of = |at: usize| header[..at].rsplit('\n').next().unwrap_or_default();
        let is_declaration = |&at: &usize| {
            !line_of(at).trim_start().starts_with(['*', '/']) && " *".contains(&header[at - 1..at])
        };
        let at = header.match_indices(&format!("{name}(")).map(|(at, _)| at).find(is_declaration);
        let before = &header[..at.unwrap_or_else(|| panic!("{name} is not in the header"))];
        let comment = &before[before.rfind("/**").unwrap()..];
        assert!(comment.contains(" * Since: "), "{name} does not say since when it is there");
    }
}

#[test]
fn the_header_has_the_version_of_the_crate() {
    let header = fs::read_to_string(root().join("include/ibt.h")).unwrap();
    let number = super::super::ibt_version_number();
    for line in [
        format!("#define IBT_VERSION \"{}\"", env!("CARGO_PKG_VERSION")),
        format!("#define IBT_VERSION_NUMBER {number:#08x}"),
    ] {
        assert!(header.lines().any(|l| l == line), "{line}");
    }
}
