# frozen_string_literal: true

module Ibt
  # The progress of an operation.
  class Progress < Record
    # @return [Symbol] :scan, :read, :commit, :restore, :verify or :delete
    attr_reader :phase
    # @return [String] the path of the entry, or the name of the backup file, that the operation works on; "" for none
    attr_reader :path
    # @return [Integer] bytes done in this phase
    attr_reader :done_bytes
    # @return [Integer] bytes to do in this phase, those done included; 0 while unknown
    attr_reader :total_bytes
    # @return [Integer] entries done in this phase
    attr_reader :done_entries
    # @return [Integer] entries to do in this phase, those done included; 0 while unknown
    attr_reader :total_entries

    # Copies the progress of libibt.
    # @api private
    def self.read(now)
      new(phase: C.name_of(C::PHASE, C.ibt_progress_phase(now)), path: Text.from_c(C.ibt_progress_path(now)),
          done_bytes: C.ibt_progress_done_bytes(now), total_bytes: C.ibt_progress_total_bytes(now),
          done_entries: C.ibt_progress_done_entries(now), total_entries: C.ibt_progress_total_entries(now))
    end
  end
end
