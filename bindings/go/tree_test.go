package ibt_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// notText is a name that is not UTF-8.
const notText = "caf\xe9 \xff"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file, and the directories that lead to it.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, content, 0o644))
}

// noise gives bytes that do not compress.
func noise(seed int64, length int) []byte {
	p := make([]byte, length)
	rand.New(rand.NewSource(seed)).Read(p)
	return p
}

// makeTree makes a source with entries of every type that an ordinary user can make.
func makeTree(t testing.TB) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "source")
	for i := 0; i < 40; i++ {
		write(t, filepath.Join(source, fmt.Sprintf("dir-%d/sub/file-%d", i%4, i)), noise(int64(i), 100*i))
	}
	write(t, filepath.Join(source, notText), []byte("a name that is not text"))
	write(t, filepath.Join(source, "dir-0/read-only"), []byte("nobody may write"))
	check(t, os.Chmod(filepath.Join(source, "dir-0/read-only"), 0o440))
	check(t, os.Mkdir(filepath.Join(source, "empty"), 0o700))
	check(t, os.Chmod(filepath.Join(source, "empty"), fs.ModeSticky|0o777))
	check(t, os.Symlink("dir-0/read-only", filepath.Join(source, "link")))
	check(t, os.Symlink("nowhere", filepath.Join(source, "dangling")))
	check(t, os.Link(filepath.Join(source, "dir-1/sub/file-5"), filepath.Join(source, "second name")))
	check(t, syscall.Mkfifo(filepath.Join(source, "fifo"), 0o600))
	then := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	check(t, os.Chtimes(filepath.Join(source, "dir-0/read-only"), then, then))
	return source
}

// change makes an edit of every kind.
func change(t testing.TB, source string) {
	t.Helper()
	edited := noise(39, 3900)
	copy(edited[2000:], "an edit")
	write(t, filepath.Join(source, "dir-3/sub/file-39"), edited)
	write(t, filepath.Join(source, "new"), []byte("new"))
	check(t, os.Remove(filepath.Join(source, "dir-2/sub/file-2")))
	check(t, os.Rename(filepath.Join(source, "dir-2/sub/file-38"), filepath.Join(source, "moved")))
	check(t, os.Chmod(filepath.Join(source, "dir-1/sub/file-1"), 0o600))
}

// described lists the entries of a tree, each with all that must be restored.
func described(t testing.TB, root string) map[string]string {
	t.Helper()
	entries := map[string]string{}
	inodes := map[uint64]string{}
	check(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		system := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprint(info.Mode(), system.Uid, system.Gid, info.ModTime().UnixNano())
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if _, seen := inodes[system.Ino]; !seen {
				inodes[system.Ino] = name
			}
			text += fmt.Sprintf(" %x, a name of %q", content, inodes[system.Ino])
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " to " + target
		}
		entries[name] = text
		return nil
	}))
	return entries
}

func sameTrees(t testing.TB, one, other string) {
	t.Helper()
	a, b := described(t, one), described(t, other)
	for name, text := range a {
		if b[name] != text {
			t.Errorf("%q differs:\n%.200s\n%.200s", name, text, b[name])
		}
	}
	for name := range b {
		if _, exists := a[name]; !exists {
			t.Errorf("%q is in the second tree only", name)
		}
	}
}

func equal(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%s: %v, not %v", what, got, wanted)
	}
}

func sameBytes(t testing.TB, what string, got, wanted []byte) {
	t.Helper()
	if !bytes.Equal(got, wanted) {
		t.Errorf("%s: %d bytes that differ from the %d wanted", what, len(got), len(wanted))
	}
}
