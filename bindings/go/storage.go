package ibt

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime/cgo"
	"syscall"
	"time"
	"unsafe"
)

// Storage is a place for backup files that is made of your functions: an object store, a database, a tape. It holds
// objects. Each object has a name and a sequence of bytes; there are no directories. libibt creates an object, reads
// it, and may delete it, but never changes it. A name has at most 200 bytes of UTF-8 and contains no '/' and no control
// character.
//
// Every operation needs the functions of this interface. The same value may also be a Creator, which backups and
// consolidations need, a Deleter, which removing snapshots needs, a Locker and a CheapReader.
//
// The functions run one at a time, on a goroutine of their own, while an operation of this package waits for them. The
// context is that of the operation. If a function panics or calls runtime.Goexit, the operation fails, and then panics
// with the same value, or exits its own goroutine. A function must not keep a []byte that it received after it
// returned.
//
// A function says why it failed by its error. ErrNotFound (or fs.ErrNotExist), ErrExists (or fs.ErrExist), ErrBusy,
// ErrCancelled and ErrUnsupported, also wrapped, become the status of the operation. Every other error becomes
// ErrStorage, and the operation's error wraps it.
type Storage interface {
	// ReadAt reads a range of an object, like an io.ReaderAt: it returns io.EOF if the object ends before p is full. It
	// may return fewer bytes without an error, but at least one. It returns ErrNotFound if there is no such object: a
	// restore then lists the contents of that object as missing and goes on. It returns ErrCorrupt if it finds that the
	// bytes are damaged: a restore lists that too and goes on. Any other error ends the restore.
	ReadAt(ctx context.Context, name string, p []byte, offset int64) (int, error)

	// List returns every committed object whose name begins with the bytes of prefix ("" for all), in any order. This
	// includes objects that were committed a moment ago. Other names and foreign objects do no harm.
	List(ctx context.Context, prefix string) ([]Object, error)
}

// Object is an object in a listing.
type Object struct {
	Name string
	Size int64 // in bytes
}

// Creator is a Storage that can be written.
type Creator interface {
	// Create begins to write an object, which nobody sees before its commit. Up to four writers are open at a time.
	Create(ctx context.Context, name string) (ObjectWriter, error)
}

// ObjectWriter writes one object. libibt ends it with exactly one call of Commit or Abort.
type ObjectWriter interface {
	io.Writer

	// Commit makes the object durable, and visible under its name in one step. It must never replace an existing
	// object: if the name is taken, it returns ErrExists. The writer has ended, whatever Commit returns.
	Commit() error

	// Abort discards the bytes written.
	Abort()
}

// Deleter is a Storage that can remove objects.
type Deleter interface {
	// Delete removes a committed object. It returns nil if there is no such object. Its context does not end with that
	// of the operation, because a cancelled operation removes its objects.
	Delete(ctx context.Context, name string) error
}

// Locker is a Storage that allows one writer at a time for each key. Without it the caller must prevent two backups,
// consolidations or prunes of one key at the same time.
type Locker interface {
	// Lock keeps out every other backup, consolidation or prune of the key, also of other programs and machines, until
	// Unlock is called. If the lock is held already, it returns ErrBusy at once.
	Lock(ctx context.Context, key string) error

	// Unlock releases a lock. It is called exactly once for each lock.
	Unlock(key string)
}

// CheapReader is a Storage that may say that reading a range of an object takes little time and costs no money.
type CheapReader interface {
	// ReadsCheaply is called once, by NewStore.
	ReadsCheaply() bool
}

// state is the userdata of a storage's functions. It refers to no Store, so that a Store that nobody uses is closed by
// its finalizer.
type state struct {
	storage Storage
	pointer *C.ibt_storage
	gate    *gate
}

func stateOf(userdata C.uintptr_t) *state { return cgo.Handle(userdata).Value().(*state) }

// uncancelled has the values of a context, and never ends.
type uncancelled struct{ context.Context }

func (uncancelled) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
func (uncancelled) Done() <-chan struct{}                   { return nil }
func (uncancelled) Err() error                              { return nil }

// answer runs a function of the storage, and gives its answer to libibt.
func (s *state) answer(function func(context.Context) error) C.int32_t {
	c := s.gate.call()
	var failed *storageError
	// The methods of an error are the caller's, too: they may panic.
	if !c.run(func() { failed = describe(c.ctx, function(c.ctx)) }) {
		return s.fail(0, "the function panicked or exited")
	}
	if failed == nil {
		return C.IBT_CALLBACK_OK
	}
	s.fail(failed.errno, failed.text)
	if failed.status == ErrStorage {
		c.failures = append(c.failures, failed)
		return C.IBT_CALLBACK_FAILED
	}
	return C.int32_t(failed.status)
}

// storageError is an error of a storage's function, with all that libibt needs to know of it.
type storageError struct {
	err    error
	text   string
	status Status
	errno  syscall.Errno
}

// describe returns nil for nil.
func describe(ctx context.Context, err error) *storageError {
	if err == nil {
		return nil
	}
	failed := &storageError{err: err, text: err.Error(), status: statusOf(err)}
	errors.As(err, &failed.errno)
	if failed.status == ErrStorage && ctx.Err() != nil {
		failed.status = ErrCancelled
	}
	return failed
}

// fail records a reason, and gives the answer of a function that fails.
func (s *state) fail(errno syscall.Errno, reason string) C.int32_t {
	text := C.CString(reason)
	defer C.free(unsafe.Pointer(text))
	C.ibt_storage_fail(s.pointer, C.int32_t(errno), text)
	return C.IBT_CALLBACK_FAILED
}

//export ibtGoCreate
func ibtGoCreate(userdata C.uintptr_t, name *C.char, stream *C.uintptr_t) C.int32_t {
	s := stateOf(userdata)
	var writer ObjectWriter
	answer := s.answer(func(ctx context.Context) (err error) {
		if writer, err = s.storage.(Creator).Create(ctx, C.GoString(name)); err == nil && writer == nil {
			err = errors.New("Create returned no writer")
		}
		return err
	})
	if answer == C.IBT_CALLBACK_OK {
		*stream = C.uintptr_t(cgo.NewHandle(writer))
	}
	return answer
}

//export ibtGoWrite
func ibtGoWrite(userdata, stream C.uintptr_t, data *C.uint8_t, length C.size_t) C.int32_t {
	writer := cgo.Handle(stream).Value().(ObjectWriter)
	bytes := bytesOf(data, length)
	return stateOf(userdata).answer(func(context.Context) error {
		n, err := writer.Write(bytes)
		if err == nil && n != len(bytes) {
			err = io.ErrShortWrite
		}
		return err
	})
}

//export ibtGoCommit
func ibtGoCommit(userdata, stream C.uintptr_t) C.int32_t {
	writer := takeWriter(stream)
	return stateOf(userdata).answer(func(context.Context) error { return writer.Commit() })
}

//export ibtGoAbort
func ibtGoAbort(userdata, stream C.uintptr_t) {
	writer := takeWriter(stream)
	stateOf(userdata).gate.call().run(writer.Abort)
}

// takeWriter ends a stream.
func takeWriter(stream C.uintptr_t) ObjectWriter {
	defer cgo.Handle(stream).Delete()
	return cgo.Handle(stream).Value().(ObjectWriter)
}

//export ibtGoReadAt
func ibtGoReadAt(userdata C.uintptr_t, name *C.char, offset C.uint64_t, buf *C.uint8_t, length C.size_t,
	got *C.size_t) C.int32_t {
	s := stateOf(userdata)
	if uint64(offset) > math.MaxInt64 {
		return C.IBT_CALLBACK_OK // past the end of every object
	}
	p := bytesOf(buf, length)
	n := 0
	answer := s.answer(func(ctx context.Context) (err error) {
		n, err = s.storage.ReadAt(ctx, C.GoString(name), p, int64(offset))
		switch {
		case n < 0 || n > len(p):
			return errors.New("ReadAt returned an impossible number of bytes")
		case err == nil && n == 0:
			return io.ErrNoProgress // libibt would take it for the end of the object
		case err == io.EOF:
			return nil
		}
		return err
	})
	if answer == C.IBT_CALLBACK_OK {
		*got = C.size_t(n)
	}
	return answer
}

//export ibtGoList
func ibtGoList(userdata C.uintptr_t, prefix *C.char, out *C.ibt_list) C.int32_t {
	s := stateOf(userdata)
	var objects []Object
	answer := s.answer(func(ctx context.Context) (err error) {
		objects, err = s.storage.List(ctx, C.GoString(prefix))
		for _, object := range objects {
			if err == nil && object.Size < 0 {
				err = errors.New("List returned an object with a negative size")
			}
		}
		return err
	})
	if answer != C.IBT_CALLBACK_OK {
		return answer
	}
	for _, object := range objects {
		addObject(out, object)
	}
	return answer
}

func addObject(out *C.ibt_list, object Object) {
	for i := 0; i < len(object.Name); i++ {
		if object.Name[i] == 0 {
			return // C would see another name
		}
	}
	name := C.CString(object.Name)
	defer C.free(unsafe.Pointer(name))
	C.ibt_list_add(out, name, C.uint64_t(object.Size))
}

//export ibtGoDelete
func ibtGoDelete(userdata C.uintptr_t, name *C.char) C.int32_t {
	s := stateOf(userdata)
	return s.answer(func(ctx context.Context) error {
		return s.storage.(Deleter).Delete(uncancelled{ctx}, C.GoString(name))
	})
}

//export ibtGoLock
func ibtGoLock(userdata C.uintptr_t, key *C.char) C.int32_t {
	s := stateOf(userdata)
	return s.answer(func(ctx context.Context) error { return s.storage.(Locker).Lock(ctx, C.GoString(key)) })
}

//export ibtGoUnlock
func ibtGoUnlock(userdata C.uintptr_t, key *C.char) {
	s := stateOf(userdata)
	name := C.GoString(key)
	s.gate.call().run(func() { s.storage.(Locker).Unlock(name) })
}

//export ibtGoRelease
func ibtGoRelease(userdata C.uintptr_t) { cgo.Handle(userdata).Delete() }
