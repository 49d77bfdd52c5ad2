# frozen_string_literal: true

require 'fileutils'
require 'zlib'
require_relative 'support'

# Whole operations, with a directory and with a Ruby object as the storage.
class RoundTripTest < RoomTest
  def test_a_directory
    Ibt::Storage.open(fresh('store')) { |storage| round_trip(storage) }
  end

  def test_a_ruby_object
    round_trip(@storage)
    assert_equal 0, @memory.open_writers
    assert_empty @memory.locks
  end

  def round_trip(storage)
    plant_tree
    before = fresh('before')
    system('cp', '-a', @source, before, exception: true)
    options = Ibt::Options.new(cache_dir: fresh('cache'))
    first = storage.full_backup(@source, **options, label: { 'reason' => 'a test' }).complete!
    check_report(first)
    edit_tree
    second, changes = check_increment(storage, options)
    refute_equal first.digest, second.digest
    assert_equal %w[dir-1/sub/file-1 dir-3/sub/file-39 moved new], changes
    check_restores(storage, before, first, second)
    check_lists(storage, first)
    check_diff(storage, first)
    check_removal(storage, options, second)
  end

  def check_report(report)
    assert_equal 0, report.status
    assert_equal 'source', report.key
    assert_equal described(@source).length, report.counters[:entries]
    assert_in_delta Time.now, report.date, 3600
    assert_match(/\Ablake3:\h{64}\z/, report.digest)
    assert_equal report.total_size, report.files.sum(&:size)
    assert_equal %i[full sigvault state], report.files.map(&:kind).uniq.sort
    assert_equal 'source', JSON.parse(report.json)['key']
    assert_equal :skipped, report.problems.first&.kind || :skipped
  end

  def check_increment(storage, options)
    changes = []
    seen = ->(change) { changes << change }
    report = storage.incremental_backup(@source, **options, change: seen).complete!
    assert_operator report.counters[:deleted], :>, 0
    gone = changes.find { |change| change.path == 'dir-2/sub/file-2' }
    assert_predicate gone, :deleted?
    assert_nil gone.after
    assert_predicate changes.find { |change| change.path == 'new' }, :created?
    assert_predicate changes.find { |change| change.path == 'moved' }, :moved?
    assert_equal [:metadata], changes.find { |change| change.path == 'dir-1/sub/file-1' }.kinds
    [report, changes.select { |change| change.after&.file? }.map(&:path).sort]
  end

  def check_restores(storage, before, first, second)
    dest = fresh
    report = storage.restore('source', Pathname(dest))
    assert_equal described(@source).length, report.counters[:restored]
    same_trees(@source, dest)
    assert_equal second.snapshot, report.snapshot
    oldest = fresh
    storage.restore('source', oldest, snapshot: first.snapshot, expected_digest: first.digest)
    same_trees(before, oldest)
    wanted(Ibt::NotFoundError, :restore) { storage.restore('source', fresh, as_of: first.date - 3600) }
    assert_empty differences(storage, dest)
    File.write(File.join(dest, 'new'), 'another')
    assert_equal ['new'], differences(storage, dest).select(&:content?).map(&:path)
    storage.restore('source', dest, overwrite: :always, delete_extra: true)
    same_trees(@source, dest)
  end

  def differences(storage, tree)
    found = []
    storage.compare('source', tree) { |change| found << change }
    found
  end

  def check_lists(storage, first)
    full, incremental = storage.snapshots
    assert_predicate full, :full?
    assert_equal({ 'reason' => 'a test' }, full.labels)
    assert_equal first.snapshot, incremental.parent
    assert_equal @source, full.source
    assert_equal :incremental, incremental.kind
    assert_equal [full], storage.snapshots('source', label_filter: 'reason')
    assert_equal [full], storage.snapshots(label_filter: { 'reason' => 'a test' })
    assert_equal [full], storage.snapshots(label_filter: { 'reason' => nil })
    assert_empty storage.snapshots(label_filter: { 'reason' => 'another' })
    assert_equal({ 'source' => 2 }, storage.keys)
    assert_equal 0, storage.verify.counters[:problems]
    assert_equal 2, storage.verify('source', verify: :presence).snapshots.length
    storage.verify('source', verify_part: [1, 2]).complete!
  end

  def check_diff(storage, first)
    storage.open_snapshot('source', snapshot: first.snapshot) do |before|
      storage.open_snapshot('source') do |after|
        created = []
        report = before.diff(after) { |change| created << change.path if change.created? }
        assert_equal %w[moved new], created
        assert_equal 2, report.snapshots.length
        wanted(Ibt::BusyError, :diff) { before.diff(before) }
        calls = 0
        before.diff(after) { (calls += 1) && :stop }
        assert_equal 1, calls
      end
    end
  end

  def check_removal(storage, options, second)
    assert_equal second.digest, storage.consolidate('source', **options).digest
    storage.rebuild_cache('source', **options).complete!
    plan = storage.prune('source', keep_last: 1, dry_run: true)
    pruned = storage.prune('source', keep_last: 1)
    assert_equal 2, plan.counters[:deleted]
    assert_equal %i[removed removed kept], pruned.snapshots.map(&:action)
    assert_equal 'last 1', pruned.snapshots.last.reason
    dest = fresh
    storage.restore('source', dest)
    same_trees(@source, dest)
  end

  # The headers of this machine: three snapshots, each restored and compared.
  def test_a_real_tree
    FileUtils.rm_rf(@source)
    system('cp', '-a', '/usr/include', @source, exception: true)
    copies = []
    Ibt::Storage.open(fresh('store')) do |storage|
      edits = [-> {}, -> { append_to_headers }, -> { FileUtils.rm_rf(Dir[File.join(@source, '*/')].first) }]
      copies = edits.map.with_index do |edit, i|
        edit.call
        report = i.zero? ? full(storage) : increment(storage)
        copy = fresh('copy')
        system('cp', '-a', @source, copy, exception: true)
        [report.complete!, copy]
      end
      copies.each do |report, copy|
        dest = fresh
        storage.restore('source', dest, snapshot: report.snapshot).complete!
        same_trees(copy, dest)
        storage.compare('source', dest, snapshot: report.snapshot) { |change| flunk("#{change.path} differs") }
      end
    end
  end

  def append_to_headers
    Dir[File.join(@source, '*.h')].sort.first(20).each { |path| File.write(path, "/* more */\n", mode: 'a') }
  end

  # The ancestor's backup of an empty directory: 1 KiB of zeros is an empty tar.
  def plant_ancestor(dir)
    FileUtils.mkdir_p(dir)
    state = '{"directory": "/old", "files": [], "subdirs": [], "index": {}}'
    File.write(File.join(dir, 'old.state.2013-12-01T10:30:00.json'), state)
    Zlib::GzipWriter.open(File.join(dir, 'old.full.2013-12-01T10:30:00.tgz')) { |archive| archive.write("\0" * 1024) }
    dir
  end

  def test_an_import_of_the_ancestor
    from = plant_ancestor(fresh('old'))
    [nil, from].each do |place|
      Ibt::Storage.open(place ? fresh('store') : from) do |storage|
        report = storage.import_ancestor('old', from: place, key: 'new', cache_dir: fresh('cache'))
        assert_equal ['20131201T103000.000000Z'], report.snapshots.map(&:stamp)
        assert_equal ['new'], report.snapshots.map(&:key)
        wanted(Ibt::NotFoundError, :import_ancestor) { storage.import_ancestor('other', from: place) }
      end
    end
  end

  def test_a_private_directory_for_experiments
    tmpdir = ENV.fetch('TMPDIR', nil)
    ENV['TMPDIR'] = @room
    Ibt::Storage.open_default do |storage|
      full(storage).complete!
      assert_equal({ 'source' => 1 }, storage.keys)
    end
    assert_path_exists File.join(@room, "ibt-#{Process.uid}")
  ensure
    ENV['TMPDIR'] = tmpdir
  end
end
