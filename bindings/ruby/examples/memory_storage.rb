# frozen_string_literal: true

require 'ibt'

# A storage in memory: an example for a storage of yours. See Ibt::Storage for the meaning of the methods.
class MemoryStorage
  # @return [Hash{String => String}] the committed objects
  attr_reader :objects
  # @return [Hash{String => true}] the locked keys
  attr_reader :locks

  # Makes an empty storage.
  def initialize
    @objects = {}
    @locks = {}
  end

  # @return [String]
  def read_at(name, offset, length)
    object = @objects.fetch(name) { raise Ibt::NotFoundError, "there is no #{name}" }
    object.byteslice(offset, length) || ''
  end

  # @return [Array<Array(String, Integer)>]
  def list(prefix)
    @objects.select { |name, _| name.start_with?(prefix) }.map { |name, object| [name, object.bytesize] }
  end

  # @return [Writer]
  def create(name)
    Writer.new(@objects, name)
  end

  # @return [void]
  def delete(name)
    @objects.delete(name)
  end

  # @return [void]
  def lock(key)
    raise Ibt::BusyError, "#{key} is locked" if @locks.key?(key)

    @locks[key] = true
  end

  # @return [void]
  def unlock(key)
    @locks.delete(key)
  end

  # An object that is not committed yet.
  class Writer
    # @param objects [Hash] receives the object
    # @param name [String] the name of the object
    def initialize(objects, name)
      @objects = objects
      @name = name
      @bytes = ''.b
    end

    # @return [void]
    def write(bytes)
      @bytes << bytes
    end

    # @return [void]
    def commit
      raise Ibt::ExistsError, "#{@name} exists" if @objects.key?(@name)

      @objects[@name] = @bytes.freeze
    end

    # @return [void]
    def abort
      @bytes = nil
    end
  end
end

if $PROGRAM_NAME == __FILE__
  source, dest = ARGV
  abort "ruby #{$PROGRAM_NAME} SOURCE DEST" unless dest
  storage = Ibt::Storage.new(MemoryStorage.new)
  storage.full_backup(source, key: 'source', cache_dir: false).complete!
  storage.restore('source', dest).complete!
  puts "restored #{storage.open_snapshot('source').count} entries"
end
