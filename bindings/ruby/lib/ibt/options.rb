# frozen_string_literal: true

module Ibt
  # The options of an operation. Every operation takes them as keywords:
  #
  #   storage.full_backup('documents', exclude: ['*.o', '/tmp'], compression: :none)
  #
  # An object of this class holds keywords for several operations, and is passed on with two stars:
  #
  #   nightly = Ibt::Options.new(cache_dir: '/var/cache/backup', one_file_system: true)
  #   storage.incremental_backup('/home', **nightly, label: { 'reason' => 'nightly' })
  #
  # A keyword is the name of a setter in ibt.h without "ibt_options_set_" or "ibt_options_add_". ibt.h describes each in
  # full. An option that has no use in an operation is ignored, or the operation raises {InvalidArgumentError} before it
  # does anything: the table in docs/abi.md of libibt says which. nil means the default.
  class Options
    # Options with one value of a kind, and the functions that set them.
    SETTERS = {
      key: %i[string ibt_options_set_key], host: %i[string ibt_options_set_host],
      source_name: %i[path ibt_options_set_source_name], cache_dir: %i[path_or_none ibt_options_set_cache_dir],
      exclude_file: %i[path_or_none ibt_options_set_exclude_file],
      exclude_larger_than: %i[uint64 ibt_options_set_exclude_larger_than],
      exclude_nodump: %i[flag ibt_options_set_exclude_nodump],
      one_file_system: %i[flag ibt_options_set_one_file_system],
      skip_cache_dirs: %i[flag ibt_options_set_skip_cache_dirs],
      allow_source_change: %i[flag ibt_options_set_allow_source_change],
      allow_empty: %i[flag ibt_options_set_allow_empty], allow_unlocked: %i[flag ibt_options_set_allow_unlocked],
      snapshot: %i[string ibt_options_set_snapshot], as_of: %i[time ibt_options_set_as_of],
      expected_digest: %i[string ibt_options_set_expected_digest], root: %i[path ibt_options_set_root],
      overwrite: [:constant, :ibt_options_set_overwrite, C::OVERWRITE],
      delete_extra: %i[flag ibt_options_set_delete_extra], leave_partial: %i[flag ibt_options_set_leave_partial],
      restore_metadata: [:constants, :ibt_options_set_restore_metadata, C::META],
      map_owners: %i[flag ibt_options_set_map_owners], dry_run: %i[flag ibt_options_set_dry_run],
      keep_last: %i[uint32 ibt_options_set_keep_last], keep_within: %i[uint64 ibt_options_set_keep_within],
      keep_hourly: %i[uint32 ibt_options_set_keep_hourly], keep_daily: %i[uint32 ibt_options_set_keep_daily],
      keep_weekly: %i[uint32 ibt_options_set_keep_weekly], keep_monthly: %i[uint32 ibt_options_set_keep_monthly],
      keep_yearly: %i[uint32 ibt_options_set_keep_yearly], local_time: %i[flag ibt_options_set_local_time],
      part_size: %i[uint64 ibt_options_set_part_size], checkpoint: %i[uint64 ibt_options_set_checkpoint],
      threads: %i[uint32 ibt_options_set_threads],
      change_detection: [:constant, :ibt_options_set_change_detection, C::DETECT],
      delta: [:constant, :ibt_options_set_delta, C::DELTA], heal: %i[flag ibt_options_set_heal],
      skip_unchanged: %i[flag ibt_options_set_skip_unchanged],
      on_file_error: [:constant, :ibt_options_set_on_file_error, C::ON_ERROR],
      verify: [:constant, :ibt_options_set_verify, C::VERIFY],
      verify_part: %i[part ibt_options_set_verify_part], metadata_only: %i[flag ibt_options_set_metadata_only],
      lock_wait: %i[wait ibt_options_set_lock_wait]
    }.freeze

    # Options with any number of values.
    LISTS = {
      exclude: %i[string ibt_options_add_exclude], exclude_if_present: %i[path ibt_options_add_exclude_if_present],
      source_path: %i[path ibt_options_add_source_path], protected_path: %i[path ibt_options_add_protected_path],
      include: %i[path ibt_options_add_include], path: %i[path ibt_options_add_path],
      removed: %i[string ibt_options_add_removed]
    }.freeze

    # Options with names and values.
    LABELS = { label: :ibt_options_set_label, keep_label: :ibt_options_add_keep_label,
               label_filter: :ibt_options_add_label_filter }.freeze

    # Functions of the caller.
    PROCS = { progress: :ibt_options_set_progress, change: :ibt_options_set_change, filter: :ibt_options_set_filter,
              log: :ibt_options_set_log }.freeze

    # Options of other kinds.
    OTHERS = %i[cancel compression compression_level log_level].freeze

    private_constant :SETTERS, :LISTS, :LABELS, :PROCS, :OTHERS

    # @return [Cancel, nil] the option `cancel`
    attr_reader :cancel
    # @return [Hash{Symbol => #call}] the options `progress`, `change`, `filter` and `log`
    attr_reader :procs

    # @param keywords [Hash] the options
    # @option keywords [String] :key the key of a backup's snapshot. Default: the last component of the source's path
    # @option keywords [String] :host the name of this host in a backup's snapshot, instead of the system's
    # @option keywords [String] :source_name the name of the source in a backup's snapshot, instead of its path
    # @option keywords [Hash{String => String}] :label labels for the new snapshot of a backup
    # @option keywords [Boolean] :allow_source_change accept another source or host than the newest snapshot has
    # @option keywords [Boolean] :allow_empty accept an empty source; let a prune remove all snapshots
    # @option keywords [Boolean] :allow_unlocked go on where nothing can be locked
    # @option keywords [String, Array<String>] :exclude patterns as in a .gitignore file at the root of the source
    # @option keywords [String, false] :exclude_file the name of exclude files, by default ".exclude"; false for none
    # @option keywords [String, Array<String>] :exclude_if_present names that mark directories to leave out
    # @option keywords [Integer] :exclude_larger_than leave out files with more bytes
    # @option keywords [Boolean] :exclude_nodump leave out entries with the flag "no dump" (chattr +d)
    # @option keywords [Boolean] :one_file_system do not enter other file systems
    # @option keywords [Boolean] :skip_cache_dirs store of a directory with a CACHEDIR.TAG that file only
    # @option keywords [String, Array<String>] :source_path limit a backup to these paths
    # @option keywords [String, Array<String>] :protected_path paths that nothing backs up, compares or restores
    # @option keywords [#call] :filter receives an {Entry} of the source, and returns true, false, :leave_out_all (with
    #   everything below it) or :stop (let in all that follow). A filter makes the walk slow: prefer :exclude
    # @option keywords [String] :snapshot select the snapshot with this stamp, instead of the newest
    # @option keywords [Time] :as_of select the last snapshot made at this time or before
    # @option keywords [String] :expected_digest the digest that the selected snapshot must have
    # @option keywords [Hash{String => String, nil}, Array<String>] :label_filter only snapshots with all these labels
    #   count; nil or a name alone stands for any value
    # @option keywords [String, Array<String>] :include limit a restore or comparison to these globs
    # @option keywords [String, Array<String>] :path limit a restore or comparison to these paths, taken literally
    # @option keywords [String] :root restore this directory of the snapshot as the destination itself
    # @option keywords [Symbol] :overwrite :never (default), :always, :if_different, :if_older or :keep: what a restore
    #   does with entries that the destination has
    # @option keywords [Boolean] :delete_extra let a restore remove what the snapshot does not have
    # @option keywords [Boolean] :leave_partial let a restore that fails leave the entries restored so far
    # @option keywords [Array<Symbol>] :restore_metadata what a restore sets: :mode, :owner, :times, :xattrs, :special,
    #   :setid, :flags, :project. Default: all, but :owner only with privilege
    # @option keywords [Boolean] :map_owners restore owners by their names, not by their numbers
    # @option keywords [Boolean] :dry_run let a backup, a restore or a prune change nothing
    # @option keywords [Integer] :keep_last a prune keeps this many snapshots with the newest stamps
    # @option keywords [Integer] :keep_within a prune keeps what was made in these seconds before the newest snapshot
    # @option keywords [Integer] :keep_hourly a prune keeps the newest snapshot of each of the last n hours
    # @option keywords [Integer] :keep_daily likewise for days
    # @option keywords [Integer] :keep_weekly likewise for weeks
    # @option keywords [Integer] :keep_monthly likewise for months
    # @option keywords [Integer] :keep_yearly likewise for years
    # @option keywords [Hash{String => String, nil}, Array<String>] :keep_label a prune keeps snapshots with any of
    #   these labels; nil or a name alone stands for any value
    # @option keywords [Boolean] :local_time count hours, days and so on in the time zone of this machine
    # @option keywords [String, Array<String>] :removed a prune removes the snapshots with these stamps
    # @option keywords [String, false] :cache_dir the directory of the cache; false for none
    # @option keywords [Symbol] :compression :zstd (default) or :none
    # @option keywords [Integer] :compression_level 1 (fast) to 19 (small); 0, the default, means 3
    # @option keywords [Integer] :part_size store longer archives in parts of at most this many bytes, at least 65536;
    #   0, the default: in one file
    # @option keywords [Integer] :checkpoint a full that is killed or fails is continued by the next full; this is the
    #   number of bytes of the source after which it notes how far it is: by default 2**32, 0 for never; with 0, a prune
    #   removes what such a full has left
    # @option keywords [Integer] :threads how many threads an operation may start; 0, the default: one for each core
    # @option keywords [Symbol] :change_detection :metadata (default) or :content (read every file)
    # @option keywords [Symbol] :delta :auto (default), :signatures or :contents: how increments compare changed files
    # @option keywords [Boolean] :heal let an increment read everything and store again what the store has lost
    # @option keywords [Boolean] :skip_unchanged let an increment make no snapshot if nothing changed
    # @option keywords [Symbol] :on_file_error :skip (default: a problem of the report) or :stop
    # @option keywords [Symbol] :verify :contents (default) or :presence: what a verify checks
    # @option keywords [Array(Integer, Integer)] :verify_part let a verify read one part of several, such as [1, 7]
    # @option keywords [Boolean] :metadata_only let a comparison read no content
    # @option keywords [Numeric] :lock_wait the seconds to wait for another operation on the key, Float::INFINITY for
    #   ever. Default: 0, which raises {BusyError} at once
    # @option keywords [Cancel] :cancel stops the operation from elsewhere
    # @option keywords [#call] :progress receives a {Progress} about ten times a second
    # @option keywords [#call] :change receives each {Change}; if it returns :stop, it receives no further ones
    # @option keywords [Logger, #call] :log a Logger, or receives a level (:error, :warn, :info, :debug) and a message
    # @option keywords [Symbol] :log_level the lowest level of messages, :info by default
    # @raise [ArgumentError, TypeError, RangeError] if a keyword is unknown or has an impossible value
    def initialize(**keywords)
      known = [SETTERS, LISTS, LABELS, PROCS].flat_map(&:keys) + OTHERS
      unknown = keywords.keys - known
      raise ArgumentError, "unknown keyword: #{unknown.first.inspect}" unless unknown.empty?

      @keywords = keywords.compact.freeze
      @procs = @keywords.slice(*PROCS.keys).freeze
      @cancel = @keywords[:cancel]
      @calls = (values + lists + labels + compression).freeze
      @log_level = Text.constant('log_level', @keywords.fetch(:log_level, :info), C::LOG)
      check_objects
      freeze
    end

    # @return [Hash{Symbol => Object}] the keywords
    def to_hash
      @keywords
    end
    alias to_h to_hash

    # @param keywords [Hash] further options, which replace those of the same name
    # @return [Options]
    def merge(**keywords)
      Options.new(**@keywords, **keywords)
    end

    # Makes an ibt_options.
    # @api private
    # @param cancel [FFI::Pointer] the ibt_cancel of the call
    # @param procs [Hash{Symbol => #call}] those of these options, and the block of the operation
    # @return [FFI::AutoPointer]
    def native(cancel, procs = @procs)
      options = FFI::AutoPointer.new(C.ibt_options_new, C.method(:ibt_options_free))
      C.ibt_options_set_cancel(options, cancel)
      # Libibt remembers that it refused a value, and the operation then fails.
      @calls.each { |setter, *arguments| C.public_send(setter, options, *arguments) }
      procs.each_key do |name|
        level = name == :log ? [@log_level] : []
        C.public_send(PROCS.fetch(name), options, *level, Callbacks.const_get(name.upcase), nil, nil)
      end
      options
    end

    private

    # The calls of setters: the name of the function, and its arguments.

    def values
      @keywords.slice(*SETTERS.keys).map do |name, value|
        kind, setter, *table = SETTERS.fetch(name)
        [setter, *__send__(kind, name, value, *table)]
      end
    end

    def lists
      @keywords.slice(*LISTS.keys).flat_map do |name, value|
        kind, setter = LISTS.fetch(name)
        Array(value).map { |one| [setter, __send__(kind, name, one)] }
      end
    end

    def labels
      @keywords.slice(*LABELS.keys).flat_map do |name, given|
        raise TypeError, "#{name}: #{given.inspect} is not a Hash" if name == :label && !given.respond_to?(:to_hash)

        given = Array(given).to_h { |one| [one, nil] } unless given.respond_to?(:to_hash)
        given.to_hash.map do |label, value|
          [LABELS.fetch(name), string(name, label), value.nil? ? nil : string(name, value)]
        end
      end
    end

    def compression
      return [] unless @keywords.key?(:compression) || @keywords.key?(:compression_level)

      codec = Text.constant('compression', @keywords.fetch(:compression, :zstd), C::COMPRESSION)
      level = Text.integer('compression_level', @keywords.fetch(:compression_level, 0), 0..(2**31) - 1)
      [[:ibt_options_set_compression, codec, level]]
    end

    def check_objects
      raise TypeError, "cancel: #{cancel.inspect} is not a Cancel" unless cancel.nil? || cancel.is_a?(Cancel)

      @procs.each do |name, value|
        next if value.respond_to?(:call) || (name == :log && value.respond_to?(:add))

        raise TypeError, "#{name}: #{value.inspect} cannot be called"
      end
    end

    # ---- The kinds of values ----

    def string(name, value)
      Text.string(name, value)
    end

    def path(name, value)
      Text.path(name, value)
    end

    def path_or_none(name, value)
      value == false ? '' : path(name, value)
    end

    def flag(name, value)
      raise TypeError, "#{name}: #{value.inspect} is neither true nor false" unless [true, false].include?(value)

      value ? 1 : 0
    end

    def uint32(name, value)
      Text.integer(name, value, 0..C::UINT32_MAX)
    end

    def uint64(name, value)
      Text.integer(name, value, 0..C::UINT64_MAX)
    end

    def constant(name, value, table)
      Text.constant(name, value, table)
    end

    def constants(name, value, table)
      Array(value).map { |one| Text.constant(name, one, table) }.reduce(0, :|)
    end

    def part(name, value)
      raise TypeError, "#{name}: #{value.inspect} is not an Array of two numbers" unless Array(value).length == 2

      value.map { |number| uint32(name, number) }
    end

    def time(name, value)
      raise TypeError, "#{name}: #{value.inspect} is not a Time" unless value.is_a?(Time)

      nanoseconds = (value.to_i * 1_000_000_000) + value.nsec
      Text.integer(name, nanoseconds, C::INT64_MIN..(2**63) - 1)
    end

    # Seconds become milliseconds.
    def wait(name, value)
      raise TypeError, "#{name}: #{value.inspect} is not a number" unless value.is_a?(Numeric)
      return -1 if value == Float::INFINITY

      Text.integer(name, (value * 1000).ceil, 0..(2**63) - 1)
    end
  end
end
