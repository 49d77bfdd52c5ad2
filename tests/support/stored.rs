//! Reads and forges stored files without the engine, with zstd(1), b3sum(1) and plain JSON.

use std::fs;
use std::path::Path;

use ibt::stamp::Stamp;
use serde_json::Value;

use super::tools::{command, run};

/// The document of a state file, decompressed.
pub fn document(state: &Path) -> Vec<u8> {
    if state.extension().is_some_and(|ext| ext == "zst") {
        run(command("zstd", ["-dcq"]).arg(state))
    } else {
        fs::read(state).unwrap()
    }
}

pub fn parse(state: &Path) -> Value {
    serde_json::from_slice(&document(state)).unwrap()
}

/// The entry of `path`, as encoded in the state.
#[track_caller]
pub fn entry(state: &Value, path: &str) -> Value {
    let entries = state["entries"].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["path"] == path);
    found.unwrap_or_else(|| panic!("no entry {path:?}")).clone()
}

/// The line of the entry at `path`, without the comma and the line end.
#[track_caller]
pub fn line(state: &Path, path: &str) -> String {
    let text = String::from_utf8(document(state)).unwrap();
    let start = format!(r#"{{"path":"{path}","#);
    let found = text.lines().find(|line| line.starts_with(&start));
    found.unwrap_or_else(|| panic!("no entry {path:?}")).trim_end_matches(',').to_string()
}

/// The offset of the digest line. The document's digest covers all bytes before this line.
pub fn digest_line(document: &[u8]) -> usize {
    let key = b"\n\"digest\":\"";
    document.windows(key.len()).rposition(|window| window == key).expect("a digest line") + 1
}

/// The lines with the digests of the summary and of the document, for a document that ends before them. The summary
/// is the header, and the trailer from the line of the archives on.
pub fn digest_lines(document: &[u8]) -> Vec<u8> {
    let (begin, end) = (b"\n\"entries\":[\n", b"\n\"archives\":[");
    let find = |key: &[u8]| document.windows(key.len()).position(|window| window == key);
    let header = &document[..find(begin).map_or(0, |at| at + begin.len())];
    let trailer = document.windows(end.len()).rposition(|window| window == end);
    let trailer = &document[trailer.map_or(document.len(), |at| at + 1)..];
    let summary = blake3::hash(&[header, trailer].concat()).to_hex();
    let mut lines = format!("\"summary\":\"blake3:{summary}\",\n").into_bytes();
    let digest = blake3::hash(&[document, &lines].concat()).to_hex();
    lines.extend_from_slice(format!("\"digest\":\"blake3:{digest}\"}}\n").as_bytes());
    lines
}

/// The document without the lines of the two digests.
pub fn unsealed(document: &[u8]) -> &[u8] {
    let document = &document[..digest_line(document)];
    let summary = document.strip_suffix(b"\n").unwrap_or(document).iter().rposition(|&b| b == b'\n');
    let summary = summary.map_or(0, |at| at + 1);
    match document[summary..].starts_with(b"\"summary\":") {
        true => &document[..summary],
        false => document,
    }
}

/// The document with all digests computed again, so that only the forged values are wrong.
pub fn reseal(document: &[u8]) -> Vec<u8> {
    let mut sealed = unsealed(document).to_vec();
    let key = b"\"tree\":\"blake3:";
    let tree =
        sealed.windows(key.len()).rposition(|window| window == key).expect("a tree digest") + key.len();
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex();
    sealed[tree..tree + 64].copy_from_slice(digest(&logical_lines(document)).as_bytes());
    let lines = digest_lines(&sealed);
    sealed.extend_from_slice(&lines);
    sealed
}

/// Replaces `from` by `to` in the document of a state file, computes the digests again, and compresses the
/// file.
#[track_caller]
pub fn forge(state: &Path, from: &str, to: &str) {
    let text = String::from_utf8(document(state)).unwrap();
    assert!(text.contains(from), "{from:?} is not in the state");
    let sealed = reseal(text.replacen(from, to, 1).as_bytes());
    let plain = state.with_file_name("forged");
    fs::write(&plain, sealed).unwrap();
    fs::remove_file(state).unwrap();
    run(command("zstd", ["-q", "--rm", "-o"]).arg(state).arg(&plain));
}

/// Gives the snapshot `from` another stamp, in the names of its files and in its state, as if the clock had
/// shown that time. The state must not be compressed.
pub fn travel(store: &Path, from: Stamp, to: Stamp) {
    let (old, new) = (from.to_string(), to.to_string());
    for (name, _) in super::series::stored(store).into_iter().filter(|(name, _)| name.contains(&old)) {
        let path = store.join(&name);
        if name.contains(".state.") {
            let text = String::from_utf8(fs::read(&path).unwrap()).unwrap().replace(&old, &new);
            fs::write(&path, reseal(text.as_bytes())).unwrap();
        }
        fs::rename(&path, store.join(name.replace(&old, &new))).unwrap();
    }
    set_date(store, to, to);
}

/// Sets the field `made_at` of a state. The state must not be compressed.
pub fn set_date(store: &Path, stamp: Stamp, date: Stamp) {
    let name = format!(".state.{stamp}.");
    let state = super::series::stored(store).into_keys().find(|file| file.contains(&name)).expect("a state");
    let text = String::from_utf8(fs::read(store.join(&state)).unwrap()).unwrap();
    let key = "\"made_at\":\"";
    let from = text.find(key).expect("a header") + key.len();
    let to = from + text[from..].find('"').unwrap();
    let text = [&text[..from], &date.to_time().to_string(), &text[to..]].concat();
    fs::write(store.join(&state), reseal(text.as_bytes())).unwrap();
}

/// The digest that b3sum(1) prints for some bytes.
pub fn b3sum(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    b3sum_file(file.path())
}

pub fn b3sum_file(path: &Path) -> String {
    let said = run(command("b3sum", ["--no-names"]).arg(path));
    format!("blake3:{}", String::from_utf8(said).unwrap().trim())
}

/// The input of the tree digest: the bytes of each entry line before its physical part, then LF.
pub fn logical_lines(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let lines = document.split(|&b| b == b'\n').skip_while(|line| line != b"\"entries\":[").skip(1);
    for line in lines.take_while(|line| line != b"],") {
        let key = b",\"at\":{";
        let at = line.windows(key.len()).position(|window| window == key).expect("a physical part");
        out.extend_from_slice(&line[..at]);
        out.push(b'\n');
    }
    out
}
