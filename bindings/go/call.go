package ibt

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"runtime"
	"runtime/cgo"
	"strings"
)

// call is one running call of libibt: its context, the functions that libibt may call back, and how they ended.
//
// libibt calls back on the thread of the call, in the middle of its own work. A panic or a runtime.Goexit (of which
// t.FailNow is one) there would remove libibt's frames from the stack while its worker threads still use them. So the
// caller's functions run on a goroutine of their own, the server. If one panics or exits, the callback answers with a
// failure, libibt ends its work and returns, and only then end() panics or exits on the goroutine of the call.
//
// Only one callback of a call runs at a time, so that no field needs a lock.
type call struct {
	ctx    context.Context
	handle cgo.Handle // the userdata of the callbacks
	cancel *C.ibt_cancel

	progress ProgressFunc
	change   ChangeFunc
	filter   FilterFunc
	log      LogFunc
	entry    func(*Entry) error
	bytes    func([]byte) error
	entries  []*Entry // that a listing without the function `entry` found
	keys     []Key    // that a listing of keys found
	buffer   []byte   // for the bytes of a read without the function `bytes`
	received int      // how many bytes came for the buffer

	work     chan func()     // to the server; nil while there is none
	results  chan ending     // from the server
	first    *ending         // the first function that panicked or exited
	refusal  error           // the first error of a callback of options
	failures []*storageError // of a storage's functions, without those that have a status of their own
	watched  chan struct{}   // closed when the watch of the context shall end
	watcher  <-chan struct{} // closed when the watch of the context has ended
}

// ending describes how a function that the server ran has ended.
type ending struct {
	panicked, exited bool
	value            any // of the panic
}

// newCall begins a call. It fails if ctx has ended already. The caller must call end() or abandon().
func newCall(ctx context.Context) (*call, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Status: ErrCancelled, Message: "the call did not begin", cause: err}
	}
	c := &call{ctx: ctx, cancel: C.ibt_cancel_new()}
	c.handle = cgo.NewHandle(c)
	c.watch()
	return c, nil
}

// watch requests the cancel as soon as the context ends.
func (c *call) watch() {
	if c.ctx.Done() == nil {
		return
	}
	watched, watcher := make(chan struct{}), make(chan struct{})
	c.watched, c.watcher = watched, watcher
	go func() {
		defer close(watcher)
		select {
		case <-c.ctx.Done():
			C.ibt_cancel_request(c.cancel)
		case <-watched:
		}
	}()
}

// userdata is the number that libibt passes to the callbacks.
func (c *call) userdata() C.uintptr_t { return C.uintptr_t(c.handle) }

func callOf(userdata C.uintptr_t) *call { return cgo.Handle(userdata).Value().(*call) }

// run lets the server run a function of the caller. It reports whether the function returned.
func (c *call) run(function func()) bool {
	if c.work == nil {
		c.work, c.results = make(chan func()), make(chan ending)
		go serve(c.work, c.results)
	}
	c.work <- function
	result := <-c.results
	if !result.panicked && !result.exited {
		return true
	}
	c.work = nil // that server has ended
	if c.first == nil {
		c.first = &result
	}
	C.ibt_cancel_request(c.cancel)
	return false
}

// serve runs functions until one does not return, or there are no more.
func serve(work <-chan func(), results chan<- ending) {
	for function := range work {
		result := ending{exited: true}
		func() {
			defer func() { results <- result }() // also if Goexit ends this goroutine
			result.observe(function)
		}()
		if result.panicked {
			return
		}
	}
}

// observe runs a function, and notes how it ended. Goexit runs deferred functions only, so that `exited` stays true.
func (e *ending) observe(function func()) {
	returned := false
	func() {
		defer func() {
			if !returned {
				e.value = recover() // nil is the value of panic(nil), too
			}
		}()
		function()
		returned = true
	}()
	e.exited, e.panicked = false, !returned
}

// again panics or exits as the function did.
func (e *ending) again() {
	if e.panicked {
		panic(e.value)
	}
	runtime.Goexit()
}

// broken reports whether a callback has ended the call already.
func (c *call) broken() bool { return c.first != nil || c.refusal != nil }

// accept answers for a callback that called no function of the caller: with a failure if the context has ended.
func (c *call) accept() C.int32_t {
	if c.refusal = c.ctx.Err(); c.refusal != nil {
		return C.IBT_CALLBACK_FAILED
	}
	return C.IBT_CALLBACK_OK
}

// answer runs a callback, and gives its answer to libibt.
func (c *call) answer(function func() error) C.int32_t {
	if c.broken() {
		return C.IBT_CALLBACK_FAILED
	}
	stop := false
	var err error
	if !c.run(func() {
		if err = c.ctx.Err(); err == nil {
			err = function()
		}
		stop = errors.Is(err, ErrStop)
	}) {
		return C.IBT_CALLBACK_FAILED
	}
	switch {
	case err == nil:
		return C.IBT_CALLBACK_OK
	case stop:
		return C.IBT_CALLBACK_STOP
	}
	c.refusal = err
	C.ibt_cancel_request(c.cancel)
	return C.IBT_CALLBACK_FAILED
}

// end makes an error from the status that the call returned, and frees all objects of the call. If a callback
// panicked or exited, it does so again.
func (c *call) end(status C.ibt_status, cError *C.ibt_error) error {
	err := takeError(cError)
	c.abandon()
	if c.first != nil {
		c.first.again()
	}
	if err == nil {
		if status < 0 { // a setter, which has no error of its own
			return &Error{Status: Status(status), Message: Status(status).String()}
		}
		return nil
	}
	switch {
	case err.Status == ErrCancelled && c.refusal != nil:
		err.cause = c.refusal
	case err.Status == ErrCancelled && c.ctx.Err() != nil:
		err.cause = c.ctx.Err()
	case err.Status == ErrStorage:
		err.cause = c.failureIn(err.Message)
	}
	return err
}

// failureIn finds the failure that ended the operation: libibt's message has its text. A failure before it, or a
// cleanup that failed after it, must not hide it.
func (c *call) failureIn(message string) error {
	for _, failure := range c.failures {
		if strings.Contains(message, failure.text) {
			return failure.err
		}
	}
	if len(c.failures) > 0 {
		return c.failures[len(c.failures)-1].err
	}
	return nil
}

// abandon frees all objects of the call.
func (c *call) abandon() {
	if c.work != nil {
		close(c.work)
		c.work = nil
	}
	if c.watched != nil {
		close(c.watched)
		<-c.watcher
	}
	c.handle.Delete()
	C.ibt_cancel_free(c.cancel)
}
