# frozen_string_literal: true

require_relative 'support'

# Compares the gem with the header and the list of symbols, so that nothing of libibt stays out of reach.
class BoundTest < Minitest::Test
  ROOT = File.expand_path('../../..', __dir__)
  C = Ibt.const_get(:C)
  SYMBOLS = File.readlines(File.join(ROOT, 'abi/ibt.symbols'), chomp: true)
  HEADER = File.read(File.join(ROOT, 'include/ibt.h')).gsub(%r{/\*.*?\*/}m, '')

  def test_every_function_is_declared_and_used
    sources = Dir[File.join(__dir__, '../lib/**/*.rb')].reject { |file| file.end_with?('/c.rb') }
    used = sources.flat_map { |file| File.read(file).scan(/\bibt_\w+/) }
    used += %w[ibt_counter_name ibt_problem_name] # c.rb makes its tables with them
    assert_operator SYMBOLS.length, :>, 150
    SYMBOLS.each do |name|
      assert_respond_to C, name
      assert_includes used, name
    end
  end

  def test_every_function_has_the_types_of_the_header
    declared = HEADER.scan(/IBT_API\s+([\w\s]+?[\s*]+)(ibt_\w+)\(([^;]*)\);/)
    assert_equal SYMBOLS.sort, declared.map { |_, name, _| name }.sort
    declared.each do |result, name, arguments|
      types = arguments.strip == 'void' ? [] : arguments.split(',').map { |one| type_of(one.sub(/\w+\s*\z/, '')) }
      result_here, types_here = C::SIGNATURES.fetch(name.to_sym)
      assert_equal type_of(result), result_here, name
      assert_equal types.length, types_here.length, name
      types.zip(types_here) do |type, here| # a text is passed as a String or as a copy
        assert type == here || [type, here] == %i[string pointer], "#{name}: #{types_here}, not #{types}"
      end
    end
  end

  # A call that may work, wait or call back lets other threads run meanwhile.
  def test_functions_that_may_take_long_do_not_hold_the_lock_of_the_interpreter
    long = HEADER.scan(/(ibt_\w+)\(([^;]*ibt_error \*\*[^;]*)\);/).select { |_, types| types =~ /options|_fn / }
    assert_equal long.map { |name, _| name.to_sym }.sort, C::BLOCKING.sort
    assert_includes C::BLOCKING, :ibt_snapshot_read
  end

  def test_each_option_calls_its_setter
    options = Ibt::Options
    tables = %i[SETTERS LISTS LABELS PROCS].map { |name| options.const_get(name) }
    tables.reduce(:merge).each do |name, entry|
      assert_match(/\Aibt_options_(set|add)_#{name}\z/, Array(entry)[1] || entry)
    end
  end

  def test_every_constant_is_there
    constants = HEADER.scan(/^#define IBT_(\w+) (-?\d+)$/)
    assert_operator constants.length, :>, 80
    constants.each { |name, number| assert_includes values(name), Integer(number), name }
  end

  def test_the_version_is_that_of_the_header
    assert_equal HEADER[/^#define IBT_VERSION "(.*)"/, 1], Ibt::VERSION
    assert_equal Integer(HEADER[/^#define IBT_VERSION_NUMBER (\w+)/, 1]), Ibt.library_version_number
  end

  private

  # The values that the gem has for a constant of the header: in a table, or as the status of an error.
  def values(name)
    tables = C.constants.select { |table| C.const_get(table).is_a?(Hash) && name.start_with?("#{table}_") }
    found = tables.map { |table| C.const_get(table)[name.delete_prefix("#{table}_").downcase.to_sym] }
    statuses = { 'OK' => 0 }.merge(Ibt::Error::CLASSES.to_h { |status, made| [made.new.status_name, status] })
    found << statuses["IBT_#{name}"] << statuses[name]
  end

  # The types in the terms of FFI.
  def type_of(text)
    text = text.delete_prefix('IBT_API').strip.gsub(/\s+/, ' ')
    return :string if text =~ /\Aconst char \*\z/
    return :pointer if text.include?('*') || text =~ /_fn\z/

    { 'ibt_status' => :int32, 'int32_t' => :int32, 'uint32_t' => :uint32, 'int64_t' => :int64, 'uint64_t' => :uint64,
      'size_t' => :size_t, 'void' => :void }.fetch(text)
  end
end
