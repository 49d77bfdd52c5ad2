//! Reads and forges stored files without the engine, with zstd(1), b3sum(1) and plain JSON.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ibt::stamp::Stamp;
use serde_json::Value;

pub use super::sealed::{digest_line, digest_lines, reseal, unsealed};

use super::sealed::{entry_lines, logical};
use super::tools::{command, run};

/// The document of a state file, decompressed.
pub fn document(state: &Path) -> Vec<u8> {
    if state.extension().is_some_and(|ext| ext == "zst") {
        run(command("zstd", ["-dcq"]).arg(state))
    } else {
        fs::read(state).unwrap()
    }
}

/// The state of a snapshot with all its entries: merges the state file with its layers, which must be in the same
/// directory. `archives` lists the archives of the whole snapshot, and the entries have the numbers of this list.
pub fn parse(state: &Path) -> Value {
    let mut merged = file(state);
    let Some(layers) = merged["layers"].as_array().cloned() else { return merged };
    let uses = merged["uses"].as_array().expect("what the layers are used for").clone();
    let layer = |layer: &Value| file(&layer_path(state, layer));
    let mut files: Vec<(Value, Option<String>)> =
        layers.iter().zip(&uses).map(|(l, uses)| (layer(l), uses.as_str().map(str::to_string))).collect();
    files.reverse();
    files.push((merged.clone(), None));
    let mut archives: Vec<Value> = Vec::new();
    let mut entries = BTreeMap::new();
    for (file, uses) in files {
        let numbers = join(file["archives"].as_array().unwrap(), uses.as_deref(), &mut archives);
        for line in file["entries"].as_array().unwrap() {
            match line["gone"].as_str() {
                Some(gone) => entries.retain(|path: &Vec<Vec<u8>>, _| !path.starts_with(&components(gone))),
                None => drop(
                    entries.insert(components(line["path"].as_str().unwrap()), renumbered(line, &numbers)),
                ),
            }
        }
    }
    merged["archives"] = archives.into();
    merged["entries"] = entries.into_values().collect();
    merged
}

/// The document of one state file, without its layers.
pub fn file(state: &Path) -> Value {
    serde_json::from_slice(&document(state)).unwrap()
}

/// The document of a stored state or partial state, whose name may end in a number.
pub fn named_document(name: &str, bytes: &[u8]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(if name.contains(".zst") { "document.zst" } else { "document" });
    fs::write(&path, bytes).unwrap();
    file(&path)
}

/// The names of the files of all archives that the document of a state names.
pub fn archive_names(document: &Value) -> Vec<String> {
    let files = document["archives"].as_array().unwrap().iter().flat_map(files);
    files.map(|file| file["name"].as_str().unwrap().to_string()).collect()
}

/// The state files that a snapshot needs: its own, then its layers.
pub fn state_files(state: &Path) -> Vec<PathBuf> {
    let layers = file(state)["layers"].as_array().cloned().unwrap_or_default();
    let layers = layers.iter().map(|layer| layer_path(state, layer));
    std::iter::once(state.to_path_buf()).chain(layers).collect()
}

/// The state file of a layer.
fn layer_path(state: &Path, layer: &Value) -> PathBuf {
    let stamp = format!(".state.{}.", layer["snapshot"].as_str().unwrap());
    let mut names = super::series::stored(state.parent().unwrap()).into_keys();
    let name = names.find(|name| name.contains(&stamp)).unwrap_or_else(|| panic!("no layer {stamp}"));
    state.with_file_name(name)
}

/// Adds the archives of one state file to `all`, except the archives that the snapshot does not use. `uses` has the
/// character '1' for each archive in use. Returns for each archive its number in `all`, or `None` if it is not in use.
fn join(archives: &[Value], uses: Option<&str>, all: &mut Vec<Value>) -> Vec<Option<usize>> {
    let mut number = |archive: &Value| {
        all.iter().position(|known| known["name"] == archive["name"]).unwrap_or_else(|| {
            all.push(archive.clone());
            all.len() - 1
        })
    };
    let is_used = |n: usize| uses.is_none_or(|uses| uses.as_bytes()[n] == b'1');
    archives.iter().enumerate().map(|(n, archive)| is_used(n).then(|| number(archive))).collect()
}

/// The entry with the archive numbers of the whole snapshot. A number is `null` if the snapshot does not use the
/// archive: a newer layer replaces such an entry.
fn renumbered(entry: &Value, numbers: &[Option<usize>]) -> Value {
    let mut entry = entry.clone();
    for list in ["/at/content", "/at/sig/content"] {
        for range in entry.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            range[0] = numbers[range[0].as_u64().unwrap() as usize].into();
        }
    }
    entry
}

/// The components of an encoded path. Entries are sorted by components: `a/b` comes before `a-b`.
fn components(path: &str) -> Vec<Vec<u8>> {
    let path = ibt::text::decode_name(path).unwrap();
    if path.is_empty() {
        return Vec::new();
    }
    path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
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

/// The files of an archive in a state: its parts, or the archive itself.
pub fn files(archive: &Value) -> Vec<Value> {
    archive["parts"].as_array().cloned().unwrap_or_else(|| vec![archive.clone()])
}

/// The names of the files with a byte of `range`.
pub fn files_of(state: &Value, range: &Value) -> Vec<String> {
    let number = |index: usize| range[index].as_u64().unwrap();
    let (from, end) = (number(1), number(1) + number(2));
    let (mut at, mut names) = (0, Vec::new());
    for file in files(&state["archives"][number(0) as usize]) {
        let start = at;
        at += file["stream"].as_u64().unwrap();
        if start < end && from < at {
            names.push(file["name"].as_str().unwrap().to_string());
        }
    }
    names
}

/// The stored bytes of an archive, one part after the other.
pub fn join_parts(store: &Path, archive: &Value) -> Vec<u8> {
    let part = |file: Value| fs::read(store.join(file["name"].as_str().unwrap())).unwrap();
    files(archive).into_iter().flat_map(part).collect()
}

/// The uncompressed stream of an archive.
pub fn stream(store: &Path, archive: &Value) -> Vec<u8> {
    let joined = join_parts(store, archive);
    if !archive["name"].as_str().unwrap().ends_with(".zst") {
        return joined;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), joined).unwrap();
    run(command("sh", ["-c", "zstd -dcq < \"$0\""]).arg(file.path()))
}

/// The bytes of a range of the archives of `state`, which lie in the same directory as the states.
#[track_caller]
pub fn range(store: &Path, state: &Value, range: &Value) -> Vec<u8> {
    let number = |index: usize| range[index].as_u64().unwrap() as usize;
    stream(store, &state["archives"][number(0)])[number(1)..][..number(2)].to_vec()
}

/// The signature at `sig`. rdiff(1) makes it from the whole signature and the deltas.
#[track_caller]
pub fn signature(store: &Path, state: &Value, sig: &Value) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (whole, deltas) = sig["content"].as_array().unwrap().split_first().unwrap();
    fs::write(path("signature"), range(store, state, whole)).unwrap();
    for delta in deltas {
        fs::write(path("delta"), range(store, state, delta)).unwrap();
        run(command("rdiff", ["patch"]).args(["signature", "delta", "new"].map(path)));
        fs::rename(path("new"), path("signature")).unwrap();
    }
    let signature = fs::read(path("signature")).unwrap();
    assert_eq!(sig["hash"], format!("blake3:{}", &blake3::hash(&signature).to_hex()[..32]), "{sig}");
    signature
}

/// Replaces `from` by `to` in the document of a state file, computes the digests again, and compresses the
/// file.
#[track_caller]
pub fn forge(state: &Path, from: &str, to: &str) {
    let text = String::from_utf8(document(state)).unwrap();
    assert!(text.contains(from), "{from:?} is not in the state");
    rewrite(state, &text.replacen(from, to, 1));
}

/// Writes a document in place of a state file, with the digests computed again, and compresses it.
pub fn rewrite(state: &Path, text: &str) {
    let sealed = reseal(text.as_bytes());
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

/// The input of the tree digest of a snapshot: for each entry the bytes of its line before the physical part, then LF.
pub fn logical_lines(state: &Path) -> Vec<u8> {
    let documents: Vec<_> = state_files(state).iter().map(|file| document(file)).collect();
    let mut entries = BTreeMap::new();
    for line in documents.iter().rev().flat_map(|document| entry_lines(document)) {
        let value: Value = serde_json::from_slice(line).unwrap();
        match value["gone"].as_str() {
            Some(gone) => entries.retain(|path: &Vec<Vec<u8>>, _| !path.starts_with(&components(gone))),
            None => drop(entries.insert(components(value["path"].as_str().unwrap()), logical(line))),
        }
    }
    entries.into_values().flat_map(|line| [line, b"\n"].concat()).collect()
}

/// Changes one bit of the byte at `at`.
pub fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
