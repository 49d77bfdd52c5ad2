# frozen_string_literal: true

require_relative 'support'

# Errors: their classes, and what they say.
class ErrorsTest < RoomTest
  # A storage that only reads.
  Reading = Struct.new(:memory) do
    def read_at(...)
      memory.read_at(...)
    end

    def list(...)
      memory.list(...)
    end
  end

  def test_there_is_a_class_for_each_status
    known = (-99..1).reject { |status| [0].include?(status) }.map { |status| [status, Ibt::Error.new(status: status)] }
                    .reject { |_, error| error.status_name == 'IBT_ERR_UNKNOWN' }
    assert_equal known.map(&:first).sort, Ibt::Error::CLASSES.keys.sort
    assert_equal 15, known.length
    Ibt::Error::CLASSES.each { |status, made| assert_equal [status, Ibt::Error], [made.new.status, made.superclass] }
    assert_equal 'IBT_ERR_CORRUPT', Ibt::CorruptError.new.message
    assert_instance_of Class, Ibt::Error.of_status(-77)
  end

  def test_arguments_that_are_refused
    full
    wanted(Ibt::InvalidArgumentError, :full_backup) { full(key: 'a/b') }
    wanted(Ibt::InvalidArgumentError) { full(delete_extra: true) }
    wanted(Ibt::InvalidArgumentError) { @storage.full_backup('') }
    wanted(Ibt::InvalidArgumentError) { Ibt::Storage.open('') }
    wanted(Ibt::InvalidArgumentError) { @storage.prune('source') }
    wanted(Ibt::InvalidArgumentError) { @storage.open_snapshot('source') { |one| one.read('dir') } }
    wanted(Ibt::InvalidArgumentError) { @storage.open_snapshot('source') { |one| one.open('dir') } }
    wanted(Ibt::InvalidArgumentError) { @storage.open_snapshot('source') { |one| one.children('dir/file') } }
    wanted(Ibt::InvalidArgumentError) { @storage.open_snapshot('source') { |one| one.entry('../dir') } }
    wanted(Ibt::InvalidArgumentError) { full(filter: ->(_) {}) }
    assert_usable
  end

  def test_the_system
    error = wanted(Ibt::InputOutputError, :full_backup) { @storage.full_backup("#{@source}-absent") }
    assert_equal Errno::ENOENT::Errno, error.os_code
    assert_instance_of Errno::ENOENT, error.cause
    assert_equal "#{@source}-absent", error.path
    assert_equal Encoding::UTF_8, error.path.encoding
  end

  def test_not_found_exists_mismatch_busy_unsupported
    report = full
    wanted(Ibt::NotFoundError, :restore) { @storage.restore('absent', fresh) }
    wanted(Ibt::NotFoundError, :open) { Ibt::Storage.open(fresh, must_exist: true) }
    wanted(Ibt::ExistsError, :restore) { @storage.restore('source', @source) }
    wanted(Ibt::MismatchError, :full_backup) { full(host: 'another') }
    digest = report.digest.chop + (report.digest.end_with?('0') ? '1' : '0')
    wanted(Ibt::MismatchError, :verify) { @storage.verify('source', expected_digest: digest) }
    @memory.lock('source')
    wanted(Ibt::BusyError, :full_backup) { full }
    @memory.unlock('source')
    full { wanted(Ibt::BusyError, :list) { @storage.list } }
    wanted(Ibt::UnsupportedError) { full(Ibt::Storage.new(Reading.new(@memory))) }
    Dir.mkdir(read_only = fresh)
    Ibt::Storage.open(read_only, read_only: true) { |storage| wanted(Ibt::UnsupportedError) { full(storage) } }
  end

  def test_damage
    report = full(compression: :none)
    reader = Ibt::Storage.new(Reading.new(@memory))
    snapshot = reader.open_snapshot('source')
    @memory.objects.delete_if { |name, _| name.include?('.full.') }
    wanted(Ibt::MissingError, :read) { snapshot.read('dir/file') }
    restored = reader.restore('source', fresh)
    assert_predicate restored, :partial?
    problem = restored.problems.find { |one| one.path == 'dir/file' }
    assert_equal [:missing, false, Ibt::MissingError], [problem.kind, problem.note?, problem.error_class]
    error = wanted(Ibt::PartialError) { restored.complete! }
    assert_same restored, error.report
    wanted(Ibt::MissingError, :restore) { reader.restore('source', fresh, on_file_error: :stop) }
    name, state = @memory.objects.find { |one, _| one.include?('.state.') }
    @memory.objects[name] = state.sub('"version":1', '"version":9')
    wanted(Ibt::FormatError) { reader.open_snapshot('source', snapshot: report.snapshot) }
    @memory.objects[name] = state.sub('dir/other', 'dir/0ther')
    wanted(Ibt::CorruptError) { reader.open_snapshot('source', snapshot: report.snapshot) }
    # Nothing small reaches LimitError, and nothing should reach PanicError.
  end

  def test_errors_of_a_storage
    answers = { Mine.new('mine') => Mine, Errno::EACCES.new('mine') => Errno::EACCES,
                Ibt::UnsupportedError.new('mine') => Ibt::UnsupportedError,
                Ibt::CancelledError.new('mine') => Ibt::CancelledError }
    %i[read_at list create write commit lock].product(answers.to_a) do |method, (raised, expected)|
      full
      @memory.before = ->(called) { raise raised if called == method }
      error = assert_raises(expected) do
        full
        @storage.restore('source', fresh)
      end
      check_storage_error(error, raised)
      assert_usable
    end
  end

  def test_damage_that_a_storage_finds
    full
    @memory.before = ->(called) { raise Ibt::CorruptError, 'mine' if called == :read_at }
    error = wanted(Ibt::CorruptError, :restore) { @storage.restore('source', fresh) }
    assert_includes error.message, 'mine'
    assert_usable
  end

  # Libibt's own error says what it was doing. Other exceptions are raised as they were.
  def check_storage_error(error, raised)
    if raised.is_a?(Ibt::Error)
      refute_same raised, error
      assert_same raised, error.cause
      assert_includes error.message, 'mine'
    else
      assert_same raised, error
      assert_instance_of Ibt::StorageError, error.cause
      assert_includes error.cause.message, 'mine'
      assert_equal raised.errno, error.cause.os_code if raised.is_a?(SystemCallError)
    end
  end

  # A cleanup that fails too does not hide the failure.
  def test_two_failures_of_a_storage
    failures = { write: Mine.new('the write'), abort: Mine.new('the abort'), delete: Mine.new('the delete') }
    @memory.before = ->(called) { raise failures[called] if failures.key?(called) }
    assert_same(failures[:write], assert_raises(Mine) { full })
    assert_usable
  end

  def test_values_of_a_storage_that_make_no_sense
    full
    { read_at: [7, 'x' * 100_000_000], list: [7, [['name']], [['name', -1]], [[7, 1]]], create: [nil, 'writer'],
      lock: [false] }.each do |method, values|
      values.each do |value|
        broken = @memory.dup
        broken.define_singleton_method(method) { |*| value }
        assert_raises(TypeError, RangeError, NoMethodError, Ibt::BusyError, method) { full(Ibt::Storage.new(broken)) }
      end
    end
    foreign = @memory.dup
    foreign.define_singleton_method(:list) { |prefix| super(prefix) + [["a\0b", 1], [NOT_TEXT, 2], ['', 3]] }
    full(Ibt::Storage.new(foreign)).complete!
    assert_usable
  end

  def test_closed_objects
    full
    snapshot = @storage.open_snapshot('source')
    second = @storage.open_snapshot('source')
    reader = snapshot.open('dir/file')
    2.times { assert_nil @storage.close }
    assert_predicate @storage, :closed?
    wanted(Ibt::InvalidArgumentError) { @storage.list }
    assert_equal 'text', snapshot.read('dir/other') # it keeps the storage
    @memory.before = ->(_) { raise Mine }
    assert_raises(Mine) { second.read('dir/file') }
    @memory.before = nil
    2.times { assert_nil snapshot.close }
    [-> { snapshot.first }, -> { snapshot.read('dir/other') }, -> { snapshot.list }, -> { reader.read },
     -> { snapshot.diff(second) }].each { |call| wanted(Ibt::InvalidArgumentError, &call) }
    assert_equal 'source', snapshot.key
    reader.close
    assert_raises(IOError) { reader.read }
    assert_includes snapshot.inspect, 'closed'
  end

  def test_a_storage_that_is_closed_during_an_operation
    full { @storage.close }
    wanted(Ibt::InvalidArgumentError) { full }
    @storage = Ibt::Storage.new(@memory)
    assert_usable
    @storage.open_snapshot('source') { |snapshot| snapshot.each_chunk('dir/file') { snapshot.close } }
    assert_usable
  end

  def test_values_of_wrong_types
    full
    snapshot = @storage.open_snapshot('source')
    [nil, 7, :symbol, Object.new, ['a']].each do |value|
      [-> { @storage.full_backup(value) }, -> { @storage.restore('source', value) }, -> { Ibt::Storage.open(value) },
       -> { @storage.restore(value, fresh) }, -> { @storage.compare('source', value) },
       -> { @storage.prune(value, keep_last: 1) }, -> { snapshot.read(value) }, -> { snapshot.entry(value) },
       -> { snapshot.diff(value) }, -> { snapshot.copy('dir/file', value) },
       -> { Ibt::Storage.new(value) }].each { |call| assert_raises(TypeError, value.inspect, &call) }
    end
    ["a\0b", "\0"].each do |value|
      [-> { @storage.full_backup(value) }, -> { @storage.restore('source', value) }, -> { Ibt::Storage.open(value) },
       -> { @storage.restore(value, fresh) }, -> { @storage.list(value) }, -> { full(key: value) },
       -> { full(exclude: ['a', value]) }, -> { full(label: { 'a' => value }) }, -> { full(label: { value => 'a' }) },
       -> { full(cache_dir: value) }, -> { snapshot.read(value) }].each do |call|
        assert_raises(ArgumentError, value.inspect, &call)
      end
    end
    [-> { snapshot.read('dir/file', -1) }, -> { snapshot.read('dir/file', 1, 2**64) },
     -> { snapshot.list('', depth: -1) }].each { |call| assert_raises(RangeError, &call) }
    assert_raises(ArgumentError) { snapshot.each_chunk('dir/file') }
  end
end
