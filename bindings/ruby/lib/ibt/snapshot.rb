# frozen_string_literal: true

module Ibt
  # One opened snapshot, for listing its entries and reading its files: see {Storage#open_snapshot}. It was verified
  # when it was opened, and it does not change. It keeps its storage, also after {Storage#close}, but does not lock it:
  # if the snapshot is removed meanwhile, reading its files raises {MissingError}.
  #
  # A snapshot enumerates its entries: first the root, whose path is "", then all others in the order of paths, so that
  # each directory comes right before its own entries.
  #
  # One call at a time uses a snapshot and its storage. A second one, from another thread or from a block of the first,
  # raises {BusyError}. Entries may be enumerated while blocks read files.
  class Snapshot
    include Enumerable

    # @return [SnapshotInfo] a description of the snapshot
    attr_reader :info

    # @api private
    # @param handle [Handle] the ibt_snapshot
    # @param object [Object, nil] the caller's storage, whose methods read the files
    def initialize(handle, object)
      @handle = handle
      @object = object
      @info = handle.use { |pointer| read_info(pointer) }
      @place_lock = Thread::Mutex.new
      @place = nil # of the next entry of ibt_snapshot_next(); nil if it is unknown
    end

    # @return [String] the snapshot's name within its key, a time in UTC
    def stamp
      info.stamp
    end

    # @return [String] the key
    def key
      info.key
    end

    # @return [Time] the time when it was made
    def date
      info.date
    end

    # @return [String] the digest of the whole tree
    def digest
      info.digest
    end

    # Passes each entry to a block. Several enumerations of one snapshot at once are right, but slow: open the snapshot
    # for each of them.
    # @yieldparam entry [Entry]
    # @return [Enumerator, self]
    def each
      return to_enum(:each) { info.counters[:entries] } unless block_given?

      place = 0
      while (entry = entry_at(place))
        yield entry
        place += 1
      end
      self
    end

    # Lists the entry at a path and the entries below it.
    # @param path [String, Pathname] "" for the root
    # @param depth [Integer, nil] how many levels: with 0 the entry itself only, with 1 also the entries of that
    #   directory; nil for all
    # @yieldparam entry [Entry]
    # @return [Array<Entry>, self] the entries; itself if a block received them
    # @raise [NotFoundError] if there is no such entry
    def list(path = '', depth: nil, &block)
      levels = depth.nil? ? C::UINT32_MAX : Text.integer('depth', depth, 0..C::UINT32_MAX)
      found = []
      Call.run(:list, :ibt_snapshot_list, [@handle],
               [Text.pointer(Text.path('path', path)), levels, Callbacks::ENTRY, nil],
               procs: { entries: block }, buffer: block ? nil : found)
      block ? self : found
    end

    # @param path [String, Pathname] "" for the root
    # @return [Entry] the entry at the path
    # @raise [NotFoundError] if there is no such entry
    def entry(path)
      list(path, depth: 0).first
    end

    # @param path [String, Pathname] "" for the root
    # @return [Entry, nil] the entry at the path
    def [](path)
      entry(path)
    rescue NotFoundError
      nil
    end

    # @param path [String, Pathname] "" for the root
    # @return [Array<Entry>] the entries of the directory at the path
    # @raise [NotFoundError] if there is no such entry
    # @raise [InvalidArgumentError] if it is not a directory
    def children(path = '')
      directory, *children = list(path, depth: 1)
      return children if directory.directory?

      raise InvalidArgumentError.new("#{directory} is not a directory", operation: :list, path: directory.path)
    end

    # Reads a file, as IO.binread does. The hash of the content is checked if the whole file is read.
    # @param path [String, Pathname]
    # @param length [Integer, nil] how many bytes, nil for all
    # @param offset [Integer] from which byte on
    # @return [String, nil] the bytes; nil if length is given and offset is at or past the end
    def read(path, length = nil, offset = 0)
      content = ''.b
      read_into(path, offset, length, buffer: content)
      length.nil? || length.zero? || !content.empty? ? content : nil
    end

    # Passes a file to a block, in pieces of any size. If the whole file is read, its hash is checked: the bytes are
    # provisional until this method returns.
    # @param path [String, Pathname]
    # @param length [Integer, nil] how many bytes, nil for all
    # @param offset [Integer] from which byte on
    # @yieldparam bytes [String]
    # @return [self]
    def each_chunk(path, length = nil, offset = 0, &block)
      raise ArgumentError, 'each_chunk needs a block; see open for a reader' unless block

      read_into(path, offset, length, procs: { bytes: block })
      self
    end

    # Writes a file to an IO, and checks the hash of the content: the bytes are provisional until this method returns.
    # @param path [String, Pathname]
    # @param io [#write] a File, a StringIO, a socket or the like
    # @return [Integer] the number of bytes
    def copy(path, io)
      raise TypeError, "#{io.inspect} has no method write" unless io.respond_to?(:write)

      copied = 0
      each_chunk(path) do |bytes|
        io.write(bytes)
        copied += bytes.bytesize
      end
      copied
    end

    # Opens a file for reading. With a block the reader is closed after it.
    # @param path [String, Pathname]
    # @yieldparam reader [Reader]
    # @return [Reader, Object] the value of the block, if there is one
    def open(path)
      found = entry(path)
      raise InvalidArgumentError.new("#{found} is not a file", operation: :open, path: found.path) unless found.file?

      reader = Reader.new(self, found)
      return reader unless block_given?

      begin
        yield reader
      ensure
        reader.close
      end
    end

    # Compares this snapshot with a later one, also of another key or storage. Reads no content.
    # @param other [Snapshot]
    # @param options [Hash] see {Options#initialize}
    # @yieldparam change [Change] each difference, as a change from this snapshot to the other; return :stop to receive
    #   no more
    # @return [Report]
    def diff(other, **options, &change)
      raise TypeError, "#{other.inspect} is not a Snapshot" unless other.is_a?(Snapshot)

      options = Options.new(**options)
      Call.run(:diff, :ibt_diff, [@handle, other.handle], [], options: options, out: :report,
                                                              procs: Storage.with_block(options, :change, change))
    end

    # Closes the snapshot: when the call that uses it has ended, if there is one. A snapshot that nobody refers to any
    # more is closed by itself.
    # @return [nil]
    def close
      @handle.close
    end

    # @return [Boolean]
    def closed?
      @handle.closed?
    end

    # @return [String] the class, the key and the stamp
    def inspect
      "#<#{self.class} #{key.inspect} #{stamp}#{' closed' if closed?}>"
    end

    protected

    # @return [Handle]
    attr_reader :handle

    private

    def read_into(path, offset, length, **target)
      offset = Text.integer('offset', offset, 0..C::UINT64_MAX)
      length = length.nil? ? C::UINT64_MAX : Text.integer('length', length, 0..C::UINT64_MAX)
      Call.run(:read, :ibt_snapshot_read, [@handle],
               [Text.pointer(Text.path('path', path)), offset, length, Callbacks::BYTES, nil],
               storage: @object, **target)
    end

    # Libibt has one place in the list of entries, which moves there first if another enumeration moved it away. An
    # interrupt leaves an unknown place.
    def entry_at(place)
      @place_lock.synchronize do
        @handle.use do |pointer|
          move_to(pointer, place) unless @place == place
          @place = nil
          entry = next_entry(pointer)
          @place = place + 1
          entry
        end
      end
    end

    def move_to(pointer, place)
      @place = nil
      error = FFI::MemoryPointer.new(:pointer)
      C.ibt_snapshot_rewind(pointer, error)
      Error.take(error.read_pointer, operation: :each)&.throw_with
      place.times { skip(pointer) }
    end

    def skip(pointer)
      out = FFI::MemoryPointer.new(:pointer)
      error = FFI::MemoryPointer.new(:pointer)
      C.ibt_snapshot_next(pointer, out, error)
      Error.take(error.read_pointer, operation: :each)&.throw_with
      out.read_pointer
    end

    def next_entry(pointer)
      Entry.read(skip(pointer))
    end

    def read_info(pointer)
      SnapshotInfo.new(
        key: Text.from_c(C.ibt_snapshot_key(pointer)), stamp: Text.from_c(C.ibt_snapshot_stamp(pointer)),
        kind: C.ibt_snapshot_kind(pointer).to_sym, digest: Text.from_c(C.ibt_snapshot_digest(pointer)),
        source: Text.from_c(C.ibt_snapshot_source(pointer)), date: Text.time(C.ibt_snapshot_date(pointer)),
        labels: (0...C.ibt_snapshot_label_count(pointer)).to_h do |i|
          [Text.from_c(C.ibt_snapshot_label_name(pointer, i)), Text.from_c(C.ibt_snapshot_label_value(pointer, i))]
        end.freeze,
        counters: Report.counters { |which| C.ibt_snapshot_counter(pointer, which) }
      )
    end
  end
end
