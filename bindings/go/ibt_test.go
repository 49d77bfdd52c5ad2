package ibt_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"ibt"
)

var background = context.Background()

// room is a store with a source and options that keep the test to itself.
type room struct {
	testing.TB
	source string
	store  *ibt.Store
	memory *memory // nil if the store is a directory
	cache  ibt.Option
}

func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{TB: t, memory: newMemory(), cache: ibt.WithCacheDir("")}
	r.source = filepath.Join(t.TempDir(), "source")
	write(t, filepath.Join(r.source, "dir/file"), noise(1, 100000))
	write(t, filepath.Join(r.source, "dir/other"), []byte("text"))
	store, err := ibt.NewStore(r.memory)
	check(t, err)
	t.Cleanup(func() { store.Close() })
	r.store = store
	return r
}

func (r *room) full(options ...ibt.Option) *ibt.Report {
	r.Helper()
	report, err := r.store.FullBackup(background, r.source, append(options, r.cache)...)
	check(r, err)
	return report
}

func (r *room) snapshot(options ...ibt.Option) *ibt.Snapshot {
	r.Helper()
	snapshot, err := r.store.OpenSnapshot(background, "source", options...)
	check(r, err)
	r.Cleanup(func() { snapshot.Close() })
	return snapshot
}

// wanted checks the status of an error.
func wanted(t testing.TB, what string, err error, status ibt.Status) {
	t.Helper()
	var full *ibt.Error
	switch {
	case !errors.Is(err, status):
		t.Errorf("%s: %v, not %v", what, err, status)
	case !errors.As(err, &full) || full.Status != status || full.Message == "":
		t.Errorf("%s: the error has no status or message: %#v", what, err)
	}
}

func TestBackUpChangeAndRestore(t *testing.T) {
	directory, err := ibt.OpenDir(filepath.Join(t.TempDir(), "store"))
	check(t, err)
	defer directory.Close()
	storage := newMemory()
	functions, err := ibt.NewStore(storage)
	check(t, err)
	defer functions.Close()
	for name, store := range map[string]*ibt.Store{"directory": directory, "functions": functions} {
		t.Run(name, func(t *testing.T) { backUpChangeAndRestore(t, store, makeTree(t)) })
	}
	equal(t, "writers left open", storage.open, 0)
	equal(t, "locks left", len(storage.locks), 0)
}

func backUpChangeAndRestore(t *testing.T, store *ibt.Store, source string) {
	cache := ibt.WithCacheDir(filepath.Join(t.TempDir(), "cache"))
	before := filepath.Join(t.TempDir(), "before")
	check(t, exec.Command("cp", "-a", source, before).Run())

	full, err := store.FullBackup(background, source, cache, ibt.WithLabel("reason", "a test"))
	check(t, err)
	equal(t, "status", full.Status, ibt.OK)
	equal(t, "key", full.Key, "source")
	equal(t, "entries", full.Counters.Entries, len(described(t, source)))
	if full.Snapshot == "" || full.Digest == "" || len(full.Files) == 0 || !strings.HasPrefix(full.JSON, "{") ||
		time.Since(full.Date) > time.Hour || full.TotalSize == 0 || full.Counters.Bytes == 0 {
		t.Errorf("the report lacks facts: %+v", full)
	}

	change(t, source)
	var changes []string
	increment, err := store.IncrementalBackup(background, source, cache, ibt.WithChange(func(c ibt.Change) error {
		if c.Before == nil && c.What != ibt.ChangeCreated && c.What&ibt.ChangeMoved == 0 {
			t.Errorf("%v has no entry before", c.What)
		}
		if c.After != nil && c.After.Type == ibt.TypeFile {
			changes = append(changes, c.After.Path)
		}
		return nil
	}))
	check(t, err)
	equal(t, "changed files", changes, []string{"dir-1/sub/file-1", "dir-3/sub/file-39", "moved", "new"})
	equal(t, "deleted", increment.Counters.Deleted > 0, true)

	dest := filepath.Join(t.TempDir(), "restored")
	report, err := store.Restore(background, "source", dest)
	check(t, err)
	equal(t, "restored", report.Counters.Restored, len(described(t, source)))
	sameTrees(t, source, dest)
	oldest := filepath.Join(t.TempDir(), "oldest")
	_, err = store.Restore(background, "source", oldest, ibt.WithSnapshot(full.Snapshot),
		ibt.WithExpectedDigest(full.Digest))
	check(t, err)
	sameTrees(t, before, oldest)
	_, err = store.Restore(background, "source", dest, ibt.WithAsOf(full.Date.Add(-time.Hour)))
	wanted(t, "a restore of a time before all", err, ibt.ErrNotFound)

	differences := 0
	_, err = store.Compare(background, "source", dest, ibt.WithChange(func(c ibt.Change) error {
		differences++
		return nil
	}))
	check(t, err)
	equal(t, "differences", differences, 0)

	list, err := store.List(background, "")
	check(t, err)
	equal(t, "snapshots", len(list.Snapshots), 2)
	equal(t, "labels", list.Snapshots[0].Labels, map[string]string{"reason": "a test"})
	equal(t, "kinds", list.Snapshots[0].Kind+list.Snapshots[1].Kind, "fullincremental")
	equal(t, "parent", list.Snapshots[1].Parent, full.Snapshot)
	equal(t, "source", list.Snapshots[0].Source, source)
	keys, err := store.Keys(background)
	check(t, err)
	equal(t, "keys", keys, []ibt.Key{{Name: "source", Snapshots: 2}})
	verified, err := store.Verify(background, "source")
	check(t, err)
	equal(t, "losses", verified.Counters.Problems, 0)

	first, err := store.OpenSnapshot(background, "source", ibt.WithSnapshot(full.Snapshot))
	check(t, err)
	second, err := store.OpenSnapshot(background, "source")
	check(t, err)
	var paths []string
	_, err = ibt.Diff(background, first, second, ibt.WithChange(func(c ibt.Change) error {
		if c.What == ibt.ChangeCreated {
			paths = append(paths, c.After.Path)
		}
		return nil
	}))
	check(t, err)
	equal(t, "created", paths, []string{"moved", "new"})
	_, err = ibt.Diff(background, first, first)
	wanted(t, "a diff of a snapshot with itself", err, ibt.ErrBusy)
	check(t, first.Close())

	_, err = store.ImportAncestor(background, "source", "", cache)
	wanted(t, "an import where there is nothing", err, ibt.ErrNotFound)
	imported, err := store.ImportAncestor(background, "old", ancestorChain(t), cache, ibt.WithKey("new"))
	check(t, err)
	equal(t, "imported", imported.Snapshots[0].Stamp+imported.Snapshots[0].Key, "20131201T103000.000000Znew")
	_, err = store.Prune(background, "new", ibt.WithSnapshot(imported.Snapshot), ibt.WithAllowEmpty(true))
	check(t, err)

	consolidated, err := store.Consolidate(background, "source", cache)
	check(t, err)
	equal(t, "digest", consolidated.Digest, increment.Digest)
	_, err = store.RebuildCache(background, "source", cache)
	check(t, err)
	plan, err := store.Prune(background, "source", ibt.WithKeepLast(1), ibt.WithDryRun(true), cache)
	check(t, err)
	pruned, err := store.Prune(background, "source", ibt.WithKeepLast(1), cache)
	check(t, err)
	equal(t, "removed", pruned.Counters.Deleted, 2)
	equal(t, "planned", plan.Counters.Deleted, 2)
	equal(t, "actions", pruned.Snapshots[0].Action, ibt.ActionRemoved)
	equal(t, "reason", pruned.Snapshots[2].Reason, "last 1")
	again := filepath.Join(t.TempDir(), "again")
	_, err = store.Restore(background, "source", again)
	check(t, err)
	sameTrees(t, source, again)

	// The store may be closed while a snapshot is open.
	check(t, store.Close())
	entry, err := second.Lstat("new")
	check(t, err)
	equal(t, "entry", entry.Size, 3)
	check(t, second.Close())
}

// ancestorChain makes a directory with a backup of incremental-backups-tools 0.1 of an empty directory "old".
func ancestorChain(t *testing.T) string {
	dir := t.TempDir()
	state, err := os.Create(filepath.Join(dir, "old.state.2013-12-01T10:30:00.json"))
	check(t, err)
	_, err = state.WriteString(`{"directory": "/old", "files": [], "subdirs": [], "index": {}}`)
	check(t, err)
	check(t, state.Close())
	archive, err := os.Create(filepath.Join(dir, "old.full.2013-12-01T10:30:00.tgz"))
	check(t, err)
	compressed := gzip.NewWriter(archive)
	check(t, tar.NewWriter(compressed).Close())
	check(t, compressed.Close())
	check(t, archive.Close())
	return dir
}

func TestEntriesAndContents(t *testing.T) {
	r := newRoom(t)
	big := noise(2, 5<<20)
	write(t, filepath.Join(r.source, "big"), big)
	write(t, filepath.Join(r.source, notText), []byte("bytes"))
	r.full()
	snapshot := r.snapshot()
	equal(t, "key", snapshot.Info().Key, "source")
	equal(t, "kind", snapshot.Info().Kind, "full")
	for range []int{1, 2} {
		var paths []string
		for {
			entry, err := snapshot.Next()
			if err == io.EOF {
				break
			}
			check(t, err)
			paths = append(paths, entry.Path)
		}
		equal(t, "entries", paths, []string{"", "big", notText, "dir", "dir/file", "dir/other"})
		check(t, snapshot.Rewind())
	}
	calls := 0
	check(t, snapshot.List(background, "dir", ibt.AllLevels, func(entry *ibt.Entry) error {
		calls++
		return ibt.ErrStop
	}))
	equal(t, "calls until ErrStop", calls, 1)
	mine := errors.New("mine")
	err := snapshot.List(background, "", 1, func(*ibt.Entry) error { return mine })
	wanted(t, "a listing that was cancelled", err, ibt.ErrCancelled)
	equal(t, "wraps", errors.Is(err, mine), true)

	for name, content := range map[string][]byte{"big": big, notText: []byte("bytes")} {
		got, err := snapshot.ReadFile(background, name)
		check(t, err)
		sameBytes(t, "ReadFile", got, content)
		var copied bytes.Buffer
		_, err = snapshot.CopyFile(background, &copied, name)
		check(t, err)
		sameBytes(t, "CopyFile", copied.Bytes(), content)
		reader, err := snapshot.Reader(background, name)
		check(t, err)
		got, err = io.ReadAll(reader)
		check(t, err)
		check(t, reader.Close())
		sameBytes(t, "Reader", got, content)
		file, err := snapshot.FS(background).Open(name)
		check(t, err)
		got, err = io.ReadAll(struct{ io.Reader }{file})
		check(t, err)
		sameBytes(t, "fs.File", got, content)
		check(t, file.Close())
	}
	p := make([]byte, 100)
	n, err := snapshot.ReadAt(background, "big", p, 3<<20)
	check(t, err)
	sameBytes(t, "ReadAt", p[:n], big[3<<20:][:100])
	n, err = snapshot.ReadAt(background, "big", p, 5<<20-10)
	equal(t, "at the end", []any{n, err}, []any{10, io.EOF})

	reader, err := snapshot.Reader(background, "big")
	check(t, err)
	_, err = io.ReadFull(reader, p)
	check(t, err)
	_, err = snapshot.Lstat("big")
	wanted(t, "a call during a stream", err, ibt.ErrBusy)
	check(t, reader.Close())
	_, err = snapshot.Lstat("absent")
	wanted(t, "an absent entry", err, ibt.ErrNotFound)
	equal(t, "is fs.ErrNotExist", errors.Is(err, fs.ErrNotExist), true)
	_, err = snapshot.CopyFile(background, failingWriter{mine}, "big")
	equal(t, "the writer's error", errors.Is(err, mine) && errors.Is(err, ibt.ErrCancelled), true)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestFileSystem(t *testing.T) {
	source := makeTree(t)
	check(t, os.Remove(filepath.Join(source, notText))) // TestFS takes only names that are UTF-8
	r := newRoom(t)
	r.source = source
	r.full()
	view := r.snapshot().FS(background)
	check(t, fstest.TestFS(view, "dir-0/sub/file-4", "link", "empty", "second name", "dangling"))
	target, err := fs.ReadFile(view, "link")
	check(t, err)
	equal(t, "the target of a link", string(target), "dir-0/read-only")
	info, err := fs.Stat(view, "dir-0/read-only")
	check(t, err)
	equal(t, "mode", info.Mode(), fs.FileMode(0o440))
	equal(t, "time", info.ModTime().Nanosecond(), 789)
	equal(t, "entry", info.Sys().(*ibt.Entry).Path, "dir-0/read-only")
	info, err = fs.Stat(view, "empty")
	check(t, err)
	equal(t, "mode of a directory", info.Mode(), fs.ModeDir|fs.ModeSticky|0o777)

	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < 10; j++ {
				content, err := fs.ReadFile(view, "dir-3/sub/file-39")
				if err != nil || !bytes.Equal(content, noise(39, 3900)) {
					t.Errorf("a read beside others: %d bytes, %v", len(content), err)
				}
			}
		}()
	}
	all.Wait()
}

func TestContextEndsOperations(t *testing.T) {
	r := newRoom(t)
	for i := 0; i < 50; i++ {
		write(t, filepath.Join(r.source, "more", string(rune('a'+i))), noise(int64(i), 1000))
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	_, err := r.store.FullBackup(ended, r.source)
	wanted(t, "a context that has ended", err, ibt.ErrCancelled)
	equal(t, "wraps", errors.Is(err, context.Canceled), true)

	ctx, cancel := context.WithCancel(background)
	defer cancel()
	calls := 0
	_, err = r.store.FullBackup(ctx, r.source, r.cache, ibt.WithProgress(func(ibt.Progress) error {
		calls++
		cancel()
		return nil
	}))
	wanted(t, "a context that ends", err, ibt.ErrCancelled)
	equal(t, "wraps", errors.Is(err, context.Canceled), true)
	equal(t, "calls of progress", calls, 1)
	equal(t, "objects left", r.memory.names(), []string{})
	equal(t, "writers left", r.memory.open, 0)

	deadline, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	r.memory.before = func(string) { <-deadline.Done() }
	_, err = r.store.FullBackup(deadline, r.source, r.cache)
	equal(t, "a deadline", errors.Is(err, context.DeadlineExceeded) && errors.Is(err, ibt.ErrCancelled), true)
	r.memory.before = nil

	// A wait for a lock ends too.
	r.memory.locks["source"] = true
	waiting, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	_, err = r.store.FullBackup(waiting, r.source, r.cache, ibt.WithLockWait(-1))
	wanted(t, "a wait", err, ibt.ErrCancelled)
	delete(r.memory.locks, "source")

	r.full()
	snapshot := r.snapshot()
	reading, cancel := context.WithCancel(background)
	_, err = snapshot.CopyFile(reading, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), "dir/file")
	if err != nil { // the content may come in one piece
		wanted(t, "a read", err, ibt.ErrCancelled)
	}
	_, err = r.store.Keys(reading)
	wanted(t, "keys", err, ibt.ErrCancelled)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestFilterProgressAndLog(t *testing.T) {
	r := newRoom(t)
	phases := map[ibt.Phase]bool{}
	logged := 0
	report := r.full(ibt.WithFilter(func(entry *ibt.Entry) (ibt.Decision, error) {
		if entry.Path == "dir/other" {
			return ibt.LeaveOut, nil
		}
		return ibt.Include, nil
	}), ibt.WithProgress(func(p ibt.Progress) error {
		phases[p.Phase] = true
		return nil
	}), ibt.WithLog(ibt.LogDebug, func(level ibt.LogLevel, message string) { logged++ }))
	equal(t, "entries", report.Counters.Entries, 3)
	equal(t, "phases", phases[ibt.PhaseScan] && phases[ibt.PhaseRead] && phases[ibt.PhaseCommit], true)
	asked := 0
	report = r.full(ibt.WithFilter(func(entry *ibt.Entry) (ibt.Decision, error) {
		asked++
		return 0, ibt.ErrStop
	}))
	equal(t, "entries and questions after ErrStop", []any{report.Counters.Entries, asked}, []any{4, 1})
	_, err := r.store.FullBackup(background, r.source, r.cache, ibt.WithFilter(func(*ibt.Entry) (ibt.Decision, error) {
		return 77, nil
	}))
	wanted(t, "an answer that does not exist", err, ibt.ErrCancelled)
	mine := errors.New("mine")
	for name, option := range map[string]ibt.Option{
		"progress": ibt.WithProgress(func(ibt.Progress) error { return mine }),
		"change":   ibt.WithChange(func(ibt.Change) error { return mine }),
		"filter":   ibt.WithFilter(func(*ibt.Entry) (ibt.Decision, error) { return 0, mine }),
	} {
		_, err := r.store.FullBackup(background, r.source, r.cache, option)
		wanted(t, name, err, ibt.ErrCancelled)
		equal(t, name+" wraps its error", errors.Is(err, mine), true)
	}
}

// ended runs a function on a goroutine of its own, and reports its panic, or whether it exited.
func ended(function func()) (value any, exited bool) {
	done := make(chan struct{})
	exited = true
	go func() {
		defer close(done)
		defer func() {
			if value = recover(); value != nil {
				exited = false
			}
		}()
		function()
		exited = false
	}()
	<-done
	return value, exited
}

func TestPanicsAndExitsOfCallbacks(t *testing.T) {
	type failing struct {
		name   string
		option func(func()) ibt.Option
	}
	for _, callback := range []failing{
		{"progress", func(f func()) ibt.Option {
			return ibt.WithProgress(func(ibt.Progress) error { f(); return nil })
		}},
		{"change", func(f func()) ibt.Option { return ibt.WithChange(func(ibt.Change) error { f(); return nil }) }},
		{"filter", func(f func()) ibt.Option {
			return ibt.WithFilter(func(*ibt.Entry) (ibt.Decision, error) { f(); return ibt.Include, nil })
		}},
		{"log", func(f func()) ibt.Option { return ibt.WithLog(ibt.LogDebug, func(ibt.LogLevel, string) { f() }) }},
	} {
		r := newRoom(t)
		calls := 0
		count := func() { calls++ }
		r.full(callback.option(count))
		if calls == 0 {
			t.Logf("%s is not called", callback.name)
			continue
		}
		snapshots := len(r.memory.names())
		panicking := func() { panic("mine: " + callback.name) }
		value, exited := ended(func() { r.full(callback.option(panicking)) })
		equal(t, callback.name, []any{value, exited}, []any{"mine: " + callback.name, false})
		_, exited = ended(func() { r.full(callback.option(runtime.Goexit)) })
		equal(t, callback.name+" exits", exited, true)
		if callback.name != "log" { // a message may come after the commit
			equal(t, "objects after "+callback.name, len(r.memory.names()), snapshots)
		}
		r.usable()
	}

	// Calls whose functions are no options.
	r := newRoom(t)
	r.full()
	snapshot := r.snapshot()
	for _, function := range []func(){func() { panic("mine") }, runtime.Goexit} {
		for _, run := range []func(){
			func() { snapshot.List(background, "", 1, func(*ibt.Entry) error { function(); return nil }) },
			func() {
				snapshot.CopyFile(background, writerFunc(func([]byte) (int, error) { function(); return 0, nil }), "dir/file")
			},
		} {
			value, exited := ended(run)
			equal(t, "a list or read", value == "mine" || exited, true)
			_, err := snapshot.ReadFile(background, "dir/file")
			check(t, err)
		}
	}
}

// usable checks that the storage is free, and that all writers and locks have ended.
func (r *room) usable() {
	r.Helper()
	equal(r, "writers left", r.memory.open, 0)
	equal(r, "locks left", len(r.memory.locks), 0)
	r.full()
	_, err := r.store.Restore(background, "source", filepath.Join(r.TempDir(), "restored"))
	check(r, err)
	_, err = r.store.Verify(background, "source")
	check(r, err)
}

// operations use every function of a storage.
func (r *room) operations() {
	r.full()
	write(r, filepath.Join(r.source, "dir/other"), []byte("changed"))
	_, err := r.store.IncrementalBackup(background, r.source, r.cache)
	check(r, err)
	_, err = r.store.Restore(background, "source", filepath.Join(r.TempDir(), "restored"))
	check(r, err)
	r.full()
	_, err = r.store.Prune(background, "source", ibt.WithKeepLast(1))
	check(r, err)
	// A backup that is cancelled aborts its writers.
	_, err = r.store.FullBackup(background, r.source, r.cache, ibt.WithProgress(func(p ibt.Progress) error {
		if p.Phase == ibt.PhaseRead {
			return context.Canceled
		}
		return nil
	}))
	wanted(r, "cancelled", err, ibt.ErrCancelled)
}

func TestPanicsAndExitsOfAStorage(t *testing.T) {
	for _, name := range []string{"ReadAt", "List", "Create", "Write", "Commit", "Abort", "Delete", "Lock", "Unlock"} {
		for _, exits := range []bool{false, true} {
			r := newRoom(t)
			called := false
			r.memory.before = func(function string) {
				if function == name && !called {
					called = true
					if exits {
						runtime.Goexit()
					}
					panic("mine: " + name)
				}
			}
			value, exited := ended(r.operations)
			if !called {
				t.Errorf("no operation calls %s", name)
			}
			if exits {
				equal(t, name+" exits", exited, true)
			} else {
				equal(t, name, value, "mine: "+name)
			}
			r.memory.before = nil
			r.usable()
		}
	}
}

func TestPanicsAndExitsDuringAStream(t *testing.T) {
	for _, function := range []func(string){func(string) { panic("mine") }, func(string) { runtime.Goexit() }} {
		r := newRoom(t)
		r.full()
		snapshot := r.snapshot()
		r.memory.before = function
		for _, end := range []func(io.ReadCloser){
			func(reader io.ReadCloser) { io.ReadAll(reader) },
			func(reader io.ReadCloser) { reader.Close() },
		} {
			reader, err := snapshot.Reader(background, "dir/file")
			check(t, err)
			value, exited := ended(func() { end(reader) })
			equal(t, "the reader's goroutine panics or exits", value == "mine" || exited, true)
		}
		r.memory.before = nil
		_, err := snapshot.ReadFile(background, "dir/file")
		check(t, err)
		r.usable()
	}
}

func TestFailNowInACallbackFailsTheTest(t *testing.T) {
	if os.Getenv("IBT_TEST_FAIL") != "" {
		r := newRoom(t)
		r.full(ibt.WithProgress(func(ibt.Progress) error { t.Fatal("the test failed in a callback"); return nil }))
		t.Fatal("not reached")
	}
	command := exec.Command(os.Args[0], "-test.run=^TestFailNowInACallbackFailsTheTest$")
	command.Env = append(os.Environ(), "IBT_TEST_FAIL=1")
	said, err := command.CombinedOutput()
	if err == nil || !bytes.Contains(said, []byte("the test failed in a callback")) ||
		bytes.Contains(said, []byte("not reached")) || !bytes.Contains(said, []byte("--- FAIL")) {
		t.Errorf("%v\n%s", err, said)
	}
}

func TestErrorsOfAStorage(t *testing.T) {
	mine := errors.New("mine")
	for _, name := range []string{"ReadAt", "List", "Create", "Write", "Commit", "Lock"} {
		for err, status := range map[error]ibt.Status{
			mine: ibt.ErrStorage, ibt.ErrUnsupported: ibt.ErrUnsupported, ibt.ErrCancelled: ibt.ErrCancelled,
		} {
			r := newRoom(t)
			r.full()
			r.memory.refuse = func(function string) error {
				if function == name {
					return err
				}
				return nil
			}
			_, got := r.store.FullBackup(background, r.source, r.cache)
			if name == "ReadAt" && got == nil {
				_, got = r.store.Restore(background, "source", filepath.Join(t.TempDir(), "restored"))
			}
			wanted(t, name, got, status)
			if err == mine {
				equal(t, name+" wraps", errors.Is(got, mine), true)
			}
			r.memory.refuse = nil
			r.usable()
		}
	}
}

func TestDamageThatAStorageFinds(t *testing.T) {
	r := newRoom(t)
	r.full()
	r.memory.refuse = func(function string) error {
		if function == "ReadAt" {
			return fmt.Errorf("mine: %w", ibt.ErrCorrupt)
		}
		return nil
	}
	_, err := r.store.Restore(background, "source", filepath.Join(t.TempDir(), "restored"))
	wanted(t, "a damaged object", err, ibt.ErrCorrupt)
	equal(t, "it says why", strings.Contains(err.Error(), "mine"), true)
}

func TestCheckpointsEndPartsOfArchives(t *testing.T) {
	r := newRoom(t)
	write(t, filepath.Join(r.source, "large a"), noise(2, 300000))
	write(t, filepath.Join(r.source, "large b"), noise(3, 300000))
	for checkpoint, parts := range map[uint64]int{0: 1, 1 << 16: 4} {
		found := 0
		for _, file := range r.full(ibt.WithCheckpoint(checkpoint)).Files {
			if file.Kind == "full" {
				found++
			}
		}
		equal(t, fmt.Sprintf("parts with checkpoint %d", checkpoint), found, parts)
	}
}

func TestEachStatus(t *testing.T) {
	r := newRoom(t)
	stateName := func() string {
		for _, name := range r.memory.names() {
			if strings.Contains(name, ".state.") {
				return name
			}
		}
		t.Fatal("no state")
		return ""
	}
	report := r.full(ibt.WithCompression(ibt.CompressionNone, 0))
	backUp := func(source string, options ...ibt.Option) error {
		_, err := r.store.FullBackup(background, source, append(options, r.cache)...)
		return err
	}
	wanted(t, "a key that is none", backUp(r.source, ibt.WithKey("a/b")), ibt.ErrInvalidArg)
	wanted(t, "a name with NUL", backUp("a\x00b"), ibt.ErrInvalidArg)
	wanted(t, "an option with NUL", backUp(r.source, ibt.WithKey("a\x00b")), ibt.ErrInvalidArg)
	wanted(t, "a part that is too small", backUp(r.source, ibt.WithPartSize(ibt.PartSizeMin-1)), ibt.ErrInvalidArg)
	wanted(t, "a negative number", backUp(r.source, ibt.WithThreads(-1)), ibt.ErrInvalidArg)
	wanted(t, "an option without use", backUp(r.source, ibt.WithDeleteExtra(true)), ibt.ErrInvalidArg)
	err := backUp(r.source + "-absent")
	wanted(t, "an absent source", err, ibt.ErrIO)
	equal(t, "is fs.ErrNotExist", errors.Is(err, fs.ErrNotExist), true)
	var full *ibt.Error
	errors.As(err, &full)
	equal(t, "its path", full.Path, r.source+"-absent")
	_, err = r.store.Restore(background, "absent", r.source+"-restored")
	wanted(t, "an absent key", err, ibt.ErrNotFound)
	_, err = r.store.Restore(background, "source", r.source)
	wanted(t, "an existing destination", err, ibt.ErrExists)
	equal(t, "is fs.ErrExist", errors.Is(err, fs.ErrExist), true)
	wanted(t, "another host", backUp(r.source, ibt.WithHost("another")), ibt.ErrMismatch)
	r.memory.locks["source"] = true
	wanted(t, "a locked key", backUp(r.source), ibt.ErrBusy)
	delete(r.memory.locks, "source")

	reader, err := ibt.NewStore(memoryReader{r.memory})
	check(t, err)
	_, err = reader.FullBackup(background, r.source, r.cache)
	wanted(t, "a storage that cannot write", err, ibt.ErrUnsupported)
	snapshot, err := reader.OpenSnapshot(background, "source")
	check(t, err)
	for name := range r.memory.objects {
		if strings.Contains(name, ".full.") {
			delete(r.memory.objects, name)
		}
	}
	_, err = snapshot.ReadFile(background, "dir/file")
	wanted(t, "an archive that is gone", err, ibt.ErrMissing)
	report, err = reader.Restore(background, "source", filepath.Join(t.TempDir(), "restored"))
	wanted(t, "a restore without its archive", err, ibt.ErrPartial)
	equal(t, "problems", report.Problems[0].Kind, ibt.ProblemMissing)
	equal(t, "name of the kind", report.Problems[0].Kind.String(), "missing")

	state := r.memory.objects[stateName()]
	r.memory.objects[stateName()] = bytes.Replace(state, []byte(`"version":1`), []byte(`"version":9`), 1)
	_, err = reader.OpenSnapshot(background, "source", ibt.WithSnapshot(report.Snapshot))
	wanted(t, "a newer version", err, ibt.ErrFormat)
	r.memory.objects[stateName()] = bytes.Replace(state, []byte(`dir/other`), []byte(`dir/0ther`), 1)
	_, err = reader.OpenSnapshot(background, "source", ibt.WithSnapshot(report.Snapshot))
	wanted(t, "a damaged state", err, ibt.ErrCorrupt)
	// Nothing small reaches ErrLimit, and nothing should reach ErrPanic. TestErrorsOfAStorage reaches ErrStorage, and
	// TestContextEndsOperations ErrCancelled.
	equal(t, "a status as text", ibt.ErrCorrupt.Error(), "IBT_ERR_CORRUPT")
	equal(t, "an unknown status", ibt.Status(-77).String(), "IBT_ERR_UNKNOWN")
}

func TestClosedAndNil(t *testing.T) {
	r := newRoom(t)
	r.full()
	snapshot, second := r.snapshot(), r.snapshot()
	check(t, r.store.Close())
	check(t, r.store.Close())
	_, err := r.store.List(background, "")
	wanted(t, "a closed store", err, ibt.ErrInvalidArg)
	_, err = snapshot.ReadFile(background, "dir/other") // it keeps the storage
	check(t, err)
	mine := errors.New("mine")
	r.memory.refuse = func(string) error { return mine }
	_, err = second.ReadFile(background, "dir/file")
	equal(t, "a failure after the store was closed", errors.Is(err, mine) && errors.Is(err, ibt.ErrStorage), true)
	check(t, snapshot.Close())
	_, err = snapshot.Next()
	wanted(t, "a closed snapshot", err, ibt.ErrInvalidArg)
	_, err = fs.ReadFile(snapshot.FS(background), "dir/other")
	wanted(t, "the files of a closed snapshot", err, ibt.ErrInvalidArg)

	var noStore *ibt.Store
	var none *ibt.Snapshot
	check(t, noStore.Close())
	check(t, none.Close())
	_, err = noStore.FullBackup(background, "a")
	wanted(t, "no store", err, ibt.ErrInvalidArg)
	_, err = none.Next()
	wanted(t, "no snapshot", err, ibt.ErrInvalidArg)
	equal(t, "no facts", none.Info().Key, "")
	_, err = ibt.Diff(background, none, none)
	wanted(t, "no snapshots", err, ibt.ErrInvalidArg)
	_, err = ibt.NewStore(nil)
	wanted(t, "no storage", err, ibt.ErrInvalidArg)
	_, err = ibt.OpenDir("")
	wanted(t, "no path", err, ibt.ErrInvalidArg)
	_, err = ibt.OpenDir(filepath.Join(t.TempDir(), "absent"), ibt.DirMustExist)
	wanted(t, "a directory that must exist", err, ibt.ErrNotFound)
	var noError *ibt.Error
	equal(t, "no error", noError.Error(), "IBT_OK")

	// A nil option, function and context do nothing.
	other := newRoom(t)
	_, err = other.store.FullBackup(nil, other.source, nil, other.cache, ibt.WithProgress(nil), ibt.WithChange(nil), //nolint
		ibt.WithFilter(nil), ibt.WithLog(ibt.LogInfo, nil))
	check(t, err)
	// A store that is closed during an operation is closed after it.
	open := true
	_, err = other.store.FullBackup(background, other.source, other.cache, ibt.WithProgress(func(ibt.Progress) error {
		if open {
			_, err := other.store.List(background, "")
			wanted(t, "the store in a callback", err, ibt.ErrBusy)
		}
		open = false
		return other.store.Close()
	}))
	check(t, err)
	_, err = other.store.List(background, "")
	wanted(t, "a store that was closed during an operation", err, ibt.ErrInvalidArg)
}

func TestAStorageIsReleased(t *testing.T) {
	released := make(chan bool, 1)
	func() {
		storage := newMemory()
		runtime.SetFinalizer(storage, func(*memory) { released <- true })
		store, err := ibt.NewStore(storage)
		check(t, err)
		source := filepath.Join(t.TempDir(), "source")
		write(t, filepath.Join(source, "file"), []byte("text"))
		_, err = store.FullBackup(background, source, ibt.WithCacheDir(""))
		check(t, err)
		_, err = store.OpenSnapshot(background, "source")
		check(t, err)
	}()
	for i := 0; i < 200; i++ {
		runtime.GC()
		select {
		case <-released:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the storage of a store that nobody uses is never released")
}

func TestManyGoroutines(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "store")
	var all sync.WaitGroup
	for i := 0; i < 6; i++ {
		source := filepath.Join(t.TempDir(), string(rune('a'+i)))
		write(t, filepath.Join(source, "file"), noise(int64(i), 50000))
		all.Add(1)
		go func() {
			defer all.Done()
			store, err := ibt.OpenDir(directory)
			if err == nil {
				_, err = store.FullBackup(background, source, ibt.WithCacheDir(""))
			}
			if err == nil {
				_, err = store.Restore(background, filepath.Base(source), source+"-restored")
			}
			if err != nil {
				t.Error(err)
				return
			}
			sameTrees(t, source, source+"-restored")
			store.Close()
		}()
	}
	all.Wait()

	// One store: each call succeeds, or the store is busy or closed.
	r := newRoom(t)
	r.full()
	snapshot := r.snapshot()
	for i := 0; i < 8; i++ {
		number := i
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < 10; j++ {
				var err error
				switch number % 4 {
				case 0:
					_, err = r.store.FullBackup(background, r.source, r.cache)
				case 1:
					_, err = r.store.List(background, "source")
				case 2:
					_, err = snapshot.ReadFile(background, "dir/file")
				case 3:
					_, err = snapshot.Next()
				}
				if err != nil && err != io.EOF && !errors.Is(err, ibt.ErrBusy) && !errors.Is(err, ibt.ErrInvalidArg) {
					t.Error(err)
				}
				if number == 7 && j == 9 {
					snapshot.Close()
					r.store.Close()
				}
			}
		}()
	}
	all.Wait()
}

// BenchmarkCallback measures what one call of a caller's function costs.
func BenchmarkCallback(b *testing.B) {
	r := newRoom(b)
	for i := 0; i < 1000; i++ {
		write(b, filepath.Join(r.source, "many", strconv.Itoa(i)), nil)
	}
	r.full()
	snapshot := r.snapshot()
	b.ResetTimer()
	for i := 0; i < b.N; i += 1000 {
		check(b, snapshot.List(background, "many", 1, func(*ibt.Entry) error { return nil }))
	}
}

// TestEveryFunctionIsBound compares the package with the header, so that nothing of libibt stays out of reach.
func TestEveryFunctionIsBound(t *testing.T) {
	header, err := os.ReadFile("../../include/ibt.h")
	check(t, err)
	var sources []byte
	for _, pattern := range []string{"*.go", "bridge.c"} {
		names, err := filepath.Glob(pattern)
		check(t, err)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			check(t, err)
			sources = append(sources, text...)
		}
	}
	used := map[string]bool{}
	for _, word := range regexp.MustCompile(`\w+`).FindAll(sources, -1) {
		used[string(word)] = true
	}
	// The binding needs none of these: the version of the header, names of counters, which are fields in Go, and reads
	// on several threads at once, because the panic of a callback is kept for one callback at a time.
	for _, name := range []string{"ibt_version_number", "ibt_counter_name", "ibt_cancel_requested", "IBT_VERSION",
		"IBT_VERSION_NUMBER", "IBT_API", "IBT_H", "IBT_STORAGE_THREAD_SAFE"} {
		used[name] = true
	}
	declared := regexp.MustCompile(`(?m)\b(ibt_[a-z0-9_]+)\(|^#define (IBT_[A-Z0-9_]+)`)
	comments := regexp.MustCompile(`(?s)/\*.*?\*/`)
	all := declared.FindAllSubmatch(comments.ReplaceAll(header, nil), -1)
	for _, match := range all {
		if name := string(match[1]) + string(match[2]); !used[name] {
			t.Errorf("%s is not used by this package", name)
		}
	}
	equal(t, "functions and constants were found", len(all) > 200, true)
}

// TestReadme runs the program in README.md as a program of its own module.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	check(t, err)
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(readme)
	here, err := os.Getwd()
	check(t, err)
	directory := t.TempDir()
	write(t, filepath.Join(directory, "main.go"), program[1])
	write(t, filepath.Join(directory, "go.mod"), []byte("module program\n\ngo 1.19\n\nrequire ibt v0.0.0\n\nreplace ibt => "+here+"\n"))
	write(t, filepath.Join(directory, "documents/file"), []byte("text"))
	command := exec.Command("go", "run", "-buildvcs=false", ".")
	command.Dir = directory
	command.Env = append(os.Environ(), "GO111MODULE=on", "GOFLAGS=-mod=mod")
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	sameTrees(t, filepath.Join(directory, "documents"), filepath.Join(directory, "restored"))
}
