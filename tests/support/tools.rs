//! Runs other programs, checks the rights of this process, and makes bytes for files.

use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Duration;

use proptest::test_runner::{Config, RngSeed};

use super::nobody::NOBODY;

/// The number of cases of a property: `normally`, or `IBT_TEST_CASES` in a longer run.
///
/// Normally the cases are the same in each run, so that a result depends only on the code. A longer run uses new random
/// cases. If it fails, the output of the test contains the seed, and `PROPTEST_RNG_SEED` repeats the cases.
pub fn cases(normally: u32) -> Config {
    let longer = number_from_env("IBT_TEST_CASES");
    let seed = match std::env::var("PROPTEST_RNG_SEED") {
        Ok(seed) => seed.parse().expect("PROPTEST_RNG_SEED is a number"),
        Err(_) if longer.is_some() => RandomState::new().hash_one("seed"),
        Err(_) => 1,
    };
    println!("the seed of the cases is PROPTEST_RNG_SEED={seed}");
    Config {
        cases: longer.unwrap_or(normally),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 400,
        max_shrink_time: 90_000,
        ..Config::default()
    }
}

pub fn number_from_env(name: &str) -> Option<u32> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Prints why a test did not do its work. tests/run.sh collects these lines.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}\n", thread.name().unwrap_or("a test"));
    // The test harness captures the output of println! and eprintln!, but not of this call. A single write keeps the
    // line whole, because other threads write too.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `command` and returns its standard output. If `command` fails, the test fails and shows the output.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Runs `command` and returns its output and status. The test fails only if `command` cannot be started.
pub fn output(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot start {command:?}: {error} (tests/run.sh installs what the tests need)"),
    }
}

/// The command `program` with the arguments `args`.
pub fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Bytes that no compressor shortens; the same bytes for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Lines of text; the same text for the same seed.
pub fn prose(seed: u64, len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "tree", "the", "of", "and", "delta", "block", "old", "new", "was", "written", "before", "it", "a",
        "frame", "where", "lies",
    ];
    let picks = noise(seed, len / 2 + 16);
    let mut text = Vec::with_capacity(len + 16);
    for pick in picks {
        if text.len() >= len {
            break;
        }
        text.extend_from_slice(WORDS[usize::from(pick & 15)].as_bytes());
        text.push(if pick >> 4 == 0 { b'\n' } else { b' ' });
    }
    text.resize(len, b'\n');
    text
}

/// Runs `work` in a thread of its own. The test fails if `work` takes longer than `seconds`.
pub fn within_seconds<T: Send + 'static>(seconds: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = work();
        let _ = sender.send(());
        result
    });
    if receiver.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("still not done after {seconds} s");
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// This environment variable marks a process that one of this binary's own tests started.
pub const CHILD: &str = "IBT_TEST_CHILD";

/// A command that runs only `test` of this binary again. The child finds `role` in [`CHILD`].
pub fn this_test_again(binary: &Path, test: &str, role: &str) -> Command {
    let mut command = Command::new(binary);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, role);
    command
}

/// The role from [`this_test_again`] if this process is such a child.
pub fn child_role() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Makes `path` the directory for temporary files of this process, which is a child from [`this_test_again`].
pub fn set_temporary_directory(path: &Path) {
    assert!(child_role().is_some(), "other tests of this process use the temporary directory too");
    // SAFETY: the child runs one test, and no other thread of it reads the environment at this moment.
    unsafe { std::env::set_var("TMPDIR", path) };
}

/// For tests in which the system must deny access, because it denies nothing to root. If this process does not run as
/// root, returns true, and the test goes on. As root, runs the test again in a child process as an ordinary user,
/// asserts that it passes there, and returns false: then the test returns.
pub fn as_ordinary_user(test: &str) -> bool {
    if !is_root() {
        return true;
    }
    assert!(child_role().is_none(), "the child still is root");
    // The test may be in a module. The harness names the thread by the full path of the test.
    let thread = std::thread::current();
    let test = thread.name().filter(|name| name.ends_with(test)).unwrap_or(test);
    let place = tempfile::tempdir().unwrap();
    let binary = place.path().join("test");
    // Another process writes the copy. If this one did, a child that another test starts at that moment would have the
    // file open for writing, and nobody could execute it.
    run(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&binary));
    let room = place.path().join("tmp");
    fs::create_dir(&room).unwrap();
    for (path, mode) in [(place.path(), 0o755), (&*binary, 0o755), (&*room, 0o1777)] {
        set_mode(path, mode);
    }
    let mut child = Command::new("setpriv");
    child.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
    child.arg(&binary);
    child.args(["--exact", test, "--nocapture"]).env(CHILD, "ordinary user");
    child.env("TMPDIR", &room).env("HOME", &room).env_remove("XDG_CACHE_HOME").current_dir(&room);
    let said = run(&mut child);
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("1 passed"), "no test was run: {said}");
    false
}

/// The temporary name of a restore on this machine, for the destination with this tag.
pub fn temp_of(tag: u64, random: u64) -> String {
    marked_temp_of(tag, &ibt::platform::MachineMark::here().to_string(), random)
}

/// The temporary name of a restore on the machine with this mark.
pub fn marked_temp_of(tag: u64, mark: &str, random: u64) -> String {
    format!(".ibt-tmp-restore-{tag:016x}-{mark}-{random:016x}")
}

/// The tag of a destination that does not exist yet, by its name.
pub fn tag_of_name(name: &str) -> u64 {
    u64::from_be_bytes(blake3::hash(name.as_bytes()).as_bytes()[..8].try_into().unwrap())
}

/// The path of libfaketime, which shows a program another time. `None` if it is not installed.
pub fn faketime() -> Option<String> {
    let dirs = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut libraries = dirs.map(|dir| dir.path().join("faketime/libfaketime.so.1"));
    Some(libraries.find(|library| library.exists())?.to_str()?.to_string())
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A mount. Dropping the value unmounts.
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts a tmpfs at `at`; `None` if mounting is not allowed.
    pub fn tmpfs(at: &Path, options: &str) -> Option<Mount> {
        let mut mount = command("mount", ["-t", "tmpfs", "-o", options, "tmpfs"]);
        let done = mount.arg(at).output().is_ok_and(|output| output.status.success());
        done.then(|| Mount(at.to_path_buf()))
    }

    /// Mounts the directory `from` at `at` as well; `None` if mounting is not allowed.
    pub fn bind(from: &Path, at: &Path) -> Option<Mount> {
        let done = command("mount", ["--bind"]).arg(from).arg(at).output();
        done.is_ok_and(|output| output.status.success()).then(|| Mount(at.to_path_buf()))
    }

    /// Mounts an exFAT file system of 8 MiB in `image`, which ignores the case of names.
    pub fn exfat(image: &Path, at: &Path) -> Option<Mount> {
        fs::write(image, vec![0; 8 << 20]).ok()?;
        let made = |mut command: Command| command.output().is_ok_and(|output| output.status.success());
        let image = image.to_str()?;
        let mut mount = command("mount", ["-t", "exfat-fuse", "-o", "loop", image]);
        mount.arg(at);
        (made(command("mkfs.exfat", [image])) && made(mount)).then(|| Mount(at.to_path_buf()))
    }

    /// Mounts the file system in `image`.
    pub fn image(image: &Path, at: &Path) -> Option<Mount> {
        let done = command("mount", ["-o", "loop"]).args([image, at]).output();
        done.is_ok_and(|output| output.status.success()).then(|| Mount(at.to_path_buf()))
    }

    /// Mounts a file system of `mib` MiB in `image`, made by the command `make`.
    fn made(image: &Path, at: &Path, mib: u64, mut make: Command) -> Option<Mount> {
        fs::File::create(image).and_then(|file| file.set_len(mib << 20)).ok()?;
        let made = make.arg(image).output().is_ok_and(|output| output.status.success());
        if made { Mount::image(image, at) } else { None }
    }

    /// Mounts a file system of 64 MiB in `image`, made by `mke2fs` with `options`.
    pub fn ext(image: &Path, at: &Path, options: &[&str]) -> Option<Mount> {
        Mount::made(image, at, 64, command("mke2fs", ["-q", "-F"].iter().chain(options)))
    }

    /// Mounts an XFS of 320 MiB in `image`: a smaller one is not possible.
    pub fn xfs(image: &Path, at: &Path) -> Option<Mount> {
        Mount::made(image, at, 320, command("mkfs.xfs", ["-q"]))
    }

    /// Mounts a Btrfs of 128 MiB in `image`.
    pub fn btrfs(image: &Path, at: &Path) -> Option<Mount> {
        Mount::made(image, at, 128, command("mkfs.btrfs", ["-q"]))
    }

    pub fn remount(&self, options: &str) {
        run(command("mount", ["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = command("umount", ["-l"]).arg(&self.0).output();
    }
}
