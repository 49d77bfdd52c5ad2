//! Runs this test binary again, as a child process under strace(1).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ibt::job::{Keep, Options, Overwrite, Select, Silent};
use tempfile::TempDir;

use crate::support::tools::{command, output, this_test_again};
use crate::support::{Outcome, Series, skip};

/// The child looks for these paths just before and just after the operation, so that the trace shows both
/// moments.
const BEGINS: &str = "/ibt-test-begins";
const ENDS: &str = "/ibt-test-ends";

/// The result of a child in which the fault hit the test harness, not the operation.
pub const MISSED: &str = "missed";

/// The end of the names of operations that store archives in parts.
pub const IN_PARTS: &str = " in parts";
/// The size of these parts.
const PART_SIZE: u64 = 8000;

/// The work of a child: an operation on the store, source and cache of a [`Series`].
pub struct Task {
    role: String,
    outcome: PathBuf,
    /// Holds the temporary files, because a killed child cannot remove them.
    room: TempDir,
}

impl Task {
    /// `operation` is "full", "incremental", "consolidate", "restore" (to `dest` beside the store), "restore
    /// over" and the name of a policy (to `dest`, over existing files), "mirror" (the same, and removes extra
    /// entries), "heal", "rebuild" (the cache), or "prune" (keeps only the newest snapshot). With [`IN_PARTS`]
    /// after it, archives are stored in parts.
    pub fn of(series: &Series, operation: &str) -> Task {
        let outcome = series.beside("outcome");
        let paths = [&series.source, &series.store, &series.cache(), &series.beside("dest"), &outcome];
        let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        let room = tempfile::tempdir().unwrap();
        Task { role: format!("{operation}\n{}", paths.join("\n")), outcome, room }
    }
}

/// Does a [`Task`] in the child.
pub fn act(role: &str) {
    let parts: Vec<_> = role.split('\n').collect();
    let [operation, source, store, cache, dest, outcome] = parts[..] else { panic!("{role:?}") };
    let mut series = Series::new();
    let (operation, part_size) = match operation.strip_suffix(IN_PARTS) {
        Some(operation) => (operation, PART_SIZE),
        None => (operation, 0),
    };
    series.options.part_size = part_size;
    (series.source, series.store) = (source.into(), store.into());
    series.options.cache_dir = Some(cache.into());
    assert!(!Path::new(BEGINS).exists());
    let done = match operation {
        "full" => series.full(),
        "incremental" => series.incremental(),
        "consolidate" => series.consolidate(),
        "prune" => series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })),
        "restore" => series.restore(Select::Newest, Path::new(dest)),
        "mirror" => mirror(&series, Path::new(dest)),
        "heal" => heal(&series),
        "rebuild" => series.rebuild_cache(),
        _ => restore_over(&series, operation, Path::new(dest)),
    };
    assert!(!Path::new(ENDS).exists());
    fs::write(outcome, summary(&done)).unwrap();
}

/// The overwrite policies, with the names of their operations.
pub const POLICIES: [(&str, Overwrite); 4] = [
    ("restore over always", Overwrite::Always),
    ("restore over different", Overwrite::IfDifferent),
    ("restore over older", Overwrite::IfOlder),
    ("restore over keep", Overwrite::Keep),
];

fn restore_over(series: &Series, operation: &str, dest: &Path) -> Outcome {
    let policy = POLICIES.iter().find(|(name, _)| *name == operation);
    let (_, overwrite) = policy.unwrap_or_else(|| panic!("{operation:?}"));
    let options = Options { overwrite: *overwrite, ..series.options.clone() };
    series.restore_with(&options, dest, &mut Silent)
}

/// Restores the newest snapshot over the tree `dest`, which then has no other entries.
pub fn mirror(series: &Series, dest: &Path) -> Outcome {
    let options = Options { overwrite: Overwrite::Always, delete_extra: true, ..series.options.clone() };
    series.restore_with(&options, dest, &mut Silent)
}

/// An increment that stores again what the store lost.
pub fn heal(series: &Series) -> Outcome {
    let options = Options { heal: true, ..series.options.clone() };
    series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job))
}

fn summary(done: &Outcome) -> String {
    match &done.result {
        Ok(()) if done.report.is_partial() => "partial".into(),
        Ok(()) => "ok".into(),
        Err(error) => format!("{:?} {}", error.kind, error.os_code),
    }
}

/// A system call of the operation.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// The number of this call among the calls of the same name in its thread, from 1 on, as strace counts.
    pub number: usize,
    arguments: String,
}

impl Call {
    /// The old and the new path of a call that renames or links.
    pub fn renames(&self) -> Option<(PathBuf, PathBuf)> {
        if !self.name.starts_with("rename") && !self.name.starts_with("link") {
            return None;
        }
        let [dir, from, to_dir, to, ..] = self.arguments.split('"').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some((below(dir, from), below(to_dir, to)))
    }

    /// The path and the mode of a file or directory that a call makes.
    pub fn makes(&self) -> Option<(PathBuf, u32)> {
        let is_dir = self.name.starts_with("mkdir");
        if !is_dir && !self.arguments.contains("O_CREAT") {
            return None;
        }
        let [dir, name, rest, ..] = self.arguments.split('"').collect::<Vec<_>>()[..] else { return None };
        // "..., O_CREAT|O_EXCL, 0600) = 5" or "..., {flags=O_CREAT, mode=0600, resolve=...}, 24) = 5".
        let words = rest.split([',', ')', '}', ' ']).map(|word| word.trim_start_matches("mode="));
        let mode =
            words.filter(|word| word.starts_with('0')).find_map(|word| u32::from_str_radix(word, 8).ok())?;
        Some((below(dir, name), mode))
    }

    /// The mode that a call gives to the file `path`, by its descriptor.
    pub fn sets_mode_of(&self, path: &Path) -> Option<u32> {
        let mode = self.arguments.split(", ").nth(1)?.split(')').next()?;
        (self.name == "fchmod" && self.is_of(path)).then(|| u32::from_str_radix(mode, 8).ok())?
    }

    /// The path that a call unlinks.
    pub fn unlinks(&self) -> Option<PathBuf> {
        let parts: Vec<_> = self.arguments.split('"').collect();
        (self.name.starts_with("unlink") && parts.len() >= 3).then(|| below(parts[0], parts[1]))
    }

    /// The path of the descriptor in the first argument.
    fn descriptor(&self) -> &Path {
        let inside = self.arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        Path::new(inside.map_or("", |(path, _)| path))
    }

    pub fn is_of(&self, path: &Path) -> bool {
        self.descriptor() == path
    }

    /// Whether the call changes content or length of the file `path`, given by the descriptor in the first
    /// argument.
    pub fn fills(&self, path: &Path) -> bool {
        let fills = ["write", "pwrite64", "writev", "ftruncate", "fallocate", "copy_file_range"];
        fills.contains(&&*self.name) && self.is_of(path)
    }

    /// The number of the descriptor in the first argument.
    fn number_of_descriptor(&self) -> Option<&str> {
        self.arguments.split_once('<').map(|(number, _)| number)
    }

    /// The number of the descriptor that the call returns.
    fn returned_descriptor(&self) -> Option<&str> {
        let (_, returned) = self.arguments.rsplit_once(" = ")?;
        returned.split_once('<').map(|(number, _)| number.trim())
    }

    /// Like [`Call::fills`], for any file.
    pub fn fills_any(&self) -> bool {
        self.fills(self.descriptor())
    }

    pub fn is_below(&self, dir: &Path) -> bool {
        self.descriptor().starts_with(dir)
    }
}

/// The path of `name`, which is relative to the directory of a descriptor (`4</dir>, `) if the call has one.
fn below(descriptor: &str, name: &str) -> PathBuf {
    let dir = descriptor.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    Path::new(dir.map_or("", |(dir, _)| dir)).join(name)
}

pub struct Tracer(());

impl Tracer {
    /// `None`, with a skip message, if tracing is not allowed.
    pub fn new() -> Option<Tracer> {
        let works = output(&mut command("strace", ["-f", "-o", "/dev/null", "true"])).status.success();
        if !works {
            skip("strace may not trace here");
        }
        works.then_some(Tracer(()))
    }

    /// Runs the task, which must not fail, and returns the traced calls.
    pub fn trace(&self, task: &Task) -> Vec<Call> {
        const WATCHED: &str = "trace=statx,openat,?openat2,read,pread64,write,pwrite64,writev,fsync,fdatasync,syncfs,\
            ?rename,renameat,renameat2,?link,linkat,?unlink,unlinkat,?mkdir,mkdirat,ftruncate,fallocate,\
            sync_file_range,copy_file_range,fchmod,utimensat,fcntl,close,?getdents64";
        let log = tempfile::NamedTempFile::new().unwrap();
        let ended =
            self.strace(task, &["-y", "-s", "4096", "-e", WATCHED, "-o", log.path().to_str().unwrap()]);
        assert!(matches!(ended.as_deref(), Some("ok" | "partial")), "the rehearsal failed: {ended:?}");
        let text = fs::read(log.path()).unwrap();
        calls(&String::from_utf8_lossy(&text))
    }

    /// Runs the task with a fault in strace's syntax. Returns how the task ended; `None` if it was killed.
    pub fn inject(&self, task: &Task, fault: &str) -> Option<String> {
        let call = fault.split(':').next().unwrap_or_default();
        let (traced, injected) = (format!("trace={call}"), format!("inject={fault}"));
        self.strace(task, &["-e", &traced, "-e", &injected, "-o", "/dev/null"])
    }

    fn strace(&self, task: &Task, options: &[&str]) -> Option<String> {
        let binary = std::env::current_exe().unwrap();
        let again = this_test_again(&binary, "child", &task.role);
        // A traced process that waits for ever would hold up all tests.
        let mut strace = command("timeout", ["-k", "5", "60", "strace", "-f", "-qq"]);
        strace.args(options).arg("--").arg(again.get_program()).args(again.get_args());
        strace.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
        strace.env("TMPDIR", task.room.path());
        let _ = fs::remove_file(&task.outcome);
        let ended = output(&mut strace);
        let noted = fs::read_to_string(&task.outcome).ok();
        let _ = fs::remove_file(&task.outcome);
        if noted.is_none() && ended.status.code().is_some() {
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            // strace counts the calls of each thread separately. The fault hit the call with this number in the
            // thread of the test harness, which was printing.
            if String::from_utf8_lossy(&ended.stderr).contains("io error when listing tests") {
                return Some(MISSED.into());
            }
            panic!(
                "the child neither ended nor was killed: {said}{}",
                String::from_utf8_lossy(&ended.stderr)
            );
        }
        noted
    }
}

/// The index of the last call in `calls` that opened the descriptor of `call`.
pub fn opening(calls: &[Call], call: &Call) -> Option<usize> {
    let number = call.number_of_descriptor();
    let at = calls.iter().rposition(|call| number.is_some() && call.returned_descriptor() == number)?;
    match calls[at].name.as_str() {
        // `fcntl` duplicated a descriptor: go on with the original.
        "fcntl" => opening(&calls[..at], &calls[at]),
        _ => Some(at),
    }
}

/// The calls between the two marks in a log of `strace -f`, without the marks.
fn calls(log: &str) -> Vec<Call> {
    let mut counted: HashMap<(&str, &str), usize> = HashMap::new();
    let mut begun = false;
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let number = counted.entry((thread, name)).or_default();
        *number += 1;
        begun |= arguments.contains(BEGINS);
        if arguments.contains(ENDS) {
            return calls;
        }
        // A call that is newer than strace has no name, and no fault can be injected into it.
        if begun && name != "statx" && !name.starts_with("syscall_") {
            calls.push(Call { name: name.into(), number: *number, arguments: arguments.into() });
        }
    }
    panic!("the trace does not show where the operation begins and ends");
}
