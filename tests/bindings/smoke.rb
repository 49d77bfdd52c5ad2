# libibt through ruby-ffi: a backup, an increment and a restore. An exception in a callback must never count as success.
#
#   ruby smoke.rb LIBIBT.SO
require 'ffi'
require 'fileutils'
require 'json'
require 'tmpdir'

module Ibt
  extend FFI::Library
  ffi_lib ARGV.fetch(0)
  callback :progress, %i[pointer pointer], :int32
  # blocking: true lets other Ruby threads run meanwhile; callbacks still come on this thread.
  %i[ibt_full_backup ibt_incremental_backup].each do |name|
    attach_function name, %i[pointer string pointer pointer pointer], :int32, blocking: true
  end
  attach_function :ibt_restore, %i[pointer string string pointer pointer pointer], :int32, blocking: true
  attach_function :ibt_list_snapshots, %i[pointer string pointer pointer pointer], :int32, blocking: true
  attach_function :ibt_storage_open_dir, %i[string uint32 pointer pointer], :int32
  attach_function :ibt_storage_free, [:pointer], :void
  attach_function :ibt_options_new, [], :pointer
  attach_function :ibt_options_free, [:pointer], :void
  attach_function :ibt_options_set_cache_dir, %i[pointer string], :int32
  attach_function :ibt_options_set_progress, %i[pointer progress pointer pointer], :int32
  attach_function :ibt_report_json, [:pointer], :string
  attach_function :ibt_report_free, [:pointer], :void
  attach_function :ibt_error_message, [:pointer], :string
  attach_function :ibt_error_free, [:pointer], :void
  NOT_FOUND = -3
  CANCELLED = -9

  # Calls an operation. Returns its status, its report as a Hash, and the message of its error.
  def self.run(name, *arguments)
    report = FFI::MemoryPointer.new(:pointer)
    error = FFI::MemoryPointer.new(:pointer)
    status = send(name, *arguments, report, error)
    json = ibt_report_json(report.read_pointer)
    [status, json.empty? ? {} : JSON.parse(json), ibt_error_message(error.read_pointer)]
  ensure
    ibt_report_free(report.read_pointer)
    ibt_error_free(error.read_pointer)
  end
end

def expect(what, got, wanted)
  raise "#{what} is #{got.inspect}, not #{wanted.inspect}" unless got == wanted
end

Dir.mktmpdir do |room|
  source = File.join(room, 'source')
  FileUtils.mkdir_p(File.join(source, 'dir'))
  File.write(File.join(source, 'dir', 'file'), 'as it was' * 10_000)
  pointer = FFI::MemoryPointer.new(:pointer)
  expect('open_dir', Ibt.ibt_storage_open_dir(File.join(room, 'store'), 0, pointer, nil), 0)
  storage = pointer.read_pointer
  options = Ibt.ibt_options_new
  Ibt.ibt_options_set_cache_dir(options, File.join(room, 'cache'))

  raising = proc { |_, _| raise 'raised in a block' }
  Ibt.ibt_options_set_progress(options, raising, nil, nil)
  status = begin
    Ibt.run(:ibt_full_backup, storage, source, options).first
  rescue RuntimeError => e
    expect('the exception', e.message, 'raised in a block')
    Ibt::CANCELLED
  end
  expect('a backup whose callback raised', status, Ibt::CANCELLED)
  expect('a list after it', Ibt.run(:ibt_list_snapshots, storage, 'source', nil).first, Ibt::NOT_FOUND)

  calls = 0
  counting = proc { |_, _| calls += 1; 1 }
  Ibt.ibt_options_set_progress(options, counting, nil, nil)
  status, report, message = Ibt.run(:ibt_full_backup, storage, source, options)
  expect("a full backup (#{message})", status, 0)
  raise 'progress was never told' if calls.zero?
  File.write(File.join(source, 'dir', 'file'), 'as it is now' * 10_000)
  expect('an increment', Ibt.run(:ibt_incremental_backup, storage, source, options).first, 0)
  dest = File.join(room, 'restored')
  expect('a restore', Ibt.run(:ibt_restore, storage, 'source', dest, nil).first, 0)
  expect('what came back', File.read(File.join(dest, 'dir', 'file')), 'as it is now' * 10_000)
  expect('the first key', report['key'], 'source')
  Ibt.ibt_options_free(options)
  Ibt.ibt_storage_free(storage)
end
puts 'ruby: ok'
