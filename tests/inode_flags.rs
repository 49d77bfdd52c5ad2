//! Flags of chattr(1), project ids and birth times: recorded, restored after everything else, and compared. lsattr(1)
//! and stat(1) are the oracles.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ibt::job::{Cancel, Counter, Options, Overwrite, ProblemKind, Report, meta};
use support::series::{KEY, Series};
use support::stored;
use support::tools::{Mount, as_ordinary_user, command, output, set_mode};
use support::{is_root, run, skip};

fn chattr(args: &[&str], path: &Path) {
    run(command("chattr", args).arg(path));
}

/// The lines of `lsattr -pR` with paths below `tree`, without the flag of ext4 for its own way of storing extents.
fn lsattr(tree: &Path) -> Vec<String> {
    let mut list = command("lsattr", ["-Rpa"]);
    list.arg(tree);
    let mut itself = command("lsattr", ["-pd"]);
    itself.arg(tree);
    let text = [run(&mut itself), run(&mut list)].concat();
    let text = String::from_utf8(text).unwrap();
    let of_entry = |line: &&str| line.contains(&*tree.to_string_lossy()) && !line.ends_with(['.', ':']);
    let mut lines: Vec<String> = text
        .lines()
        .filter(of_entry)
        .map(|line| {
            let mut fields = line.split_whitespace();
            let (project, flags) = (fields.next().unwrap(), fields.next().unwrap().replace(['e', 'I'], "-"));
            let path = line.split_once(&*tree.to_string_lossy()).unwrap().1;
            format!("{project} {flags} {path}")
        })
        .collect();
    lines.sort();
    lines
}

/// Mounts a file system at `place` in the directory of `series`, and makes the source there.
fn series_on(mount: impl FnOnce(&Path, &Path) -> Option<Mount>) -> Option<(Series, Mount)> {
    if !is_root() {
        skip("only root mounts a file system");
        return None;
    }
    let mut series = Series::new();
    let at = series.beside("mounted");
    fs::create_dir(&at).unwrap();
    let Some(mounted) = mount(&series.beside("image"), &at) else {
        skip("this system does not mount the file system");
        return None;
    };
    series.source = at.join(KEY);
    fs::create_dir(&series.source).unwrap();
    Some((series, mounted))
}

fn ext4(image: &Path, at: &Path) -> Option<Mount> {
    Mount::ext(image, at, &["-t", "ext4"])
}

fn over(series: &Series) -> Options {
    Options { overwrite: Overwrite::IfDifferent, ..series.options.clone() }
}

fn kinds(report: &Report) -> Vec<(ProblemKind, String)> {
    let named = |p: &ibt::job::Problem| {
        (p.kind, String::from_utf8_lossy(p.path.as_deref().unwrap_or_default()).into_owned())
    };
    report.problems.iter().map(named).collect()
}

fn restored(series: &Series, options: &Options, dest: &Path) -> Report {
    series.restore_with(options, dest, &mut ibt::job::Silent).ok()
}

/// Files and directories with every flag that ext4 takes, hard links among them.
fn fill(series: &Series) {
    for path in ["immutable", "append", "plain", "several", "closed/inner/file", "synced/file"] {
        series.write(path, format!("content of {path}"));
    }
    let at = |path: &str| series.source.join(path);
    for (linked, name) in [("several", "several too"), ("immutable", "closed/linked")] {
        fs::hard_link(at(linked), at(name)).unwrap();
    }
    chattr(&["+d"], &at("several"));
    chattr(&["+DT"], &at("synced"));
    chattr(&["+SA"], &at("synced/file"));
    chattr(&["+a"], &at("append"));
    chattr(&["+i"], &at("immutable"));
    chattr(&["+i"], &at("closed/inner/file"));
    chattr(&["+i"], &at("closed/inner"));
    chattr(&["+i"], &at("closed"));
}

#[test]
fn what_chattr_sets_comes_back_and_an_increment_sees_a_change_of_it() {
    let Some((series, _mounted)) = series_on(ext4) else { return };
    fill(&series);
    series.full().whole();
    let state = series.beside("mounted/out");
    restored(&series, &series.options, &state);
    let flags = lsattr(&series.source);
    assert!(flags.iter().any(|line| line.contains('i')) && flags.iter().any(|line| line.contains('T')));
    assert_eq!(lsattr(&state), flags);

    // A restore over the tree finds nothing to do, protected files and directories included.
    let report = series.restore_with(&over(&series), &state, &mut ibt::job::Silent).whole();
    let changed = [Counter::Modified, Counter::Metadata, Counter::Created].map(|c| report.counters.get(c));
    assert_eq!(changed, [0, 0, 0]);
    chattr(&["-i"], &state.join("immutable"));
    chattr(&["+A"], &state.join("plain"));
    let report = series.restore_with(&over(&series), &state, &mut ibt::job::Silent).whole();
    assert_eq!(report.counters.get(Counter::Metadata), 2);
    assert_eq!(lsattr(&state), flags);

    // Only the flags of one file change: the increment writes one line.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    series.incremental().whole();
    chattr(&["+d"], &series.source.join("plain"));
    series.incremental().whole();
    let newest = newest_state(&series);
    let lines = stored::file(&newest)["entries"].as_array().unwrap().clone();
    assert_eq!(lines.iter().map(|line| line["path"].as_str().unwrap()).collect::<Vec<_>>(), ["plain"]);
    assert_eq!(lines[0]["flags"], serde_json::json!(["nodump"]));
    let compared = |tree: &Path| {
        let compare = |store: &mut dyn ibt::store::Store, job: &mut ibt::job::Job| {
            ibt::inspect::compare(store, KEY, tree, job)
        };
        series.run(&series.options, &Cancel::default(), &mut ibt::job::Silent, compare).whole()
    };
    assert_eq!(compared(&series.source).counters.get(Counter::Metadata), 0);
    assert_eq!(compared(&state).counters.get(Counter::Metadata), 1);

    // The birth time is recorded.
    let entry = stored::entry(&stored::parse(&newest), "closed/inner");
    let born = run(command("stat", ["-c", "%.9W"]).arg(series.source.join("closed/inner")));
    assert_eq!(entry["at"]["btime"].as_str().unwrap(), String::from_utf8(born).unwrap().trim());
}

fn newest_state(series: &Series) -> std::path::PathBuf {
    let names = fs::read_dir(&series.store).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().contains(".state.")).max().unwrap()
}

#[test]
fn a_protected_file_in_the_way_stays_and_is_reported() {
    let Some((series, _mounted)) = series_on(ext4) else { return };
    fill(&series);
    series.full().whole();
    let out = series.beside("mounted/out");
    for path in ["plain", "extra/kept", "several"] {
        fs::create_dir_all(out.join(path).parent().unwrap()).unwrap();
        fs::write(out.join(path), "mine").unwrap();
    }
    fs::create_dir(out.join("synced")).unwrap();
    for path in ["plain", "extra/kept"] {
        chattr(&["+i"], &out.join(path));
    }
    chattr(&["+a"], &out.join("synced"));
    let options = Options { delete_extra: true, ..over(&series) };
    let report = series.restore_with(&options, &out, &mut ibt::job::Silent).partial();
    assert_eq!(fs::read_to_string(out.join("plain")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(out.join("extra/kept")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(out.join("several")).unwrap(), "content of several");
    assert_eq!(
        fs::read_dir(out.join("synced")).unwrap().count(),
        0,
        "no temporary file that cannot be renamed"
    );
    let told = kinds(&report);
    for path in ["plain", "synced"] {
        assert!(told.iter().any(|(_, of)| of == path), "{path}: {told:?}");
    }
    assert!(told.iter().any(|(_, of)| of.starts_with("extra")), "{told:?}");
    // Nothing is begun where it could not be finished.
    let append = series.beside("mounted/append");
    fs::create_dir_all(append.join("empty")).unwrap();
    for dir in [append.join("empty"), append.clone()] {
        chattr(&["+a"], &dir);
    }
    for dest in [append.join("empty"), append.join("new")] {
        let error = series
            .restore_with(&series.options, &dest, &mut ibt::job::Silent)
            .refused(ibt::error::Kind::Exists);
        assert!(error.detail.contains("append-only"), "{error}");
    }
    assert_eq!(fs::read_dir(append.join("empty")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&append).unwrap().count(), 1);

    // Without the protection, the same restore makes everything right.
    run(command("chattr", ["-R", "-ia"]).arg(&out));
    series.restore_with(&options, &out, &mut ibt::job::Silent).whole();
    assert_eq!(lsattr(&out), lsattr(&series.source));
}

#[test]
fn a_failed_restore_leaves_nothing_that_its_flags_protect() {
    let Some((series, _mounted)) = series_on(ext4) else { return };
    fill(&series);
    series.full().whole();
    let out = series.beside("mounted/out");
    let cancel = Cancel::default();
    struct AtTheEnd<'c>(&'c Cancel);
    impl ibt::job::Observer for AtTheEnd<'_> {
        fn progress(&mut self, now: &ibt::job::Progress) -> ibt::job::Flow {
            if now.phase == ibt::job::Phase::Commit {
                self.0.request();
                return ibt::job::Flow::Cancel;
            }
            ibt::job::Flow::Continue
        }
    }
    let restore = |store: &mut dyn ibt::store::Store, job: &mut ibt::job::Job| {
        ibt::restore::restore(store, KEY, &out, job)
    };
    series
        .run(&series.options, &cancel, &mut AtTheEnd(&cancel), restore)
        .refused(ibt::error::Kind::Cancelled);
    let left: Vec<_> =
        fs::read_dir(series.beside("mounted")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.iter().filter(|name| *name != KEY && *name != "lost+found").count(), 0, "{left:?}");
}

#[test]
fn project_ids_come_back_also_where_directories_pass_them_on() {
    let Some((series, _mounted)) = series_on(Mount::xfs) else { return };
    for path in ["owned/file", "owned/other", "owned/plain", "several", "plain"] {
        series.write(path, format!("content of {path}"));
    }
    let at = |path: &str| series.source.join(path);
    fs::hard_link(at("several"), at("several too")).unwrap();
    chattr(&["-p", "9", "+i"], &at("several"));
    chattr(&["-p", "7"], &at("owned/file"));
    chattr(&["-p", "8", "+d"], &at("owned/other"));
    // From here on, the directory refuses renames of files of other projects.
    chattr(&["-p", "7", "+P"], &at("owned"));
    series.full().whole();
    let out = series.beside("mounted/out");
    series.restore_with(&series.options, &out, &mut ibt::job::Silent).whole();
    let flags = lsattr(&series.source);
    assert!(flags.iter().any(|line| line.starts_with("9 ")) && flags.iter().any(|line| line.contains('P')));
    assert_eq!(lsattr(&out), flags);

    for path in ["owned/other", "owned/file"] {
        fs::write(out.join(path), "something else").unwrap();
    }
    fs::remove_file(out.join("owned/plain")).unwrap();
    series.restore_with(&over(&series), &out, &mut ibt::job::Silent).whole();
    let inherited = flags.iter().map(|line| match line.strip_prefix("0 ") {
        // An entry without a project keeps the one that it inherits.
        Some(rest) if rest.ends_with("/owned/plain") => format!("7 {rest}"),
        _ => line.clone(),
    });
    let mut inherited: Vec<_> = inherited.collect();
    inherited.sort();
    assert_eq!(lsattr(&out), inherited);
    assert_eq!(fs::read_to_string(out.join("owned/other")).unwrap(), "content of owned/other");
    let report = series.restore_with(&over(&series), &out, &mut ibt::job::Silent).whole();
    assert_eq!([Counter::Modified, Counter::Metadata].map(|c| report.counters.get(c)), [0, 0]);

    // The mask leaves both out.
    let mask = meta::ALL & !(meta::FLAGS | meta::PROJECT);
    let options = Options { restore_metadata: Some(mask), ..series.options.clone() };
    let bare = series.beside("mounted/bare");
    series.restore_with(&options, &bare, &mut ibt::job::Silent).whole();
    assert!(
        lsattr(&bare).iter().all(|line| line.starts_with("0 ----------------------")),
        "{:?}",
        lsattr(&bare)
    );
}

#[test]
fn flags_of_empty_files_come_back_on_btrfs() {
    let Some((series, _mounted)) = series_on(Mount::btrfs) else { return };
    let at = |path: &str| series.source.join(path);
    for path in ["nocow", "nodump", "squeezed"] {
        fs::write(at(path), "").unwrap();
    }
    fs::create_dir(at("disks")).unwrap();
    chattr(&["+C"], &at("disks"));
    chattr(&["+C"], &at("nocow"));
    chattr(&["+d"], &at("nodump"));
    run(command("setfattr", ["-n", "btrfs.compression", "-v", "zstd"]).arg(at("squeezed")));
    for path in ["nocow", "nodump", "squeezed", "disks/inherits"] {
        fs::write(at(path), support::prose(1, 200_000)).unwrap();
    }
    chattr(&["+i"], &at("squeezed"));
    series.full().whole();
    let out = series.beside("mounted/out");
    series.restore_with(&series.options, &out, &mut ibt::job::Silent).whole();
    let attributes = |tree: &Path| {
        let mut list = command("getfattr", ["-R", "-d", "-m", "."]);
        run(list.arg(".").current_dir(tree))
    };
    assert_eq!(lsattr(&out), lsattr(&series.source));
    assert!(lsattr(&out).iter().filter(|line| line.contains('C')).count() == 3);
    assert_eq!(attributes(&out), attributes(&series.source));
}

#[test]
fn a_file_system_without_flags_has_none_and_refuses_each() {
    let Some((mut series, _mounted)) = series_on(Mount::exfat) else { return };
    series.write("file", "on exfat");
    series.full().whole();
    let without = stored::line(&newest_state(&series), "file");
    assert!(!without.contains("\"flags\""), "{without}");

    series = Series::new();
    series.write("file", "with a flag");
    series.write("other", "without");
    if !output(command("chattr", ["+d"]).arg(series.source.join("file"))).status.success() {
        return skip("the temporary directory has no flags");
    }
    series.full().whole();
    let at = series.beside("exfat");
    fs::create_dir(&at).unwrap();
    let Some(_other) = Mount::exfat(&series.beside("image"), &at) else { return skip("no second exFAT") };
    let mask = Some(meta::FLAGS);
    let options = Options { restore_metadata: mask, ..series.options.clone() };
    let report = series.restore_with(&options, &at.join("out"), &mut ibt::job::Silent).partial();
    assert_eq!(kinds(&report), [(ProblemKind::Metadata, "file".to_string())]);
    assert_eq!(fs::read_to_string(at.join("out/file")).unwrap(), "with a flag");
    let options = Options { restore_metadata: Some(0), ..options };
    series.restore_with(&options, &at.join("again"), &mut ibt::job::Silent).whole();
}

#[test]
fn an_ordinary_user_restores_what_users_may_set() {
    if !as_ordinary_user("an_ordinary_user_restores_what_users_may_set") {
        return;
    }
    let series = Series::new();
    let file = series.write("file", "content");
    if !output(command("chattr", ["+dA"]).arg(&file)).status.success() {
        return skip("the temporary directory has no flags");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    series.full().whole();
    let state = newest_state(&series);
    stored::forge(
        &state,
        "\"flags\":[\"noatime\",\"nodump\"]",
        "\"flags\":[\"immutable\",\"noatime\",\"nodump\"]",
    );
    let _ = fs::remove_dir_all(series.cache());
    let out = series.beside("out");
    series.restore_with(&series.options, &out, &mut ibt::job::Silent).whole();
    assert_eq!(lsattr(&out), lsattr(&series.source), "only a privileged restore makes a file immutable");
    chattr(&["-d"], &out.join("file"));
    series.restore_with(&over(&series), &out, &mut ibt::job::Silent).whole();
    assert_eq!(lsattr(&out), lsattr(&series.source));
}

#[test]
fn a_flag_of_a_newer_version_is_kept_and_reported() {
    let series = Series::new();
    let file = series.write("file", "content");
    if !output(command("chattr", ["+d"]).arg(&file)).status.success() {
        return skip("the temporary directory has no flags");
    }
    series.write("other", "content");
    // An increment reads younger files again.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    series.full().whole();
    let state = newest_state(&series);
    stored::forge(&state, "\"flags\":[\"nodump\"]", "\"flags\":[\"future\",\"nodump\"]");
    fs::remove_dir_all(series.cache()).unwrap();
    let report = series.restore_with(&series.options, &series.beside("out"), &mut ibt::job::Silent).partial();
    assert_eq!(kinds(&report), [(ProblemKind::Metadata, "file".to_string())]);
    assert!(report.problems[0].message.contains("future"), "{:?}", report.problems);
    series.write("other", "changed");
    series.incremental().whole();
    let entry = stored::entry(&stored::parse(&newest_state(&series)), "file");
    assert_eq!(entry["flags"], serde_json::json!(["future", "nodump"]));
}

/// The names below `dir`, and the content of each file.
fn contents(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => found
                .extend(contents(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text))),
            false => found.push((name, fs::read_to_string(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_directory_with_a_protected_file_in_it_stays_whole() {
    let Some((series, _mounted)) = series_on(ext4) else { return };
    for path in ["plain", "becomes a file", "frozen/file"] {
        series.write(path, format!("content of {path}"));
    }
    series.full().whole();
    let out = series.beside("mounted/out");
    restored(&series, &series.options, &out);
    fs::remove_file(out.join("becomes a file")).unwrap();
    let extra = [
        ("becomes a file/a", None),
        ("becomes a file/deep/i", Some("+i")),
        ("becomes a file/z", None),
        ("extra/a", None),
        ("extra/deep/i", Some("+i")),
        ("extra/z", None),
        ("more/closed/a", None),
        ("more/z", None),
        ("frozen/more/a", None),
    ];
    for (path, flags) in extra {
        fs::create_dir_all(out.join(path).parent().unwrap()).unwrap();
        fs::write(out.join(path), path).unwrap();
        flags.into_iter().for_each(|flags| chattr(&[flags], &out.join(path)));
    }
    for dir in ["more/closed", "frozen"] {
        chattr(&["+a"], &out.join(dir));
    }
    let before = contents(&out);
    for dry_run in [true, false] {
        let options = Options { delete_extra: true, dry_run, ..over(&series) };
        let report = series.restore_with(&options, &out, &mut ibt::job::Silent).partial();
        assert_eq!(contents(&out), before, "dry run: {dry_run}");
        assert_eq!(report.counters.get(Counter::Deleted), 0, "{:?}", report.problems);
        let obstructed = kinds(&report).into_iter().filter(|(kind, _)| *kind == ProblemKind::Obstructed);
        let paths: Vec<_> = obstructed.map(|(_, path)| path).collect();
        assert_eq!(paths, ["becomes a file", "extra", "frozen", "more"], "{:#?}", report.problems);
    }
    run(command("chattr", ["-R", "-ia"]).arg(&out));
    let options = Options { delete_extra: true, ..over(&series) };
    series.restore_with(&options, &out, &mut ibt::job::Silent).whole();
    assert_eq!(contents(&out), contents(&series.source));
}

/// A small tree in which some entries have the flags `own`.
fn fill_with(series: &Series, own: &[&str]) {
    for path in ["plain", "dir/inner/file", "dir/other", "several", "marked/file"] {
        series.write(path, format!("content of {path}"));
    }
    series.write("large", support::prose(1, 3 << 20));
    fs::write(series.source.join("empty"), "").unwrap();
    fs::hard_link(series.source.join("several"), series.source.join("dir/several too")).unwrap();
    for path in ["plain", "marked", "dir/other"] {
        chattr(own, &series.source.join(path));
    }
}

#[test]
fn a_new_tree_keeps_no_flag_that_the_directory_around_it_hands_down() {
    let ext4_with_projects =
        |image: &Path, at: &Path| Mount::ext(image, at, &["-t", "ext4", "-O", "project"]);
    let casefolding = |image: &Path, at: &Path| {
        Mount::ext(image, at, &["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"])
    };
    type Mounts<'m> = &'m dyn Fn(&Path, &Path) -> Option<Mount>;
    let cases: [(Mounts, &[&str], &[&str]); 6] = [
        (&ext4, &["+dAS"], &["+A"]),
        (&ext4_with_projects, &["-p", "9", "+dP"], &["-p", "7", "+A"]),
        (&casefolding, &["+F"], &["+d"]),
        (&Mount::xfs, &["-p", "9", "+dP"], &["-p", "7", "+A"]),
        (&Mount::btrfs, &["+C"], &["+A"]),
        (&Mount::btrfs, &["+c"], &["+d"]),
    ];
    for (mount, handed_down, own) in cases {
        let Some((series, _mounted)) = series_on(|image, at| mount(image, at)) else { continue };
        fill_with(&series, own);
        series.full().whole();
        let around = series.beside("mounted/around");
        fs::create_dir_all(around.join("empty")).unwrap();
        for dir in [around.join("empty"), around.clone()] {
            chattr(handed_down, &dir);
        }
        let out = around.join("out");
        series.restore_with(&series.options, &out, &mut ibt::job::Silent).whole();
        assert_eq!(lsattr(&out), lsattr(&series.source), "{handed_down:?}");
        assert_eq!(contents(&out), contents(&series.source));
        let compare = |store: &mut dyn ibt::store::Store, job: &mut ibt::job::Job| {
            ibt::inspect::compare(store, KEY, &out, job)
        };
        let compared =
            series.run(&series.options, &Cancel::default(), &mut ibt::job::Silent, compare).whole();
        assert_eq!(compared.counters.get(Counter::Metadata), 0, "{handed_down:?}");

        // An existing directory goes on to hand down its project and to ignore case.
        let inside = around.join("empty");
        series.restore_with(&series.options, &inside, &mut ibt::job::Silent).whole();
        let stays = |line: &String| line.replace(['F', 'P'], "-").split_once(' ').unwrap().1.to_string();
        let compared = |tree: &Path| lsattr(tree).iter().map(stays).collect::<BTreeSet<_>>();
        assert_eq!(compared(&inside), compared(&series.source), "{handed_down:?}");

        // The mask leaves the flags out.
        let mask = meta::ALL & !(meta::FLAGS | meta::PROJECT);
        let options = Options { restore_metadata: Some(mask), ..series.options.clone() };
        series.restore_with(&options, &around.join("bare"), &mut ibt::job::Silent).whole();
        assert_ne!(lsattr(&around.join("bare")), lsattr(&series.source), "nothing was handed down");
    }
}

#[test]
fn a_project_that_is_refused_at_the_end_is_a_problem_and_no_error() {
    let Some((series, _mounted)) = series_on(Mount::xfs) else { return };
    for path in ["a", "b", "c"] {
        series.write(path, path);
    }
    for path in ["a", "b"] {
        chattr(&["-p", "7"], &series.source.join(path));
    }
    series.full().whole();
    let at = series.beside("tmpfs");
    fs::create_dir(&at).unwrap();
    let Some(_other) = Mount::tmpfs(&at, "size=8m") else { return skip("this system mounts no tmpfs") };
    let mask = Some(meta::PROJECT);
    let stop = ibt::job::OnFileError::Stop;
    let options = Options { restore_metadata: mask, on_file_error: stop, ..series.options.clone() };
    let report = series.restore_with(&options, &at.join("out"), &mut ibt::job::Silent).partial();
    let refused = ["a", "b"].map(|path| (ProblemKind::Metadata, path.to_string()));
    assert_eq!(kinds(&report), refused);
    assert_eq!(contents(&at.join("out")), contents(&series.source));
}

#[test]
fn an_existing_file_on_btrfs_gets_or_loses_nocow() {
    let Some((series, _mounted)) = series_on(Mount::btrfs) else { return };
    let at = |path: &str| series.source.join(path);
    fs::write(at("nocow"), "").unwrap();
    chattr(&["+C"], &at("nocow"));
    for path in ["nocow", "plain"] {
        fs::write(at(path), support::prose(1, 100_000)).unwrap();
    }
    series.full().whole();
    let out = series.beside("mounted/out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("plain"), "").unwrap();
    chattr(&["+C"], &out.join("plain"));
    for path in ["nocow", "plain"] {
        fs::write(out.join(path), support::prose(1, 100_000)).unwrap();
        run(command("touch", ["-r"]).args([at(path), out.join(path)]));
    }
    series.restore_with(&over(&series), &out, &mut ibt::job::Silent).whole();
    assert_eq!(lsattr(&out), lsattr(&series.source));
    let report = series.restore_with(&over(&series), &out, &mut ibt::job::Silent).whole();
    assert_eq!([Counter::Modified, Counter::Metadata].map(|c| report.counters.get(c)), [0, 0]);
}

/// A new file could not take its name there, so a restore changes nothing of a file with names outside of the tree.
#[test]
fn a_file_with_further_names_in_an_append_only_directory_stays_as_it_is() {
    let Some((series, _mounted)) = series_on(ext4) else { return };
    series.write("dir/file", "content");
    series.full().whole();
    let out = series.beside("mounted/out");
    restored(&series, &series.options, &out);
    fs::hard_link(out.join("dir/file"), series.beside("mounted/elsewhere")).unwrap();
    set_mode(&out.join("dir/file"), 0o600);
    chattr(&["+a"], &out.join("dir"));
    let before = support::facts(&out);
    for dry_run in [true, false] {
        let options = Options { dry_run, ..over(&series) };
        let report = series.restore_with(&options, &out, &mut ibt::job::Silent).partial();
        assert_eq!(kinds(&report), [(ProblemKind::Obstructed, "dir/file".to_string())], "{dry_run}");
        assert_eq!(report.counters.get(Counter::Modified), 0, "{dry_run}");
        support::assert_same_facts(&before, &support::facts(&out));
    }
}

/// The file cannot be replaced there, but it gets everything that an existing file takes.
#[test]
fn the_wrong_nocow_in_an_append_only_directory_is_one_problem_of_the_file() {
    let Some((series, _mounted)) = series_on(Mount::btrfs) else { return };
    let file = series.write("dir/file", support::prose(1, 100_000));
    series.full().whole();
    let out = series.beside("mounted/out");
    fs::create_dir_all(out.join("dir")).unwrap();
    let there = out.join("dir/file");
    fs::write(&there, "").unwrap();
    chattr(&["+C"], &there);
    fs::write(&there, support::prose(1, 100_000)).unwrap();
    run(command("touch", ["-r"]).args([&file, &there]));
    set_mode(&there, 0o600);
    run(command("touch", ["-r"]).args([series.source.join("dir"), out.join("dir")]));
    chattr(&["+a"], &out.join("dir"));
    let report = series.restore_with(&over(&series), &out, &mut ibt::job::Silent).partial();
    assert_eq!(kinds(&report), [(ProblemKind::Metadata, "dir/file".to_string())], "{:?}", report.problems);
    assert!(report.problems[0].message.contains("nocow"), "{:?}", report.problems);
    assert_eq!(fs::metadata(&there).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(out.join("dir")).unwrap().count(), 1, "a temporary file stayed");
}

/// Btrfs sets this flag when it finds that compression does not make a file smaller.
#[test]
fn nocompress_that_the_file_system_has_set_is_no_difference() {
    let Some((series, _mounted)) = series_on(Mount::btrfs) else { return };
    series.write("file", support::noise(1, 100_000));
    series.full().whole();
    let out = series.beside("mounted/out");
    series.restore_with(&series.options, &out, &mut ibt::job::Silent).whole();
    chattr(&["+m"], &out.join("file"));
    assert!(lsattr(&out).iter().any(|line| line.contains('m')));
    let compare = |store: &mut dyn ibt::store::Store, job: &mut ibt::job::Job| {
        ibt::inspect::compare(store, KEY, &out, job)
    };
    let report = series.run(&series.options, &Cancel::default(), &mut ibt::job::Silent, compare).whole();
    assert_eq!(report.counters.get(Counter::Metadata), 0);
    let report = series.restore_with(&over(&series), &out, &mut ibt::job::Silent).whole();
    assert_eq!([Counter::Modified, Counter::Metadata].map(|c| report.counters.get(c)), [0, 0]);
}

/// Mounts an ext4 with a directory `around` that has the flags `journal` and `nodump`. The first one is set in the
/// image, because this process may lack the right to set it.
fn ext4_with_journal(image: &Path, at: &Path) -> Option<Mount> {
    drop(ext4(image, at)?);
    for request in ["mkdir around", "set_inode_field around flags 0x84040"] {
        run(command("debugfs", ["-w", "-R", request]).arg(image));
    }
    Mount::image(image, at)
}

/// Only a process with the right `CAP_SYS_RESOURCE` clears the flag `journal` on ext4.
#[test]
fn an_inherited_flag_that_this_process_may_not_clear_is_one_problem() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let Some((series, _mounted)) = series_on(ext4_with_journal) else { return };
    fill_with(&series, &["+A"]);
    series.full().whole();
    let around = series.beside("mounted/around");
    let all = capabilities(None).unwrap();
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::SYS_RESOURCE);
    set_capabilities(None, fewer).unwrap();
    let stop = ibt::job::OnFileError::Stop;
    let options = Options { on_file_error: stop, ..series.options.clone() };
    let report = series.restore_with(&options, &around.join("out"), &mut ibt::job::Silent).partial();
    let mask = Some(meta::ALL & !(meta::FLAGS | meta::PROJECT));
    let bare = Options { restore_metadata: mask, ..series.options.clone() };
    series.restore_with(&bare, &around.join("bare"), &mut ibt::job::Silent).whole();
    set_capabilities(None, all).unwrap();
    assert_eq!(kinds(&report), [(ProblemKind::Metadata, String::new())], "{:#?}", report.problems);
    assert!(report.problems[0].message.contains("'journal'"), "{:?}", report.problems);
    let without =
        |lines: Vec<String>| lines.iter().map(|line| line.replacen('j', "-", 1)).collect::<Vec<_>>();
    let out = lsattr(&around.join("out"));
    assert!(out.iter().all(|line| line.split(' ').nth(1).unwrap().contains('j')), "{out:?}");
    assert_eq!(without(out), lsattr(&series.source));
}
