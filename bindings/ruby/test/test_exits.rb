# frozen_string_literal: true

require_relative 'support'

# Blocks and storages that are left in every way of Ruby. The operation ends cleanly, and the exit goes on.
class ExitsTest < RoomTest
  # Ways to leave, and a check of what came out of the operation.
  EXITS = {
    raise: [-> { raise Mine, 'mine' }, ->(test, out) { test.assert_equal [Mine, 'mine'], [out.class, out.message] }],
    no_standard_error: [-> { raise MineToo, 'mine' }, ->(test, out) { test.assert_instance_of MineToo, out }],
    throw: [-> { throw :mine, 7 }, ->(test, out) { test.assert_equal [:thrown, 7], out }],
    kill: [-> { Thread.current.kill }, ->(test, out) { test.assert_equal :killed, out }],
    exit: [-> { Thread.exit }, ->(test, out) { test.assert_equal :killed, out }],
    system_exit: [-> { exit 3 }, ->(test, out) { test.assert_equal 3, out.status }],
    thread_raise: [-> { raise_from_another_thread }, ->(test, out) { test.assert_instance_of MineToo, out }],
    timeout: [-> { sleep }, ->(test, out) { test.assert_instance_of Timeout::Error, out }]
  }.freeze

  # An exception that another thread raises here.
  def self.raise_from_another_thread
    here = Thread.current
    Thread.new { here.raise(MineToo, 'from another thread') }
    sleep
  end

  # Runs a block in a thread, and returns how it ended: an exception, [:thrown, value], :killed or :returned.
  def outcome_of(limit: 0.3)
    out = :killed
    thread = Thread.new do
      out = begin
        thrown = true
        value = catch(:mine) do
          Timeout.timeout(limit) { yield }
          thrown = false
        end
        thrown ? [:thrown, value] : :returned
      rescue Exception => e # rubocop:disable Lint/RescueException
        e
      end
    end
    thread.report_on_exception = false
    assert thread.join(20), 'the operation never ended'
    out
  end

  # Leaves an operation in each way, at the first call of a block.
  def leave_in_each_way(check_usable: true)
    EXITS.each do |name, (leave, check)|
      left = false
      out = outcome_of { yield(-> { left ? nil : (left = true) && leave.call }) }
      assert left, "#{name}: the block was not called"
      check.call(self, out)
      assert_usable if check_usable
    end
  end

  def test_blocks_of_backups
    { progress: true, change: true, filter: true, log: nil }.each_key do |option|
      leave_in_each_way do |leave|
        snapshots = @memory.objects.keys.grep(/\.state\./)
        begin
          full(option => ->(*) { leave.call || true }, log_level: :debug)
        ensure # a message may come after the commit
          assert_equal snapshots, @memory.objects.keys.grep(/\.state\./) unless option == :log
        end
      end
    end
  end

  def test_blocks_of_snapshots
    full
    @storage.open_snapshot('source') do |snapshot|
      leave_in_each_way { |leave| snapshot.list { leave.call } }
      leave_in_each_way { |leave| snapshot.each_chunk('dir/file') { leave.call } }
      leave_in_each_way { |leave| snapshot.each { leave.call } }
      assert_equal 100_000, snapshot.read('dir/file').bytesize
      assert_equal ['', 'dir', 'dir/file', 'dir/other'], snapshot.map(&:path)
    end
  end

  def test_methods_of_a_storage
    %i[read_at list create write commit abort delete lock unlock].each do |method|
      EXITS.each do |name, (leave, check)|
        # These are not interrupted by other threads, which waits would never end.
        next if %i[lock unlock].include?(method) && %i[timeout thread_raise].include?(name)

        left = false
        @memory.before = lambda do |called|
          next if called != method || left

          left = true
          leave.call
        end
        out = outcome_of(limit: 2) { use_every_method }
        assert left, "no operation calls #{method}"
        # The exception of a cleanup is not raised over the reason for the cleanup.
        check.call(self, out) unless method == :abort && name == :raise
        assert_usable
      end
    end
  end

  def use_every_method
    full
    write('dir/other', 'changed')
    increment
    @storage.restore('source', fresh)
    full
    @storage.prune('source', keep_last: 1)
    begin
      full { |now| raise StopIteration if now.phase == :read } # aborts its writers
    rescue StopIteration
      nil
    end
  end

  def test_timeout_waits_for_a_method_that_is_not_interrupted
    @memory.before = ->(method) { sleep 0.3 if method == :lock }
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    assert_raises(Timeout::Error) { Timeout.timeout(0.1) { full } }
    assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - began, :>=, 0.3
    assert_usable
  end

  def test_break_and_return
    assert_equal 5, (full { break 5 })
    assert_equal 6, returned
    assert_usable
    @storage.open_snapshot('source') do |snapshot|
      assert_equal 'dir', (snapshot.list { |entry| break entry.path unless entry.path.empty? })
      assert_equal 'dir', snapshot.find(&:directory?).then { snapshot.lazy.map(&:path).drop(1).first }
    end
    assert_equal 8, (@storage.compare('source', @room) { break 8 })
    assert_usable
  end

  def returned
    full { return 6 }
    flunk('not reached')
  end

  def test_a_wait_for_a_lock_is_interrupted
    @memory.lock('source')
    out = outcome_of(limit: 0.2) { full(lock_wait: Float::INFINITY) }
    assert_instance_of Timeout::Error, out
    waiting = Thread.new { full(lock_wait: 3600) }
    sleep 0.1
    waiting.kill
    assert waiting.join(10)
    @memory.unlock('source')
    assert_usable
  end

  def test_a_second_exit_during_the_cleanup
    aborted = 0
    @memory.before = lambda do |method|
      next unless method == :abort

      aborted += 1
      throw :mine, :second if aborted == 1
    end
    out = outcome_of(limit: 10) { full { |now| raise Mine if now.phase == :read } }
    assert_equal [:thrown, :second], out
    assert_operator aborted, :>=, 1
    assert_usable
  end

  def test_a_cleanup_that_fails_after_a_success
    @memory.before = ->(method) { raise Mine, 'unlock' if method == :unlock }
    error = assert_raises(Mine) { full }
    assert_instance_of Ibt::StorageError, error.cause
    assert_equal 0, error.cause.report.status
    assert_usable
  end

  # Libibt may call back until it notices that somebody left.
  def test_nothing_of_the_caller_runs_after_an_exit
    operations = {
      full: ->(procs) { full(filter: procs[:log], **procs) },
      restore: ->(procs) { @storage.restore('source', fresh, **procs) },
      prune: lambda do |procs|
        full
        @storage.prune('source', keep_last: 1, **procs)
      end
    }
    full
    operations.each do |name, operation|
      calls = 0
      calls += 1 while left_at(calls, operation)
      assert_operator calls, :>, 3, name
    end
    @memory.objects.delete_if { |name, _| name.include?('.full.') }
    calls = 0
    calls += 1 while left_at(calls, operations[:restore]) # which logs the losses
    assert_operator calls, :>, 3
  end

  # Leaves an operation at a call of a proc.
  # @return [Boolean] whether there were so many calls
  def left_at(number, operation)
    called = []
    any = lambda do |*arguments|
      called << arguments
      raise MineToo if called.length == number + 1

      true
    end
    operation.call({ progress: any, change: any, log: any, log_level: :debug })
    false
  rescue MineToo
    assert_equal number + 1, called.length, called.last(called.length - number - 1)
    true
  end

  def test_a_nested_operation
    full
    other = Ibt::Storage.new(@memory)
    seen = nil
    full { seen ||= other.snapshots.length }
    assert_equal 1, seen
    assert_usable
  end

  def test_an_enumerator_that_nobody_resumes
    thread = Thread.new do
      steps = Enumerator.new { |yielder| full { |now| yielder << now } }
      assert_instance_of Ibt::Progress, steps.next
      wanted(Ibt::BusyError) { full }
      nil
    end
    thread.join
    deadline = Time.now + 20
    while Thread.list.any? { |one| one[:ibt_worker] }
      flunk('the call never ended') if Time.now > deadline
      GC.start
      sleep 0.05
    end
    @memory.locks.clear # nobody was there to unlock
    @memory.open_writers = 0
    assert_usable
  end

  def test_ctrl_c
    program = <<~'RUBY'
      require 'ibt'
      require File.expand_path('../examples/memory_storage', ARGV[0])
      memory = MemoryStorage.new
      begin
        Ibt::Storage.new(memory).full_backup(ARGV[1], cache_dir: false) { Process.kill('INT', Process.pid); sleep }
      ensure
        puts "locks #{memory.locks.length}, states #{memory.objects.keys.grep(/state/).length}"
      end
    RUBY
    said, status = run_ruby(program, __dir__, @source)
    assert_equal Signal.list['INT'], status.termsig, said
    assert_includes said, 'locks 0, states 0'
  end

  def test_the_end_of_the_process
    program = <<~'RUBY'
      require 'ibt'
      require File.expand_path('../examples/memory_storage', ARGV[0])
      class Loud < MemoryStorage
        def unlock(key)
          puts 'unlocked'
          super
        end
      end
      begun = Thread::Queue.new
      run = -> { Ibt::Storage.new(Loud.new).full_backup(ARGV[1], cache_dir: false) { begun << 1; sleep } }
      Thread.new(&run)
      begun.pop
      forgotten = Enumerator.new { |y| Ibt::Storage.new(MemoryStorage.new).full_backup(ARGV[1]) { |now| y << now } }
      forgotten.next
      puts 'the main thread ends'
    RUBY
    said, status = Timeout.timeout(60) { run_ruby(program, __dir__, @source) }
    assert_predicate status, :success?, said
    assert_equal "the main thread ends\nunlocked\n", said
  end

  def test_a_trap_that_raises
    program = <<~'RUBY'
      require 'ibt'
      trap('USR1') { throw :trapped }
      storage = Ibt::Storage.open(ARGV[1])
      20.times do |i|
        catch(:trapped) do
          calls = 0
          storage.full_backup(ARGV[0], key: "key-#{i}", cache_dir: false, change: lambda { |_|
            Process.kill('USR1', Process.pid) if (calls += 1) == 2
          })
        end
      end
      storage.full_backup(ARGV[0], key: 'last', cache_dir: false).complete!
      puts 'whole'
    RUBY
    said, = run_ruby(program, @source, fresh)
    assert_equal "whole\n", said
  end

  def test_a_fork_in_a_block
    children = []
    full do
      next unless children.empty?

      pid = fork
      children << pid if pid
    end
    _, status = Process.wait2(children.first)
    assert_equal 7, status.exitstatus
    assert_usable
  rescue Ibt::UnsupportedError
    exit!(7) # in the child
  end

  def test_cancel
    cancel = Ibt::Cancel.new
    refute_predicate cancel, :requested?
    wanted(Ibt::CancelledError, :full_backup) { full(cancel: cancel) { cancel.request } }
    assert_predicate cancel, :requested?
    wanted(Ibt::CancelledError) { full(cancel: cancel) }
    assert_usable
    later = Ibt::Cancel.new
    @memory.lock('source')
    Thread.new do
      sleep 0.1
      later.request
    end
    wanted(Ibt::CancelledError) { full(cancel: later, lock_wait: 60) }
    @memory.unlock('source')
    trapped = Ibt::Cancel.new
    before = trap('USR2') { trapped.request }
    wanted(Ibt::CancelledError) do
      full(cancel: trapped) do
        Process.kill('USR2', Process.pid)
        sleep 0.1
      end
    end
    trap('USR2', before || 'DEFAULT')
    assert_usable
  end
end
