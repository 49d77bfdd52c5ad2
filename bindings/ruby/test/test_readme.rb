# frozen_string_literal: true

require_relative 'support'

# The programs of the documentation, each in a process of its own.
class ReadmeTest < RoomTest
  HERE = File.expand_path('..', __dir__)

  def test_the_program_in_the_readme
    FileUtils.mv(@source, File.join(@room, 'documents'))
    program = File.read(File.join(HERE, 'README.md'))[/```ruby\n(.*?)```/m, 1]
    said, status = run_ruby(program)
    assert_predicate status, :success?, said
    same_trees(File.join(@room, 'documents'), File.join(@room, 'restored'))
    assert_match(/^1 new entries, \d+ bytes stored$/, said)
    assert_match(/^letter$/, said)
  end

  def run_example(name, *arguments)
    said, status = Open3.capture2e({ 'XDG_CACHE_HOME' => fresh }, RbConfig.ruby, '-w', '-I', File.join(HERE, 'lib'),
                                   File.join(HERE, 'examples', name), *arguments)
    assert_predicate status, :success?, said
    said
  end

  def test_the_example_for_the_command_line
    store = fresh('store')
    assert_match(/: 4 entries/, run_example('backup.rb', store, @source))
    write('new', 'new')
    assert_match(/: 5 entries/, run_example('backup.rb', store, @source))
    assert_equal 'text', run_example('backup.rb', store, @source, 'dir/other')
    assert_match(/\Asource \S+ full #{@source}\nsource \S+ incremental #{@source}\n\z/, run_example('backup.rb', store))
  end

  def test_the_example_of_a_storage
    dest = fresh
    assert_equal "restored 4 entries\n", run_example('memory_storage.rb', @source, dest)
    same_trees(@source, dest)
  end

  def test_the_gem_can_be_built_and_installed
    gem = File.join(@room, 'ibt.gem')
    gems = fresh('gems')
    said, status = Open3.capture2e('gem', 'build', '--output', gem, 'ibt.gemspec', chdir: HERE)
    assert_predicate status, :success?, said
    said, status = Open3.capture2e('gem', 'install', '--local', '--no-document', '--ignore-dependencies',
                                   '--install-dir', gems, gem)
    assert_predicate status, :success?, said
    said, = Open3.capture2e({ 'GEM_PATH' => "#{gems}:#{Gem.default_path.join(':')}" }, RbConfig.ruby, '-e',
                            "require 'ibt'; print Ibt::VERSION, ' ', Ibt.library_version", chdir: @room)
    assert_equal "#{Ibt::VERSION} #{Ibt.library_version}", said
  end

  def test_where_the_library_is_found
    program = "require 'ibt'; print Ibt.library_version"
    loaded = File.read('/proc/self/maps')[%r{/\S*/libibt\.so\S*}]
    copy = File.join(@room, 'mine.so')
    FileUtils.cp(loaded, copy)
    { { 'IBT_LIBRARY' => copy, 'LD_LIBRARY_PATH' => nil, 'PKG_CONFIG_PATH' => nil } => Ibt.library_version,
      { 'IBT_LIBRARY' => File.join(@room, 'absent.so') } => /absent\.so/ }.each do |variables, expected|
      said, = Open3.capture2e(variables, RbConfig.ruby, '-I', File.join(HERE, 'lib'), '-e', program)
      assert_match expected, said
    end
    return skip('pkg-config does not find libibt') unless system('pkg-config', '--exists', 'ibt', err: File::NULL)

    said, = Open3.capture2e({ 'IBT_LIBRARY' => nil, 'LD_LIBRARY_PATH' => nil }, RbConfig.ruby, '-I',
                            File.join(HERE, 'lib'), '-e', program)
    assert_equal Ibt.library_version, said
  end
end
