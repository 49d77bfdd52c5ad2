# frozen_string_literal: true

require 'csv'
require 'etc'
require 'zlib'
require_relative 'support'

# Entries and contents of snapshots.
class SnapshotTest < RoomTest
  def setup
    super
    @big = noise(2, 5 << 20)
    write('big', @big)
    write(NOT_TEXT, 'bytes')
    full
    @snapshot = @storage.open_snapshot('source')
    @paths = ['', 'big', NOT_TEXT, 'dir', 'dir/file', 'dir/other']
  end

  def test_what_it_is
    assert_equal 'source', @snapshot.key
    info = @storage.snapshots.first
    assert_equal [info.stamp, info.date, info.digest, :full, @source],
                 [@snapshot.stamp, @snapshot.date, @snapshot.digest, @snapshot.info.kind, @snapshot.info.source]
    assert_equal info.counters, @snapshot.info.counters
    assert_nil @snapshot.info.host
    assert_includes @snapshot.inspect, @snapshot.stamp
    assert_equal 6, @storage.open_snapshot('source', &:count)
  end

  def test_enumeration
    2.times { assert_equal @paths, @snapshot.map(&:path) }
    assert_same @snapshot, @snapshot.each { |entry| entry }
    assert_equal 6, @snapshot.each.size
    assert_equal %w[big dir/file dir/other], @snapshot.select(&:file?).map(&:path) - [NOT_TEXT]
    assert_equal 'big', @snapshot.lazy.select(&:file?).map(&:path).first
    assert_equal @paths.product(@paths), @snapshot.flat_map { |one| @snapshot.map { |other| [one.path, other.path] } }
    one = @snapshot.each
    other = @snapshot.each
    assert_equal @paths, @paths.map { one.next.path.tap { other.next } }
    assert_raises(StopIteration) { one.next }
    @snapshot.each do |entry| # files may be read meanwhile
      assert_equal entry.size, @snapshot.read(entry.path).bytesize if entry.file?
    end
  end

  def test_entries
    entry = @snapshot.entry('dir/file')
    stat = File.stat(File.join(@source, 'dir/file'))
    assert_equal [stat.mode & 0o7777, stat.uid, stat.gid, 100_000, 0, :file, 'file', 100_000],
                 [entry.mode, entry.uid, entry.gid, entry.size, entry.rdev, entry.type, entry.name, entry.data_size]
    assert_equal [stat.mtime, stat.ctime], [entry.mtime, entry.ctime]
    assert_match(/\Ablake3:\h{64}\z/, entry.digest)
    assert_nil entry.target
    assert_nil entry.link
    assert_equal [[], 0, {}], [entry.flags.reject { |flag| flag == 'noatime' }, entry.project, entry.xattrs]
    assert_predicate entry, :frozen?
    assert_equal entry, @snapshot.entry('/dir/file/')
    assert_equal entry.hash, @snapshot.entry('dir/file').hash
    refute_equal entry, @snapshot.entry('dir/other')
    assert_equal '', @snapshot.entry('').name
    assert_nil @snapshot['absent']
    assert_equal 'big', @snapshot['big'].to_s
    wanted(Ibt::NotFoundError, :list) { @snapshot.entry('absent') }
  end

  # Each value of an entry is that of the system.
  def test_the_values_of_entries
    path = File.join(@source, 'dir/file')
    device = File.join(@source, 'device')
    File.truncate(path, 1 << 20) # a hole
    File.link(path, File.join(@source, 'z'))
    if Process.euid.zero?
      File.chown(1, 2, path)
      system('mknod', device, 'c', '1', '3', exception: true)
    end
    full
    @storage.open_snapshot('source') do |snapshot|
      check_values(snapshot['dir/file'], path)
      assert_equal 'dir/file', snapshot['z'].link
      assert_equal File.lstat(device).rdev, snapshot['device'].rdev if File.exist?(device)
    end
  end

  def check_values(entry, path)
    stat = File.stat(path)
    owners = [stat.uid, stat.gid, Etc.getpwuid(stat.uid).name, Etc.getgrgid(stat.gid).name]
    assert_equal owners, [entry.uid, entry.gid, entry.user, entry.group]
    assert_equal [1 << 20, stat.mode & 0o7777, 'dir/file'], [entry.size, entry.mode, entry.link]
    assert_includes 100_000...entry.size, entry.data_size
    assert_equal [stat.mtime, stat.ctime], [entry.mtime, entry.ctime]
    born, = Open3.capture2('stat', '-c', '%W', path)
    assert_equal Integer(born), entry.btime.to_i
  end

  def test_every_kind_of_entry
    plant_tree
    value = noise(3, 300)
    in_source { system('setfattr', '-n', 'user.test', '-v', "0x#{value.unpack1('H*')}", 'link-not', err: File::NULL) }
    write('attributes', '')
    has = system('setfattr', '-n', 'user.test', '-v', "0x#{value.unpack1('H*')}", File.join(@source, 'attributes'),
                 err: File::NULL)
    full
    @storage.open_snapshot('source') do |snapshot|
      assert_equal 'dir-0/read-only', snapshot['link'].target
      assert_equal %i[symlink fifo dir], [snapshot['link'], snapshot['fifo'], snapshot['empty']].map(&:type)
      assert_equal 'dir-1/sub/file-5', snapshot['second name'].link
      assert_equal Time.at(981_173_106, 789, :nsec), snapshot['dir-0/read-only'].mtime
      assert_equal({ 'user.test' => value }, snapshot['attributes'].xattrs) if has
    end
  end

  def test_lists
    assert_equal @paths, @snapshot.list.map(&:path)
    assert_equal %w[dir/file dir/other], @snapshot.children('dir').map(&:path)
    assert_equal ['', 'big', NOT_TEXT, 'dir'], @snapshot.list('', depth: 1).map(&:path)
    seen = []
    assert_same(@snapshot, @snapshot.list('dir') { |entry| seen << entry.path })
    assert_equal %w[dir dir/file dir/other], seen
  end

  # Entries are passed on in batches of 256.
  def test_lists_of_more_than_a_batch
    counts = [254, 255, 256, 511, 512, 700]
    counts.each { |count| count.times { |i| write("many-#{count}/#{i}", '') } }
    full
    @storage.open_snapshot('source') do |snapshot|
      counts.each do |count|
        directory = "many-#{count}"
        names = [directory, *(0...count).map { |i| "#{directory}/#{i}" }.sort]
        leave_lists(snapshot, directory, names)
        assert_equal names, snapshot.list(directory).map(&:path)
        assert_equal names.drop(1), snapshot.children(directory).map(&:path)
      end
    end
  end

  # Leaves a list in each way, at entries around the batches.
  def leave_lists(snapshot, directory, names)
    [1, 255, 256, 257, 512, 513, names.length].select { |place| place <= names.length }.each do |place|
      [-> { throw :left }, -> { raise Mine }, -> { Thread.current.kill }].each do |leave|
        seen = []
        Thread.new do
          catch(:left) { snapshot.list(directory) { |entry| leave.call if (seen << entry.path).length == place } }
        rescue Mine
          nil
        end.join
        assert_equal names.first(place), seen
      end
    end
    seen = []
    snapshot.list(directory) { |entry| seen << entry.path }
    assert_equal names, seen
  end

  def test_a_list_that_is_left_reads_no_further_batch
    2000.times { |i| write("many/#{i}", '') }
    full
    @storage.open_snapshot('source') do |snapshot|
      GC.start
      GC.disable
      before = ObjectSpace.each_object(Ibt::Entry).count
      snapshot.list { break }
      assert_operator ObjectSpace.each_object(Ibt::Entry).count - before, :<=, 512
    end
  ensure
    GC.enable
  end

  def test_an_enumeration_goes_on_after_others_were_left
    entries = @snapshot.each
    paths = @paths.map do
      @snapshot.each { break }
      assert_raises(Mine) { @snapshot.each { |entry| raise Mine if entry.path == 'dir' } }
      @snapshot.list { break }
      entries.next.path
    end
    assert_equal @paths, paths
    assert_raises(StopIteration) { entries.next }
    assert_equal @paths, @snapshot.map(&:path)
  end

  def test_contents
    { 'big' => @big, NOT_TEXT => 'bytes', 'dir/other' => 'text' }.each do |path, content|
      assert_equal content.b, @snapshot.read(path)
      out = StringIO.new(''.b)
      assert_equal content.bytesize, @snapshot.copy(path, out)
      assert_equal content.b, out.string
      chunks = []
      @snapshot.each_chunk(Pathname(path)) { |bytes| chunks << bytes }
      assert_equal content.b, chunks.join
      @snapshot.open(path) { |reader| assert_equal content.b, reader.read }
    end
    assert_equal @big.byteslice(3 << 20, 100), @snapshot.read('big', 100, 3 << 20)
    assert_equal @big.byteslice(-10, 10), @snapshot.read('big', 100, @big.bytesize - 10)
    assert_nil @snapshot.read('big', 1, @big.bytesize)
    assert_equal ['', ''], [@snapshot.read('big', 0), @snapshot.read('big', nil, 2**63)]
    assert_equal Encoding::BINARY, @snapshot.read('big').encoding
    wanted(Ibt::NotFoundError, :read) { @snapshot.read('absent') }
    assert_raises(Mine) { @snapshot.copy('big', Class.new { define_method(:write) { |_| raise Mine } }.new) }
  end

  # The reader gives what a File gives.
  def test_the_reader_is_an_io
    lines = (0..3000).map { |i| "#{'x' * (i % 1000)}#{"\n" * (i % 3)}" }.join
    write('lines', lines)
    full
    @storage.open_snapshot('source') do |snapshot|
      reader = snapshot.open('lines')
      file = File.open(File.join(@source, 'lines'), 'rb')
      calls = [[:read, 10], [:gets], [:pos], [:gets, ''], [:gets, nil, 100], [:gets, 5], [:gets, 'xx'], [:read, 5000],
               [:eof?], [:seek, -100, IO::SEEK_CUR], [:gets], [:gets, '', 7], [:gets, 0], [:read, 0]]
      random = Random.new(1)
      2000.times do
        call = random.rand(50).zero? ? [:seek, random.rand(lines.bytesize)] : calls.sample(random: random)
        place = file.pos
        next if call.first == :seek && call.length > 2 && place < 100

        expected, got = [file, reader].map { |io| io.public_send(*call) }
        assert expected == got, "#{call} at #{place}: #{got.inspect}, not #{expected.inspect}" # both may be nil
        assert_equal file.pos, reader.pos, "#{call} at #{place}"
      end
      [file, reader].each { |io| io.seek(-5, IO::SEEK_END) }
      assert_equal [file.getc, lines.b[-4, 3], lines.b[-1]], [reader.read(1), reader.readpartial(3), reader.readpartial(9)]
      assert_equal ['', nil], [reader.read, reader.read(1)]
      assert_raises(EOFError) { reader.readpartial(1) }
      [file, reader].each(&:rewind)
      assert_equal file.each_line(chomp: true).to_a, reader.each_line(chomp: true).to_a
      assert_raises(Errno::EINVAL) { reader.seek(-1) }
    end
  end

  # A reader reads 1 MiB of the file at once, and looks for the end of a line in 4096 bytes at once.
  def test_the_reader_at_the_borders_of_its_buffers
    size = (2 << 20) + 5000
    write('borders', noise(4, size))
    full
    lengths = [1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, size]
    places = [0, 1, 4095, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) - 1, 2 << 20, size - 1, size]
    @storage.open_snapshot('source') do |snapshot|
      reader = snapshot.open('borders')
      file = File.open(File.join(@source, 'borders'), 'rb')
      calls = %i[read readpartial].product(places, lengths).shuffle(random: Random.new(1))
      calls.each { |method, place, length| read_at_place(reader, file, method, place, length) }
    end
  end

  def read_at_place(reader, file, method, place, length)
    [reader, file].each { |io| io.seek(place) }
    expected = file.read(length)
    got = begin
      reader.public_send(method, length)
    rescue EOFError
      nil
    end
    assert_operator got.bytesize, :>, 0 if method == :readpartial && expected
    expected = expected.byteslice(0, got.bytesize) if method == :readpartial && got
    assert expected == got, "#{method} of #{length} bytes at #{place}"
    assert_equal place + (got ? got.bytesize : 0), reader.pos
  end

  def test_the_reader_reads_no_byte_twice
    write('sequence', noise(5, (3 << 20) + 7))
    full
    @storage.open_snapshot('source') do |snapshot|
      reads = 0
      counted = snapshot.method(:read)
      snapshot.define_singleton_method(:read) { |*arguments| (reads += 1) && counted.call(*arguments) }
      reader = snapshot.open('sequence')
      nil while reader.read(1000)
      assert_equal 4, reads
      reader.rewind
      assert_equal 10, reader.readpartial(10).bytesize
      reader.seek((1 << 20) - 10)
      assert_equal 10, reader.readpartial(100).bytesize, 'the bytes that were read already'
      assert_equal 5, reads
    end
  end

  # The lines as the documentation of IO describes them. (Ruby 3.1 itself passes over limits within a long separator.)
  def lines_of(text, separator, limit, chomp)
    ending = separator == '' ? "\n\n" : separator
    lines = []
    place = 0
    found = ending && -1
    loop do
      place += 1 while separator == '' && text.getbyte(place) == 10
      return lines if place >= text.bytesize

      found = text.index(ending, place) if found && found < place
      rest = found ? found + ending.bytesize - place : text.bytesize
      line = text.byteslice(place, [rest, limit || rest].min)
      place += line.bytesize
      lines << (chomp && ending && line.end_with?(ending) ? line.chomp(separator == '' ? '' : ending) : line)
    end
  end

  # Writes texts, and compares their lines.
  def check_lines(texts, ways)
    texts.each_with_index { |text, i| write("text-#{i}", text) }
    full
    @storage.open_snapshot('source') do |snapshot|
      texts.each_index.to_a.product(ways, [true, false]) do |i, (separator, limit), chomp|
        got = snapshot.open("text-#{i}") { |reader| reader.each_line(separator, limit, chomp: chomp).to_a }
        assert lines_of(texts[i].b, separator, limit, chomp) == got, [i, separator, limit, chomp].inspect
      end
    end
  end

  def test_lines_of_every_kind
    texts = ["ab\r\ncd\r\n", "ab\rcd\r", "\r", "\n", "ab\n\n\ncd\r\n\r\nef\n\n", 'ab', '']
    check_lines(texts, ["\n", '', "\r\n", "b\r", 'b', nil].product([nil, 1, 2, 3, 100]))
  end

  def test_lines_that_end_at_the_borders_of_the_buffers
    lengths = [4096, 8192, 1 << 20].flat_map { |border| (-4..1).map { |shift| border + shift } }
    ["\n", "\n\n", 'xyx'].each do |separator|
      text = lengths.map { |length| noise(length, length).tr("\nxy", 'abc') + separator }.join
      check_lines(["#{text}xy the end"], [separator, '', nil].product([nil, 4095, 4096, 4097]))
    end
  end

  def test_the_reader_works_with_other_classes
    write('table.csv', "a,b\n1,\"2\n3\"\n" * 1000)
    write('table.gz', Zlib.gzip('compressed ' * 100_000))
    full
    @storage.open_snapshot('source') do |snapshot|
      assert_equal [%w[a b], %W[1 2\n3]], CSV.new(snapshot.open('table.csv')).first(2)
      snapshot.open('table.gz') { |reader| assert_equal 'compressed ' * 100_000, Zlib::GzipReader.new(reader).read }
      out = StringIO.new(''.b)
      assert_equal @big.bytesize, IO.copy_stream(snapshot.open('big'), out)
      assert_equal @big, out.string
      buffer = +'old'
      assert_same buffer, snapshot.open('big').read(3, buffer)
      assert_equal @big.byteslice(0, 3), buffer.b
    end
  end

  def test_names_that_are_not_text
    entry = @snapshot[NOT_TEXT]
    assert_equal NOT_TEXT, entry.path
    assert_equal NOT_TEXT.b, entry.path.b
    refute_predicate entry.path, :valid_encoding?
    [NOT_TEXT.b, NOT_TEXT.dup.force_encoding('ISO-8859-1')].each { |name| assert_equal 'bytes', @snapshot.read(name) }
    dest = fresh
    @storage.restore('source', dest, path: NOT_TEXT)
    assert_equal [NOT_TEXT.b], Dir.children(dest).map(&:b)
    other = File.join(@room, NOT_TEXT)
    File.rename(dest, other)
    @storage.full_backup(other, cache_dir: false, key: "Gr\u00FC\u00DFe".encode('ISO-8859-1'))
    assert_equal other.b, @storage.snapshots("Gr\u00FC\u00DFe").first.source.b
  end
end
