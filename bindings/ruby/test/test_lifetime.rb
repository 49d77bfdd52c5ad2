# frozen_string_literal: true

require 'weakref'
require_relative 'support'

# Threads, the garbage collector, and memory.
class LifetimeTest < RoomTest
  def test_other_threads_run_meanwhile
    ticks = 0
    ticking = Thread.new { loop { (ticks += 1) && sleep(0.005) } }
    @memory.lock('source')
    wanted(Ibt::BusyError) { full(lock_wait: 0.5) }
    assert_operator ticks, :>, 20
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

  def resident
    File.read('/proc/self/statm').split[1].to_i * 4096
  end
end
