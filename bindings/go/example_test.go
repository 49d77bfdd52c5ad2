package ibt_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ibt"
)

// exampleDirectory makes a directory with a file, and a store beside it.
func exampleDirectory() (source string, store *ibt.Store, remove func()) {
	room, err := os.MkdirTemp("", "ibt-example-")
	if err != nil {
		panic(err)
	}
	source = filepath.Join(room, "documents")
	if err := os.Mkdir(source, 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(source, "letter"), []byte("Dear reader"), 0o644); err != nil {
		panic(err)
	}
	if store, err = ibt.OpenDir(filepath.Join(room, "store")); err != nil {
		panic(err)
	}
	return source, store, func() {
		store.Close()
		os.RemoveAll(room)
	}
}

// A full backup, an increment, and a restore of the newest snapshot.
func Example() {
	source, store, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()

	report, err := store.FullBackup(ctx, source, ibt.WithCacheDir(""))
	if err != nil && !errors.Is(err, ibt.ErrPartial) {
		fmt.Println(err)
		return
	}
	fmt.Println("entries:", report.Counters.Entries)
	os.WriteFile(filepath.Join(source, "second letter"), []byte("Dear writer"), 0o644)
	report, err = store.IncrementalBackup(ctx, source, ibt.WithCacheDir(""))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("new entries:", report.Counters.Created)
	if _, err = store.Restore(ctx, "documents", source+"-restored"); err != nil {
		fmt.Println(err)
		return
	}
	content, _ := os.ReadFile(source + "-restored/second letter")
	fmt.Println(string(content))
	// Output:
	// entries: 2
	// new entries: 1
	// Dear writer
}

// A snapshot is a file system for package io/fs.
func ExampleSnapshot_FS() {
	source, store, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	if _, err := store.FullBackup(ctx, source, ibt.WithCacheDir("")); err != nil {
		fmt.Println(err)
		return
	}
	snapshot, err := store.OpenSnapshot(ctx, "documents")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer snapshot.Close()
	fs.WalkDir(snapshot.FS(ctx), ".", func(path string, entry fs.DirEntry, err error) error {
		fmt.Println(path)
		return err
	})
	// Output:
	// .
	// letter
}

// A storage of your own: memory in memory_test.go has all the functions.
func ExampleNewStore() {
	source, _, remove := exampleDirectory()
	defer remove()
	store, err := ibt.NewStore(newMemory())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ctx := context.Background()
	if _, err := store.FullBackup(ctx, source, ibt.WithCacheDir("")); err != nil {
		fmt.Println(err)
		return
	}
	keys, err := store.Keys(ctx)
	fmt.Println(keys, err)
	// Output: [{documents 1}] <nil>
}

// Errors have a status, and wrap the errors of the system, of contexts and of callbacks.
func ExampleError() {
	_, store, remove := exampleDirectory()
	defer remove()
	_, err := store.Restore(context.Background(), "pictures", "/tmp/pictures")
	fmt.Println(errors.Is(err, ibt.ErrNotFound), errors.Is(err, fs.ErrNotExist))
	var full *ibt.Error
	if errors.As(err, &full) {
		fmt.Println(full.Status)
	}
	// Output:
	// true true
	// IBT_ERR_NOT_FOUND
}
