package ibt_test

import (
	"bytes"
	"context"
	"io"
	"sort"
	"strings"
	"sync"

	"ibt"
)

// memory is a storage in memory, an example for storages of your own.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	locks   map[string]bool
	open    int               // writers that are neither committed nor aborted
	before  func(name string) // called before each function, with the function's name; may be nil
	refuse  func(name string) error
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}, locks: map[string]bool{}} }

// enter runs the functions that tests set, and then locks.
func (m *memory) enter(name string) error {
	if m.before != nil {
		m.before(name)
	}
	if m.refuse != nil {
		if err := m.refuse(name); err != nil {
			return err
		}
	}
	m.mu.Lock()
	return nil
}

func (m *memory) ReadAt(ctx context.Context, name string, p []byte, offset int64) (int, error) {
	if err := m.enter("ReadAt"); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	object, exists := m.objects[name]
	if !exists {
		return 0, ibt.ErrNotFound
	}
	return bytes.NewReader(object).ReadAt(p, offset)
}

func (m *memory) List(ctx context.Context, prefix string) ([]ibt.Object, error) {
	if err := m.enter("List"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var found []ibt.Object
	for name, object := range m.objects {
		if strings.HasPrefix(name, prefix) {
			found = append(found, ibt.Object{Name: name, Size: int64(len(object))})
		}
	}
	return found, nil
}

func (m *memory) Create(ctx context.Context, name string) (ibt.ObjectWriter, error) {
	if err := m.enter("Create"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	m.open++
	return &memoryWriter{memory: m, name: name}, nil
}

func (m *memory) Delete(ctx context.Context, name string) error {
	if err := m.enter("Delete"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

func (m *memory) Lock(ctx context.Context, key string) error {
	if err := m.enter("Lock"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.locks[key] {
		return ibt.ErrBusy
	}
	m.locks[key] = true
	return nil
}

func (m *memory) Unlock(key string) {
	// The lock is free even if a test's function panics.
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locks, key)
	}()
	if m.before != nil {
		m.before("Unlock")
	}
}

// names lists the objects.
func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.objects {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// memoryWriter is an object that is not committed yet.
type memoryWriter struct {
	memory *memory
	name   string
	buffer bytes.Buffer
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if err := w.memory.enter("Write"); err != nil {
		return 0, err
	}
	defer w.memory.mu.Unlock()
	return w.buffer.Write(p)
}

func (w *memoryWriter) end() {
	w.memory.mu.Lock()
	defer w.memory.mu.Unlock()
	w.memory.open--
}

func (w *memoryWriter) Commit() error {
	defer w.end()
	if err := w.memory.enter("Commit"); err != nil {
		return err
	}
	defer w.memory.mu.Unlock()
	if _, taken := w.memory.objects[w.name]; taken {
		return ibt.ErrExists
	}
	w.memory.objects[w.name] = w.buffer.Bytes()
	return nil
}

func (w *memoryWriter) Abort() {
	defer w.end()
	if w.memory.before != nil {
		w.memory.before("Abort")
	}
}

// memoryReader is a storage that only reads.
type memoryReader struct{ memory *memory }

func (r memoryReader) ReadAt(ctx context.Context, name string, p []byte, offset int64) (int, error) {
	return r.memory.ReadAt(ctx, name, p, offset)
}

func (r memoryReader) List(ctx context.Context, prefix string) ([]ibt.Object, error) {
	return r.memory.List(ctx, prefix)
}

var (
	_ ibt.Storage = (*memory)(nil)
	_ ibt.Creator = (*memory)(nil)
	_ ibt.Deleter = (*memory)(nil)
	_ ibt.Locker  = (*memory)(nil)
	_ io.Writer   = (*memoryWriter)(nil)
)
