package ibt

// #include "bridge.h"
import "C"

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unsafe"
)

// Option changes how one operation works. An option that has no use in an operation is ignored, or the operation
// refuses it with ErrInvalidArg before it does anything; the table in docs/abi.md of libibt says which. So does an
// operation with an option whose value is malformed. A nil Option does nothing.
type Option func(*settings)

// settings are the options of one operation, and the call that their callbacks belong to.
type settings struct {
	options *C.ibt_options
	call    *call
	err     error // the first value that cannot be passed to libibt
}

// apply makes settings of options. The caller must call free().
func apply(c *call, options []Option) (*settings, error) {
	s := &settings{options: C.ibt_options_new(), call: c}
	C.ibt_options_set_cancel(s.options, c.cancel)
	for _, option := range options {
		if option != nil {
			option(s)
		}
	}
	if s.err != nil {
		s.free()
		return nil, s.err
	}
	return s, nil
}

func (s *settings) free() { C.ibt_options_free(s.options) }

// refuse records that a value cannot be passed on. libibt itself records the values that it refuses.
func (s *settings) refuse(option, reason string) {
	if s.err == nil {
		s.err = invalid("%s: %s", option, reason)
	}
}

// text passes a string to a setter.
func (s *settings) text(option, value string, set func(*C.char)) {
	if strings.IndexByte(value, 0) >= 0 {
		s.refuse(option, "the text has a NUL byte")
		return
	}
	c := C.CString(value)
	defer C.free(unsafe.Pointer(c))
	set(c)
}

// label passes a name and a value to a setter; nil as value stands for NULL.
func (s *settings) label(option, name string, value *string, set func(name, value *C.char)) {
	s.text(option, name, func(name *C.char) {
		if value == nil {
			set(name, nil)
			return
		}
		s.text(option, *value, func(value *C.char) { set(name, value) })
	})
}

// count passes a number to a setter that takes 32 bits.
func (s *settings) count(option string, n int, set func(C.uint32_t)) {
	if n < 0 || int64(n) > math.MaxUint32 {
		s.refuse(option, fmt.Sprintf("%d is out of range", n))
		return
	}
	set(C.uint32_t(n))
}

func flag(on bool) C.int32_t {
	if on {
		return 1
	}
	return 0
}

// ---- Functions of the caller ----

// ProgressFunc receives the progress of an operation: about ten times a second, and at the beginning and at the end of
// each phase. An error cancels the operation, whose error wraps it.
//
// A ProgressFunc, ChangeFunc, FilterFunc or LogFunc runs on a goroutine of its own while the operation waits for it. If
// it panics or calls runtime.Goexit, the operation is cancelled, and then panics with the same value, or exits its own
// goroutine. It may call every function of this package, but the store in use is busy (ErrBusy).
type ProgressFunc func(Progress) error

// WithProgress sets the function that receives the progress.
func WithProgress(progress ProgressFunc) Option {
	return func(s *settings) {
		if s.call.progress = progress; progress != nil {
			C.ibt_go_set_progress(s.options, s.call.userdata())
		}
	}
}

// ChangeFunc receives one change: of a backup, of a restore, or a difference of a comparison. See ibt_change_fn in
// ibt.h for the order. ErrStop ends the calls, and every other error cancels the operation, whose error wraps it.
type ChangeFunc func(Change) error

// WithChange sets the function that receives each change. It costs 10 to 30 microseconds for each change.
func WithChange(change ChangeFunc) Option {
	return func(s *settings) {
		if s.call.change = change; change != nil {
			C.ibt_go_set_change(s.options, s.call.userdata())
		}
	}
}

// FilterFunc decides whether a backup takes in an entry of the source. The entry has the values of lstat(); hash,
// hard links and extended attributes are unknown. libibt asks about a directory before the entries in it. ErrStop
// lets in this entry and all that follow; every other error cancels the backup, whose error wraps it.
type FilterFunc func(*Entry) (Decision, error)

// WithFilter sets the function that decides about each entry of the source of a backup. It costs 10 to 30 microseconds
// for each entry, and only one thread walks the source: WithExclude is faster. Backups only.
func WithFilter(filter FilterFunc) Option {
	return func(s *settings) {
		if s.call.filter = filter; filter != nil {
			C.ibt_go_set_filter(s.options, s.call.userdata())
		}
	}
}

// Decision is the answer of a FilterFunc.
type Decision int32

// The answers of a FilterFunc.
const (
	Include     Decision = C.IBT_FILTER_INCLUDE
	LeaveOut    Decision = C.IBT_FILTER_LEAVE_OUT     // libibt still asks about the entries of a directory
	LeaveOutAll Decision = C.IBT_FILTER_LEAVE_OUT_ALL // with everything below it, without asking further
)

// LogFunc receives one line about the work of an operation.
type LogFunc func(level LogLevel, message string)

// LogLevel is the importance of a message; a smaller number is more important.
type LogLevel int32

// The levels of messages.
const (
	LogError LogLevel = C.IBT_LOG_ERROR
	LogWarn  LogLevel = C.IBT_LOG_WARN
	LogInfo  LogLevel = C.IBT_LOG_INFO
	LogDebug LogLevel = C.IBT_LOG_DEBUG
)

// WithLog sets the function that receives messages of this importance or higher.
func WithLog(level LogLevel, log LogFunc) Option {
	return func(s *settings) {
		if s.call.log = log; log != nil {
			C.ibt_go_set_log(s.options, C.int32_t(level), s.call.userdata())
		}
	}
}

// ---- The names of a backup ----

// WithKey sets the key of a backup's snapshot. Default: the last component of the source's absolute path. Backups only:
// other operations take the key as an argument.
func WithKey(key string) Option {
	return func(s *settings) {
		s.text("WithKey", key, func(c *C.char) { C.ibt_options_set_key(s.options, c) })
	}
}

// WithHost sets the name of this host in a backup's snapshot, instead of the system's.
func WithHost(host string) Option {
	return func(s *settings) {
		s.text("WithHost", host, func(c *C.char) { C.ibt_options_set_host(s.options, c) })
	}
}

// WithSourceName sets the name of the source in a backup's snapshot, instead of its path.
func WithSourceName(name string) Option {
	return func(s *settings) {
		s.text("WithSourceName", name, func(c *C.char) { C.ibt_options_set_source_name(s.options, c) })
	}
}

// WithLabel gives the new snapshot of a backup a label. A second value of one name replaces the first.
func WithLabel(name, value string) Option {
	return func(s *settings) {
		s.label("WithLabel", name, &value, func(n, v *C.char) { C.ibt_options_set_label(s.options, n, v) })
	}
}

// WithoutLabel takes away a label that an earlier WithLabel gave.
func WithoutLabel(name string) Option {
	return func(s *settings) {
		s.label("WithoutLabel", name, nil, func(n, v *C.char) { C.ibt_options_set_label(s.options, n, v) })
	}
}

// WithAllowSourceChange accepts a source or host that differs from that of the newest snapshot, which otherwise is
// ErrMismatch.
func WithAllowSourceChange(on bool) Option {
	return func(s *settings) { C.ibt_options_set_allow_source_change(s.options, flag(on)) }
}

// WithAllowEmpty lets a backup accept an empty source although the newest snapshot has entries, and lets a prune remove
// all snapshots of its key.
func WithAllowEmpty(on bool) Option {
	return func(s *settings) { C.ibt_options_set_allow_empty(s.options, flag(on)) }
}

// ---- Entries that a backup or a comparison leaves out ----

// WithExclude excludes the entries that match a pattern, which is one line as in a .gitignore file at the root of the
// source. Each adds a pattern; of two patterns that match, the later one decides. A restore leaves
// such entries as they are. Backups, restores and comparisons.
func WithExclude(patterns ...string) Option {
	return func(s *settings) {
		for _, pattern := range patterns {
			s.text("WithExclude", pattern, func(c *C.char) { C.ibt_options_add_exclude(s.options, c) })
		}
	}
}

// WithExcludeFile sets the name of exclude files, which hold patterns for the directory that they lie in. Default:
// ".exclude". "" for none.
func WithExcludeFile(name string) Option {
	return func(s *settings) {
		s.text("WithExcludeFile", name, func(c *C.char) { C.ibt_options_set_exclude_file(s.options, c) })
	}
}

// WithExcludeIfPresent leaves out everything in directories with an entry of this name, such as ".nobackup", except for
// that entry.
func WithExcludeIfPresent(names ...string) Option {
	return func(s *settings) {
		for _, name := range names {
			s.text("WithExcludeIfPresent", name, func(c *C.char) {
				C.ibt_options_add_exclude_if_present(s.options, c)
			})
		}
	}
}

// WithExcludeLargerThan leaves out files that are larger than this many bytes.
func WithExcludeLargerThan(bytes uint64) Option {
	return func(s *settings) { C.ibt_options_set_exclude_larger_than(s.options, C.uint64_t(bytes)) }
}

// WithExcludeNoDump leaves out entries with the flag "no dump" (chattr +d).
func WithExcludeNoDump(on bool) Option {
	return func(s *settings) { C.ibt_options_set_exclude_nodump(s.options, flag(on)) }
}

// WithOneFileSystem does not enter other file systems that are mounted in the source or tree.
func WithOneFileSystem(on bool) Option {
	return func(s *settings) { C.ibt_options_set_one_file_system(s.options, flag(on)) }
}

// WithSkipCacheDirs stores a directory with a valid CACHEDIR.TAG file with that file only.
func WithSkipCacheDirs(on bool) Option {
	return func(s *settings) { C.ibt_options_set_skip_cache_dirs(s.options, flag(on)) }
}

// WithSourcePath limits a backup to these paths below the source, with everything below them. Backups only.
func WithSourcePath(paths ...string) Option {
	return func(s *settings) {
		for _, path := range paths {
			s.text("WithSourcePath", path, func(c *C.char) { C.ibt_options_add_source_path(s.options, c) })
		}
	}
}

// WithProtectedPath protects the entries at these paths and everything below them: a restore does not touch them, and a
// backup or comparison leaves them out. Set it if a Storage keeps its objects in a directory.
func WithProtectedPath(paths ...string) Option {
	return func(s *settings) {
		for _, path := range paths {
			s.text("WithProtectedPath", path, func(c *C.char) { C.ibt_options_add_protected_path(s.options, c) })
		}
	}
}

// ---- Selecting a snapshot ----

// WithSnapshot selects the snapshot with exactly this stamp, such as "20261122T220530.123456Z", instead of the newest.
// "" selects the newest again. WithSnapshot and WithAsOf replace each other.
func WithSnapshot(stamp string) Option {
	return func(s *settings) {
		if stamp == "" {
			C.ibt_options_set_snapshot(s.options, nil)
			return
		}
		s.text("WithSnapshot", stamp, func(c *C.char) { C.ibt_options_set_snapshot(s.options, c) })
	}
}

// WithAsOf selects the last snapshot made at this time or before. WithAsOf and WithSnapshot replace each other.
func WithAsOf(t time.Time) Option {
	return func(s *settings) { C.ibt_options_set_as_of(s.options, C.int64_t(nanosecondsOf(t))) }
}

// WithExpectedDigest fails with ErrMismatch unless the selected snapshot has this tree digest.
func WithExpectedDigest(digest string) Option {
	return func(s *settings) {
		s.text("WithExpectedDigest", digest, func(c *C.char) { C.ibt_options_set_expected_digest(s.options, c) })
	}
}

// WithLabelFilter counts only snapshots that have this label with exactly this value. A snapshot must pass all filters.
func WithLabelFilter(name, value string) Option {
	return func(s *settings) {
		s.label("WithLabelFilter", name, &value, func(n, v *C.char) { C.ibt_options_add_label_filter(s.options, n, v) })
	}
}

// WithLabelFilterName counts only snapshots that have this label with any value.
func WithLabelFilterName(name string) Option {
	return func(s *settings) {
		s.label("WithLabelFilterName", name, nil, func(n, v *C.char) { C.ibt_options_add_label_filter(s.options, n, v) })
	}
}

// ---- Selecting entries ----

// WithInclude limits a restore or comparison to the entries that match a glob. Each adds a glob.
func WithInclude(globs ...string) Option {
	return func(s *settings) {
		for _, glob := range globs {
			s.text("WithInclude", glob, func(c *C.char) { C.ibt_options_add_include(s.options, c) })
		}
	}
}

// WithPath limits a restore or comparison to these paths, which are taken literally.
func WithPath(paths ...string) Option {
	return func(s *settings) {
		for _, path := range paths {
			s.text("WithPath", path, func(c *C.char) { C.ibt_options_add_path(s.options, c) })
		}
	}
}

// WithRoot restores this directory of the snapshot as the destination itself. Restore only.
func WithRoot(path string) Option {
	return func(s *settings) {
		s.text("WithRoot", path, func(c *C.char) { C.ibt_options_set_root(s.options, c) })
	}
}

// ---- Restoring ----

// OverwritePolicy is the action of a restore for entries that the destination has already.
type OverwritePolicy int32

// The policies for existing entries.
const (
	OverwriteNever       OverwritePolicy = C.IBT_OVERWRITE_NEVER        // the destination must be absent or empty
	OverwriteAlways      OverwritePolicy = C.IBT_OVERWRITE_ALWAYS       // replace every file whose content differs
	OverwriteIfDifferent OverwritePolicy = C.IBT_OVERWRITE_IF_DIFFERENT // a file of equal size and time counts as equal
	OverwriteIfOlder     OverwritePolicy = C.IBT_OVERWRITE_IF_OLDER     // replace only files with an earlier time
	OverwriteKeep        OverwritePolicy = C.IBT_OVERWRITE_KEEP         // restore only absent entries
)

// WithOverwrite sets the policy for entries that the destination of a restore has already. Default: OverwriteNever.
func WithOverwrite(policy OverwritePolicy) Option {
	return func(s *settings) { C.ibt_options_set_overwrite(s.options, C.int32_t(policy)) }
}

// WithDeleteExtra removes the entries of an existing destination that the snapshot does not have. Restore only; see
// ibt_options_set_delete_extra() in ibt.h for the entries that stay.
func WithDeleteExtra(on bool) Option {
	return func(s *settings) { C.ibt_options_set_delete_extra(s.options, flag(on)) }
}

// WithLeavePartial makes a restore that ends with an error leave the entries restored so far.
func WithLeavePartial(on bool) Option {
	return func(s *settings) { C.ibt_options_set_leave_partial(s.options, flag(on)) }
}

// Metadata is a sum of the kinds of metadata that a restore sets.
type Metadata uint32

// The kinds of metadata.
const (
	MetadataMode    Metadata = C.IBT_META_MODE
	MetadataOwner   Metadata = C.IBT_META_OWNER // by default only with privilege
	MetadataTimes   Metadata = C.IBT_META_TIMES
	MetadataXattrs  Metadata = C.IBT_META_XATTRS  // extended attributes, including ACLs
	MetadataSpecial Metadata = C.IBT_META_SPECIAL // make FIFOs and devices
	MetadataSetID   Metadata = C.IBT_META_SETID   // setuid and setgid bits
	MetadataFlags   Metadata = C.IBT_META_FLAGS   // inode flags, as chattr sets them
	MetadataProject Metadata = C.IBT_META_PROJECT // project ids
)

// WithRestoreMetadata sets the metadata that a restore sets; 0 for nothing but content.
func WithRestoreMetadata(metadata Metadata) Option {
	return func(s *settings) { C.ibt_options_set_restore_metadata(s.options, C.uint32_t(metadata)) }
}

// WithDryRun changes nothing, and reports the changes that the operation would make. Backups, restores
// and prunes.
func WithDryRun(on bool) Option {
	return func(s *settings) { C.ibt_options_set_dry_run(s.options, flag(on)) }
}

// ---- Pruning ----

// WithKeepLast keeps the n snapshots with the newest stamps. The rules of a prune add up.
func WithKeepLast(n int) Option {
	return func(s *settings) {
		s.count("WithKeepLast", n, func(c C.uint32_t) { C.ibt_options_set_keep_last(s.options, c) })
	}
}

// WithKeepWithin keeps every snapshot that was made at most this long before the newest one. A part of a second counts
// as a whole one.
func WithKeepWithin(span time.Duration) Option {
	return func(s *settings) {
		if span < 0 {
			s.refuse("WithKeepWithin", span.String()+" is out of range")
			return
		}
		seconds := uint64((span + time.Second - 1) / time.Second)
		if span > math.MaxInt64-time.Second {
			seconds = uint64(span/time.Second) + 1
		}
		C.ibt_options_set_keep_within(s.options, C.uint64_t(seconds))
	}
}

// WithKeepHourly keeps the newest snapshot of each of the last n hours that have one.
func WithKeepHourly(n int) Option {
	return func(s *settings) {
		s.count("WithKeepHourly", n, func(c C.uint32_t) { C.ibt_options_set_keep_hourly(s.options, c) })
	}
}

// WithKeepDaily keeps the newest snapshot of each of the last n days that have one.
func WithKeepDaily(n int) Option {
	return func(s *settings) {
		s.count("WithKeepDaily", n, func(c C.uint32_t) { C.ibt_options_set_keep_daily(s.options, c) })
	}
}

// WithKeepWeekly keeps the newest snapshot of each of the last n weeks that have one.
func WithKeepWeekly(n int) Option {
	return func(s *settings) {
		s.count("WithKeepWeekly", n, func(c C.uint32_t) { C.ibt_options_set_keep_weekly(s.options, c) })
	}
}

// WithKeepMonthly keeps the newest snapshot of each of the last n months that have one.
func WithKeepMonthly(n int) Option {
	return func(s *settings) {
		s.count("WithKeepMonthly", n, func(c C.uint32_t) { C.ibt_options_set_keep_monthly(s.options, c) })
	}
}

// WithKeepYearly keeps the newest snapshot of each of the last n years that have one.
func WithKeepYearly(n int) Option {
	return func(s *settings) {
		s.count("WithKeepYearly", n, func(c C.uint32_t) { C.ibt_options_set_keep_yearly(s.options, c) })
	}
}

// WithKeepLabel keeps every snapshot that has this label with exactly this value.
func WithKeepLabel(name, value string) Option {
	return func(s *settings) {
		s.label("WithKeepLabel", name, &value, func(n, v *C.char) { C.ibt_options_add_keep_label(s.options, n, v) })
	}
}

// WithKeepLabelName keeps every snapshot that has this label with any value.
func WithKeepLabelName(name string) Option {
	return func(s *settings) {
		s.label("WithKeepLabelName", name, nil, func(n, v *C.char) { C.ibt_options_add_keep_label(s.options, n, v) })
	}
}

// WithLocalTime counts the hours, days, weeks, months and years of the rules in the time zone of this machine, and not
// in UTC.
func WithLocalTime(on bool) Option {
	return func(s *settings) { C.ibt_options_set_local_time(s.options, flag(on)) }
}

// WithRemoved removes the snapshots with exactly these stamps, or none if one does not exist.
func WithRemoved(stamps ...string) Option {
	return func(s *settings) {
		for _, stamp := range stamps {
			s.text("WithRemoved", stamp, func(c *C.char) { C.ibt_options_add_removed(s.options, c) })
		}
	}
}

// ---- How an operation works ----

// WithCacheDir sets the directory with copies of the newest states and signatures. "" means no cache. Default:
// $XDG_CACHE_HOME/ibt or ~/.cache/ibt.
func WithCacheDir(path string) Option {
	return func(s *settings) {
		s.text("WithCacheDir", path, func(c *C.char) { C.ibt_options_set_cache_dir(s.options, c) })
	}
}

// Codec is a kind of compression.
type Codec int32

// The kinds of compression.
const (
	CompressionNone Codec = C.IBT_COMPRESSION_NONE
	CompressionZstd Codec = C.IBT_COMPRESSION_ZSTD
)

// WithCompression sets the compression of backup files. The level is for CompressionZstd: 1 (fast) to 19 (small); 0
// means 3. Default: CompressionZstd, 3.
func WithCompression(codec Codec, level int) Option {
	return func(s *settings) {
		if level < math.MinInt32 || level > math.MaxInt32 {
			s.refuse("WithCompression", fmt.Sprintf("%d is out of range", level))
			return
		}
		C.ibt_options_set_compression(s.options, C.int32_t(codec), C.int32_t(level))
	}
}

// PartSizeMin is the smallest size of parts, in bytes.
const PartSizeMin = C.IBT_PART_SIZE_MIN

// WithPartSize sets the greatest size, in bytes, of a file that is stored: a longer archive is stored in parts of at
// most this size. 0, the default, means archives in one file; every other size is at least PartSizeMin.
func WithPartSize(bytes uint64) Option {
	return func(s *settings) { C.ibt_options_set_part_size(s.options, C.uint64_t(bytes)) }
}

// WithCheckpoint sets the number of bytes of the source after which a long full backup notes how far it is. If it is
// killed or fails, the next full goes on from there. The default is 4 GiB; 0 switches this off. A prune with 0 removes
// what such a full has left.
func WithCheckpoint(bytes uint64) Option {
	return func(s *settings) { C.ibt_options_set_checkpoint(s.options, C.uint64_t(bytes)) }
}

// WithThreads sets the number of worker threads. 0, the default, means one for each core.
func WithThreads(n int) Option {
	return func(s *settings) {
		s.count("WithThreads", n, func(c C.uint32_t) { C.ibt_options_set_threads(s.options, c) })
	}
}

// Detection is a way to find out that a file is unchanged.
type Detection int32

// The ways to detect changes.
const (
	DetectMetadata Detection = C.IBT_DETECT_METADATA // by size, times and inode number
	DetectContent  Detection = C.IBT_DETECT_CONTENT  // read every file
)

// WithChangeDetection sets how an increment finds changed files. Default: DetectMetadata.
func WithChangeDetection(detection Detection) Option {
	return func(s *settings) { C.ibt_options_set_change_detection(s.options, C.int32_t(detection)) }
}

// DeltaMode is a way to make the delta of a changed file.
type DeltaMode int32

// The ways to make deltas.
const (
	DeltaAuto       DeltaMode = C.IBT_DELTA_AUTO       // DeltaContents if the storage reads cheaply, else DeltaSignatures
	DeltaSignatures DeltaMode = C.IBT_DELTA_SIGNATURES // read no stored content
	DeltaContents   DeltaMode = C.IBT_DELTA_CONTENTS   // read the old content from the storage
)

// WithDelta sets how an increment makes the delta of a changed file. Default: DeltaAuto.
func WithDelta(mode DeltaMode) Option {
	return func(s *settings) { C.ibt_options_set_delta(s.options, C.int32_t(mode)) }
}

// VerifyScope is the extent of a verify.
type VerifyScope int32

// The scopes of a verify.
const (
	VerifyContents VerifyScope = C.IBT_VERIFY_CONTENTS // read everything
	VerifyPresence VerifyScope = C.IBT_VERIFY_PRESENCE // read the states; archives must be there with the right size
)

// WithVerify sets the extent of a verify. Default: VerifyContents. WithVerify and WithVerifyPart replace each other.
func WithVerify(scope VerifyScope) Option {
	return func(s *settings) { C.ibt_options_set_verify(s.options, C.int32_t(scope)) }
}

// WithVerifyPart lets a verify read one of several parts of all contents and signatures, counted from 1. Verifies of
// all parts together read everything.
func WithVerifyPart(part, parts int) Option {
	return func(s *settings) {
		s.count("WithVerifyPart", part, func(part C.uint32_t) {
			s.count("WithVerifyPart", parts, func(parts C.uint32_t) {
				C.ibt_options_set_verify_part(s.options, part, parts)
			})
		})
	}
}

// WithMetadataOnly makes a comparison read no content: a file counts as unchanged if it has the recorded size and
// modification time.
func WithMetadataOnly(on bool) Option {
	return func(s *settings) { C.ibt_options_set_metadata_only(s.options, flag(on)) }
}

// WithHeal makes an increment first read everything that its parent needs, and store lost contents and signatures
// again, as far as the source still has the files. Increments only.
func WithHeal(on bool) Option {
	return func(s *settings) { C.ibt_options_set_heal(s.options, flag(on)) }
}

// WithSkipUnchanged makes no snapshot if nothing changed. The report then names the newest snapshot and no files.
// Increments only.
func WithSkipUnchanged(on bool) Option {
	return func(s *settings) { C.ibt_options_set_skip_unchanged(s.options, flag(on)) }
}

// WithMapOwners gives each restored entry to the user and the group that have the recorded names on this machine, also
// if their numbers differ. Restore only.
func WithMapOwners(on bool) Option {
	return func(s *settings) { C.ibt_options_set_map_owners(s.options, flag(on)) }
}

// FileErrorPolicy is the action of an operation after a problem with one file.
type FileErrorPolicy int32

// The policies for problems.
const (
	OnErrorSkip FileErrorPolicy = C.IBT_ON_ERROR_SKIP // list the problem in the report and go on
	OnErrorStop FileErrorPolicy = C.IBT_ON_ERROR_STOP // stop at the first problem
)

// WithOnFileError sets the policy for problems. Default: OnErrorSkip.
func WithOnFileError(policy FileErrorPolicy) Option {
	return func(s *settings) { C.ibt_options_set_on_file_error(s.options, C.int32_t(policy)) }
}

// WithLockWait sets how long an operation waits for another one that holds the same key. A negative time means without
// limit. Default: 0. The end of the context ends the wait, too.
func WithLockWait(span time.Duration) Option {
	return func(s *settings) {
		milliseconds := int64(-1)
		if span >= 0 {
			milliseconds = span.Milliseconds()
			if span > 0 && milliseconds == 0 {
				milliseconds = 1
			}
		}
		C.ibt_options_set_lock_wait(s.options, C.int64_t(milliseconds))
	}
}

// WithAllowUnlocked lets backups, prunes and consolidations go on where nothing can be locked. The caller guarantees
// that nobody else writes to the key meanwhile.
func WithAllowUnlocked(on bool) Option {
	return func(s *settings) { C.ibt_options_set_allow_unlocked(s.options, flag(on)) }
}

// nanosecondsOf gives the time since 1970, or the nearest that 64 bits can hold.
func nanosecondsOf(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}
