# frozen_string_literal: true

require 'minitest/autorun'
require 'digest'
require 'fileutils'
require 'json'
require 'ibt'
require 'open3'
require 'pathname'
require 'rbconfig'
require 'stringio'
require 'timeout'
require 'tmpdir'
require_relative '../examples/memory_storage'

# A name that is not UTF-8.
NOT_TEXT = (+"caf\xE9 \xFF").force_encoding(Encoding::UTF_8).freeze

# An exception that no library knows.
class Mine < StandardError; end

# An exception that `rescue` without a class does not catch.
class MineToo < Exception; end # rubocop:disable Lint/InheritException

# Notes each object of libibt when it is made and when it is freed. Objects have the same life in the whole process.
module ObjectCount
  MADE = { ibt_options_new: :options, ibt_cancel_new: :cancel, ibt_storage_new: :storage }.freeze
  # What the last but one argument receives. The last one receives an error.
  RECEIVED = %i[
    ibt_full_backup ibt_incremental_backup ibt_restore ibt_list_snapshots ibt_verify ibt_compare ibt_diff ibt_prune
    ibt_import ibt_consolidate ibt_rebuild_cache
  ].to_h { |name| [name, :report] }.merge(
    ibt_snapshot_open: :snapshot, ibt_storage_open_dir: :storage, ibt_storage_open_default: :storage,
    ibt_storage_open_url: :storage,
    ibt_list_keys: nil, ibt_snapshot_list: nil, ibt_snapshot_read: nil, ibt_snapshot_next: nil, ibt_snapshot_rewind: nil
  ).freeze
  FREED = %i[options cancel storage snapshot report error].to_h { |kind| [:"ibt_#{kind}_free", kind] }.freeze
  @alive = {}
  @wrong = []

  class << self
    # The frees of objects that were freed before, or never made.
    attr_reader :wrong

    def alive(kind)
      @alive.keys.count { |known, _| known == kind }
    end

    def note(kind, pointer)
      @alive[[kind, pointer.address]] = true unless pointer.null?
    end

    # @return [Boolean] whether the object is to be freed
    def remove(kind, pointer)
      known = @alive.delete([kind, pointer.address])
      @wrong << kind unless known
      known
    end
  end

  MADE.each { |name, kind| define_method(name) { |*given| super(*given).tap { |made| ObjectCount.note(kind, made) } } }
  RECEIVED.each do |name, kind|
    define_method(name) do |*given|
      status = super(*given)
      ObjectCount.note(:error, given[-1].read_pointer)
      ObjectCount.note(kind, given[-2].read_pointer) if kind
      status
    end
  end
  FREED.each { |name, kind| define_method(name) { |pointer| super(pointer) if ObjectCount.remove(kind, pointer) } }
end
Ibt.const_get(:C).singleton_class.prepend(ObjectCount)

# A storage in memory whose methods a test can watch or make fail.
class WatchedStorage < MemoryStorage
  # Called before each method, with its name.
  attr_accessor :before
  # The number of writers that are neither committed nor aborted.
  attr_accessor :open_writers

  def initialize
    super
    @open_writers = 0
  end

  %i[read_at list delete lock].each do |name|
    define_method(name) do |*arguments|
      before&.call(name)
      super(*arguments)
    end
  end

  def create(name)
    before&.call(:create)
    @open_writers += 1
    WatchedWriter.new(self, super)
  end

  def unlock(key)
    before&.call(:unlock)
  ensure
    super
  end
end

# A writer of a WatchedStorage.
class WatchedWriter
  def initialize(storage, writer)
    @storage = storage
    @writer = writer
  end

  def write(bytes)
    @storage.before&.call(:write)
    @writer.write(bytes)
  end

  def commit
    @storage.before&.call(:commit)
    @writer.commit
  ensure
    @storage.open_writers -= 1
  end

  def abort
    @storage.before&.call(:abort)
  ensure
    @writer.abort
    @storage.open_writers -= 1
  end
end

# A test with a directory of its own, a source, and a storage in memory.
class RoomTest < Minitest::Test
  def setup
    @room = Dir.mktmpdir('ibt-ruby-')
    @source = File.join(@room, 'source')
    write('dir/file', noise(1, 100_000))
    write('dir/other', 'text')
    @memory = WatchedStorage.new
    @storage = Ibt::Storage.new(@memory)
    @count = 0
  end

  def teardown
    FileUtils.rm_rf(@room)
    assert_empty ObjectCount.wrong, 'freed twice'
  end

  # Makes a file of the source.
  def write(path, content)
    full = File.join(@source, path)
    FileUtils.mkdir_p(File.dirname(full))
    File.binwrite(full, content)
  end

  # @return [String] bytes that do not compress
  def noise(seed, length)
    Random.new(seed).bytes(length)
  end

  # @return [String] a path that does not exist
  def fresh(name = 'fresh')
    File.join(@room, "#{name}-#{@count += 1}")
  end

  def full(storage = @storage, **options, &progress)
    storage.full_backup(@source, cache_dir: false, **options, &progress)
  end

  def increment(storage = @storage, **options, &progress)
    storage.incremental_backup(@source, cache_dir: false, **options, &progress)
  end

  # Checks an error.
  def wanted(error_class, operation = nil)
    error = assert_raises(error_class) { yield }
    assert_equal error_class::STATUS, error.status
    refute_empty error.message
    assert_equal operation, error.operation if operation
    error
  end

  # Checks that the storage is free, and that all writers and locks have ended.
  def assert_usable(storage = @storage, memory = @memory)
    memory.before = nil
    assert_equal 0, memory.open_writers, 'writers left'
    assert_empty memory.locks, 'locks left'
    full(storage).complete!
    dest = fresh
    storage.restore('source', dest).complete!
    same_trees(@source, dest)
    storage.verify('source').complete!
    assert_equal 0, memory.open_writers, 'writers left'
    assert_empty memory.locks, 'locks left'
  end

  # Describes each entry of a tree by all that must be restored.
  def described(root)
    inodes = {}
    paths = Dir.glob('**/*', File::FNM_DOTMATCH, base: root).reject { |path| path.end_with?('/.') } | ['.']
    paths.sort_by(&:b).to_h do |path|
      full = File.join(root, path)
      stat = File.lstat(full)
      facts = [stat.ftype, stat.mode.to_s(8), stat.uid, stat.gid, [stat.mtime.to_i, stat.mtime.nsec]]
      facts << Digest::SHA256.file(full).hexdigest << inodes.fetch(stat.ino) { inodes[stat.ino] = path.b } if stat.file?
      facts << File.readlink(full) if stat.symlink?
      [path.b, facts]
    end
  end

  def same_trees(one, other)
    before = described(one)
    after = described(other)
    differing = (before.keys | after.keys).reject { |path| before[path] == after[path] }
    assert_empty differing.map { |path| [path, before[path], after[path]] }.first(5)
  end

  # Makes entries of every type that an ordinary user can make.
  def plant_tree
    40.times { |i| write("dir-#{i % 4}/sub/file-#{i}", noise(i, 100 * i)) }
    write(NOT_TEXT, 'a name that is not text')
    write('dir-0/read-only', 'nobody may write')
    FileUtils.mkdir_p(File.join(@source, 'empty'), mode: 0o700)
    in_source do
      File.chmod(0o440, 'dir-0/read-only')
      File.chmod(0o1777, 'empty')
      File.symlink('dir-0/read-only', 'link')
      File.symlink('nowhere', 'dangling')
      File.link('dir-1/sub/file-5', 'second name')
      File.mkfifo('fifo', 0o600)
      then_ = Time.at(981_173_106, 789, :nsec)
      File.utime(then_, then_, 'dir-0/read-only')
    end
  end

  # Makes an edit of every kind.
  def edit_tree
    in_source do
      edited = noise(39, 3900)
      edited[2000, 7] = 'an edit'
      write('dir-3/sub/file-39', edited)
      write('new', 'new')
      File.delete('dir-2/sub/file-2')
      File.rename('dir-2/sub/file-38', 'moved')
      File.chmod(0o600, 'dir-1/sub/file-1')
    end
  end

  def in_source(&block)
    Dir.chdir(@source, &block)
  end

  # Runs a program in Ruby, in a process of its own. A job in the background of a shell ignores Ctrl-C, and so would the
  # program without the trap.
  def run_ruby(program, *arguments, directory: @room)
    Open3.capture2e(RbConfig.ruby, '-w', '-I', File.expand_path('../lib', __dir__), '-e',
                    "trap('INT', 'DEFAULT'); #{program}", *arguments, chdir: directory)
  end
end
