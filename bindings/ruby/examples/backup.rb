# frozen_string_literal: true

# Backs up a directory: the first time whole, later as increments. Ctrl-C stops it, and leaves no snapshot.
#
#   ruby backup.rb STORE SOURCE              make a snapshot
#   ruby backup.rb STORE                     list the snapshots
#   ruby backup.rb STORE SOURCE FILE         write a file of the newest snapshot to the standard output

require 'ibt'

# Whether the storage has a snapshot of the key.
def known?(storage, key)
  storage.keys.key?(key)
rescue Ibt::NotFoundError
  false # the first backup makes the directory
end

def back_up(storage, source)
  make = known?(storage, File.basename(File.expand_path(source))) ? :incremental_backup : :full_backup
  report = storage.public_send(make, source) do |now|
    $stderr.print "\r#{now.phase} #{now.done_entries} entries, #{now.done_bytes} bytes\e[K" if $stderr.tty?
  end
  report.problems.each { |problem| warn problem }
  puts "#{report.snapshot}: #{report.counters[:entries]} entries, #{report.total_size} bytes stored"
  report.partial? ? 1 : 0
end

def list(storage)
  storage.snapshots.each { |snapshot| puts "#{snapshot.key} #{snapshot.stamp} #{snapshot.kind} #{snapshot.source}" }
  0
end

def write_file(storage, source, path)
  storage.open_snapshot(File.basename(File.expand_path(source))) { |snapshot| snapshot.copy(path, $stdout.binmode) }
  0
end

begin
  store, source, file = ARGV
  abort "ruby #{$PROGRAM_NAME} STORE [SOURCE [FILE]]" unless store
  exit(Ibt::Storage.open(store) do |storage|
    next list(storage) unless source

    file ? write_file(storage, source, file) : back_up(storage, source)
  end)
rescue Ibt::Error => e
  abort "#{e.message} (#{e.status_name})"
rescue Interrupt
  abort 'stopped'
end
