package ibt

// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Status says how a call ended. Every Status but OK is an error by itself, so that it can be the target of errors.Is:
//
//	if errors.Is(err, ibt.ErrNotFound) { ... }
//
// Later versions of libibt may return numbers that this package does not name.
type Status int32

// The statuses of libibt.
const (
	OK Status = C.IBT_OK

	// ErrPartial is the status of an operation that finished with problems: entries were unreadable, changed while
	// they were read, or are damaged, metadata could not be set, something was in the way, or stored files are
	// missing. The operation returns its Report as well, which lists each problem. The snapshot, or the restored
	// tree, exists.
	ErrPartial Status = C.IBT_PARTIAL

	// ErrInvalidArg says that an argument or option is malformed, unknown or has no use in the operation, or that an
	// object is nil or closed.
	ErrInvalidArg Status = C.IBT_ERR_INVALID_ARG

	// ErrIO says that the system could not read or write. The error wraps the system's error (syscall.Errno).
	ErrIO Status = C.IBT_ERR_IO

	// ErrNotFound says that there is no such key, snapshot or entry. Such an error is also fs.ErrNotExist.
	ErrNotFound Status = C.IBT_ERR_NOT_FOUND

	// ErrExists says that the operation would create something that exists. Such an error is also fs.ErrExist.
	ErrExists Status = C.IBT_ERR_EXISTS

	// ErrCorrupt says that stored bytes are damaged.
	ErrCorrupt Status = C.IBT_ERR_CORRUPT

	// ErrFormat says that a newer libibt wrote a file, or that it is no backup file.
	ErrFormat Status = C.IBT_ERR_FORMAT

	// ErrMissing says that a backup file that the snapshot needs is gone.
	ErrMissing Status = C.IBT_ERR_MISSING

	// ErrStorage says that a function of a Storage failed. The error wraps the function's error.
	ErrStorage Status = C.IBT_ERR_STORAGE

	// ErrCancelled says that the context of the call ended, or that a callback returned an error. The error wraps
	// that of the context or of the callback.
	ErrCancelled Status = C.IBT_ERR_CANCELLED

	// ErrBusy says that another call or another program is using the object or the key.
	ErrBusy Status = C.IBT_ERR_BUSY

	// ErrUnsupported says that something is not possible on this system, or that the storage has no function for it.
	ErrUnsupported Status = C.IBT_ERR_UNSUPPORTED

	// ErrLimit says that something is beyond a documented limit.
	ErrLimit Status = C.IBT_ERR_LIMIT

	// ErrMismatch says that the source, the host or the digest is not the expected one, or that the source is empty
	// although the newest snapshot has entries.
	ErrMismatch Status = C.IBT_ERR_MISMATCH

	// ErrPanic reports a bug in libibt that was caught.
	ErrPanic Status = C.IBT_ERR_PANIC
)

// String returns the name of the status in C, such as "IBT_ERR_IO".
func (s Status) String() string { return C.GoString(C.ibt_status_name(C.ibt_status(s))) }

// Error returns the name of the status in C.
func (s Status) Error() string { return s.String() }

// Error is the type of every error that this package returns, except for the io.EOF of readers and the *fs.PathError
// of an fs.FS, which wraps an *Error.
type Error struct {
	Status  Status        // why the call failed
	Errno   syscall.Errno // the system's error number behind the failure, or 0
	Message string        // one line for people: the action that failed, its path, and the reason
	Path    string        // the path or backup file concerned, any bytes; "" if there is none

	cause error // of the context, of a callback or of a storage's function; nil if there is none
}

// Error returns the message.
func (e *Error) Error() string {
	if e == nil {
		return OK.String()
	}
	if e.cause != nil && !strings.Contains(e.Message, e.cause.Error()) {
		return fmt.Sprintf("ibt: %s: %v", e.Message, e.cause)
	}
	return "ibt: " + e.Message
}

// Is reports whether the error has the status target, or an equivalent of package io/fs.
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	switch target {
	case e.Status:
		return true
	case fs.ErrNotExist:
		return e.Status == ErrNotFound
	case fs.ErrExist:
		return e.Status == ErrExists
	}
	return false
}

// Unwrap returns the error of the context, of the callback or of the storage's function that ended the call, else the
// system's error, else nil.
func (e *Error) Unwrap() error {
	switch {
	case e == nil:
		return nil
	case e.cause != nil:
		return e.cause
	case e.Errno != 0:
		return e.Errno
	}
	return nil
}

// ErrStop is the answer of a function that wants no more calls. A ChangeFunc then receives no more changes, and the
// operation goes on. A FilterFunc then lets in every further entry. A listing or a read ends early, without an error.
var ErrStop = errors.New("ibt: enough")

// takeError copies and frees an error of libibt. It returns nil for NULL.
func takeError(err *C.ibt_error) *Error {
	if err == nil {
		return nil
	}
	defer C.ibt_error_free(err)
	return &Error{
		Status:  Status(C.ibt_error_status(err)),
		Errno:   syscall.Errno(C.ibt_error_os_code(err)),
		Message: C.GoString(C.ibt_error_message(err)),
		Path:    C.GoString(C.ibt_error_path(err)),
	}
}

func invalid(format string, arguments ...any) *Error {
	return &Error{Status: ErrInvalidArg, Message: fmt.Sprintf(format, arguments...)}
}

// statusOf finds the status that a function of a storage means by its error. A status that a storage cannot return
// becomes ErrStorage.
func statusOf(err error) Status {
	for _, known := range []struct {
		err    error
		status Status
	}{
		{ErrNotFound, ErrNotFound}, {ErrExists, ErrExists}, {ErrBusy, ErrBusy}, {ErrCancelled, ErrCancelled},
		{ErrUnsupported, ErrUnsupported}, {ErrCorrupt, ErrCorrupt}, {fs.ErrNotExist, ErrNotFound}, {fs.ErrExist, ErrExists},
	} {
		if errors.Is(err, known.err) {
			return known.status
		}
	}
	return ErrStorage
}
