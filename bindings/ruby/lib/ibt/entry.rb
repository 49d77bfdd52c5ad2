# frozen_string_literal: true

module Ibt
  # One file, directory, link or device at one moment. Its strings have the bytes of the system and the encoding UTF-8;
  # String#valid_encoding? says whether they are text.
  class Entry < Record
    # @return [String] the path relative to the source, components joined by '/'; "" for the source itself
    attr_reader :path
    # @return [Symbol] :file, :dir, :symlink, :fifo, :char, :block or :unknown (only a newer libibt can restore it)
    attr_reader :type
    # @return [String, nil] the target of a symbolic link
    attr_reader :target
    # @return [String, nil] the hash of a file's content without its holes: "blake3:" and 64 hex digits
    attr_reader :digest
    # @return [Integer] the size of a file in bytes, holes included; else 0
    attr_reader :size
    # @return [Integer] the bytes of a file outside of holes
    attr_reader :data_size
    # @return [Integer, nil] permission bits with setuid, setgid and sticky, at most 0o7777; nil if the system of the
    #   backup had none
    attr_reader :mode
    # @return [Integer, nil] the number of the user; nil if the system of the backup had none
    attr_reader :uid
    # @return [Integer, nil] the number of the group; nil if the system of the backup had none
    attr_reader :gid
    # @return [String, nil] the user's name at the time of the backup
    attr_reader :user
    # @return [String, nil] the group's name at the time of the backup
    attr_reader :group
    # @return [Time] the modification time, exact to a nanosecond; clamped to the years 1677 to 2262
    attr_reader :mtime
    # @return [Time] the time of the last change of metadata
    attr_reader :ctime
    # @return [Time, nil] the time when the file was made on its file system; nil if it is unknown
    attr_reader :btime
    # @return [Array<String>] inode flags, such as "immutable"
    attr_reader :flags
    # @return [Integer] the project id by which the file system counts quotas; 0 without one
    attr_reader :project
    # @return [Integer] the number of a device; else 0
    attr_reader :rdev
    # @return [String, nil] the path of the first name of a hard link; nil for an entry with one name
    attr_reader :link
    # @return [Hash{String => String}] the values of the extended attributes, any bytes
    attr_reader :xattrs

    # @return [Boolean] whether the entry is a regular file
    def file?
      type == :file
    end

    # @return [Boolean] whether the entry is a directory
    def directory?
      type == :dir
    end

    # @return [Boolean] whether the entry is a symbolic link
    def symlink?
      type == :symlink
    end

    # @return [String] the last component of the path; "" for the source itself
    def name
      path[(path.rindex('/') || -1) + 1..]
    end

    # @return [String] the path
    def to_s
      path
    end

    # Copies an entry of libibt. Returns nil for NULL.
    # @api private
    def self.read(pointer)
      return if pointer.null?

      new(path: Text.from_c(C.ibt_entry_path(pointer)), type: C.name_of(C::TYPE, C.ibt_entry_type(pointer)),
          target: Text.from_c(C.ibt_entry_target(pointer)), digest: Text.from_c(C.ibt_entry_hash(pointer)),
          link: Text.from_c(C.ibt_entry_link(pointer)), xattrs: read_xattrs(pointer),
          **read_sizes(pointer), **read_owners(pointer), **read_times(pointer))
    end

    # @api private
    def self.read_sizes(pointer)
      { size: C.ibt_entry_size(pointer), data_size: C.ibt_entry_data_size(pointer),
        mode: number_if_known(C.ibt_entry_mode(pointer)),
        flags: (Text.from_c(C.ibt_entry_flags(pointer)) || '').split(',').freeze,
        project: C.ibt_entry_project(pointer), rdev: C.ibt_entry_rdev(pointer) }
    end

    # @api private
    def self.read_owners(pointer)
      { uid: number_if_known(C.ibt_entry_uid(pointer)), gid: number_if_known(C.ibt_entry_gid(pointer)),
        user: Text.from_c(C.ibt_entry_user(pointer)), group: Text.from_c(C.ibt_entry_group(pointer)) }
    end

    # @api private
    def self.number_if_known(number)
      number == C::UINT32_MAX ? nil : number
    end

    # @api private
    def self.read_times(pointer)
      { mtime: Text.time(C.ibt_entry_mtime(pointer)), ctime: Text.time(C.ibt_entry_ctime(pointer)),
        btime: Text.time_if_known(C.ibt_entry_btime(pointer)) }
    end

    # @api private
    def self.read_xattrs(pointer)
      count = C.ibt_entry_xattr_count(pointer)
      return {}.freeze if count.zero?

      length = FFI::MemoryPointer.new(:size_t)
      (0...count).to_h do |i|
        value = C.ibt_entry_xattr_value(pointer, i, length)
        bytes = length.read(:size_t)
        [Text.from_c(C.ibt_entry_xattr_name(pointer, i)), bytes.zero? ? ''.b : value.read_bytes(bytes)]
      end.freeze
    end
    private_class_method :read_sizes, :read_owners, :number_if_known, :read_times, :read_xattrs
  end

  # One change that an operation found or made.
  class Change < Record
    # @return [Array<Symbol>] :created, :deleted, :content, :metadata, :moved and :kept, as ibt.h explains IBT_CHANGE_*
    attr_reader :kinds
    # @return [Entry, nil] nil if the entry is new
    attr_reader :before
    # @return [Entry, nil] nil if the entry is gone
    attr_reader :after

    # @return [String] the path of the entry that is, or that was
    def path
      (after || before).path
    end

    # @return [Boolean] whether the entry is new
    def created?
      kinds.include?(:created)
    end

    # @return [Boolean] whether the entry is gone
    def deleted?
      kinds.include?(:deleted)
    end

    # @return [Boolean] whether the content or the type changed
    def content?
      kinds.include?(:content)
    end

    # @return [Boolean] whether mode, owner, times, extended attributes or hard links changed
    def metadata?
      kinds.include?(:metadata)
    end

    # @return [Boolean] whether the entry came from another path
    def moved?
      kinds.include?(:moved)
    end

    # @return [Boolean] whether an old version was carried forward, or left in its place
    def kept?
      kinds.include?(:kept)
    end

    # Copies a change of libibt.
    # @api private
    def self.read(what, before, after)
      new(kinds: C.names_of(C::CHANGE, what).freeze, before: Entry.read(before), after: Entry.read(after))
    end
  end
end
