# frozen_string_literal: true

module Ibt
  # One call of libibt, on the thread that wants its result: the owner. A {Worker} makes the call. Meanwhile the owner
  # waits for questions of callbacks, and runs the procs and storages of the caller.
  #
  # These may leave in any way: an exception, throw, break, Thread#kill, Timeout. The `ensure` of {#run} then asks
  # libibt to stop, and goes on to run the storage's methods that end writers and locks, until the call has returned.
  #
  # @api private
  class Call
    # Makes a call.
    # @param operation [Symbol] the name for errors
    # @param function [Symbol] the function of libibt
    # @param handles [Array<Handle>] its first arguments
    # @param arguments [Array] its further arguments
    # @param options [Options, nil] its options, the argument after these; nil for a function that takes none
    # @param procs [Hash{Symbol => #call}] of the caller
    # @param storage [Object, nil] of the caller
    # @param out [Symbol, nil] see {Worker}
    # @param buffer [String, Array, nil] see {Worker}
    # @return [Report, Handle, nil]
    def self.run(operation, function, handles, arguments, options: nil, procs: {}, storage: nil, out: nil, buffer: nil)
      cancel = FFI::AutoPointer.new(C.ibt_cancel_new, C.method(:ibt_cancel_free))
      arguments += [options.native(cancel, procs)] if options
      worker = Worker.new(operation, function, handles, arguments, out: out, buffer: buffer, cancel: cancel)
      call = new(worker, Functions.new(procs), storage && StorageMethods.new(storage))
      requested = options&.cancel
      requested ? requested.during(cancel) { call.run } : call.run
    end

    # @param worker [Worker]
    # @param functions [Functions]
    # @param storage [StorageMethods, nil]
    def initialize(worker, functions, storage)
      @worker = worker
      @functions = functions
      @storage = storage
      @broken = false
      ObjectSpace.define_finalizer(self, Worker.abandoner(worker))
    end

    # @return [Report, Handle, nil] the result
    def run
      begin
        Thread.handle_interrupt(Worker::MASK) { @worker.start }
        serve
      ensure
        wind_down
      end
      outcome
    end

    private

    def serve
      while @worker.running?
        request = @worker.wait_for_request or next
        if StorageMethods::UNINTERRUPTED.include?(request.arguments.first)
          Thread.handle_interrupt(Worker::MASK) { @worker.answer(request, respond(request)) }
        else
          @worker.answer(request, respond(request))
        end
      end
    end

    # Ends a call that somebody left. Each further exit, for example a second Ctrl-C, ends only the method that runs.
    def wind_down
      return unless @worker.running?

      begin
        Thread.handle_interrupt(Worker::MASK) do
          @broken = true
          @worker.break_off
        end
        serve
      ensure
        wind_down
      end
    end

    def respond(request)
      return @storage.answer(*request.arguments) if request.name == :storage

      @broken ? :failed : @functions.public_send(request.name, *request.arguments)
    end

    def outcome
      raise @worker.failure if @worker.failure
      raise UnsupportedError, 'a call of libibt does not go on in a process that was forked' unless @worker.ended?

      error = @worker.error
      return succeeded(@worker.result) unless error

      cause = @storage&.cause_of(error)
      cause && error.is_a?(StorageError) ? raise_again(cause, error) : error.throw_with(cause)
    end

    def succeeded(result)
      failed = @storage&.failed_cleanup or return result

      report = result.is_a?(Report) ? result : nil
      raise_again(failed, StorageError.new('the operation succeeded, but the storage failed after it', report: report))
    end

    # Raises an exception of the storage as it was.
    def raise_again(exception, error)
      raise exception if exception.cause || exception.frozen?

      raise exception, cause: error
    end
  end
  private_constant :Call
end
