# frozen_string_literal: true

module Ibt
  # The procs of the caller for one call, and what their values mean for libibt. Runs on the thread of the caller.
  #
  # @api private
  class Functions
    OK = C::CALLBACK[:ok]
    private_constant :OK

    # What a filter may return.
    DECISIONS = { true => C::FILTER[:include], false => C::FILTER[:leave_out], include: C::FILTER[:include],
                  leave_out: C::FILTER[:leave_out], leave_out_all: C::FILTER[:leave_out_all],
                  stop: C::CALLBACK[:stop] }.freeze

    # @param procs [Hash{Symbol => #call}] by the names of the methods below
    def initialize(procs)
      @procs = procs
    end

    # @return [Integer]
    def progress(now)
      @procs[:progress].call(now)
      OK
    end

    # @return [Integer]
    def change(change)
      @procs[:change].call(change) == :stop ? C::CALLBACK[:stop] : OK
    end

    # @return [Integer]
    def filter(entry)
      decision = @procs[:filter].call(entry)
      DECISIONS.fetch(decision) do
        raise InvalidArgumentError.new("the filter answered #{decision.inspect}, which is none of " \
                                       "#{DECISIONS.keys.map(&:inspect).join(', ')}", path: entry.path)
      end
    end

    # @return [Integer]
    def log(level, message)
      log = @procs[:log]
      log.respond_to?(:add) ? log.add(severity(level), message, 'ibt') : log.call(level, message)
      OK
    end

    # @return [Integer]
    def key(name, snapshots)
      @procs[:key].call(name, snapshots)
      OK
    end

    # @return [Integer]
    def entries(batch)
      batch.each { |entry| @procs[:entries].call(entry) }
      OK
    end

    # @return [Integer]
    def bytes(bytes)
      @procs[:bytes].call(bytes)
      OK
    end

    private

    # @return [Integer] the severity as Logger has it
    def severity(level)
      { debug: 0, info: 1, warn: 2, error: 3 }.fetch(level, 4)
    end
  end
  private_constant :Functions
end
