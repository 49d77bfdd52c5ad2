package ibt

// #include "bridge.h"
import "C"

import (
	"context"
	"io"
	"math"
	"runtime"
	"sort"
	"unsafe"
)

// Snapshot is one opened snapshot, for listing its entries and reading its files. It was verified when it was opened,
// and it does not change. It keeps its storage alive, also after Store.Close, but does not lock it: if the snapshot is
// removed meanwhile, reading its files fails with ErrMissing.
//
// A Snapshot serves one call at a time; a second call returns ErrBusy. A read of a file also uses the storage.
type Snapshot struct {
	handle handle
	gate   *gate
	info   SnapshotInfo
}

// OpenSnapshot opens a snapshot of the key: the newest, or the one that options select. It reads and verifies the
// snapshot's state, and no contents.
func (s *Store) OpenSnapshot(ctx context.Context, key string, options ...Option) (*Snapshot, error) {
	text, err := newText("key", key)
	if err != nil {
		return nil, err
	}
	defer text.free()
	var opened *Snapshot
	err = s.use(ctx, func(c *call, storage *C.ibt_storage) error {
		settings, err := apply(c, options)
		if err != nil {
			c.abandon()
			return err
		}
		var snapshot *C.ibt_snapshot
		var cError *C.ibt_error
		status := C.ibt_snapshot_open(storage, text.c, settings.options, &snapshot, &cError)
		settings.free()
		if snapshot != nil {
			opened = newSnapshot(snapshot, s.gate) // before end(), which may panic
		}
		return c.end(status, cError)
	})
	return opened, err
}

func newSnapshot(pointer *C.ibt_snapshot, gate *gate) *Snapshot {
	s := &Snapshot{gate: gate, info: SnapshotInfo{
		Key:    C.GoString(C.ibt_snapshot_key(pointer)),
		Stamp:  C.GoString(C.ibt_snapshot_stamp(pointer)),
		Kind:   C.GoString(C.ibt_snapshot_kind(pointer)),
		Digest: C.GoString(C.ibt_snapshot_digest(pointer)),
		Source: C.GoString(C.ibt_snapshot_source(pointer)),
		Date:   timeOf(C.ibt_snapshot_date(pointer)),
		Counters: readCounters(func(which C.int32_t) C.uint64_t {
			return C.ibt_snapshot_counter(pointer, which)
		}),
	}}
	for i := C.size_t(0); i < C.ibt_snapshot_label_count(pointer); i++ {
		s.info.addLabel(C.ibt_snapshot_label_name(pointer, i), C.ibt_snapshot_label_value(pointer, i))
	}
	s.handle.kind = "snapshot"
	s.handle.pointer = unsafe.Pointer(pointer)
	s.handle.free = func(p unsafe.Pointer) { C.ibt_snapshot_free((*C.ibt_snapshot)(p)) }
	runtime.SetFinalizer(s, func(s *Snapshot) { s.handle.close() })
	return s
}

// Close closes the snapshot. If a call is using it, it is closed when that call ends. Close does nothing for a snapshot
// that is nil or closed, and always returns nil. A snapshot that nobody refers to any more is closed by itself.
func (s *Snapshot) Close() error {
	if s != nil {
		s.handle.close()
	}
	return nil
}

// Info describes the snapshot: Key, Stamp, Kind, Digest, Source, Date, Labels and Counters.
func (s *Snapshot) Info() SnapshotInfo {
	if s == nil {
		return SnapshotInfo{}
	}
	return s.info
}

// use runs a function with the snapshot's pointer, for one call.
func (s *Snapshot) use(function func(*C.ibt_snapshot) error) error {
	if s == nil {
		return invalid("the snapshot is nil")
	}
	pointer, err := s.handle.take()
	if err != nil {
		return err
	}
	defer s.handle.give()
	return function((*C.ibt_snapshot)(pointer))
}

// Next returns the next entry: first the root, whose path is "", then all others in the order of paths, so that each
// directory comes right before its own entries. It returns io.EOF after the last entry. List and reads do not change
// which entry comes next.
func (s *Snapshot) Next() (next *Entry, err error) {
	err = s.use(func(snapshot *C.ibt_snapshot) error {
		var entry *C.ibt_entry
		var cError *C.ibt_error
		C.ibt_snapshot_next(snapshot, &entry, &cError)
		if err := takeError(cError); err != nil {
			return err
		}
		if next = readEntry(entry); next == nil {
			return io.EOF
		}
		return nil
	})
	return next, err
}

// Rewind makes Next begin with the root again.
func (s *Snapshot) Rewind() error {
	return s.use(func(snapshot *C.ibt_snapshot) error {
		var cError *C.ibt_error
		C.ibt_snapshot_rewind(snapshot, &cError)
		if err := takeError(cError); err != nil {
			return err
		}
		return nil
	})
}

// AllLevels is the depth of a List without limit.
const AllLevels = math.MaxUint32

// List passes the entry at path and the entries below it, down to depth levels, to a function: with 0 the entry itself
// only, with 1 also the entries of that directory. "" is the root. The function may return ErrStop to end the listing;
// every other error ends it with ErrCancelled and is wrapped by List's error. The function cannot use the snapshot,
// which is busy. For many entries Next is faster.
func (s *Snapshot) List(ctx context.Context, path string, depth uint32, entry func(*Entry) error) error {
	if entry == nil {
		return invalid("the function for entries is nil")
	}
	return s.list(ctx, path, depth, func(c *call) { c.entry = entry }, func(*call) {})
}

// list lists entries, within a call that `begin` prepares and `finish` looks at.
func (s *Snapshot) list(ctx context.Context, path string, depth uint32, begin, finish func(*call)) error {
	text, err := newText("path", path)
	if err != nil {
		return err
	}
	defer text.free()
	return s.use(func(snapshot *C.ibt_snapshot) error {
		c, err := newCall(ctx)
		if err != nil {
			return err
		}
		begin(c)
		var cError *C.ibt_error
		status := C.ibt_go_snapshot_list(snapshot, text.c, C.uint32_t(depth), c.userdata(), &cError)
		finish(c)
		return c.end(status, cError)
	})
}

// Lstat returns the entry at path; "" is the root.
func (s *Snapshot) Lstat(path string) (*Entry, error) {
	entries, err := s.entries(path, 0)
	if err != nil {
		return nil, err
	}
	return entries[0], nil
}

// Children returns the entries of the directory at path, in the order of their names.
func (s *Snapshot) Children(path string) ([]*Entry, error) {
	entries, err := s.entries(path, 1)
	if err != nil {
		return nil, err
	}
	if !entries[0].IsDir() {
		return nil, &Error{Status: ErrInvalidArg, Message: "list " + path + ": it is not a directory", Path: path}
	}
	children := entries[1:]
	sort.Slice(children, func(i, j int) bool { return children[i].Path < children[j].Path })
	return children, nil
}

// entries lists without a function of the caller.
func (s *Snapshot) entries(path string, depth uint32) ([]*Entry, error) {
	var entries []*Entry
	err := s.list(context.Background(), path, depth, func(*call) {}, func(c *call) { entries = c.entries })
	if err == nil && len(entries) == 0 {
		err = &Error{Status: ErrNotFound, Message: "list " + path + ": no such entry", Path: path}
	}
	return entries, err
}

// ReadAt reads a range of a file into p: from offset on, until p is full or the file ends. It returns io.EOF if the
// file ended first. A range has no hash that could be checked; use CopyFile or ReadFile for whole files.
func (s *Snapshot) ReadAt(ctx context.Context, path string, p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, invalid("the offset %d is negative", offset)
	}
	err = s.read(ctx, path, uint64(offset), uint64(len(p)), func(c *call) { c.buffer = p }, func(c *call) { n = c.received })
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// CopyFile writes the content of the file at path to w, and returns the number of bytes written. The call checks the
// hash of the file: treat the bytes as provisional until it returns nil.
func (s *Snapshot) CopyFile(ctx context.Context, w io.Writer, path string) (written int64, err error) {
	if w == nil {
		return 0, invalid("the writer is nil")
	}
	write := func(p []byte) error {
		n, err := w.Write(p)
		written += int64(n)
		if err == nil && n != len(p) {
			err = io.ErrShortWrite
		}
		return err
	}
	err = s.read(ctx, path, 0, math.MaxUint64, func(c *call) { c.bytes = write }, func(*call) {})
	return written, err
}

// ReadFile returns the content of the file at path, whose hash it checks.
func (s *Snapshot) ReadFile(ctx context.Context, path string) ([]byte, error) {
	entry, err := s.Lstat(path)
	if err != nil {
		return nil, err
	}
	if entry.Size > math.MaxInt {
		return nil, &Error{Status: ErrLimit, Message: "read " + path + ": it does not fit into memory", Path: path}
	}
	content := make([]byte, entry.Size)
	received := 0
	err = s.read(ctx, path, 0, math.MaxUint64, func(c *call) { c.buffer = content }, func(c *call) { received = c.received })
	if err == nil && received != len(content) {
		err = &Error{Status: ErrCorrupt, Message: "read " + path + ": it has another length than recorded", Path: path}
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

// read reads a range of a file, within a call that `begin` prepares and `finish` looks at.
func (s *Snapshot) read(ctx context.Context, path string, offset, length uint64, begin, finish func(*call)) error {
	text, err := newText("path", path)
	if err != nil {
		return err
	}
	defer text.free()
	return s.use(func(snapshot *C.ibt_snapshot) error {
		c, err := newCall(ctx)
		if err != nil {
			return err
		}
		if err := s.gate.enter(c); err != nil {
			c.abandon()
			return err
		}
		defer s.gate.leave()
		begin(c)
		var cError *C.ibt_error
		status := C.ibt_go_snapshot_read(snapshot, text.c, C.uint64_t(offset), C.uint64_t(length), c.userdata(), &cError)
		finish(c)
		return c.end(status, cError)
	})
}

// Reader returns the content of the file at path as a stream. The last Read checks the hash of the file: treat the
// bytes as provisional until Read returns io.EOF. The snapshot and its storage are busy until the reader is closed.
func (s *Snapshot) Reader(ctx context.Context, path string) (io.ReadCloser, error) {
	if _, err := s.file(path); err != nil {
		return nil, err
	}
	in, out := io.Pipe()
	reader := &stream{pipe: in, ended: make(chan struct{})}
	go func() {
		defer close(reader.ended)
		copying := ending{exited: true}
		var err error
		defer func() { // also if Goexit ends this goroutine
			if copying.panicked || copying.exited {
				reader.broken, err = &copying, io.ErrUnexpectedEOF
			}
			out.CloseWithError(err) // io.EOF for nil
		}()
		copying.observe(func() { _, err = s.CopyFile(ctx, out, path) })
	}()
	return reader, nil
}

// file returns the entry at path, which must be a file.
func (s *Snapshot) file(path string) (*Entry, error) {
	entry, err := s.Lstat(path)
	if err == nil && entry.Type != TypeFile {
		err = &Error{Status: ErrInvalidArg, Message: "read " + path + ": it is not a file", Path: path}
	}
	return entry, err
}

// stream is the reading end of a pipe that a goroutine fills.
type stream struct {
	pipe   *io.PipeReader
	ended  chan struct{} // closed when the goroutine has ended and the snapshot is free again
	broken *ending       // set before `ended` is closed, if a function of a storage panicked or exited
}

// Read panics or exits if a function of a storage did so.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.pipe.Read(p)
	if err == io.ErrUnexpectedEOF {
		s.wait()
	}
	return n, err
}

// Close ends the stream.
func (s *stream) Close() error {
	err := s.pipe.Close()
	s.wait()
	return err
}

func (s *stream) wait() {
	<-s.ended
	if s.broken != nil {
		s.broken.again()
	}
}
