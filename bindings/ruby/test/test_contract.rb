# frozen_string_literal: true

require_relative 'support'

# The rules for every storage that is a Ruby object. To test one of yours, include this module in a test, and define the
# method `make`, which returns a new empty storage.
module StorageContract
  KEY = 'contract'
  LARGE = 5 << 20

  def setup
    super
    @made = make
  end

  # An object has the name of a state, so that listings show it.
  def name_of(number, key = KEY)
    format('%s.state.20260101T00%02d%02d.000000Z.json', key, number / 60 % 60, number % 60)
  end

  def bytes_of(seed, size)
    Random.new(seed).bytes(size)
  end

  def put(name, bytes, piece = 1000)
    writer = @made.create(name)
    0.step(bytes.bytesize - 1, piece) { |at| writer.write(bytes.byteslice(at, piece)) }
    writer.commit
  end

  # Reads as libibt does: again and again, until the bytes are read or the object ends.
  def get(name, offset, length)
    found = ''.b
    while found.bytesize < length
      bytes = begin
        @made.read_at(name, offset + found.bytesize, length - found.bytesize)
      rescue EOFError
        nil
      end
      break if bytes.nil? || bytes.empty?

      assert_operator bytes.bytesize, :<=, length - found.bytesize
      found << bytes
    end
    found
  end

  def assert_absent(name)
    assert_raises(Ibt::NotFoundError, Errno::ENOENT) { @made.read_at(name, 0, 1) }
    refute_includes listed, name
  end

  def listed(prefix = '')
    @made.list(prefix).to_a.to_h
  end

  def test_objects_of_any_size
    [0, 1, 2, 511, 4096, 4097, 65_537, 300_001, LARGE].each_with_index do |size, i|
      name = name_of(i)
      assert_absent(name)
      put(name, bytes_of(i, size), (i * 100_000) + 7)
      assert_equal bytes_of(i, size), get(name, 0, size + 10), 'an object holds what was written, and no more'
      assert_equal size, listed(KEY)[name], 'an object is listed as soon as it is committed'
    end
    assert_absent(name_of(1).chop)
    assert_absent("#{name_of(1)}.zst")
  end

  def test_ranges
    bytes = bytes_of(9, 10_007)
    put(name_of(100), bytes)
    0.step(13_007, 769) do |offset|
      [1, 7, 37, 187, 937, 4687].each do |length|
        assert_equal bytes.byteslice(offset, length) || '', get(name_of(100), offset, length)
      end
    end
    assert_empty get(name_of(100), 2**62, 1)
  end

  def test_nobody_sees_an_object_before_its_commit
    writer = @made.create(name_of(200))
    writer.write('bytes')
    assert_absent(name_of(200))
    writer.abort
    assert_absent(name_of(200))
    @made.create(name_of(200)).abort
    put(name_of(200), 'other')
    assert_equal 'other', get(name_of(200), 0, 100)
  end

  def test_a_commit_never_replaces
    first = @made.create(name_of(301))
    second = @made.create(name_of(301))
    first.write('first')
    second.write('second')
    second.commit
    assert_raises(Ibt::ExistsError, Errno::EEXIST) { first.commit }
    assert_equal 'second', get(name_of(301), 0, 100)
    assert_raises(Ibt::ExistsError, Errno::EEXIST) { put(name_of(301), 'third') }
    assert_equal 'second', get(name_of(301), 0, 100)
  end

  def test_four_writers_at_a_time
    bytes = (0...4).map { |i| bytes_of(i, 2000 * (i + 1)) }
    writers = (0...4).map { |i| @made.create(name_of(400 + i)) }
    20.times do |round|
      4.times { |i| writers[i].write(bytes[i].byteslice(round * 100 * (i + 1), 100 * (i + 1))) }
    end
    writers[2].abort
    [3, 0, 1].each { |i| writers[i].commit }
    [3, 0, 1].each { |i| assert_equal bytes[i], get(name_of(400 + i), 0, 10_000) }
    assert_absent(name_of(402))
  end

  def test_listings
    50.times { |i| put(name_of(600 + i, i.odd? ? 'odd.key' : 'odd'), bytes_of(i, i)) }
    assert_equal 25, listed('odd.key').length
    50.times { |i| assert_includes listed('odd'), name_of(600 + i, i.odd? ? 'odd.key' : 'odd') }
    assert_empty listed('even')
  end

  def test_deletes
    @made.delete(name_of(700))
    put(name_of(700), 'gone')
    put(name_of(701), 'kept')
    @made.delete(name_of(700))
    assert_absent(name_of(700))
    assert_equal 'kept', get(name_of(701), 0, 10)
    put(name_of(700), 'again')
    assert_equal 'again', get(name_of(700), 0, 10)
  end

  def test_locks
    assert_locked('one', false)
    assert_locked('one', true)
    assert_locked('another', false)
    storage = Ibt::Storage.new(@made)
    wanted(Ibt::BusyError) { full(storage, key: 'one') }
    @made.unlock('one')
    assert_locked('another', true)
    assert_locked('one', false)
    %w[one another].each { |key| @made.unlock(key) }
    full(storage, key: 'one').complete!
  end

  def assert_locked(key, already)
    busy = begin
      @made.lock(key) == false
    rescue Ibt::BusyError
      true
    end
    assert_equal already, busy
  end

  def test_backups
    storage = Ibt::Storage.new(@made)
    first = full(storage).complete!
    assert_nil first.files.first.path
    copy = fresh('copy')
    system('cp', '-a', @source, copy, exception: true)
    write('dir/file', noise(2, 400_000))
    increment(storage).complete!
    { first.snapshot => copy, nil => @source }.each do |stamp, tree|
      dest = fresh
      storage.restore('source', dest, snapshot: stamp).complete!
      same_trees(tree, dest)
    end
    assert_equal 2, storage.snapshots.length
  end
end

# The storage of the example keeps the contract.
class MemoryStorageTest < RoomTest
  include StorageContract

  def make
    MemoryStorage.new
  end
end

# A storage of files, which answers with the errors of the system.
class FileStorage
  Writer = Struct.new(:file, :path) do
    def write(bytes)
      file.write(bytes)
    end

    def commit
      file.close
      File.link(file.path, path)
    ensure
      File.delete(file.path)
    end

    def abort
      file.close
      File.delete(file.path)
    end
  end

  def initialize(directory)
    @directory = directory
    Dir.mkdir(directory)
    @count = 0
    @locks = {}
  end

  def read_at(name, offset, length)
    File.open(File.join(@directory, name)) { |file| file.pread(length, offset) } # raises EOFError at the end
  end

  def list(prefix)
    Dir.children(@directory).select { |name| name.start_with?(prefix) }
       .to_h { |name| [name, File.size(File.join(@directory, name))] }
  end

  def create(name)
    Writer.new(File.open(File.join(@directory, ".new-#{@count += 1}"), 'wbx'), File.join(@directory, name))
  end

  def delete(name)
    FileUtils.rm_f(File.join(@directory, name))
  end

  def lock(key)
    file = File.open(File.join(@directory, ".lock-#{key}"), 'w')
    file.flock(File::LOCK_EX | File::LOCK_NB) ? @locks[key] = file : false
  end

  def unlock(key)
    @locks.delete(key).close
  end

  def reads_cheaply?
    true
  end
end

# The storage of files keeps the contract.
class FileStorageTest < RoomTest
  include StorageContract

  def make
    FileStorage.new(@files = fresh('files'))
  end

  # A file that is gone is a missing object, and no failure of the storage.
  def test_errors_of_the_system
    storage = Ibt::Storage.new(@made)
    full(storage)
    File.delete(*Dir[File.join(@files, '*.full.*')])
    report = storage.restore('source', fresh)
    assert_equal [:missing], report.problems.reject(&:note?).map(&:kind).uniq
    FileUtils.rm_rf(@files)
    error = assert_raises(Errno::ENOENT) { full(storage) } # of no single object
    assert_instance_of Ibt::StorageError, error.cause
  end
end
