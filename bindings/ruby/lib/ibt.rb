# frozen_string_literal: true

# Incremental backups with libibt: full backups, increments made of rsync deltas, and restores of any snapshot.
#
#   Ibt::Storage.open('store') do |storage|
#     storage.full_backup('documents')
#     storage.incremental_backup('documents')
#     storage.restore('documents', 'restored')
#   end
#
# A snapshot is one backup of one source directory. Snapshots of the same source share a key, by default the name of the
# directory. A {Storage} keeps them as ordinary files: in a directory, or in a Ruby object of yours.
#
# Every failure of libibt is an {Error}, of one class for each status. An operation that finished with problems returns
# its {Report}: see {Report#partial?} and {Report#complete!}.
#
# Blocks, procs and the methods of storages run on the thread that called the operation, and may leave it in any way:
# with raise, throw, break, Thread#kill or Timeout. The operation then ends cleanly first.
#
# The header ibt.h of libibt describes every operation and option in full.
module Ibt
end

require_relative 'ibt/version'
require_relative 'ibt/c'
require_relative 'ibt/text'
require_relative 'ibt/errors'
require_relative 'ibt/record'
require_relative 'ibt/entry'
require_relative 'ibt/progress'
require_relative 'ibt/report'
require_relative 'ibt/handle'
require_relative 'ibt/worker'
require_relative 'ibt/callbacks'
require_relative 'ibt/functions'
require_relative 'ibt/storage_methods'
require_relative 'ibt/call'
require_relative 'ibt/cancel'
require_relative 'ibt/options'
require_relative 'ibt/reader'
require_relative 'ibt/snapshot'
require_relative 'ibt/storage'

# The methods of the module itself.
module Ibt
  # @return [String] the version of the running library, such as "0.1.0"
  def self.library_version
    Text.from_c(C.ibt_version)
  end

  # @return [Integer] the version of the running library as a number: major * 65536 + minor * 256 + patch
  def self.library_version_number
    C.ibt_version_number
  end
end
