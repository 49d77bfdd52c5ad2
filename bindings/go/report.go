package ibt

// #include "bridge.h"
import "C"

import (
	"syscall"
	"time"
)

// Report is the result of an operation. Operations that fail have one too, once the work has begun.
type Report struct {
	Status    Status    // that the operation returned: OK, ErrPartial or another
	Key       string    // that the operation worked on; "" if it worked on no key or on all keys
	Snapshot  string    // the stamp of the snapshot that the operation made or used; "" if there is none
	Digest    string    // the tree digest of that snapshot; sign it to sign the whole snapshot
	Date      time.Time // when the operation began
	Counters  Counters
	Files     []File         // backup files made or removed; after a restore those that the snapshot needs
	TotalSize uint64         // of all Files, in bytes
	Snapshots []SnapshotInfo // of a list, verify, prune or diff
	Problems  []Problem      // the first 10,000; Counters.Problems counts all
	JSON      string         // the whole report as libibt writes it; docs/abi.md of libibt describes the members
}

// Counters are the counts of an operation.
type Counters struct {
	Entries            uint64 // of the snapshot, its root included; of all compared entries or all verified snapshots
	Created            uint64
	Modified           uint64 // files with new content, and entries of a new type
	Unchanged          uint64
	Moved              uint64
	Deleted            uint64
	Metadata           uint64 // entries of which only the metadata changed
	BytesRead          uint64
	BytesWritten       uint64
	Restored           uint64 // entries
	Problems           uint64 // with notes, and with the problems that the report no longer lists
	Bytes              uint64 // logical bytes of the snapshot's files
	Healed             uint64 // lost contents and signatures that a backup has stored again
	Lost               uint64 // contents of the parent that the store and the source have lost
	BytesAlreadyStored uint64 // of new and modified files whose content was stored already
}

// File is a backup file.
type File struct {
	Name string // in the storage
	Kind string // "full", "created", "updated", "sigvault", "state", "retired" or "partial"
	Path string // "" if the storage is not a directory
	Size uint64 // in bytes
}

// SnapshotInfo describes a snapshot.
type SnapshotInfo struct {
	Key      string
	Stamp    string // the snapshot's name within its key, a time in UTC
	Kind     string // "full" or "incremental"
	Digest   string // of the whole tree
	Source   string // its absolute path, or the name of WithSourceName
	Host     string // "" in Snapshot.Info
	Parent   string // the stamp of the snapshot that it was compared with or copied from; "" in Snapshot.Info
	Date     time.Time
	Labels   map[string]string // nil if there are none
	Counters Counters          // of the backup that made it; after a verify Problems counts its losses
	Action   Action            // 0 in Snapshot.Info
	Reason   string            // why it was kept or removed, or "3 losses"; "" if there is nothing to say
}

// Action is the result of an operation for a snapshot.
type Action int32

// The actions.
const (
	ActionKept    Action = C.IBT_ACTION_KEPT
	ActionRemoved Action = C.IBT_ACTION_REMOVED // or a dry run would remove it
)

// ProblemKind is the kind of a problem.
type ProblemKind int32

// The kinds of problems. See ibt.h for their exact meaning.
const (
	ProblemUnreadable  ProblemKind = C.IBT_PROBLEM_UNREADABLE
	ProblemVanished    ProblemKind = C.IBT_PROBLEM_VANISHED
	ProblemChanged     ProblemKind = C.IBT_PROBLEM_CHANGED
	ProblemSkipped     ProblemKind = C.IBT_PROBLEM_SKIPPED
	ProblemDamaged     ProblemKind = C.IBT_PROBLEM_DAMAGED
	ProblemMissing     ProblemKind = C.IBT_PROBLEM_MISSING
	ProblemMetadata    ProblemKind = C.IBT_PROBLEM_METADATA
	ProblemLeftover    ProblemKind = C.IBT_PROBLEM_LEFTOVER
	ProblemClock       ProblemKind = C.IBT_PROBLEM_CLOCK
	ProblemObstructed  ProblemKind = C.IBT_PROBLEM_OBSTRUCTED
	ProblemUnlocked    ProblemKind = C.IBT_PROBLEM_UNLOCKED
	ProblemHealed      ProblemKind = C.IBT_PROBLEM_HEALED
	ProblemLost        ProblemKind = C.IBT_PROBLEM_LOST
	ProblemUnneeded    ProblemKind = C.IBT_PROBLEM_UNNEEDED
	ProblemUnsupported ProblemKind = C.IBT_PROBLEM_UNSUPPORTED
)

// String returns the name of the kind, such as "unreadable", or "" for an unknown kind.
func (k ProblemKind) String() string { return C.GoString(C.ibt_problem_name(C.int32_t(k))) }

// Problem is one problem or note of a report.
type Problem struct {
	Kind     ProblemKind
	Note     bool // it reports an action or an omission by design, and does not make the result ErrPartial
	Status   Status
	Errno    syscall.Errno // 0 if the system is not behind the problem
	Message  string        // one line for people
	Path     string        // of the entry, any bytes; "" if the problem concerns no entry, or the root
	Snapshot string        // its stamp; "" if the problem names none
	File     string        // the name of the backup file; "" if the problem concerns none
}

// takeReport copies and frees a report of libibt. It returns nil for NULL.
func takeReport(r *C.ibt_report) *Report {
	if r == nil {
		return nil
	}
	defer C.ibt_report_free(r)
	report := &Report{
		Status:    Status(C.ibt_report_status(r)),
		Key:       C.GoString(C.ibt_report_key(r)),
		Snapshot:  C.GoString(C.ibt_report_snapshot(r)),
		Digest:    C.GoString(C.ibt_report_digest(r)),
		Date:      timeOf(C.ibt_report_date(r)),
		Counters:  readCounters(func(which C.int32_t) C.uint64_t { return C.ibt_report_counter(r, which) }),
		TotalSize: uint64(C.ibt_report_total_size(r)),
		JSON:      C.GoString(C.ibt_report_json(r)),
	}
	for i := C.size_t(0); i < C.ibt_report_file_count(r); i++ {
		report.Files = append(report.Files, File{
			Name: C.GoString(C.ibt_report_file_name(r, i)),
			Kind: C.GoString(C.ibt_report_file_kind(r, i)),
			Path: C.GoString(C.ibt_report_file_path(r, i)),
			Size: uint64(C.ibt_report_file_size(r, i)),
		})
	}
	for i := C.size_t(0); i < C.ibt_report_snapshot_count(r); i++ {
		report.Snapshots = append(report.Snapshots, readSnapshotInfo(r, i))
	}
	for i := C.size_t(0); i < C.ibt_report_problem_count(r); i++ {
		report.Problems = append(report.Problems, readProblem(r, i))
	}
	return report
}

func readCounters(counter func(C.int32_t) C.uint64_t) Counters {
	get := func(which C.int32_t) uint64 { return uint64(counter(which)) }
	return Counters{
		Entries:            get(C.IBT_COUNT_ENTRIES),
		Created:            get(C.IBT_COUNT_CREATED),
		Modified:           get(C.IBT_COUNT_MODIFIED),
		Unchanged:          get(C.IBT_COUNT_UNCHANGED),
		Moved:              get(C.IBT_COUNT_MOVED),
		Deleted:            get(C.IBT_COUNT_DELETED),
		Metadata:           get(C.IBT_COUNT_METADATA),
		BytesRead:          get(C.IBT_COUNT_BYTES_READ),
		BytesWritten:       get(C.IBT_COUNT_BYTES_WRITTEN),
		Restored:           get(C.IBT_COUNT_RESTORED),
		Problems:           get(C.IBT_COUNT_PROBLEMS),
		Bytes:              get(C.IBT_COUNT_BYTES),
		Healed:             get(C.IBT_COUNT_HEALED),
		Lost:               get(C.IBT_COUNT_LOST),
		BytesAlreadyStored: get(C.IBT_COUNT_BYTES_ALREADY_STORED),
	}
}

func readSnapshotInfo(r *C.ibt_report, i C.size_t) SnapshotInfo {
	info := SnapshotInfo{
		Key:    C.GoString(C.ibt_report_snapshot_key(r, i)),
		Stamp:  C.GoString(C.ibt_report_snapshot_stamp(r, i)),
		Kind:   C.GoString(C.ibt_report_snapshot_kind(r, i)),
		Digest: C.GoString(C.ibt_report_snapshot_digest(r, i)),
		Source: C.GoString(C.ibt_report_snapshot_source(r, i)),
		Host:   C.GoString(C.ibt_report_snapshot_host(r, i)),
		Parent: C.GoString(C.ibt_report_snapshot_parent(r, i)),
		Date:   timeOf(C.ibt_report_snapshot_date(r, i)),
		Counters: readCounters(func(which C.int32_t) C.uint64_t {
			return C.ibt_report_snapshot_counter(r, i, which)
		}),
		Action: Action(C.ibt_report_snapshot_action(r, i)),
		Reason: C.GoString(C.ibt_report_snapshot_reason(r, i)),
	}
	for j := C.size_t(0); j < C.ibt_report_snapshot_label_count(r, i); j++ {
		info.addLabel(C.ibt_report_snapshot_label_name(r, i, j), C.ibt_report_snapshot_label_value(r, i, j))
	}
	return info
}

func (s *SnapshotInfo) addLabel(name, value *C.char) {
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[C.GoString(name)] = C.GoString(value)
}

func readProblem(r *C.ibt_report, i C.size_t) Problem {
	return Problem{
		Kind:     ProblemKind(C.ibt_report_problem_kind(r, i)),
		Note:     C.ibt_report_problem_is_note(r, i) != 0,
		Status:   Status(C.ibt_report_problem_status(r, i)),
		Errno:    syscall.Errno(C.ibt_report_problem_os_code(r, i)),
		Message:  C.GoString(C.ibt_report_problem_message(r, i)),
		Path:     C.GoString(C.ibt_report_problem_path(r, i)),
		Snapshot: C.GoString(C.ibt_report_problem_snapshot(r, i)),
		File:     C.GoString(C.ibt_report_problem_file(r, i)),
	}
}
