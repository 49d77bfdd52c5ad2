//! A backup of the entries that its caller chooses, under the names of host and source that the caller chooses.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use ibt::error::Kind;
use ibt::job::ReportedSnapshot;
use support::series::{KEY, refused};
use support::*;

/// The snapshots that a list reports, oldest first.
fn listed(series: &Series) -> Vec<ReportedSnapshot> {
    series.list().whole().snapshots
}

#[test]
fn another_path_of_the_same_directory_is_the_same_source() {
    let mut series = Series::new();
    series.options.key = Some(KEY.into());
    series.write("a", "x");
    fs::create_dir_all(series.beside("deep/er")).unwrap();
    symlink(&series.source, series.beside("link")).unwrap();
    // `ways/..` is `deep`, not the directory of the link.
    symlink(series.beside("deep/er"), series.beside("ways")).unwrap();
    let first = series.source.clone();
    series.snapshot();
    for spelling in ["link", "./tree/.", "tree//", "deep/../tree", "deep/er/../../link/", "ways/../../tree"] {
        series.source = PathBuf::from(format!("{}/{spelling}", series.dir.path().display()));
        series.write("a", spelling);
        let report = series.incremental().whole();
        series.source.clone_from(&first);
        series.keep(&report);
    }
    let first = first.into_os_string().into_encoded_bytes();
    assert!(listed(&series).iter().all(|snapshot| snapshot.source == first), "{:?}", listed(&series));
    series.assert_every_point_restores();
}

#[test]
fn a_source_without_a_key_is_named_by_where_it_leads() {
    let series = Series::new();
    fs::create_dir(series.source.join("below")).unwrap();
    let dotted = Series { source: series.source.join("below/.."), ..series };
    dotted.full().whole();
    let snapshot = &listed(&dotted)[0];
    assert_eq!(snapshot.key, KEY);
    assert!(snapshot.source.ends_with(b"/tree"), "{snapshot:?}");
}

#[test]
fn a_link_that_leads_elsewhere_now_is_the_same_path() {
    let mut series = Series::new();
    series.options.key = Some(KEY.into());
    let link = series.beside("current");
    for version in ["v1", "v2"] {
        fs::create_dir(series.beside(version)).unwrap();
        fs::write(series.beside(version).join("a"), version).unwrap();
        let _ = fs::remove_file(&link);
        symlink(series.beside(version), &link).unwrap();
        series.source = link.clone();
        series.snapshot();
    }
    // The directory that the link named first is another source now.
    series.source = series.beside("v1");
    refused(&series, Kind::Mismatch, Series::incremental);
}

#[test]
fn a_series_keeps_the_names_of_its_caller() {
    let mut series = Series::new();
    series.write("a", "x");
    series.options.key = Some(KEY.into());
    series.options.host = Some("atlas".into());
    series.options.source_name = Some(b"home \xff".to_vec());
    series.snapshot();
    // The tree is found at another path, as a copy of a file system that is mounted for the backup.
    let moved = series.beside("mounted");
    fs::rename(&series.source, &moved).unwrap();
    series.source = moved;
    series.write("b", "y");
    series.snapshot();
    for snapshot in listed(&series) {
        assert_eq!((&*snapshot.host, &*snapshot.source), ("atlas", &b"home \xff"[..]));
    }
    let json = series.list().whole().to_json();
    assert!(json.contains(r#""host":"atlas""#) && json.contains(r#""source":"home %FF""#), "{json}");
    series.assert_every_point_restores();
}

#[test]
fn another_name_of_host_or_source_is_a_mismatch() {
    let mut series = Series::new();
    series.write("a", "x");
    series.options.host = Some("atlas".into());
    series.snapshot();
    for operation in [Series::full, Series::incremental] {
        series.options.host = None;
        let error = refused(&series, Kind::Mismatch, operation);
        assert!(error.to_string().contains("host atlas"), "{error}");
        series.options.host = Some("atlas".into());
        // A name is text: the path of the same directory under another spelling is another name.
        let path = format!("{}/", series.source.display());
        series.options.source_name = Some(path.into_bytes());
        let error = refused(&series, Kind::Mismatch, operation);
        assert!(error.to_string().contains("source"), "{error}");
        series.options.source_name = None;
    }
    series.options.host = Some("other".into());
    series.options.allow_source_change = true;
    series.snapshot();
    assert_eq!(listed(&series)[1].host, "other");
    series.assert_every_point_restores();
}
