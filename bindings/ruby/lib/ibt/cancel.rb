# frozen_string_literal: true

module Ibt
  # A request to stop, for the option `cancel` of any number of operations. It cannot be taken back. To stop one
  # operation, it is simpler to leave its block, or to interrupt its thread.
  #
  # Any thread and any signal handler may use it.
  class Cancel
    # Makes a request that is not made yet.
    def initialize
      @requested = false
      @calls = {}.compare_by_identity # without a lock, because a signal handler cannot take one
    end

    # Asks the operations to stop: running ones raise {CancelledError} soon, later ones at once.
    # @return [void]
    def request
      @requested = true
      @calls.keys.each { |cancel| C.ibt_cancel_request(cancel) }
      nil
    end

    # @return [Boolean] whether the request was made
    def requested?
      @requested
    end

    # Passes the request on to a call, while a block runs.
    # @api private
    def during(cancel)
      @calls[cancel] = true
      C.ibt_cancel_request(cancel) if @requested
      yield
    ensure
      @calls.delete(cancel)
    end
  end
end
