package ibt

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Store is an open storage: a directory, or a Storage of yours.
//
// A Store serves one call at a time; a second call returns ErrBusy, also from a callback and from another goroutine.
// A call while one of its snapshots reads a file returns ErrBusy too. Two stores of one directory do not exclude each
// other; libibt then lets operations wait as the table in docs/abi.md says.
type Store struct {
	handle handle
	gate   *gate
}

func newStore(pointer *C.ibt_storage, gate *gate) *Store {
	s := &Store{gate: gate}
	s.handle.kind = "store"
	s.handle.pointer = unsafe.Pointer(pointer)
	s.handle.free = func(p unsafe.Pointer) { C.ibt_storage_free((*C.ibt_storage)(p)) }
	runtime.SetFinalizer(s, func(s *Store) { s.handle.close() })
	return s
}

// DirFlags says how OpenDir opens a directory.
type DirFlags uint32

// The flags of OpenDir, which can be added up.
const (
	DirMustExist     DirFlags = C.IBT_DIR_MUST_EXIST     // no backup creates the directory
	DirReadOnly      DirFlags = C.IBT_DIR_READ_ONLY      // change nothing in the directory, which must exist
	DirCreateParents DirFlags = C.IBT_DIR_CREATE_PARENTS // the first backup also creates the directories above it
)

// OpenDir opens a directory as a store. Unless a flag says otherwise, the directory need not exist: the first backup
// makes it, in a directory that exists.
func OpenDir(path string, flags ...DirFlags) (*Store, error) {
	text, err := newText("path", path)
	if err != nil {
		return nil, err
	}
	defer text.free()
	var all DirFlags
	for _, flag := range flags {
		all |= flag
	}
	var storage *C.ibt_storage
	var cError *C.ibt_error
	C.ibt_storage_open_dir(text.c, C.uint32_t(all), &storage, &cError)
	return opened(storage, cError)
}

// OpenURL opens the storage of a URL: "s3://bucket/prefix", "gs://...", "az://..." or "file:///path". Credentials come
// from the environment and the standard files. [ErrUnsupported] if libibt was built without object stores.
func OpenURL(url string) (*Store, error) {
	text, err := newText("url", url)
	if err != nil {
		return nil, err
	}
	defer text.free()
	var storage *C.ibt_storage
	var cError *C.ibt_error
	C.ibt_storage_open_url(text.c, &storage, &cError)
	return opened(storage, cError)
}

// OpenDefault opens a private directory under $TMPDIR, for experiments.
func OpenDefault() (*Store, error) {
	var storage *C.ibt_storage
	var cError *C.ibt_error
	C.ibt_storage_open_default(&storage, &cError)
	return opened(storage, cError)
}

func opened(storage *C.ibt_storage, cError *C.ibt_error) (*Store, error) {
	if err := takeError(cError); err != nil {
		return nil, err
	}
	return newStore(storage, &gate{}), nil
}

// NewStore makes a store of a Storage.
func NewStore(storage Storage) (*Store, error) {
	if storage == nil {
		return nil, invalid("the storage is nil")
	}
	s := &state{storage: storage, gate: &gate{}}
	var has C.uint32_t
	if _, can := storage.(Creator); can {
		has |= C.IBT_GO_HAS_WRITER
	}
	if _, can := storage.(Deleter); can {
		has |= C.IBT_GO_HAS_DELETE
	}
	if _, can := storage.(Locker); can {
		has |= C.IBT_GO_HAS_LOCK
	}
	cheap := false
	if reader, can := storage.(CheapReader); can {
		cheap = reader.ReadsCheaply()
	}
	s.pointer = C.ibt_go_storage_new(C.uintptr_t(cgo.NewHandle(s)), has)
	if cheap {
		C.ibt_storage_set_traits(s.pointer, C.IBT_STORAGE_READS_CHEAPLY)
	}
	return newStore(s.pointer, s.gate), nil
}

// Close closes the store; stored files are not touched. If a call is using the store, it is closed when that call ends.
// Open snapshots stay usable. Close does nothing for a store that is nil or closed, and always returns nil. A store
// that nobody refers to any more is closed by itself.
func (s *Store) Close() error {
	if s != nil {
		s.handle.close()
	}
	return nil
}

// operation is an operation of libibt.
type operation func(*C.ibt_storage, *C.ibt_options, **C.ibt_report, **C.ibt_error) C.ibt_status

// use runs a function with the store's pointer, for one call.
func (s *Store) use(ctx context.Context, function func(*call, *C.ibt_storage) error) error {
	if s == nil {
		return invalid("the store is nil")
	}
	pointer, err := s.handle.take()
	if err != nil {
		return err
	}
	defer s.handle.give()
	c, err := newCall(ctx)
	if err != nil {
		return err
	}
	if err := s.gate.enter(c); err != nil {
		c.abandon()
		return err
	}
	defer s.gate.leave()
	return function(c, (*C.ibt_storage)(pointer))
}

// operate runs an operation, and makes its report and error.
func (s *Store) operate(ctx context.Context, options []Option, run operation) (report *Report, err error) {
	err = s.use(ctx, func(c *call, storage *C.ibt_storage) error {
		settings, err := apply(c, options)
		if err != nil {
			c.abandon()
			return err
		}
		var cReport *C.ibt_report
		var cError *C.ibt_error
		status := run(storage, settings.options, &cReport, &cError)
		settings.free()
		report = takeReport(cReport)
		if err := c.end(status, cError); err != nil {
			return err
		}
		return report.partial()
	})
	return report, err
}

// partial is the error of an operation that finished with problems, else nil.
func (r *Report) partial() error {
	if r == nil || r.Status != ErrPartial {
		return nil
	}
	err := &Error{Status: ErrPartial, Message: fmt.Sprintf("finished with %d problems", r.Counters.Problems)}
	if r.Counters.Problems == 1 {
		err.Message = "finished with a problem"
	}
	for _, problem := range r.Problems {
		if !problem.Note {
			err.Message += ", the first: " + problem.Message
			err.Path, err.Errno = problem.Path, problem.Errno
			break
		}
	}
	return err
}

// FullBackup makes a full backup of the directory source: a new snapshot that needs no older one.
//
// It returns ErrPartial, and the report, if entries could not be read or changed while they were read; the snapshot
// exists then. Every other operation that finished with problems returns ErrPartial too.
func (s *Store) FullBackup(ctx context.Context, source string, options ...Option) (*Report, error) {
	return s.operateOn(ctx, options, source, func(t *C.ibt_storage, source *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_full_backup(t, source, o, r, e)
	})
}

// IncrementalBackup makes an increment: a new snapshot of source that stores only the changes since the newest snapshot
// of its key. It returns ErrNotFound if the key has no snapshot to build on.
func (s *Store) IncrementalBackup(ctx context.Context, source string, options ...Option) (*Report, error) {
	return s.operateOn(ctx, options, source, func(t *C.ibt_storage, source *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_incremental_backup(t, source, o, r, e)
	})
}

// Restore restores a snapshot of the key, the newest or the one that options select, as the directory dest. Without
// WithOverwrite dest must be absent or empty.
func (s *Store) Restore(ctx context.Context, key, dest string, options ...Option) (*Report, error) {
	texts, err := newTexts("key", key, "dest", dest)
	if err != nil {
		return nil, err
	}
	defer texts.free()
	return s.operate(ctx, options, func(t *C.ibt_storage, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_restore(t, texts[0].c, texts[1].c, o, r, e)
	})
}

// List lists the snapshots of a key, or of every key if key is "", oldest first, as Report.Snapshots. If options select
// a snapshot, the report lists that one and the files that it needs.
func (s *Store) List(ctx context.Context, key string, options ...Option) (*Report, error) {
	return s.operateOnKey(ctx, options, key, func(t *C.ibt_storage, key *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_list_snapshots(t, key, o, r, e)
	})
}

// Verify reads everything that the snapshots of a key need, or of every key if key is "", and compares it with its
// hashes. Each loss is a problem of the report.
func (s *Store) Verify(ctx context.Context, key string, options ...Option) (*Report, error) {
	return s.operateOnKey(ctx, options, key, func(t *C.ibt_storage, key *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_verify(t, key, o, r, e)
	})
}

// Compare compares a snapshot of the key with the directory tree. WithChange receives each difference, as a change from
// the snapshot to the tree.
func (s *Store) Compare(ctx context.Context, key, tree string, options ...Option) (*Report, error) {
	texts, err := newTexts("key", key, "tree", tree)
	if err != nil {
		return nil, err
	}
	defer texts.free()
	return s.operate(ctx, options, func(t *C.ibt_storage, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_compare(t, texts[0].c, texts[1].c, o, r, e)
	})
}

// Prune removes snapshots of the key, and then every backup file that no remaining snapshot needs. Options select the
// snapshots: either by rules (WithKeepLast and the others), or exactly (WithRemoved, WithSnapshot, WithAsOf).
func (s *Store) Prune(ctx context.Context, key string, options ...Option) (*Report, error) {
	return s.operateOn(ctx, options, key, func(t *C.ibt_storage, key *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_prune(t, key, o, r, e)
	})
}

// ImportAncestor imports the backups that incremental-backups-tools 0.1, the Python ancestor of libibt, made of the
// directory key: it makes a snapshot of each, with the date of that backup. Their files are in the directory from, or
// in the store itself if from is "", and are only read. WithKey sets another key for the snapshots.
func (s *Store) ImportAncestor(ctx context.Context, key, from string, options ...Option) (*Report, error) {
	if from == "" {
		return s.importAncestor(ctx, key, nil, options)
	}
	source, err := OpenDir(from, DirReadOnly)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	pointer, err := source.handle.take()
	if err != nil {
		return nil, err
	}
	defer source.handle.give()
	return s.importAncestor(ctx, key, (*C.ibt_storage)(pointer), options)
}

func (s *Store) importAncestor(ctx context.Context, key string, from *C.ibt_storage, options []Option) (*Report,
	error) {
	return s.operateOn(ctx, options, key, func(t *C.ibt_storage, key *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_import(t, from, key, o, r, e)
	})
}

// Consolidate makes a new full snapshot with the entries and contents of the newest snapshot of the key, from the store
// alone.
func (s *Store) Consolidate(ctx context.Context, key string, options ...Option) (*Report, error) {
	return s.operateOn(ctx, options, key, func(t *C.ibt_storage, key *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_consolidate(t, key, o, r, e)
	})
}

// RebuildCache completes the cache for the newest snapshot of the key.
func (s *Store) RebuildCache(ctx context.Context, key string, options ...Option) (*Report, error) {
	return s.operateOn(ctx, options, key, func(t *C.ibt_storage, key *C.char, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return C.ibt_rebuild_cache(t, key, o, r, e)
	})
}

// Keys lists the keys that have a snapshot, in ascending order. It reads no file, except for states of
// several keys with the same stamp, which may be copies.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	var keys []Key
	err := s.use(ctx, func(c *call, storage *C.ibt_storage) error {
		var cError *C.ibt_error
		status := C.ibt_go_list_keys(storage, c.userdata(), &cError)
		keys = c.keys
		return c.end(status, cError)
	})
	return keys, err
}

// Diff compares two opened snapshots, of one key or of different keys and stores. WithChange receives each difference,
// as a change from before to after.
func Diff(ctx context.Context, before, after *Snapshot, options ...Option) (report *Report, err error) {
	err = before.use(func(first *C.ibt_snapshot) error {
		return after.use(func(second *C.ibt_snapshot) error {
			c, err := newCall(ctx)
			if err != nil {
				return err
			}
			settings, err := apply(c, options)
			if err != nil {
				c.abandon()
				return err
			}
			var cReport *C.ibt_report
			var cError *C.ibt_error
			status := C.ibt_diff(first, second, settings.options, &cReport, &cError)
			settings.free()
			report = takeReport(cReport)
			return c.end(status, cError)
		})
	})
	return report, err
}

// operateOn runs an operation with one string: a source or a key.
func (s *Store) operateOn(ctx context.Context, options []Option, value string, run func(*C.ibt_storage, *C.char,
	*C.ibt_options, **C.ibt_report, **C.ibt_error) C.ibt_status) (*Report, error) {
	text, err := newText("source or key", value)
	if err != nil {
		return nil, err
	}
	defer text.free()
	return s.operate(ctx, options, func(t *C.ibt_storage, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return run(t, text.c, o, r, e)
	})
}

// operateOnKey runs an operation with a key, where "" means every key.
func (s *Store) operateOnKey(ctx context.Context, options []Option, key string, run func(*C.ibt_storage, *C.char,
	*C.ibt_options, **C.ibt_report, **C.ibt_error) C.ibt_status) (*Report, error) {
	if key != "" {
		return s.operateOn(ctx, options, key, run)
	}
	return s.operate(ctx, options, func(t *C.ibt_storage, o *C.ibt_options, r **C.ibt_report,
		e **C.ibt_error) C.ibt_status {
		return run(t, nil, o, r, e)
	})
}
