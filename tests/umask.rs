//! The umask of the process takes no right from libibt in the files and directories that it makes for itself.

mod support;

use std::fs;
use std::path::Path;

use ibt::job::{Cancel, Job, Keep, Options, Overwrite, Select, Silent, meta};
use ibt::store::{DirAccess, DirStore};
use support::tools::{as_ordinary_user, command, run, set_mode};
use support::*;

/// Runs an operation under a umask. All tests of this program would be affected: there is only one.
fn under<T>(mask: u32, operation: impl FnOnce() -> T) -> T {
    // SAFETY: the call reads no memory.
    let before = unsafe { libc::umask(mask as _) };
    let result = operation();
    // SAFETY: see above.
    unsafe { libc::umask(before) };
    result
}

#[test]
fn every_operation_works_under_any_umask() {
    if !as_ordinary_user("every_operation_works_under_any_umask") {
        return;
    }
    for mask in [0o277, 0o377, 0o577, 0o777, 0o077, 0] {
        let mut series = Series::new();
        series.options.cache_dir = Some(series.beside("cache/deep/er"));
        series.store = series.beside("stores/of/mine");
        series.write("dir/deeper/a", noise(1, 60_000));
        set_mode(&series.write("b", "small"), 0o640);
        let full = || {
            let mut store = DirStore::open_with(&series.store, DirAccess::CreateParents).unwrap();
            let (cancel, mut observer) = (Cancel::default(), Silent);
            let mut job = Job::new(&series.options, &cancel, &mut observer);
            ibt::backup::full(&mut store, &series.source, &mut job).map(|()| job.report)
        };
        let report = under(mask, full).unwrap_or_else(|error| panic!("{mask:o}: {error}"));
        series.keep(&report);
        series.write("dir/deeper/a", [noise(1, 60_000), noise(2, 500)].concat());
        let report = under(mask, || series.incremental()).whole();
        series.keep(&report);
        under(mask, || series.list()).whole();
        under(mask, || series.verify(&series.options)).whole();
        let dest = series.beside("there");
        under(mask, || series.restore(Select::Newest, &dest)).whole();
        series.points[1].kept.assert_is(&dest);
        fs::write(dest.join("dir/deeper/a"), "changed").unwrap();
        fs::remove_dir_all(dest.join("dir/deeper")).unwrap();
        let over = Options { overwrite: Overwrite::Always, ..series.options.clone() };
        under(mask, || series.restore_with(&over, &dest, &mut Silent)).whole();
        series.points[1].kept.assert_is(&dest);
        // Without the recorded modes.
        let plain = Options { restore_metadata: Some(meta::ALL & !meta::MODE), ..series.options.clone() };
        let plainly = series.beside("plain");
        under(mask, || series.restore_with(&plain, &plainly, &mut Silent)).whole();
        assert!(fs::read_dir(plainly.join("dir/deeper")).unwrap().count() == 1, "{mask:o}");
        fs::remove_dir_all(series.cache()).unwrap();
        under(mask, || series.rebuild_cache()).whole();
        under(mask, || series.consolidate()).whole();
        under(mask, || series.prune(&series.keeping(Keep { last: 1, ..Keep::default() }))).whole();
        series.assert_newest_is_the_source();
        let chain = series.beside("chain");
        make_ancestor_chain(&chain);
        under(mask, || import(&series, &chain));
    }
}

/// Makes backups of the Python ancestor.
fn make_ancestor_chain(dir: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ancestor_chain.py");
    fs::create_dir(dir).unwrap();
    run(command("python3", [&script]).arg("broken").arg(dir).arg("nothing"));
}

/// Imports both backups of the chain into a new store.
fn import(series: &Series, chain: &Path) {
    let (mut store, mut from) =
        (DirStore::open(series.beside("imported")), DirStore::open(chain.join("store")));
    let (cancel, mut observer) = (Cancel::default(), Silent);
    let mut job = Job::new(&series.options, &cancel, &mut observer);
    ibt::ancestor::import(&mut store, Some(&mut from), "docs", &mut job).unwrap();
    assert_eq!(job.report.snapshots.len(), 2);
}
