package ibt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"ibt"
)

// libibt may call back until it notices that a function of the caller has ended the operation.
func TestNothingOfTheCallerRunsAfterAPanic(t *testing.T) {
	mine := errors.New("mine")
	for name, operation := range map[string]func(*room, ...ibt.Option) error{
		"prune": func(r *room, options ...ibt.Option) error {
			r.full()
			_, err := r.store.Prune(background, "source", append(options, ibt.WithKeepLast(1))...)
			return err
		},
		"restore": func(r *room, options ...ibt.Option) error {
			_, err := r.store.Restore(background, "source", filepath.Join(r.TempDir(), "restored"), options...)
			return err
		},
	} {
		r := newRoom(t)
		r.full()
		called := 0
		// leave ends the operation at a call, by a panic or by an error. It reports whether there were so many calls.
		leave := func(number int, panics bool) bool {
			called = 0
			answer := func(log bool) error {
				called++
				switch {
				case called != number:
					return nil
				case panics || log:
					panic("mine")
				}
				return mine
			}
			var err error
			value, _ := ended(func() {
				err = operation(r, ibt.WithProgress(func(ibt.Progress) error { return answer(false) }),
					ibt.WithChange(func(ibt.Change) error { return answer(false) }),
					ibt.WithLog(ibt.LogDebug, func(ibt.LogLevel, string) { answer(true) }))
			})
			return value == "mine" || errors.Is(err, mine)
		}
		for _, panics := range []bool{true, false} {
			number := 1
			for ; leave(number, panics); number++ {
				equal(t, name+": calls", called, number)
			}
			equal(t, name+": several calls", number > 3, true)
		}
	}
}

// oddStorage answers in ways that the interface does not allow.
type oddStorage struct {
	*memory
	read  func(p []byte) (int, error)
	write func(p []byte) (int, error)
}

func (o oddStorage) ReadAt(ctx context.Context, name string, p []byte, offset int64) (int, error) {
	if o.read != nil {
		return o.read(p)
	}
	return o.memory.ReadAt(ctx, name, p, offset)
}

func (o oddStorage) Create(ctx context.Context, name string) (ibt.ObjectWriter, error) {
	writer, err := o.memory.Create(ctx, name)
	return oddWriter{writer, o.write}, err
}

type oddWriter struct {
	ibt.ObjectWriter
	write func(p []byte) (int, error)
}

func (w oddWriter) Write(p []byte) (int, error) {
	if w.write != nil {
		return w.write(p)
	}
	return w.ObjectWriter.Write(p)
}

func TestAnswersOfAStorageThatMakeNoSense(t *testing.T) {
	r := newRoom(t)
	r.full()
	for name, odd := range map[string]oddStorage{
		"no progress":     {read: func([]byte) (int, error) { return 0, nil }},
		"too many bytes":  {read: func(p []byte) (int, error) { return len(p) + 1, nil }},
		"fewer than none": {read: func([]byte) (int, error) { return -1, nil }},
		"a short write":   {write: func(p []byte) (int, error) { return len(p) - 1, nil }},
	} {
		odd.memory = r.memory
		store, err := ibt.NewStore(odd)
		check(t, err)
		_, err = store.FullBackup(background, r.source, r.cache)
		if err == nil {
			_, err = store.Restore(background, "source", filepath.Join(t.TempDir(), "restored"))
		}
		wanted(t, name, err, ibt.ErrStorage)
		if name == "a short write" {
			equal(t, "its reason", errors.Is(err, io.ErrShortWrite), true)
		}
		if name == "no progress" {
			equal(t, "its reason", errors.Is(err, io.ErrNoProgress), true)
		}
		check(t, store.Close())
	}
	short := writerFunc(func(p []byte) (int, error) { return len(p) - 1, nil })
	written, err := r.snapshot().CopyFile(background, short, "dir/file")
	equal(t, "a writer that takes a part", errors.Is(err, io.ErrShortWrite) && written > 0, true)
	r.usable()
}

// A cancelled operation removes its objects: the context of that removal has not ended.
func TestTheContextOfADeletion(t *testing.T) {
	r := newRoom(t)
	r.full()
	type value struct{}
	ctx, cancel := context.WithCancel(context.WithValue(background, value{}, "mine"))
	defer cancel()
	storage := &deletions{memory: r.memory, check: func(given context.Context) {
		cancel()
		equal(t, "the error and value of the context", []any{given.Err(), given.Value(value{})}, []any{nil, "mine"})
		equal(t, "it never ends", given.Done() == nil, true)
	}}
	store, err := ibt.NewStore(storage)
	check(t, err)
	_, err = store.FullBackup(ctx, r.source, r.cache)
	check(t, err)
	if _, err = store.Prune(ctx, "source", ibt.WithKeepLast(1)); err != nil { // the last deletion may come first
		wanted(t, "a prune that is cancelled", err, ibt.ErrCancelled)
	}
	equal(t, "deletions", storage.calls > 0, true)
}

type deletions struct {
	*memory
	check func(context.Context)
	calls int
}

func (d *deletions) Delete(ctx context.Context, name string) error {
	d.calls++
	d.check(ctx)
	return d.memory.Delete(ctx, name)
}

// Calls that succeed, fail, are refused and panic leave no memory behind, of Go or of libibt.
func TestMemoryDoesNotGrow(t *testing.T) {
	if raceDetector {
		t.Skip("the memory of the race detector itself grows")
	}
	r := newRoom(t)
	r.full()
	snapshot := r.snapshot()
	use := func(times int) {
		for i := 0; i < times; i++ {
			if _, err := snapshot.Lstat("absent"); err == nil {
				t.Fatal("an absent entry was found")
			}
			snapshot.ReadFile(background, "dir/other")
			r.store.List(background, "absent", ibt.WithHost(strings.Repeat("h", 200)))
			r.store.List(background, "source", ibt.WithKey("a\x00b"))
			r.store.Keys(background)
			if opened, err := r.store.OpenSnapshot(background, "source"); err == nil {
				opened.Close()
			}
		}
	}
	use(300)
	var grown []int
	for round := 0; round < 6; round++ {
		before := resident(t)
		use(1000)
		// Stacks of new threads and the allocator's pools grow the process now and then. A leak grows it in each round.
		if grown = append(grown, (resident(t)-before)>>10); grown[round] < 1<<10 {
			return
		}
	}
	t.Errorf("memory grows in each round of calls, by %d KiB", grown)
}

// resident is the memory of this process in bytes, after a collection.
func resident(t *testing.T) int {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	check(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	check(t, err)
	return pages * os.Getpagesize()
}

// A file of more than 4 MiB is read in pieces of 1 MiB.
func TestALargeFileOfTheFileSystem(t *testing.T) {
	r := newRoom(t)
	size := 5<<20 + 7
	big := noise(2, size)
	write(t, filepath.Join(r.source, "big"), big)
	r.full()
	view := r.snapshot().FS(background)
	open := func() fs.File {
		file, err := view.Open("big")
		check(t, err)
		return file
	}
	file := open()
	for _, place := range []int{0, 1<<20 - 1, 1 << 20, 1<<20 + 1, 4 << 20, size - 1, size} {
		for _, length := range []int{1, 1<<20 - 1, 1 << 20, 1<<20 + 1, size} {
			p := make([]byte, length)
			n, err := file.(io.ReaderAt).ReadAt(p, int64(place))
			rest := big[place:]
			if length <= len(rest) {
				rest = rest[:length]
				check(t, err)
			} else {
				equal(t, "the error at the end", err, io.EOF)
			}
			sameBytes(t, "ReadAt", p[:n], rest)
			_, err = file.(io.Seeker).Seek(int64(place), io.SeekStart)
			check(t, err)
			got, err := io.ReadAll(io.LimitReader(struct{ io.Reader }{file}, int64(length)))
			check(t, err)
			sameBytes(t, "Read", got, rest)
		}
	}
	for _, place := range []int{0, 7, 1 << 20, size} { // WriteTo reads the whole file, or the rest of it
		var copied bytes.Buffer
		_, err := file.(io.Seeker).Seek(int64(place), io.SeekStart)
		check(t, err)
		n, err := io.Copy(&copied, file)
		check(t, err)
		equal(t, "copied", n, size-place)
		sameBytes(t, "WriteTo", copied.Bytes(), big[place:])
	}
	check(t, file.Close())
	_, err := file.Read(make([]byte, 1))
	equal(t, "a closed file", errors.Is(err, fs.ErrClosed), true)

	calls := 0
	r.memory.before = func(name string) { calls++ }
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{open()}); err != nil {
		t.Error(err)
	}
	equal(t, "calls of the storage for each piece", calls < 50, true)
}

func TestADirectoryOfTheFileSystemInParts(t *testing.T) {
	r := newRoom(t)
	for i := 0; i < 5; i++ {
		write(t, filepath.Join(r.source, "many", strconv.Itoa(i)), nil)
	}
	r.full()
	opened, err := r.snapshot().FS(background).Open("many")
	check(t, err)
	directory := opened.(fs.ReadDirFile)
	var names []string
	for {
		entries, err := directory.ReadDir(2)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if err == io.EOF {
			break
		}
		check(t, err)
		equal(t, "a part", len(entries) == 2 || len(names) == 5, true)
	}
	equal(t, "names", names, []string{"0", "1", "2", "3", "4"})
	rest, err := directory.ReadDir(-1)
	equal(t, "the rest", []any{len(rest), err}, []any{0, nil})
	check(t, directory.Close())
	_, err = directory.ReadDir(-1)
	equal(t, "a closed directory", errors.Is(err, fs.ErrClosed), true)
}

// TestEachOptionCallsItsSetter compares the name of each option with those of the functions that it calls.
func TestEachOptionCallsItsSetter(t *testing.T) {
	source, err := os.ReadFile("options.go")
	check(t, err)
	options := regexp.MustCompile(`(?s)\nfunc With(\w+)\(.*?\n}\n`).FindAllSubmatch(source, -1)
	setter := regexp.MustCompile(`C\.ibt_(?:options|go)_(?:set|add)_(\w+)\(`)
	for _, option := range options {
		name := strings.ToLower(string(option[1]))
		called := setter.FindAllSubmatch(option[0], -1)
		for _, one := range called {
			set := strings.ReplaceAll(string(one[1]), "_", "")
			if name != set && name != set+"name" && name != "out"+set { // WithKeepLabelName, WithoutLabel
				t.Errorf("With%s calls the setter of %s", option[1], one[1])
			}
		}
		if len(called) == 0 {
			t.Errorf("With%s calls no setter", option[1])
		}
	}
	equal(t, "options were found", len(options) > 40, true)
}
