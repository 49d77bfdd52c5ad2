package ibt

// #include "bridge.h"
import "C"

// Phase is a phase of an operation.
type Phase int32

// The phases of operations.
const (
	PhaseScan    Phase = C.IBT_PHASE_SCAN    // looking for changes, reading states, waiting for the lock
	PhaseRead    Phase = C.IBT_PHASE_READ    // reading files and writing archives
	PhaseCommit  Phase = C.IBT_PHASE_COMMIT  // making the result durable and visible
	PhaseRestore Phase = C.IBT_PHASE_RESTORE // writing the restored tree
	PhaseVerify  Phase = C.IBT_PHASE_VERIFY  // checking stored bytes, comparing, reading the state of a snapshot
	PhaseDelete  Phase = C.IBT_PHASE_DELETE  // removing backup files
)

// Progress is the progress of an operation.
type Progress struct {
	Phase        Phase
	Path         string // of the entry, or the name of the backup file, that the operation works on
	DoneBytes    uint64 // in this phase
	TotalBytes   uint64 // in this phase, those done included; 0 while unknown
	DoneEntries  uint64
	TotalEntries uint64 // 0 while unknown
}

// ChangeKind is a sum of the ways in which an entry changed.
type ChangeKind uint32

// The ways in which an entry changes.
const (
	ChangeCreated  ChangeKind = C.IBT_CHANGE_CREATED  // the entry is new
	ChangeDeleted  ChangeKind = C.IBT_CHANGE_DELETED  // the entry is gone
	ChangeContent  ChangeKind = C.IBT_CHANGE_CONTENT  // the content or the type
	ChangeMetadata ChangeKind = C.IBT_CHANGE_METADATA // mode, owner, times, attributes or hard links
	ChangeMoved    ChangeKind = C.IBT_CHANGE_MOVED    // the entry came from another path
	ChangeKept     ChangeKind = C.IBT_CHANGE_KEPT     // an old version was carried forward, or left in its place
)

// Change is one change that an operation found or made.
type Change struct {
	What   ChangeKind
	Before *Entry // nil if the entry is new
	After  *Entry // nil if the entry is gone
}

// Key is a key of a store.
type Key struct {
	Name      string
	Snapshots uint64 // how many it has, damaged ones included
}

//export ibtGoProgress
func ibtGoProgress(userdata C.uintptr_t, now *C.ibt_progress) C.int32_t {
	c := callOf(userdata)
	progress := Progress{
		Phase:        Phase(C.ibt_progress_phase(now)),
		Path:         C.GoString(C.ibt_progress_path(now)),
		DoneBytes:    uint64(C.ibt_progress_done_bytes(now)),
		TotalBytes:   uint64(C.ibt_progress_total_bytes(now)),
		DoneEntries:  uint64(C.ibt_progress_done_entries(now)),
		TotalEntries: uint64(C.ibt_progress_total_entries(now)),
	}
	return c.answer(func() error { return c.progress(progress) })
}

//export ibtGoChange
func ibtGoChange(userdata C.uintptr_t, what C.uint32_t, before, after *C.ibt_entry) C.int32_t {
	c := callOf(userdata)
	change := Change{ChangeKind(what), readEntry(before), readEntry(after)}
	return c.answer(func() error { return c.change(change) })
}

//export ibtGoFilter
func ibtGoFilter(userdata C.uintptr_t, entry *C.ibt_entry) C.int32_t {
	c := callOf(userdata)
	copied := readEntry(entry)
	var decision Decision
	answer := c.answer(func() (err error) {
		if decision, err = c.filter(copied); err == nil && !decision.known() {
			err = invalid("a filter answered %d for %q", decision, copied.Path)
		}
		return err
	})
	if answer == C.IBT_CALLBACK_OK {
		return C.int32_t(decision)
	}
	return answer
}

func (d Decision) known() bool { return d == Include || d == LeaveOut || d == LeaveOutAll }

//export ibtGoLog
func ibtGoLog(userdata C.uintptr_t, level C.int32_t, message *C.char) {
	c := callOf(userdata)
	if c.broken() {
		return
	}
	text := C.GoString(message)
	c.run(func() { c.log(LogLevel(level), text) })
}

//export ibtGoKey
func ibtGoKey(userdata C.uintptr_t, name *C.char, snapshots C.uint64_t) C.int32_t {
	c := callOf(userdata)
	c.keys = append(c.keys, Key{C.GoString(name), uint64(snapshots)})
	return c.accept()
}

//export ibtGoEntry
func ibtGoEntry(userdata C.uintptr_t, entry *C.ibt_entry) C.int32_t {
	c := callOf(userdata)
	copied := readEntry(entry)
	if c.entry == nil {
		c.entries = append(c.entries, copied)
		return c.accept()
	}
	return c.answer(func() error { return c.entry(copied) })
}

//export ibtGoBytes
func ibtGoBytes(userdata C.uintptr_t, data *C.uint8_t, length C.size_t) C.int32_t {
	c := callOf(userdata)
	if c.bytes == nil {
		if c.received < len(c.buffer) {
			copy(c.buffer[c.received:], bytesOf(data, length))
		}
		c.received += int(length)
		return c.accept()
	}
	return c.answer(func() error { return c.bytes(bytesOf(data, length)) })
}
