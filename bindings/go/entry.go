package ibt

// #include "bridge.h"
import "C"

import (
	"io/fs"
	"math"
	"time"
	"unsafe"
)

// Type is the type of an entry.
type Type int32

// The types of entries.
const (
	TypeFile    Type = C.IBT_TYPE_FILE
	TypeDir     Type = C.IBT_TYPE_DIR
	TypeSymlink Type = C.IBT_TYPE_SYMLINK
	TypeFIFO    Type = C.IBT_TYPE_FIFO
	TypeChar    Type = C.IBT_TYPE_CHAR    // a character device
	TypeBlock   Type = C.IBT_TYPE_BLOCK   // a block device
	TypeUnknown Type = C.IBT_TYPE_UNKNOWN // only a newer libibt can restore it
)

// NoNumber is the value of Permissions, UID and GID of an entry that was recorded on a system without them.
const NoNumber = math.MaxUint32

// Entry is one file, directory, link or device at one moment. Its strings hold bytes as the system has them, which need
// not be UTF-8.
type Entry struct {
	Path        string // relative to the source, components joined by '/'; "" for the source itself
	Type        Type
	Target      string    // of a symbolic link
	Hash        string    // of a file's content without its holes: "blake3:" and 64 hex digits; "" if it was not read
	Size        uint64    // of a file in bytes, holes included; else 0
	Permissions uint32    // permission bits with setuid, setgid and sticky, at most 0o7777; or NoNumber
	UID, GID    uint32    // the owners' numbers; or NoNumber
	User, Group string    // the owners' names at the time of the backup; "" if the system had none
	ModTime     time.Time // nanoseconds, UTC; clamped to the years 1677 to 2262
	ChangeTime  time.Time // of the metadata (ctime)
	Device      uint64    // the number of a device (st_rdev)
	DataSize    uint64    // bytes of a file outside of holes
	Project     uint32    // the project id by which the file system counts quotas; 0 without one
	Flags       string    // inode flags as words, such as "immutable,nodump"
	BirthTime   time.Time // when the file was made on its file system; zero if it is unknown
	Link        string    // the path of the first name of a hard link; "" for an entry with one name
	Xattrs      []Xattr   // extended attributes
}

// Xattr is an extended attribute.
type Xattr struct {
	Name  string // such as "user.mime_type"
	Value []byte
}

// IsDir reports whether the entry is a directory.
func (e *Entry) IsDir() bool { return e.Type == TypeDir }

// Mode returns type and permissions as package io/fs has them.
func (e *Entry) Mode() fs.FileMode {
	permissions := e.Permissions
	if permissions == NoNumber {
		permissions = 0
	}
	mode := fs.FileMode(permissions & 0o777)
	for _, bit := range []struct {
		number uint32
		mode   fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if permissions&bit.number != 0 {
			mode |= bit.mode
		}
	}
	switch e.Type {
	case TypeFile:
	case TypeDir:
		mode |= fs.ModeDir
	case TypeSymlink:
		mode |= fs.ModeSymlink
	case TypeFIFO:
		mode |= fs.ModeNamedPipe
	case TypeChar:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case TypeBlock:
		mode |= fs.ModeDevice
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}

// readEntry copies an entry. It returns nil for NULL.
func readEntry(entry *C.ibt_entry) *Entry {
	if entry == nil {
		return nil
	}
	var facts C.struct_ibt_go_entry
	C.ibt_go_read_entry(entry, &facts)
	return &Entry{
		Path:        C.GoString(facts.path),
		Type:        Type(facts._type),
		Target:      C.GoString(facts.target),
		Hash:        C.GoString(facts.hash),
		Size:        uint64(facts.size),
		Permissions: uint32(facts.mode),
		UID:         uint32(facts.uid),
		GID:         uint32(facts.gid),
		User:        C.GoString(facts.user),
		Group:       C.GoString(facts.group),
		ModTime:     timeOf(facts.mtime),
		ChangeTime:  timeOf(facts.ctime),
		Device:      uint64(facts.rdev),
		DataSize:    uint64(facts.data_size),
		Project:     uint32(facts.project),
		Flags:       C.GoString(facts.flags),
		BirthTime:   birthTimeOf(facts.btime),
		Link:        C.GoString(facts.link),
		Xattrs:      readXattrs(entry, facts.xattrs),
	}
}

func readXattrs(entry *C.ibt_entry, count C.size_t) []Xattr {
	var all []Xattr
	for i := C.size_t(0); i < count; i++ {
		var length C.size_t
		value := C.ibt_entry_xattr_value(entry, i, &length)
		all = append(all, Xattr{
			Name:  C.GoString(C.ibt_entry_xattr_name(entry, i)),
			Value: append([]byte{}, bytesOf(value, length)...),
		})
	}
	return all
}

// bytesOf gives the memory of C as a slice, without a copy.
func bytesOf(data *C.uint8_t, length C.size_t) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), int(length))
}

// birthTimeOf gives the zero time for an unknown one.
func birthTimeOf(nanoseconds C.int64_t) time.Time {
	if nanoseconds == math.MinInt64 {
		return time.Time{}
	}
	return timeOf(nanoseconds)
}

func timeOf(nanoseconds C.int64_t) time.Time { return time.Unix(0, int64(nanoseconds)).UTC() }
