package ibt

import (
	"context"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
	"sync"
	"time"
)

// FS returns the snapshot as a file system for package io/fs, which fs.WalkDir, template.ParseFS, http.FS and others
// take. It has the methods of fs.ReadDirFS, fs.StatFS and fs.ReadFileFS.
//
// It does not follow symbolic links: the content of a symbolic link is its target, as in an archive/zip.Reader. Names
// may have bytes that are not UTF-8. The Sys method of a fs.FileInfo returns the *Entry.
//
// ReadFile checks the hash of the file, and so does io.Copy from an open file. Other reads of an open file check the
// hash for files up to 4 MiB only, because a part of a file has no hash: use Snapshot.Reader or Snapshot.CopyFile for
// larger files.
//
// Several goroutines may use the file system and its files at once; they wait for each other. The writer of an
// io.Copy must not use the file system, because the copy would wait for itself. If another call uses the snapshot or
// its store meanwhile, the file system returns ErrBusy.
func (s *Snapshot) FS(ctx context.Context) fs.FS {
	return &snapshotFS{ctx: ctx, snapshot: s}
}

type snapshotFS struct {
	ctx      context.Context
	snapshot *Snapshot
	mu       sync.Mutex // held while a call uses the snapshot
}

var (
	_ fs.ReadDirFS  = (*snapshotFS)(nil)
	_ fs.StatFS     = (*snapshotFS)(nil)
	_ fs.ReadFileFS = (*snapshotFS)(nil)
)

// pathOf gives the path of the entry that a name of io/fs stands for. Unlike fs.ValidPath, it accepts bytes that are
// not UTF-8.
func pathOf(operation, name string) (string, error) {
	if name == "." {
		return "", nil
	}
	for _, component := range strings.Split(name, "/") {
		if component == "" || component == "." || component == ".." {
			return "", &fs.PathError{Op: operation, Path: name, Err: fs.ErrInvalid}
		}
	}
	return name, nil
}

func (f *snapshotFS) lstat(operation, name string) (*Entry, error) {
	entryPath, err := pathOf(operation, name)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	entry, err := f.snapshot.Lstat(entryPath)
	if err != nil {
		return nil, &fs.PathError{Op: operation, Path: name, Err: err}
	}
	return entry, nil
}

// Open opens an entry of any type.
func (f *snapshotFS) Open(name string) (fs.File, error) {
	entry, err := f.lstat("open", name)
	if err != nil {
		return nil, err
	}
	if entry.IsDir() {
		return &openDir{fs: f, name: name, entry: entry}, nil
	}
	return &openFile{fs: f, name: name, entry: entry}, nil
}

// Stat describes an entry. It does not follow a symbolic link.
func (f *snapshotFS) Stat(name string) (fs.FileInfo, error) {
	entry, err := f.lstat("stat", name)
	if err != nil {
		return nil, err
	}
	return info{entry}, nil
}

// ReadDir returns the entries of a directory, in the order of their names.
func (f *snapshotFS) ReadDir(name string) ([]fs.DirEntry, error) {
	entryPath, err := pathOf("readdir", name)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	children, err := f.snapshot.Children(entryPath)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	entries := make([]fs.DirEntry, len(children))
	for i, child := range children {
		entries[i] = info{child}
	}
	return entries, nil
}

// ReadFile returns the content of a file, whose hash it checks, or the target of a symbolic link.
func (f *snapshotFS) ReadFile(name string) ([]byte, error) {
	entry, err := f.lstat("read", name)
	if err != nil {
		return nil, err
	}
	switch entry.Type {
	case TypeFile:
	case TypeDir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	default:
		return []byte(entry.Target), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	content, err := f.snapshot.ReadFile(f.ctx, entry.Path)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return content, nil
}

// info is an entry as io/fs has it.
type info struct{ entry *Entry }

func (i info) Name() string {
	if i.entry.Path == "" {
		return "."
	}
	return path.Base(i.entry.Path)
}
func (i info) Size() int64                { return contentSize(i.entry) }
func (i info) Mode() fs.FileMode          { return i.entry.Mode() }
func (i info) ModTime() time.Time         { return i.entry.ModTime }
func (i info) IsDir() bool                { return i.entry.IsDir() }
func (i info) Sys() any                   { return i.entry }
func (i info) Type() fs.FileMode          { return i.entry.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

// contentSize is the number of bytes that an open file has.
func contentSize(entry *Entry) int64 {
	switch {
	case entry.Type == TypeSymlink:
		return int64(len(entry.Target))
	case entry.Size > math.MaxInt64:
		return math.MaxInt64
	}
	return int64(entry.Size)
}

// openDir is an open directory.
type openDir struct {
	fs     *snapshotFS
	name   string
	entry  *Entry
	rest   []fs.DirEntry // not yet returned
	begun  bool
	closed bool
}

func (d *openDir) Stat() (fs.FileInfo, error) { return info{d.entry}, nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

func (d *openDir) Close() error {
	d.closed = true
	return nil
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.closed {
		return nil, &fs.PathError{Op: "readdir", Path: d.name, Err: fs.ErrClosed}
	}
	if !d.begun {
		entries, err := d.fs.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.rest, d.begun = entries, true
	}
	count := len(d.rest)
	if n > 0 {
		if count == 0 {
			return nil, io.EOF
		}
		if count > n {
			count = n
		}
	}
	entries := d.rest[:count:count]
	d.rest = d.rest[count:]
	return entries, nil
}

// wholeLimit is the size up to which a file is read, and its hash checked, in one call. Larger files are read in pieces
// of pieceSize.
const (
	wholeLimit = 4 << 20
	pieceSize  = 1 << 20
)

// openFile is an open entry that is not a directory.
type openFile struct {
	fs     *snapshotFS
	name   string
	entry  *Entry
	mu     sync.Mutex
	offset int64
	piece  []byte // bytes of the content from start on
	start  int64
	closed bool
}

var (
	_ io.Seeker   = (*openFile)(nil)
	_ io.ReaderAt = (*openFile)(nil)
	_ io.WriterTo = (*openFile)(nil)
)

func (f *openFile) Stat() (fs.FileInfo, error) { return info{f.entry}, nil }

func (f *openFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.piece = true, nil
	return nil
}

func (f *openFile) failed(operation string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &fs.PathError{Op: operation, Path: f.name, Err: err}
}

func (f *openFile) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(p) == 0 && !f.closed {
		return 0, nil
	}
	n, err := f.readAt(p, f.offset)
	f.offset += int64(n)
	if n > 0 {
		err = nil
	}
	return n, f.failed("read", err)
}

func (f *openFile) ReadAt(p []byte, offset int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if offset < 0 {
		return 0, f.failed("read", fs.ErrInvalid)
	}
	n := 0
	for n < len(p) {
		got, err := f.readAt(p[n:], offset+int64(n))
		n += got
		if err != nil {
			return n, f.failed("read", err)
		}
	}
	return n, nil
}

// readAt reads some bytes, at least one. It returns io.EOF at the end.
func (f *openFile) readAt(p []byte, offset int64) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	if offset >= contentSize(f.entry) {
		return 0, io.EOF
	}
	if offset < f.start || offset >= f.start+int64(len(f.piece)) {
		if err := f.load(offset); err != nil {
			return 0, err
		}
	}
	return copy(p, f.piece[offset-f.start:]), nil
}

// load reads the piece of the content that begins at offset, or the whole content if it is small.
func (f *openFile) load(offset int64) (err error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.piece, f.start = nil, 0
	switch size := contentSize(f.entry); {
	case f.entry.Type == TypeSymlink:
		f.piece = []byte(f.entry.Target)
	case size <= wholeLimit:
		f.piece, err = f.fs.snapshot.ReadFile(f.fs.ctx, f.entry.Path)
	default:
		piece := make([]byte, pieceSize)
		var n int
		n, err = f.fs.snapshot.ReadAt(f.fs.ctx, f.entry.Path, piece, offset)
		if err == io.EOF {
			err = nil
		}
		f.piece, f.start = piece[:n], offset
	}
	if err == nil && offset >= f.start+int64(len(f.piece)) {
		err = io.ErrUnexpectedEOF // shorter than the snapshot says
	}
	return err
}

func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += contentSize(f.entry)
	default:
		return 0, f.failed("seek", fs.ErrInvalid)
	}
	if offset < 0 || f.closed {
		return 0, f.failed("seek", fs.ErrInvalid)
	}
	f.offset = offset
	return offset, nil
}

// WriteTo writes the rest of the content. From the beginning of a file on, it checks the hash.
func (f *openFile) WriteTo(w io.Writer) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, f.failed("read", fs.ErrClosed)
	}
	if f.offset == 0 && f.entry.Type == TypeFile {
		f.fs.mu.Lock()
		defer f.fs.mu.Unlock()
		n, err := f.fs.snapshot.CopyFile(f.fs.ctx, w, f.entry.Path)
		f.offset = n
		return n, f.failed("read", err)
	}
	var written int64
	for {
		p := make([]byte, pieceSize)
		n, err := f.readAt(p, f.offset)
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, f.failed("read", err)
		}
		n, err = w.Write(p[:n])
		written += int64(n)
		f.offset += int64(n)
		if err != nil {
			return written, err
		}
	}
}
