# frozen_string_literal: true

require 'logger'
require_relative 'support'

# Options, and the procs among them.
class OptionsTest < RoomTest
  # A value for each option that an operation of this table takes.
  VALUES = {
    full_backup: {
      key: 'other', host: 'host', source_name: '/name', cache_dir: false, exclude: ['*.o', '!a.o'],
      exclude_file: false, exclude_if_present: '.nobackup', exclude_larger_than: 10**6, exclude_nodump: true,
      one_file_system: true, skip_cache_dirs: true, source_path: %w[dir], protected_path: [__dir__],
      allow_source_change: true, allow_empty: true, allow_unlocked: true, label: { 'a' => 'b', 'gone' => nil },
      dry_run: false, change_detection: :content, heal: true, delta: :signatures, skip_unchanged: true,
      compression: :zstd, compression_level: 19, part_size: 2**20, threads: 2, on_file_error: :stop,
      checkpoint: 2**30, lock_wait: 0.5,
      filter: ->(_) { true }, change: ->(_) {}, progress: ->(_) {}, log: ->(*) {}, log_level: :debug,
      cancel: Ibt::Cancel.new
    },
    restore: {
      as_of: Time.now + 3600, include: 'dir/**', path: ['dir'], root: 'dir', overwrite: :if_older, delete_extra: true,
      leave_partial: true, restore_metadata: %i[mode times], map_owners: true, dry_run: true,
      label_filter: { 'a' => 'b' }
    },
    verify: { verify: :presence, expected_digest: nil, snapshot: nil },
    compare: { metadata_only: true },
    prune: {
      keep_last: 1, keep_within: 3600, keep_hourly: 1, keep_daily: 1, keep_weekly: 1, keep_monthly: 1, keep_yearly: 1,
      keep_label: %w[a b], local_time: true
    }
  }.freeze

  def test_each_option_is_accepted
    report = @storage.full_backup(@source, **VALUES[:full_backup])
    assert_equal 'other', report.key
    info = @storage.snapshots.first
    assert_equal [{ 'a' => 'b' }, 'host', '/name'], [info.labels, info.host, info.source]
    @storage.restore('other', fresh, **VALUES[:restore])
    @storage.verify('other', **VALUES[:verify])
    @storage.compare('other', @source, **VALUES[:compare])
    @storage.prune('other', **VALUES[:prune])
    @storage.prune('other', removed: report.snapshot, allow_empty: true)
    assert_empty @storage.keys
    known = Ibt::Options.constants(false).empty? ? private_tables : []
    tested = VALUES.values.flat_map(&:keys) + %i[removed verify_part]
    assert_equal known.sort, tested.uniq.sort
  end

  def private_tables
    tables = %i[SETTERS LISTS LABELS PROCS].flat_map { |name| Ibt::Options.const_get(name).keys }
    tables + Ibt::Options.const_get(:OTHERS)
  end

  def test_checkpoints_end_parts_of_archives
    write('large a', noise(2, 300_000))
    write('large b', noise(3, 300_000))
    [[0, 1], [2**16, 4]].each do |checkpoint, parts|
      report = full(checkpoint: checkpoint)
      assert_equal parts, report.files.count { |file| file.kind == :full }, report.files.inspect
    end
    @storage.prune('source', keep_last: 1, checkpoint: 0)
  end

  def test_what_options_do
    report = full(filter: ->(entry) { entry.path != 'dir/other' })
    assert_equal 3, report.counters[:entries]
    asked = 0
    report = full(filter: ->(_) { (asked += 1) && :stop })
    assert_equal [4, 1], [report.counters[:entries], asked]
    assert_equal 2, full(filter: ->(entry) { entry.directory? ? :include : :leave_out_all }).counters[:entries]
    assert_equal 1, full(filter: ->(_) { :leave_out_all }, allow_empty: true).counters[:entries]
    assert_equal 2, full(exclude: '/dir/*').counters[:entries]
    assert_operator full(compression: :none).total_size, :>, full(exclude: 'file').total_size
    assert_nil full(dry_run: true).snapshot
    phases = []
    full { |now| phases << now.phase }
    assert_equal %i[scan read commit], phases.uniq
    lines = []
    full(log: ->(level, message) { lines << [level, message] }, log_level: :debug)
    assert_empty lines.map(&:first) - %i[error warn info debug]
    assert(lines.all? { |_, message| message.valid_encoding? })
    text = StringIO.new
    full(log: Logger.new(text), log_level: :debug)
    assert_equal lines.empty?, text.string.empty?
  end

  def test_the_numbers_of_the_progress
    last = {}
    report = full { |now| last[now.phase] = now }
    assert_equal [report.counters[:bytes]] * 2, [last[:read].done_bytes, last[:read].total_bytes]
    first = nil
    restored = @storage.restore('source', fresh) do |now|
      first ||= now if now.phase == :restore
      last[now.phase] = now
    end
    assert_equal [0, 100_004, 0, 4], [first.done_bytes, first.total_bytes, first.done_entries, first.total_entries]
    numbers = last[:restore].to_h.values_at(:done_bytes, :total_bytes, :done_entries, :total_entries)
    assert_equal [100_004, 100_004, 4, 4], numbers
    assert_equal 4, restored.counters[:restored]
  end

  def test_options_that_are_kept
    options = Ibt::Options.new(cache_dir: false, key: 'kept')
    assert_predicate options, :frozen?
    assert_equal({ cache_dir: false, key: 'kept' }, options.to_h)
    2.times { assert_equal 'kept', @storage.full_backup(@source, **options).key }
    assert_equal 'other', @storage.full_backup(@source, **options, key: 'other').key
    assert_equal 'merged', @storage.full_backup(@source, **options.merge(key: 'merged')).key
    assert_equal 'source', @storage.full_backup(@source, **options.merge(key: nil)).key
  end

  def test_values_that_are_refused
    { ArgumentError => { keyx: 1, overwrite: :perhaps, compression: 'zstd', log_level: 3, restore_metadata: [:all] },
      TypeError => { dry_run: 1, keep_last: '1', key: 7, label: ['a'], as_of: 1, lock_wait: 'for ever', verify_part: 1,
                     cancel: true, progress: 1, filter: 'x', log: 1, exclude: [nil], source_path: 3 },
      RangeError => { keep_last: -1, threads: 2**32, exclude_larger_than: 2**64, lock_wait: -1,
                      as_of: Time.utc(3000), verify_part: [1, -1] } }.each do |error, values|
      values.each do |name, value|
        raised = assert_raises(error, name) { full(name => value) }
        assert_includes raised.message, name.to_s
      end
    end
    assert_raises(ArgumentError) { full(progress: ->(_) {}) {} }
    wanted(Ibt::InvalidArgumentError) { full(threads: 5000) }
    assert_usable
  end
end
