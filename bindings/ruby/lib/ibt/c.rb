# frozen_string_literal: true

require 'ffi'

module Ibt
  # The functions and constants of ibt.h.
  #
  # The library is the file that the environment variable IBT_LIBRARY names; else libibt.so.0 where the system's loader
  # finds it; else libibt.so.0 in the directory that pkg-config names.
  #
  # @api private
  module C
    extend FFI::Library

    # The name of the library: its number changes only with the ABI.
    SONAME = 'libibt.so.0'

    # @return [String, nil] the library where pkg-config finds it
    def self.installed
      directory = IO.popen(%w[pkg-config --variable=libdir ibt], err: File::NULL, &:read).chomp
      directory.empty? ? nil : File.join(directory, SONAME)
    rescue SystemCallError
      nil # no pkg-config
    end

    # Loads the library.
    # @return [void]
    def self.load_library
      chosen = ENV.fetch('IBT_LIBRARY', '')
      return ffi_lib(chosen) unless chosen.empty?

      begin
        ffi_lib(SONAME)
      rescue LoadError
        ffi_lib(installed || raise)
      end
    end

    load_library

    # The result and the arguments of each function, for the test that compares them with the header.
    SIGNATURES = {} # rubocop:disable Style/MutableConstant

    # The functions that run without the lock of the interpreter, for the test too.
    BLOCKING = [] # rubocop:disable Style/MutableConstant

    # Declares functions of one type.
    # @return [void]
    def self.declare(result, arguments, names, blocking: false)
      names.each do |name|
        attach_function(name, arguments, result, blocking: blocking)
        SIGNATURES[name] = [result, arguments]
        BLOCKING << name if blocking
      end
    end
    private_class_method :load_library, :installed, :declare

    # ---- Library, errors ----

    declare :string, [], %i[ibt_version]
    declare :uint32, [], %i[ibt_version_number]
    declare :string, %i[int32], %i[ibt_status_name ibt_counter_name ibt_problem_name]
    declare :int32, %i[pointer], %i[ibt_error_status ibt_error_os_code]
    declare :string, %i[pointer], %i[ibt_error_message ibt_error_path]
    declare :void, %i[pointer], %i[
      ibt_error_free ibt_options_free ibt_cancel_free ibt_cancel_request ibt_storage_free ibt_snapshot_free
      ibt_report_free
    ]

    # ---- Options, cancelling, progress ----

    declare :pointer, [], %i[ibt_options_new ibt_cancel_new]
    declare :int32, %i[pointer], %i[ibt_cancel_requested ibt_progress_phase]
    declare :string, %i[pointer], %i[ibt_progress_path]
    declare :uint64, %i[pointer], %i[
      ibt_progress_done_bytes ibt_progress_total_bytes ibt_progress_done_entries ibt_progress_total_entries
    ]
    declare :int32, %i[pointer pointer pointer pointer], %i[
      ibt_options_set_progress ibt_options_set_change ibt_options_set_filter
    ]
    declare :int32, %i[pointer int32 pointer pointer pointer], %i[ibt_options_set_log]
    declare :int32, %i[pointer pointer], %i[ibt_options_set_cancel]
    declare :int32, %i[pointer string], %i[
      ibt_options_set_key ibt_options_set_host ibt_options_set_source_name ibt_options_set_cache_dir
      ibt_options_add_exclude ibt_options_set_exclude_file ibt_options_add_exclude_if_present
      ibt_options_add_source_path ibt_options_add_protected_path ibt_options_set_snapshot ibt_options_add_removed
      ibt_options_set_expected_digest ibt_options_add_include ibt_options_add_path ibt_options_set_root
    ]
    declare :int32, %i[pointer string string], %i[
      ibt_options_set_label ibt_options_add_keep_label ibt_options_add_label_filter
    ]
    declare :int32, %i[pointer int32], %i[
      ibt_options_set_verify ibt_options_set_metadata_only ibt_options_set_exclude_nodump ibt_options_set_map_owners
      ibt_options_set_overwrite ibt_options_set_delete_extra ibt_options_set_leave_partial ibt_options_set_local_time
      ibt_options_set_dry_run ibt_options_set_heal ibt_options_set_change_detection ibt_options_set_delta
      ibt_options_set_one_file_system ibt_options_set_skip_cache_dirs ibt_options_set_on_file_error
      ibt_options_set_allow_source_change ibt_options_set_allow_empty ibt_options_set_skip_unchanged
      ibt_options_set_allow_unlocked
    ]
    declare :int32, %i[pointer uint32], %i[
      ibt_options_set_keep_last ibt_options_set_keep_hourly ibt_options_set_keep_daily ibt_options_set_keep_weekly
      ibt_options_set_keep_monthly ibt_options_set_keep_yearly ibt_options_set_threads
      ibt_options_set_restore_metadata ibt_storage_set_traits
    ]
    declare :int32, %i[pointer uint64], %i[
      ibt_options_set_exclude_larger_than ibt_options_set_keep_within ibt_options_set_part_size
      ibt_options_set_checkpoint
    ]
    declare :int32, %i[pointer int64], %i[ibt_options_set_as_of ibt_options_set_lock_wait]
    declare :int32, %i[pointer uint32 uint32], %i[ibt_options_set_verify_part]
    declare :int32, %i[pointer int32 int32], %i[ibt_options_set_compression]

    # ---- Storages ----

    declare :int32, %i[string uint32 pointer pointer], %i[ibt_storage_open_dir]
    declare :int32, %i[string pointer pointer], %i[ibt_storage_open_url]
    declare :int32, %i[pointer pointer], %i[
      ibt_storage_open_default ibt_storage_set_reader ibt_storage_set_list ibt_storage_set_delete
    ]
    declare :pointer, %i[pointer pointer], %i[ibt_storage_new]
    declare :int32, %i[pointer pointer pointer pointer pointer], %i[ibt_storage_set_writer]
    declare :int32, %i[pointer pointer pointer], %i[ibt_storage_set_lock]
    declare :int32, %i[pointer int32 string], %i[ibt_storage_fail]
    declare :int32, %i[pointer string uint64], %i[ibt_list_add]

    # ---- Operations: without the lock of the interpreter, see Worker ----

    declare :int32, %i[pointer pointer pointer pointer pointer], %i[
      ibt_full_backup ibt_incremental_backup ibt_list_snapshots ibt_verify ibt_prune ibt_consolidate ibt_rebuild_cache
      ibt_diff ibt_snapshot_open
    ], blocking: true
    declare :int32, %i[pointer pointer pointer pointer pointer pointer], %i[ibt_restore ibt_compare ibt_import],
            blocking: true
    declare :int32, %i[pointer pointer pointer pointer], %i[ibt_list_keys], blocking: true
    declare :int32, %i[pointer pointer uint32 pointer pointer pointer], %i[ibt_snapshot_list], blocking: true
    declare :int32, %i[pointer pointer uint64 uint64 pointer pointer pointer], %i[ibt_snapshot_read], blocking: true

    # ---- Snapshots, entries ----

    declare :string, %i[pointer], %i[
      ibt_snapshot_stamp ibt_snapshot_key ibt_snapshot_kind ibt_snapshot_digest ibt_snapshot_source
      ibt_entry_path ibt_entry_target ibt_entry_hash ibt_entry_user ibt_entry_group ibt_entry_flags ibt_entry_link
    ]
    declare :int64, %i[pointer], %i[ibt_snapshot_date ibt_entry_mtime ibt_entry_ctime ibt_entry_btime ibt_report_date]
    declare :uint64, %i[pointer int32], %i[ibt_snapshot_counter ibt_report_counter]
    declare :size_t, %i[pointer], %i[
      ibt_snapshot_label_count ibt_entry_xattr_count ibt_report_file_count ibt_report_snapshot_count
      ibt_report_problem_count
    ]
    declare :string, %i[pointer size_t], %i[
      ibt_snapshot_label_name ibt_snapshot_label_value ibt_entry_xattr_name
      ibt_report_file_name ibt_report_file_kind ibt_report_file_path
      ibt_report_snapshot_stamp ibt_report_snapshot_key ibt_report_snapshot_kind ibt_report_snapshot_digest
      ibt_report_snapshot_source ibt_report_snapshot_host ibt_report_snapshot_parent ibt_report_snapshot_reason
      ibt_report_problem_path ibt_report_problem_message ibt_report_problem_snapshot ibt_report_problem_file
    ]
    declare :int32, %i[pointer pointer pointer], %i[ibt_snapshot_next]
    declare :int32, %i[pointer pointer], %i[ibt_snapshot_rewind]
    declare :int32, %i[pointer], %i[ibt_entry_type ibt_report_status]
    declare :uint64, %i[pointer], %i[ibt_entry_size ibt_entry_data_size ibt_entry_rdev ibt_report_total_size]
    declare :uint32, %i[pointer], %i[ibt_entry_mode ibt_entry_uid ibt_entry_gid ibt_entry_project]
    declare :pointer, %i[pointer size_t pointer], %i[ibt_entry_xattr_value]

    # ---- Reports ----

    declare :string, %i[pointer], %i[ibt_report_key ibt_report_snapshot ibt_report_digest ibt_report_json]
    declare :uint64, %i[pointer size_t], %i[ibt_report_file_size]
    declare :size_t, %i[pointer size_t], %i[ibt_report_snapshot_label_count]
    declare :string, %i[pointer size_t size_t], %i[ibt_report_snapshot_label_name ibt_report_snapshot_label_value]
    declare :int64, %i[pointer size_t], %i[ibt_report_snapshot_date]
    declare :int32, %i[pointer size_t], %i[
      ibt_report_snapshot_action ibt_report_problem_status ibt_report_problem_kind ibt_report_problem_is_note
      ibt_report_problem_os_code
    ]
    declare :uint64, %i[pointer size_t int32], %i[ibt_report_snapshot_counter]

    SIGNATURES.freeze
    BLOCKING.freeze

    # ---- Constants: the name of a table and a key make the name in ibt.h, as IBT_OVERWRITE_ALWAYS ----

    # Answers of callbacks.
    CALLBACK = { ok: 1, failed: 0, stop: 2 }.freeze
    # Answers of filters.
    FILTER = { include: 1, leave_out: 3, leave_out_all: 4 }.freeze
    # Compression.
    COMPRESSION = { none: 0, zstd: 1 }.freeze
    PART_SIZE = { min: 65_536 }.freeze
    # Change detection.
    DETECT = { metadata: 0, content: 1 }.freeze
    # How deltas are made.
    DELTA = { auto: 0, signatures: 1, contents: 2 }.freeze
    # Flags for opening a directory.
    DIR = { must_exist: 1, read_only: 2, create_parents: 4 }.freeze
    # What a verify checks.
    VERIFY = { contents: 0, presence: 1 }.freeze
    # Traits of a storage.
    STORAGE = { reads_cheaply: 1, thread_safe: 2 }.freeze
    # Policies for files that fail.
    ON_ERROR = { skip: 0, stop: 1 }.freeze
    # Policies for existing files.
    OVERWRITE = { never: 0, always: 1, if_different: 2, if_older: 3, keep: 4 }.freeze
    # Kinds of metadata.
    META = { mode: 1, owner: 2, times: 4, xattrs: 8, special: 16, setid: 32, flags: 64, project: 128 }.freeze
    # Phases of operations.
    PHASE = { scan: 1, read: 2, commit: 3, restore: 4, verify: 5, delete: 6 }.freeze
    # Levels of messages.
    LOG = { error: 1, warn: 2, info: 3, debug: 4 }.freeze
    # Types of entries.
    TYPE = { file: 1, dir: 2, symlink: 3, fifo: 4, char: 5, block: 6, unknown: 7 }.freeze
    # Ways in which an entry changes.
    CHANGE = { created: 1, deleted: 2, content: 4, metadata: 8, moved: 16, kept: 32 }.freeze
    # Actions of an operation for a snapshot.
    ACTION = { kept: 1, removed: 2 }.freeze

    # Unlimited, as a length or a size.
    UINT64_MAX = (2**64) - 1
    # Unlimited, as a depth.
    UINT32_MAX = (2**32) - 1
    # An unknown time.
    INT64_MIN = -(2**63)

    # Reads the names of numbers from 1 on, until the library knows no more.
    # @return [Hash{Symbol => Integer}]
    def self.named
      (1..).lazy.map { |number| [yield(number)&.to_sym, number] }.take_while(&:first).to_h.freeze
    end
    private_class_method :named

    # Counters of reports. A newer library may have more.
    COUNT = named { |number| ibt_counter_name(number) }
    # Kinds of problems. A newer library may have more.
    PROBLEM = named { |number| ibt_problem_name(number) }

    # @return [Symbol, Integer] the key of a number in a table, or the number itself if the table does not have it
    def self.name_of(table, number)
      table.key(number) || number
    end

    # @return [Array<Symbol>] the keys of the bits of a sum; an unknown bit is a number
    def self.names_of(table, sum)
      names = table.select { |_, bit| sum & bit != 0 }.keys
      rest = table.values.reduce(sum) { |left, bit| left & ~bit }
      rest.zero? ? names : names << rest
    end
  end
  private_constant :C
end
