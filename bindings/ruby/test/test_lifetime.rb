# frozen_string_literal: true

require 'weakref'
require_relative 'support'

# Threads, the garbage collector, and memory.
class LifetimeTest < RoomTest
  # A storage in a directory calls no Ruby code that would let other threads run.
  def test_other_threads_run_while_libibt_waits
    directory = fresh('store')
    held, storage = Array.new(2) { Ibt::Storage.open(directory) }
    2.times { full(held) }
    waiting = { lock_wait: 0.2, cache_dir: false }
    while_a_prune_runs(held) do
      { full: -> { full(storage, **waiting) }, increment: -> { increment(storage, **waiting) },
        restore: -> { storage.restore('source', fresh, **waiting) }, list: -> { storage.list('source', **waiting) },
        verify: -> { storage.verify('source', **waiting) },
        compare: -> { storage.compare('source', @source, **waiting) },
        prune: -> { storage.prune('source', keep_last: 1, **waiting) },
        consolidate: -> { storage.consolidate('source', **waiting) },
        open_snapshot: -> { storage.open_snapshot('source', **waiting) } }.each do |name, call|
        assert_operator ticks_during { wanted(Ibt::BusyError) { call.call } }, :>, 5, name
      end
    end
  end

  # Runs a block while a prune has the lock of the key.
  def while_a_prune_runs(storage)
    begun, release = Array.new(2) { Thread::Queue.new }
    pruning = Thread.new do
      storage.prune('source', keep_last: 1) do |now|
        (begun << 1) && release.pop if now.phase == :delete && begun.empty?
      end
    end
    sleep 0.01 while begun.empty?
    yield
  ensure
    release << 1
    pruning.join
  end

  # @return [Integer] how often another thread ran during a block: at most 200 times in a second
  def ticks_during
    ticks = 0
    ticking = Thread.new { loop { (ticks += 1) && sleep(0.005) } }
    sleep 0.001 while ticks.zero?
    before = ticks
    yield
    ticks - before
  ensure
    ticking.kill
  end

  def test_blocks_run_on_the_thread_of_the_caller
    here = Thread.current
    Thread.current[:mine] = 7
    mutex = Mutex.new
    mutex.synchronize do
      full(change: ->(_) { assert_equal [here, 7, true], [Thread.current, Thread.current[:mine], mutex.owned?] })
    end
    @memory.before = ->(_) { assert_same here, Thread.current }
    full
  end

  def test_threads_with_a_storage_each
    directory = fresh('store')
    threads = (0...6).map do |i|
      Thread.new do
        tree = File.join(@room, "tree-#{i}")
        FileUtils.mkdir_p(tree)
        File.binwrite(File.join(tree, 'file'), noise(i, 50_000))
        Ibt::Storage.open(directory) do |storage|
          3.times { storage.full_backup(tree, cache_dir: false).complete! }
          storage.restore("tree-#{i}", "#{tree}-restored").complete!
        end
        same_trees(tree, "#{tree}-restored")
        true
      end
    end
    assert_equal [true] * 6, threads.map(&:value)
    assert_equal [3] * 6, Ibt::Storage.open(directory, &:keys).values
  end

  # Each call succeeds, or the object is busy or closed.
  def test_threads_with_one_storage
    full
    snapshot = @storage.open_snapshot('source')
    calls = [-> { full }, -> { @storage.list('source') }, -> { snapshot.read('dir/file') }, -> { snapshot.to_a.length }]
    results = (0...8).map do |i|
      Thread.new do
        10.times.map do |j|
          [snapshot, @storage].each(&:close) if i == 7 && j == 9
          calls[i % 4].call
          :done
        rescue Ibt::BusyError, Ibt::InvalidArgumentError => e
          e.class
        end
      end
    end.flat_map(&:value)
    assert_includes results, :done
    @storage = Ibt::Storage.new(@memory)
    assert_usable
  end

  def test_the_garbage_collector_runs_all_the_time
    write('dir/file', 'small')
    GC.stress = true
    report = full(change: ->(change) { change.path }) { |now| now.path }
    dest = fresh
    @storage.restore('source', dest)
    snapshot = @storage.open_snapshot('source')
    paths = snapshot.map(&:path)
    content = snapshot.read('dir/file')
    GC.stress = false
    assert_equal [4, %w[dir dir/file dir/other], 'small'], [report.counters[:entries], paths.drop(1), content]
    same_trees(@source, dest)
  ensure
    GC.stress = false
  end

  def test_objects_keep_what_they_use
    snapshot = Ibt::Storage.new(@memory).then { |storage| full(storage) && storage.open_snapshot('source') }
    entries = snapshot.each
    reader = snapshot.open('dir/file')
    snapshot = nil # rubocop:disable Lint/UselessAssignment
    5.times { GC.start }
    GC.compact if GC.respond_to?(:compact)
    assert_equal '', entries.next.path
    assert_equal 100_000, reader.read.bytesize
  end

  def test_a_storage_is_released
    reference = Thread.new do
      memory = WatchedStorage.new
      storage = Ibt::Storage.new(memory)
      memory.before = ->(_) { storage } # a cycle
      full(storage) { |now| now }
      storage.open_snapshot('source').first
      WeakRef.new(memory)
    end.value
    deadline = Time.now + 20
    GC.start while reference.weakref_alive? && Time.now < deadline
    refute_predicate reference, :weakref_alive?, 'the storage of a caller is never released'
  end

  def test_memory_does_not_grow
    run = -> { 50.times { full && @storage.open_snapshot('source') { |one| one.list && one.read('dir/other') } } }
    @memory.objects.clear && run.call
    GC.start
    before = resident
    2.times { @memory.objects.clear && run.call }
    GC.start
    assert_operator resident - before, :<, 30_000_000
    assert_equal 1, Thread.list.length - Thread.list.count { |thread| thread != Thread.main }
  end

  # The objects of calls that succeed, fail, are left and are cancelled.
  def test_each_object_is_freed_once
    full
    kinds = ObjectCount::FREED.values
    before = kinds.to_h { |kind| [kind, collected(kind)] }
    # The stack of a thread that has ended refers to nothing.
    Thread.new { 50.times { use_and_fail } }.join
    kinds.each do |kind|
      assert_operator collected(kind, before[kind]), :<=, before[kind] + 5, "each #{kind} is freed at some time"
    end
    assert_empty ObjectCount.wrong
  end

  def use_and_fail
    storage = Ibt::Storage.new(@memory)
    storage.keys
    storage.list { |now| now }
    storage.list { break }
    snapshot = storage.open_snapshot('source')
    snapshot.each { break }
    snapshot.list { break }
    assert_raises(Ibt::NotFoundError) { snapshot.read('absent') }
    assert_raises(Ibt::NotFoundError) { storage.restore('absent', fresh) }
    assert_raises(Ibt::InvalidArgumentError) { full(key: 'a/b') }
    assert_raises(Ibt::NotFoundError) { Ibt::Storage.open(fresh, must_exist: true) }
  end

  # @return [Integer] the objects of a kind that are left when the garbage collector has found at most so many
  def collected(kind, wanted = 0)
    20.times { GC.start && ObjectCount.alive(kind) <= wanted && break }
    ObjectCount.alive(kind)
  end

  def test_a_close_frees_at_once
    full
    snapshot = @storage.open_snapshot('source')
    snapshots = ObjectCount.alive(:snapshot)
    snapshot.close
    assert_equal snapshots - 1, ObjectCount.alive(:snapshot)
    storages = ObjectCount.alive(:storage)
    @storage.close
    assert_equal storages - 1, ObjectCount.alive(:storage)
  end

  def test_a_close_during_a_call_frees_after_it
    storages = ObjectCount.alive(:storage)
    full do
      2.times { @storage.close }
      assert_equal storages, ObjectCount.alive(:storage)
      error = wanted(Ibt::InvalidArgumentError) { @storage.keys }
      assert_includes error.message, 'the storage is closed'
    end
    assert_equal storages - 1, ObjectCount.alive(:storage)
  end

  def test_a_handle_frees_after_its_last_use
    freed = []
    handle = Ibt.const_get(:Handle).new('thing', FFI::Pointer.new(77), ->(pointer) { freed << pointer.address })
    assert_raises(Mine) { handle.use { raise Mine } }
    handle.use do |one|
      handle.use do |other|
        assert_equal [77, 77], [one.address, other.address]
        handle.close
        refused = assert_raises(Ibt::InvalidArgumentError) { handle.use { flunk } }
        assert_equal 'the thing is closed', refused.message
      end
      assert_empty freed
    end
    assert_equal [77], freed
    handle.close
    assert_equal [77], freed
  end

  def resident
    File.read('/proc/self/statm').split[1].to_i * 4096
  end
end
