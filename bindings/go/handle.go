package ibt

import (
	"sync"
	"unsafe"
)

// handle guards a pointer of libibt that serves one call at a time. A close during a call frees the pointer when the
// call ends.
type handle struct {
	kind string // for messages
	free func(unsafe.Pointer)

	mu      sync.Mutex
	pointer unsafe.Pointer
	busy    bool
	closed  bool
}

// take reserves the pointer for one call, which must end with give().
func (h *handle) take() (unsafe.Pointer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed || h.pointer == nil:
		return nil, invalid("the %s is closed", h.kind)
	case h.busy:
		return nil, &Error{Status: ErrBusy, Message: "another call is using the " + h.kind}
	}
	h.busy = true
	return h.pointer, nil
}

func (h *handle) give() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	if h.closed {
		h.release()
	}
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if !h.busy {
		h.release()
	}
}

// release frees the pointer, once. The caller holds the mutex.
func (h *handle) release() {
	if h.pointer != nil {
		h.free(h.pointer)
		h.pointer = nil
	}
}

// gate lets one call at a time use a storage: an operation of its Store, or a read of one of its snapshots. It also
// records which call that is, because libibt passes the storage, and not the call, to the storage's functions.
type gate struct {
	mu  sync.Mutex
	now *call
}

func (g *gate) enter(c *call) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now != nil {
		return &Error{Status: ErrBusy, Message: "another call is using the storage"}
	}
	g.now = c
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = nil
}

func (g *gate) call() *call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}
