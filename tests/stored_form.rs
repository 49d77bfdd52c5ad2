//! Other tools read the files of a store: tar, zstd, rdiff, jq, b3sum.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use ibt::job::{Codec, DeltaMode};
use proptest::collection::vec;
use proptest::prelude::*;
use support::facts::TreeFacts;
use support::tools::command;
use support::tree::set_mtime;
use support::*;

/// The facts of everything below the root. An archive need not hold the root itself.
fn below_root(mut facts: TreeFacts) -> TreeFacts {
    facts.remove(&b""[..]);
    facts
}

fn untar(archive: &Path, dest: &Path) {
    fs::create_dir(dest).unwrap();
    let mut tar = command("tar", ["--xattrs", "--xattrs-include=*", "--acls", "-xp"]);
    if archive.extension().is_some_and(|ext| ext == "zst") {
        tar.arg("--zstd");
    }
    run(tar.arg("-f").arg(archive).arg("-C").arg(dest));
}

/// Restores a snapshot without the library, with the recipes of `docs/format.md`.
fn by_hand(series: &Series, state: &Path, dest: &Path) {
    with_recipes(series, state, "check\ntree \"$1\"", dest);
}

/// Runs commands after the recipes of `docs/format.md`.
fn with_recipes(series: &Series, state: &Path, commands: &str, dest: &Path) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let page = fs::read_to_string(page).unwrap();
    let recipes = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let program = format!("set -e\n{}\n{commands}", recipes.collect::<String>());
    let work = tempfile::tempdir().unwrap();
    let mut bash = command("bash", ["-c", &program, "bash"]);
    bash.arg(dest).current_dir(&series.store).env("LC_ALL", "C");
    run(bash.env("STATE", state.file_name().unwrap()).env("work", work.path()));
}

/// The state files of the store, oldest first.
fn states(series: &Series) -> Vec<PathBuf> {
    let names = series.stored().into_keys().filter(|name| name.starts_with("tree.state."));
    names.map(|name| series.store.join(name)).collect()
}

/// The uncompressed stream of an archive.
fn stream(archive: &Path) -> Vec<u8> {
    stored::document(archive)
}

/// Checks the digests and sizes in a state, of the state itself and of its archives.
fn assert_state_is_true(series: &Series, path: &Path) {
    let document = stored::document(path);
    let state = stored::parse(path);
    let signed = &document[..stored::digest_line(&document)];
    assert_eq!(state["digest"], stored::b3sum(signed), "document digest");
    assert_eq!(state["tree"], stored::b3sum(&stored::logical_lines(path)), "tree digest");
    assert_eq!(document.last(), Some(&b'\n'));
    for archive in state["archives"].as_array().unwrap() {
        let joined = stored::join_parts(&series.store, archive);
        assert_eq!(archive["size"], joined.len(), "{archive}");
        assert_eq!(archive["digest"], stored::b3sum(&joined), "{archive}");
        assert_eq!(archive["stream"], stored::stream(&series.store, archive).len(), "{archive}");
    }
}

proptest! {
    #![proptest_config(cases(3))]

    #[test]
    fn gnu_tar_restores_a_full(tree in trees(24), compressed in any::<bool>()) {
        let mut series = Series::new();
        series.options.codec = if compressed { Codec::Zstd(1) } else { Codec::None };
        tree.make(&series.source);
        series.snapshot();
        let dest = series.beside("untarred");
        untar(&series.newest("full"), &dest);
        assert_same_facts(&below_root(facts(&series.source)), &below_root(facts(&dest)));
    }

    #[test]
    fn a_snapshot_is_restored_by_hand(tree in trees(12), rounds in vec(edits(5), 1..4), in_parts: bool) {
        let mut series = Series::new();
        series.options.allow_empty = true;
        series.options.part_size = if in_parts { 10_000 } else { 0 };
        tree.make(&series.source);
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            series.snapshot();
        }
        for (index, state) in states(&series).iter().enumerate() {
            assert_state_is_true(&series, state);
            let dest = series.beside(&format!("by-hand-{index}"));
            by_hand(&series, state, &dest);
            series.points[index].kept.assert_is(&dest);
        }
    }
}

/// Attributes and devices that are easily forgotten.
#[test]
fn rare_attributes_and_devices_are_restored_by_hand() {
    let mut series = Series::new();
    for (name, mtime) in [("old", (-2, 750_000_000)), ("before", (-1, 1)), ("even", (-7, 0)), ("new", (1, 5))]
    {
        set_mtime(&series.write(name, name), mtime);
    }
    let empty = series.write("empty value", "");
    let set = tools::output(command("setfattr", ["-n", "user.nothing"]).arg(&empty));
    if !set.status.success() {
        skip("no extended attributes here");
    }
    for (name, kind, major, minor) in [("c", "c", "5", "77"), ("b", "b", "259", "70000")] {
        if is_root() {
            run(command("mknod", [name, kind, major, minor]).current_dir(&series.source));
        }
    }
    series.snapshot();
    let dest = series.beside("by-hand");
    by_hand(&series, &states(&series)[0], &dest);
    series.points[0].kept.assert_is(&dest);
}

/// A large file with many deltas. rdiff applies every delta.
#[test]
fn rdiff_applies_every_delta_of_a_chain() {
    let mut series = Series::new();
    let mut bytes = prose(1, 700_000);
    series.write("f", &bytes);
    series.snapshot();
    for round in 0..6u64 {
        bytes.splice(100_000 * round as usize..100_000 * round as usize + 50, noise(round, 700));
        bytes.extend_from_slice(&noise(round, 300));
        series.write("f", &bytes);
        series.snapshot();
    }
    let last = states(&series).pop().unwrap();
    let content = &stored::entry(&stored::parse(&last), "f")["at"]["content"];
    assert_eq!(content.as_array().unwrap().len(), 7);
    let dest = series.beside("by-hand");
    by_hand(&series, &last, &dest);
    series.points[6].kept.assert_is(&dest);
}

/// rdiff's signature of a file, with the parameters of `ours`.
fn rdiff_signature(ours: &[u8], file: &Path, to: &Path) -> Vec<u8> {
    assert_eq!(ours[..4], 0x7273_0147u32.to_be_bytes(), "{file:?}: magic");
    let word = |at: usize| u32::from_be_bytes(ours[at..at + 4].try_into().unwrap());
    assert_eq!(word(8), 16, "{file:?}: strong sum length");
    let mut rdiff = command("rdiff", ["-f", "-H", "blake2", "-R", "rabinkarp", "-S", "16", "-b"]);
    run(rdiff.arg(word(4).to_string()).arg("signature").arg(file).arg(to));
    fs::read(to).unwrap()
}

#[test]
fn signatures_are_those_of_rdiff() {
    let mut series = Series::new();
    series.options.delta = DeltaMode::Signatures;
    for (name, len) in [("small", 16_384), ("odd", 100_001), ("large", 3_000_000), ("tiny", 100)] {
        series.write(name, noise(len as u64, len));
    }
    series.snapshot();
    let mut bytes = fs::read(series.source.join("large")).unwrap();
    bytes.splice(1_000_000..1_000_001, *b"two of them");
    series.write("large", bytes);
    series.snapshot();
    for (state, point) in states(&series).iter().zip(&series.points) {
        let state = stored::parse(state);
        assert!(stored::entry(&state, "tiny")["at"]["sig"].is_null(), "too small to repay a signature");
        for name in ["small", "odd", "large"] {
            let sig = &stored::entry(&state, name)["at"]["sig"];
            let ours = stored::signature(&series.store, &state, sig);
            let theirs = rdiff_signature(&ours, &point.kept.copy.join(name), &series.beside("signature"));
            assert!(ours == theirs, "{name}: not rdiff's signature");
        }
    }
}

/// The signatures of every snapshot of a chain, which the recipe makes of a whole signature and deltas.
#[test]
fn signatures_are_put_together_by_hand() {
    let mut series = Series::new();
    let mut bytes = noise(1, 700_000);
    for round in 0..4 {
        bytes[100_000 * round] ^= 1;
        bytes.extend_from_slice(&noise(round as u64, 300));
        series.write("f", &bytes);
        series.snapshot();
    }
    for (round, (state, point)) in states(&series).iter().zip(&series.points).enumerate() {
        let parts = &stored::entry(&stored::parse(state), "f")["at"]["sig"]["content"];
        assert_eq!(parts.as_array().unwrap().len(), round + 1, "{parts}");
        let made = series.beside(&format!("signature-{round}"));
        with_recipes(&series, state, "signature f\nmv \"$work/signature\" \"$1\"", &made);
        let ours = fs::read(&made).unwrap();
        let theirs = rdiff_signature(&ours, &point.kept.copy.join("f"), &series.beside("signature"));
        assert!(ours == theirs, "round {round}");
    }
}

/// The compressed sizes of an archive's frames, from the seek table.
fn frames_of(archive: &[u8]) -> Vec<usize> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let (rest, footer) = archive.split_at(archive.len() - 9);
    assert_eq!((word(&footer[5..]), footer[4]), (0x8f92_eab1, 0), "the end of a seek table");
    let table = &rest[rest.len() - 8 * word(footer)..];
    table.chunks(8).map(word).collect()
}

#[test]
fn zstd_accepts_every_file() {
    let mut series = Series::new();
    series.options.codec = Codec::Zstd(3);
    series.write("large", noise(1, 9_000_000));
    series.write("small", prose(1, 300_000));
    series.snapshot();
    let mut bytes = prose(1, 300_000);
    bytes.extend_from_slice(b"more");
    series.write("small", bytes);
    series.write("new", "new");
    series.snapshot();
    let files = series.stored();
    assert_eq!(files.len(), 7, "{files:?}");
    for name in files.keys() {
        let path = series.store.join(name);
        run(command("zstd", ["-tq"]).arg(&path));
        run(command("zstd", ["-l"]).arg(&path));
    }
    // Each frame has its content size and a checksum. Behind the frames is the seek table, a skippable frame.
    let full = series.newest("full");
    let said = run(command("zstd", ["-lv"]).arg(&full));
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("XXH64") && said.contains("Decompressed Size"), "{said}");
    assert!(said.contains("Skippable Frames: 1"), "{said}");
    // Frames of 4 MiB do not depend on each other: zstd decompresses each of them alone.
    let archive = fs::read(&full).unwrap();
    let (mut rest, mut whole, mut lens) = (&archive[..], Vec::new(), Vec::new());
    let piece = series.beside("frame.zst");
    for compressed in frames_of(&archive) {
        let frame;
        (frame, rest) = rest.split_at(compressed);
        fs::write(&piece, frame).unwrap();
        let bytes = run(command("zstd", ["-dcq"]).arg(&piece));
        lens.push(bytes.len());
        whole.extend(bytes);
    }
    assert!(rest.starts_with(&0x184d_2a5eu32.to_le_bytes()), "the table follows the frames");
    assert!(lens.len() == 3 && lens[..2] == [4 << 20; 2], "{lens:?}");
    assert!(whole == stream(&full));
    let list = run(command("tar", ["--zstd", "-tf"]).arg(series.newest("full")));
    let list = String::from_utf8(list).unwrap();
    assert!(list.contains("large") && list.contains("small"), "{list}");
}

#[test]
fn uncompressed_files_say_so_in_their_names() {
    let mut series = Series::new();
    series.options.codec = Codec::None;
    series.write("f", noise(1, 50_000));
    series.snapshot();
    let stamp = series.points[0].stamp;
    let names: Vec<_> = series.stored().into_keys().collect();
    let expected = [("full", "tar"), ("sigvault", "tar"), ("state", "json")];
    assert_eq!(names, expected.map(|(kind, end)| format!("tree.{kind}.{stamp}.{end}")));
    run(command("tar", ["-tf"]).arg(series.newest("full")));
}

/// A person who opens the archives of an increment sees whole files under their names, and deltas for rdiff.
#[test]
fn members_of_an_increment_stand_under_their_names() {
    let mut series = Series::new();
    let old = noise(1, 200_000);
    series.write("dir/grown", &old);
    series.snapshot();
    let new = [&old[..], b"and more"].concat();
    series.write("dir/grown", &new);
    series.write("dir/new", "a new file");
    series.snapshot();
    let (created, updated) = (series.beside("created"), series.beside("updated"));
    untar(&series.newest("created"), &created);
    untar(&series.newest("updated"), &updated);
    assert_eq!(fs::read(created.join("dir/new")).unwrap(), b"a new file");
    let (basis, patched) = (series.beside("basis"), series.beside("patched"));
    fs::write(&basis, &old).unwrap();
    run(command("rdiff", ["patch"]).arg(&basis).arg(updated.join("dir/grown")).arg(&patched));
    assert_eq!(fs::read(&patched).unwrap(), new);
}

#[test]
fn bsdtar_restores_a_full() {
    let mut series = Series::new();
    let file = series.write("dir/file with a name that is longer than the hundred bytes of a header, so that it needs a pax record of its own", "content");
    let _ = run(command("setfattr", ["-n", "user.plain", "-v", "value"]).arg(&file));
    fs::hard_link(&file, series.source.join("link")).unwrap();
    std::os::unix::fs::symlink("no/such/place", series.source.join("dangling")).unwrap();
    set_mtime(&file, (1_000_000_000, 123_456_789));
    let holes = tree::Content::Sparse { segments: vec![true, false, true], more: 7, seed: 1 };
    holes.write(&series.source.join("holes")).unwrap();
    series.snapshot();
    let dest = series.beside("untarred");
    fs::create_dir(&dest).unwrap();
    let mut tar = command("bsdtar", ["--xattrs", "--acls", "-xpf"]);
    run(tar.arg(series.newest("full")).arg("-C").arg(&dest).env("LC_ALL", "C.UTF-8"));
    assert_same_facts(&below_root(facts(&series.source)), &below_root(facts(&dest)));
}
