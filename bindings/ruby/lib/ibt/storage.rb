# frozen_string_literal: true

module Ibt
  # A place for backup files: a directory ({.open}), or a Ruby object of yours ({.new}), and the operations on it.
  #
  # A path is a String, a Pathname or anything else with to_path. Operations take options as keywords, see
  # {Options#initialize}, and return a {Report}. Their block receives the {Progress}; that of {#compare} receives each
  # {Change}. To stop an operation, leave its block (with break, throw or raise) or interrupt its thread: it then ends
  # cleanly first, and a backup leaves no snapshot.
  #
  # Other threads run during an operation. A storage serves one operation at a time: a second one, from another thread
  # or from a block of the first, raises {BusyError}. Two storages of one directory do not exclude each other; libibt
  # then lets operations wait as the table in its docs/abi.md says.
  #
  # == A storage of yours
  #
  # A storage holds objects: a name with at most 200 bytes of UTF-8 without '/' and control characters, and a sequence
  # of bytes. There are no directories. An object is created, read and perhaps deleted, but never changed. These methods
  # are called, one at a time, by the thread that called the operation:
  #
  # read_at(name, offset, length)::
  #   Returns a String with at most length bytes of a committed object from offset on; nil, "" or EOFError at the end or
  #   past it. It may return fewer bytes than there are. Raises {NotFoundError} (or Errno::ENOENT) if there is no such
  #   object: a restore then lists its contents as missing and goes on. Raises {CorruptError} if it finds that the bytes
  #   are damaged: a restore lists that too and goes on.
  # list(prefix)::
  #   Returns something that enumerates a name and a size for every committed object whose name begins with prefix: an
  #   Array of pairs, a Hash. This includes objects that were committed a moment ago. Other names do no harm.
  # create(name)::
  #   Returns an object with the methods write(bytes), commit and abort, for an object that nobody sees before its
  #   commit. Backups and consolidations need it. Exactly one call of commit or abort ends the writer. A commit makes
  #   the object durable, and visible in one step. It never replaces an object: it raises {ExistsError} (or
  #   Errno::EEXIST) if the name is taken. Up to four writers are open at a time.
  # delete(name)::
  #   Removes an object, if there is one. Removing snapshots needs it.
  # lock(key), unlock(key)::
  #   Locks a key for one backup, consolidation or prune, also of other programs and machines. If somebody else has the
  #   lock, lock raises {BusyError} or returns false, at once. Without these methods you must prevent two writers of one
  #   key. They are not interrupted by Timeout, Thread#kill or Thread#raise.
  # reads_cheaply?::
  #   Whether reading a range takes little time and costs no money. Asked once, by {.new}.
  #
  # Only the first two are needed for everything. A method fails by an exception. {NotFoundError}, {ExistsError},
  # {BusyError}, {CancelledError} and {UnsupportedError} become the status of the operation. If another StandardError
  # ends the operation, the operation raises it again, and its cause is a {StorageError} with the report.
  #
  # After somebody left an operation, methods that end writers and locks are still called before it returns. They are
  # not if an operation runs in an Enumerator of yours that nobody resumes: it ends when the garbage collector finds it.
  class Storage
    class << self
      # Opens a directory. Unless an option says otherwise, it need not exist: the first backup makes it, in a directory
      # that exists. With a block the storage is closed after it.
      # @param path [String, Pathname]
      # @param must_exist [Boolean] whether the directory must exist: no backup creates it
      # @param read_only [Boolean] whether nothing in the directory is changed; it must exist then
      # @param create_parents [Boolean] whether the first backup also creates the directories above it
      # @yieldparam storage [Storage]
      # @return [Storage, Object] the value of the block, if there is one
      def open(path, must_exist: false, read_only: false, create_parents: false, &block)
        chosen = { must_exist: must_exist, read_only: read_only, create_parents: create_parents }
        flags = C::DIR.sum { |name, bit| chosen.fetch(name) ? bit : 0 }
        path = Text.path('path', path)
        opened(block) { |out, error| C.ibt_storage_open_dir(path, flags, out, error) }
      end

      # Opens the storage of a URL: "s3://bucket/prefix", "gs://...", "az://..." or "file:///path". Credentials come
      # from the environment and the standard files. With a block the storage is closed after it.
      # @param url [String]
      # @yieldparam storage [Storage]
      # @return [Storage, Object] the value of the block, if there is one
      # @raise [UnsupportedError] if libibt was built without object stores
      def open_url(url, &block)
        url = Text.string('url', url)
        opened(block) { |out, error| C.ibt_storage_open_url(url, out, error) }
      end

      # Opens a private directory under $TMPDIR, for experiments. With a block the storage is closed after it.
      # @yieldparam storage [Storage]
      # @return [Storage, Object] the value of the block, if there is one
      def open_default(&block)
        opened(block) { |out, error| C.ibt_storage_open_default(out, error) }
      end

      # Adds the block of an operation to its procs.
      # @api private
      # @return [Hash{Symbol => #call}]
      def with_block(options, name, block)
        return options.procs unless block
        raise ArgumentError, "both a block and the option #{name}" if options.procs.key?(name)

        options.procs.merge(name => block)
      end

      private

      def opened(block)
        out = FFI::MemoryPointer.new(:pointer)
        error = FFI::MemoryPointer.new(:pointer)
        yield out, error
        Error.take(error.read_pointer, operation: :open)&.throw_with
        storage = allocate
        storage.send(:hold, out.read_pointer, nil)
        return storage unless block

        begin
          block.call(storage)
        ensure
          storage.close
        end
      end
    end

    # Makes a storage of an object with the methods that are described above.
    # @param object [#read_at, #list]
    def initialize(object)
      missing = %i[read_at list].reject { |name| object.respond_to?(name) }
      raise TypeError, "#{object.inspect} has no method #{missing.join(', ')}" unless missing.empty?

      hold(C.ibt_storage_new(nil, nil), object)
      @handle.use { |pointer| set_methods(pointer, object) }
    end

    # Makes a full backup of a directory: a new snapshot that needs no older one.
    # @param source [String, Pathname]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report]
    def full_backup(source, **options, &progress)
      operate(:full_backup, :ibt_full_backup, [Text.path('source', source)], options, progress: progress)
    end

    # Makes an increment: a new snapshot that stores only the changes since the newest snapshot of its key.
    # @param source [String, Pathname]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report]
    # @raise [NotFoundError] if the key has no snapshot to build on: make a full backup first
    def incremental_backup(source, **options, &progress)
      operate(:incremental_backup, :ibt_incremental_backup, [Text.path('source', source)], options,
              progress: progress)
    end

    # Restores the newest snapshot of a key, or the one that options select, as a directory. Unless the option overwrite
    # says otherwise, the directory must be absent or empty.
    # @param key [String]
    # @param dest [String, Pathname]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report]
    def restore(key, dest, **options, &progress)
      operate(:restore, :ibt_restore, [Text.string('key', key), Text.path('dest', dest)], options, progress: progress)
    end

    # Lists the snapshots of a key, or of every key, oldest first.
    # @param key [String, nil] nil for every key
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report] with {Report#snapshots}
    def list(key = nil, **options, &progress)
      operate(:list, :ibt_list_snapshots, [key && Text.string('key', key)], options, progress: progress)
    end

    # @param key [String, nil] nil for every key
    # @param options [Hash] see {Options#initialize}
    # @return [Array<SnapshotInfo>] the snapshots that {#list} reports, oldest first
    def snapshots(key = nil, **options)
      list(key, **options).snapshots
    end

    # @return [Hash{String => Integer}] the number of snapshots of each key. Reads no file, so that a damaged snapshot
    #   counts too; only states of several keys with the same stamp are read, to leave out copies
    def keys
      found = {}
      run(:keys, :ibt_list_keys, [Callbacks::KEY, nil], procs: { key: ->(name, number) { found[name] = number } })
      found
    end

    # Reads everything that snapshots need and compares it with its hashes.
    # @param key [String, nil] nil for every key
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report] with a problem for each loss
    def verify(key = nil, **options, &progress)
      operate(:verify, :ibt_verify, [key && Text.string('key', key)], options, progress: progress)
    end

    # Compares a snapshot of a key, the newest or the one that options select, with a directory.
    # @param key [String]
    # @param tree [String, Pathname]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam change [Change] each difference, as a change from the snapshot to the directory; return :stop to
    #   receive no more
    # @return [Report]
    def compare(key, tree, **options, &change)
      operate(:compare, :ibt_compare, [Text.string('key', key), Text.path('tree', tree)], options, change: change)
    end

    # Removes snapshots of a key, and every backup file that no remaining snapshot needs. Options say which: rules
    # (keep_last, keep_daily and others), or removed.
    # @param key [String]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report] with an action and a reason for each snapshot
    def prune(key, **options, &progress)
      operate(:prune, :ibt_prune, [Text.string('key', key)], options, progress: progress)
    end

    # Imports the backups that incremental-backups-tools 0.1, the Python ancestor of libibt, made of a directory: makes
    # a snapshot of each, with the date of that backup. Its files are only read.
    # @param key [String] the name of the directory; the option key sets another key for the snapshots
    # @param from [String, nil] the directory with the ancestor's files; nil if they are in this storage
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report]
    def import_ancestor(key, from: nil, **options, &progress)
      source = from && Storage.open(from, read_only: true)
      options = Options.new(**options)
      key = Text.pointer(Text.string('key', key))
      handles, arguments = source ? [[@handle, source.handle], [key]] : [[@handle], [nil, key]]
      Call.run(:import_ancestor, :ibt_import, handles, arguments,
               options: options, procs: Storage.with_block(options, :progress, progress), storage: @object,
               out: :report)
    ensure
      source&.close
    end

    # Makes a new full snapshot with the contents of the newest snapshot of a key, without the source.
    # @param key [String]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report]
    def consolidate(key, **options, &progress)
      operate(:consolidate, :ibt_consolidate, [Text.string('key', key)], options, progress: progress)
    end

    # Completes the cache for the newest snapshot of a key.
    # @param key [String]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam progress [Progress]
    # @return [Report]
    def rebuild_cache(key, **options, &progress)
      operate(:rebuild_cache, :ibt_rebuild_cache, [Text.string('key', key)], options, progress: progress)
    end

    # Opens a snapshot of a key, the newest or the one that options select. With a block the snapshot is closed after
    # it.
    # @param key [String]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam snapshot [Snapshot]
    # @return [Snapshot, Object] the value of the block, if there is one
    def open_snapshot(key, **options)
      options = Options.new(**options)
      handle = run(:open_snapshot, :ibt_snapshot_open, [Text.pointer(Text.string('key', key))],
                   options: options, procs: options.procs, out: :snapshot)
      snapshot = Snapshot.new(handle, @object)
      return snapshot unless block_given?

      begin
        yield snapshot
      ensure
        snapshot.close
      end
    end

    # Closes the storage: when the operation that uses it has ended, if there is one. Stored files are not touched, and
    # open snapshots stay usable. A storage that nobody refers to any more is closed by itself.
    # @return [nil]
    def close
      @handle.close
    end

    # @return [Boolean]
    def closed?
      @handle.closed?
    end

    # @return [String] the class
    def inspect
      "#<#{self.class}#{" of #{@object.class}" if @object}#{' closed' if closed?}>"
    end

    protected

    # @return [Handle]
    attr_reader :handle

    private

    def hold(pointer, object)
      @handle = Handle.new('storage', pointer, C.method(:ibt_storage_free))
      @object = object
    end

    # Tells libibt which methods the storage has.
    def set_methods(pointer, object)
      C.ibt_storage_set_reader(pointer, Callbacks::READ_AT)
      C.ibt_storage_set_list(pointer, Callbacks::LIST)
      if object.respond_to?(:create)
        C.ibt_storage_set_writer(pointer, Callbacks::CREATE, Callbacks::WRITE, Callbacks::COMMIT, Callbacks::ABORT)
      end
      C.ibt_storage_set_delete(pointer, Callbacks::DELETE) if object.respond_to?(:delete)
      if object.respond_to?(:lock) && object.respond_to?(:unlock)
        C.ibt_storage_set_lock(pointer, Callbacks::LOCK, Callbacks::UNLOCK)
      end
      return unless object.respond_to?(:reads_cheaply?) && object.reads_cheaply?

      C.ibt_storage_set_traits(pointer, C::STORAGE[:reads_cheaply])
    end

    # Makes an operation that has options and a report. nil among the texts is NULL.
    def operate(operation, function, texts, keywords, block)
      options = Options.new(**keywords)
      procs = Storage.with_block(options, *block.first)
      run(operation, function, texts.map { |text| text && Text.pointer(text) },
          options: options, procs: procs, out: :report)
    end

    def run(operation, function, arguments, **rest)
      Call.run(operation, function, [@handle], arguments, storage: @object, **rest)
    end
  end
end
