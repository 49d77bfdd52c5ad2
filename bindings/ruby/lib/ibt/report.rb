# frozen_string_literal: true

module Ibt
  # A backup file in a report.
  class BackupFile < Record
    # @return [String] its name in the storage
    attr_reader :name
    # @return [Symbol] :full, :created, :updated, :sigvault, :state, :retired or :partial
    attr_reader :kind
    # @return [String, nil] its path; nil if the storage is not a directory
    attr_reader :path
    # @return [Integer] its size in bytes
    attr_reader :size
  end

  # A description of a snapshot.
  class SnapshotInfo < Record
    # @return [String] the key
    attr_reader :key
    # @return [String] the snapshot's name within its key, a time in UTC, such as "20261122T220530.123456Z"
    attr_reader :stamp
    # @return [Symbol] :full or :incremental
    attr_reader :kind
    # @return [String] the digest of the whole tree: "blake3:" and 64 hex digits
    attr_reader :digest
    # @return [String] the absolute path of the source, or the name that the option source_name gave it
    attr_reader :source
    # @return [String, nil] the host on which it was made; nil in {Snapshot#info}
    attr_reader :host
    # @return [String, nil] the stamp of the snapshot that it was compared with or copied from; nil in {Snapshot#info}
    attr_reader :parent
    # @return [Time] the time when it was made
    attr_reader :date
    # @return [Hash{String => String}] the labels
    attr_reader :labels
    # @return [Hash{Symbol => Integer}] the counters of the backup that made it; after a verify :problems counts its
    #   losses
    attr_reader :counters
    # @return [Symbol, nil] :kept or :removed; nil in {Snapshot#info}
    attr_reader :action
    # @return [String, nil] why it was kept or removed, or such as "3 losses"; "" if there is nothing to say; nil in
    #   {Snapshot#info}
    attr_reader :reason

    # @return [Boolean] whether it is a full one
    def full?
      kind == :full
    end
  end

  # A problem or note in a report.
  class Problem < Record
    # @return [Symbol] the kind, such as :unreadable: IBT_PROBLEM_* in ibt.h
    attr_reader :kind
    # @return [Boolean] whether it only reports an action or an omission by design
    attr_reader :note
    # @return [Integer] the status, such as -2
    attr_reader :status
    # @return [Integer] the system's error number, or 0
    attr_reader :os_code
    # @return [String] one line for people
    attr_reader :message
    # @return [String, nil] the path of the entry; nil if the problem concerns no entry
    attr_reader :path
    # @return [String, nil] the stamp of the snapshot
    attr_reader :snapshot
    # @return [String, nil] the name of the backup file
    attr_reader :file

    alias note? note

    # @return [Class] the class of {Error} that the status has
    def error_class
      Error.of_status(status)
    end

    # @return [String] the message
    def to_s
      message
    end
  end

  # The result of an operation.
  class Report < Record
    # @return [Integer] the status that the operation returned: 0, 1 if it is partial, or negative
    attr_reader :status
    # @return [String, nil] the key that the operation worked on; nil if it worked on no key or on all keys
    attr_reader :key
    # @return [String, nil] the stamp of the snapshot that the operation made or used
    attr_reader :snapshot
    # @return [String, nil] the tree digest of that snapshot: a signature of it signs the whole snapshot
    attr_reader :digest
    # @return [Time] when the operation began
    attr_reader :date
    # @return [Hash{Symbol => Integer}] a number for each counter, such as :entries: IBT_COUNT_* in ibt.h
    attr_reader :counters
    # @return [Array<BackupFile>] the backup files made or removed; after a restore those that the snapshot needs
    attr_reader :files
    # @return [Integer] the bytes of all files
    attr_reader :total_size
    # @return [Array<SnapshotInfo>] the snapshots of a list, verify, prune or diff
    attr_reader :snapshots
    # @return [Array<Problem>] the first 10,000 problems and notes; counters[:problems] counts all
    attr_reader :problems
    # @return [String] the whole report as libibt writes it; docs/abi.md of libibt describes the members
    attr_reader :json

    # @return [Boolean] whether the operation finished with problems, such as a file that could not be read
    def partial?
      status == PartialError::STATUS
    end

    # @return [Report] itself
    # @raise [PartialError] if the report is partial
    def complete!
      return self unless partial?

      real = problems.reject(&:note?)
      raise PartialError.new("#{real.length} problems, the first: #{real.first}", report: self, path: real.first&.path)
    end

    # Copies and frees a report of libibt. Returns nil for NULL.
    # @api private
    # @return [Report, nil]
    def self.take(pointer)
      return if pointer.null?

      begin
        read(pointer)
      ensure
        C.ibt_report_free(pointer)
      end
    end

    # @api private
    def self.read(pointer)
      new(status: C.ibt_report_status(pointer), key: Text.from_c(C.ibt_report_key(pointer)),
          snapshot: Text.from_c(C.ibt_report_snapshot(pointer)), digest: Text.from_c(C.ibt_report_digest(pointer)),
          date: Text.time(C.ibt_report_date(pointer)),
          counters: counters { |which| C.ibt_report_counter(pointer, which) },
          files: all(C.ibt_report_file_count(pointer)) { |i| file(pointer, i) },
          total_size: C.ibt_report_total_size(pointer),
          snapshots: all(C.ibt_report_snapshot_count(pointer)) { |i| snapshot(pointer, i) },
          problems: all(C.ibt_report_problem_count(pointer)) { |i| problem(pointer, i) },
          json: Text.from_c(C.ibt_report_json(pointer)))
    end

    # @api private
    def self.counters
      C::COUNT.transform_values { |which| yield(which) }.freeze
    end

    # @api private
    def self.all(count, &read)
      (0...count).map(&read).freeze
    end

    # @api private
    def self.file(pointer, i)
      BackupFile.new(name: Text.from_c(C.ibt_report_file_name(pointer, i)),
                     kind: C.ibt_report_file_kind(pointer, i).to_sym,
                     path: Text.from_c(C.ibt_report_file_path(pointer, i)), size: C.ibt_report_file_size(pointer, i))
    end

    # @api private
    def self.snapshot(pointer, i)
      SnapshotInfo.new(
        key: Text.from_c(C.ibt_report_snapshot_key(pointer, i)),
        stamp: Text.from_c(C.ibt_report_snapshot_stamp(pointer, i)),
        kind: C.ibt_report_snapshot_kind(pointer, i).to_sym,
        digest: Text.from_c(C.ibt_report_snapshot_digest(pointer, i)),
        source: Text.from_c(C.ibt_report_snapshot_source(pointer, i)),
        host: Text.from_c(C.ibt_report_snapshot_host(pointer, i)),
        parent: Text.from_c(C.ibt_report_snapshot_parent(pointer, i)),
        date: Text.time(C.ibt_report_snapshot_date(pointer, i)), labels: labels(pointer, i),
        counters: counters { |which| C.ibt_report_snapshot_counter(pointer, i, which) },
        action: C.name_of(C::ACTION, C.ibt_report_snapshot_action(pointer, i)),
        reason: Text.from_c(C.ibt_report_snapshot_reason(pointer, i))
      )
    end

    # @api private
    def self.labels(pointer, i)
      (0...C.ibt_report_snapshot_label_count(pointer, i)).to_h do |j|
        [Text.from_c(C.ibt_report_snapshot_label_name(pointer, i, j)),
         Text.from_c(C.ibt_report_snapshot_label_value(pointer, i, j))]
      end.freeze
    end

    # @api private
    def self.problem(pointer, i)
      Problem.new(kind: C.name_of(C::PROBLEM, C.ibt_report_problem_kind(pointer, i)),
                  note: C.ibt_report_problem_is_note(pointer, i) != 0,
                  status: C.ibt_report_problem_status(pointer, i), os_code: C.ibt_report_problem_os_code(pointer, i),
                  message: Text.from_c(C.ibt_report_problem_message(pointer, i)),
                  path: Text.from_c(C.ibt_report_problem_path(pointer, i)),
                  snapshot: Text.from_c(C.ibt_report_problem_snapshot(pointer, i)),
                  file: Text.from_c(C.ibt_report_problem_file(pointer, i)))
    end
    private_class_method :read, :all, :file, :snapshot, :labels, :problem
  end
end
