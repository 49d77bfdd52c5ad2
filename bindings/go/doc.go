// Package ibt makes incremental backups with libibt: full backups, increments of rsync deltas, and restores of any
// snapshot. It needs libibt and its pkg-config file, and works on Linux.
//
// A Snapshot is one backup of one source directory. Snapshots of the same source share a key, by default the name of
// the directory. A Store keeps them as ordinary files: in a directory (OpenDir), or in a Storage of yours (NewStore).
//
// # Errors
//
// Every error is an *Error with a Status, and errors.Is finds the status: errors.Is(err, ibt.ErrNotFound). An operation
// that finished with problems, such as a file that could not be read, returns its Report and ErrPartial.
//
// # Contexts
//
// The end of a context stops an operation, whose error then wraps that of the context. A backup that is stopped leaves
// no snapshot.
//
// # Callbacks
//
// A function that you pass as an option, and the functions of a Storage, run while the operation waits for them, on a
// goroutine of their own. If one panics or calls runtime.Goexit (as t.FailNow does), the operation ends cleanly, and
// then the goroutine that called it panics with the same value, or exits.
//
// # Goroutines
//
// A Store and a Snapshot serve one call at a time, and return ErrBusy to a second one. Everything else may be used by
// several goroutines at once.
//
// # Names
//
// Paths and names are strings with any bytes but NUL, as the system has them.
//
// The header ibt.h describes each operation in full.
package ibt

// #cgo pkg-config: ibt
// #include "bridge.h"
import "C"

// Version returns the version of the running library, such as "0.1.0".
func Version() string { return C.GoString(C.ibt_version()) }
