//! Forged layers, and forged lists of layers, in files whose digests are right. Every reader refuses the snapshot, and
//! names the file.

use std::fs;
use std::path::{Path, PathBuf};

use ibt::job::Select;
use serde_json::{Value, json};

use crate::support::layered::layered_chain;
use crate::support::series::{Fork, KEY};
use crate::support::*;

/// A full and three increments; the last increment has the other three as layers, the newest first.
struct Forging<'s> {
    fork: Fork<'s>,
    /// The state files, the newest first.
    files: Vec<PathBuf>,
}

impl Forging<'_> {
    fn new(series: &Series) -> Forging<'_> {
        let fork = series.fork();
        fork.twin.forget_cache();
        let files = series.points.iter().rev().map(|point| fork.twin.state_of(point.stamp)).collect();
        Forging { fork, files }
    }

    /// The list with this key in the newest state.
    fn list(&self, key: &str) -> Vec<Value> {
        stored::file(&self.files[0])[key].as_array().unwrap().clone()
    }

    /// Replaces the list with this key in the newest state.
    fn set(&self, key: &str, list: Vec<Value>) {
        let text = String::from_utf8(stored::document(&self.files[0])).unwrap();
        let begin = text.find(&format!("\n\"{key}\":[")).unwrap() + 1;
        let end = begin + text[begin..].find(']').unwrap() + 1;
        let items: Vec<_> = list.iter().map(item).collect();
        stored::forge(&self.files[0], &text[begin..end], &format!("\"{key}\":[{}]", items.join(",")));
    }

    /// Writes the current size and digest of the layer at `index` into the list of the newest state.
    fn name_layer(&self, index: usize) {
        let mut layers = self.list("layers");
        let file = &self.files[index + 1];
        layers[index]["size"] = fs::metadata(file).unwrap().len().into();
        layers[index]["digest"] = stored::file(file)["digest"].clone();
        self.set("layers", layers);
    }

    /// Asserts that a restore and a verify refuse the newest snapshot, with a message that contains the stamp of one of
    /// the files `about`. An increment must not build on the newest snapshot.
    #[track_caller]
    fn assert_refused(&self, about: &[&Path], what: &str) {
        let (twin, points) = (&self.fork.twin, self.fork.points);
        let newest = points[3].stamp;
        let names = about.iter().map(|file| file.file_name().unwrap().to_str().unwrap());
        let names: Vec<_> = names.map(|name| name.split('.').nth(2).expect("a stamp")).collect();
        let dest = twin.beside("restored");
        let error = twin.restore(Select::Exactly(newest), &dest).result.expect_err(what);
        // The advice at the end of the message names an older snapshot.
        let message = error.to_string();
        let reason = message.split("; the newest older snapshot").next().unwrap();
        assert!(names.iter().any(|name| reason.contains(name)), "{what}: {error}");
        assert!(error.is_damage(), "{what}: {error:?}");
        assert!(!dest.exists(), "{what}");
        let verified = twin.verify(&twin.options).partial();
        let told = verified.problems.iter().filter(|problem| problem.snapshot == Some(newest));
        let said: Vec<_> = told.map(|problem| problem.message.clone()).collect();
        assert!(said.iter().any(|text| names.iter().any(|name| text.contains(name))), "{what}: {said:?}");
        // A list may find the damage or not, because it does not read the entries.
        twin.list().ok();
        let made = twin.incremental();
        if made.result.is_ok() {
            let parent = stored::file(&twin.newest("state"))["parent"]["snapshot"].clone();
            assert_ne!(parent, newest.to_string(), "{what}");
            twin.assert_newest_is_the_source();
        }
    }
}

/// A value as JSON, with its fields in the order of the writer.
fn item(value: &Value) -> String {
    match value.as_object() {
        Some(layer) => {
            format!(
                r#"{{"snapshot":{},"size":{},"digest":{}}}"#,
                layer["snapshot"], layer["size"], layer["digest"]
            )
        }
        None => value.to_string(),
    }
}

/// Forging alone does no harm: if it writes the same values again, the snapshot restores. The other tests rely on this.
#[test]
fn what_is_forged_to_the_same_still_restores() {
    let series = layered_chain();
    let forging = Forging::new(&series);
    forging.set("layers", forging.list("layers"));
    forging.set("uses", forging.list("uses"));
    for index in [2, 1, 0] {
        let text = String::from_utf8(stored::document(&forging.files[index + 1])).unwrap();
        stored::forge(&forging.files[index + 1], &text[..20], &text[..20]);
        forging.name_layer(index);
        forging.fork.assert_point_restores(3);
    }
}

#[test]
fn a_layer_with_the_bytes_of_another_file_is_refused() {
    let series = layered_chain();
    for index in 1..4 {
        for other in (0..4).filter(|other| *other != index) {
            let forging = Forging::new(&series);
            let what = format!("file {other} in the place of {index}");
            fs::copy(&forging.files[other], &forging.files[index]).unwrap();
            forging.assert_refused(&[&forging.files[index]], &what);
            // Even if the list has the size and digest of this file, it is the state of another snapshot.
            let forging = Forging::new(&series);
            fs::copy(&forging.files[other], &forging.files[index]).unwrap();
            forging.name_layer(index - 1);
            forging.assert_refused(&[&forging.files[index], &forging.files[0]], &what);
        }
    }
}

/// A layer is replaced by another valid state with the same stamp and the same size.
#[test]
fn a_layer_of_the_same_size_with_other_entries_is_refused() {
    let series = layered_chain();
    let mut wrong_trees = 0;
    for index in 1..4 {
        let forging = Forging::new(&series);
        let text = String::from_utf8(stored::document(&forging.files[index])).unwrap();
        let at = text.find("\"mode\":\"0644\"").unwrap();
        let (size, what) = (text.len(), format!("layer {index}"));
        stored::forge(&forging.files[index], &text[at..at + 13], "\"mode\":\"0600\"");
        assert_eq!(stored::document(&forging.files[index]).len(), size);
        // Compressed, the new layer may have another size. So the list gets this size, but keeps the old digest.
        let mut layers = forging.list("layers");
        layers[index - 1]["size"] = fs::metadata(&forging.files[index]).unwrap().len().into();
        forging.set("layers", layers);
        forging.assert_refused(&[&forging.files[index]], &what);
        // Now the list gets the digest of the new layer too. The tree digest of the snapshot is then wrong, unless a
        // newer layer replaces the changed entry.
        let forging = Forging::new(&series);
        stored::forge(&forging.files[index], &text[at..at + 13], "\"mode\":\"0600\"");
        forging.name_layer(index - 1);
        if stored::b3sum(&stored::logical_lines(&forging.files[0])) != stored::file(&forging.files[0])["tree"]
        {
            forging.assert_refused(&[&forging.files[0]], &what);
            wrong_trees += 1;
        }
    }
    assert!(wrong_trees > 0, "newer layers replace every entry that was changed");
}

#[test]
fn a_layer_of_another_series_or_key_is_refused() {
    let series = layered_chain();
    for index in 1..4 {
        let own = stored::file(&Forging::new(&series).files[index])["series"].as_str().unwrap().to_string();
        let foreign = "0123456789abcdef0123456789abcdef";
        let edits = [
            (format!("\"series\":\"{own}\""), format!("\"series\":\"{foreign}\"")),
            (format!("\"key\":\"{KEY}\""), "\"key\":\"other\"".to_string()),
        ];
        for (from, to) in edits {
            let forging = Forging::new(&series);
            stored::forge(&forging.files[index], &from, &to);
            forging.name_layer(index - 1);
            forging.assert_refused(&[&forging.files[index], &forging.files[0]], &to);
        }
    }
}

#[test]
fn a_wrong_list_of_layers_is_refused() {
    let series = layered_chain();
    let own = Forging::new(&series).list("layers");
    let with = |index: usize, field: &str, value: Value| {
        let mut list = own.clone();
        list[index][field] = value;
        list
    };
    let other = |index: usize| own[(index + 1) % 3].clone();
    let mut lists = vec![
        ("no layer", vec![]),
        ("reversed", own.iter().rev().cloned().collect()),
        ("the last one is not whole", own[..2].to_vec()),
        ("without the first", own[1..].to_vec()),
        ("a whole one in the middle", vec![own[0].clone(), own[2].clone(), own[1].clone()]),
        ("twice", vec![own[0].clone(), own[0].clone(), own[2].clone()]),
        ("nine", (0..9).map(|n| own[n % 3].clone()).collect()),
        ("nine in order", nine(&own)),
        ("itself", with(0, "snapshot", series.points[3].stamp.to_string().into())),
        ("no object", vec![json!(1), own[1].clone(), own[2].clone()]),
    ];
    for (index, layer) in own.iter().enumerate() {
        let size = layer["size"].as_u64().unwrap();
        lists.push(("too long", with(index, "size", (size + 1).into())));
        lists.push(("too short", with(index, "size", (size - 1).into())));
        lists.push(("empty", with(index, "size", 0.into())));
        lists.push(("huge", with(index, "size", u64::MAX.into())));
        lists.push(("another digest", with(index, "digest", other(index)["digest"].clone())));
        lists.push(("another stamp", with(index, "snapshot", other(index)["snapshot"].clone())));
    }
    for (what, list) in lists {
        let forging = Forging::new(&series);
        forging.set("layers", list);
        let about: Vec<_> = forging.files.iter().map(|file| &**file).collect();
        forging.assert_refused(&about, what);
    }
}

/// Nine layers in the right order, of which only the last three exist.
fn nine(own: &[Value]) -> Vec<Value> {
    let newest = own[0]["snapshot"].as_str().unwrap();
    let above = (0..6).rev().map(|n| {
        let later = format!("{}{n}Z", &newest[..newest.len() - 2]);
        json!({"snapshot": later, "size": 1, "digest": own[0]["digest"]})
    });
    above.chain(own.iter().cloned()).collect()
}

#[test]
fn a_wrong_list_of_uses_is_refused() {
    let series = layered_chain();
    let own: Vec<String> =
        Forging::new(&series).list("uses").iter().map(|uses| uses.as_str().unwrap().to_string()).collect();
    let mut lists: Vec<(String, Vec<String>)> = vec![
        ("none".into(), vec![]),
        ("one too few".into(), own[..2].to_vec()),
        ("one too many".into(), [&own[..], &own[..1]].concat()),
    ];
    for index in 0..3 {
        let mut with = |what: &str, uses: String| {
            let mut list = own.clone();
            list[index] = uses;
            lists.push((format!("{what} at {index}"), list));
        };
        with("a digit too few", own[index][1..].to_string());
        with("a digit too many", format!("{}1", own[index]));
        with("no digit", own[index].replacen('1', "2", 1));
        with("a missing archive", own[index].replacen('1', "0", 1));
    }
    for (what, list) in lists {
        let forging = Forging::new(&series);
        forging.set("uses", list.into_iter().map(Value::from).collect());
        let about: Vec<_> = forging.files.iter().map(|file| &**file).collect();
        forging.assert_refused(&about, &what);
    }
    // The whole field is missing.
    let forging = Forging::new(&series);
    let text = String::from_utf8(stored::document(&forging.files[0])).unwrap();
    let begin = text.find("\n\"uses\":[").unwrap() + 1;
    let end = begin + text[begin..].find('\n').unwrap() + 1;
    stored::forge(&forging.files[0], &text[begin..end], "");
    forging.assert_refused(&[&forging.files[0]], "missing");
}
