# frozen_string_literal: true

module Ibt
  # A thread that makes one call of libibt.
  #
  # libibt calls back on the thread of the call, in the middle of its own work. An exception, a throw or a kill there
  # would remove libibt's frames from the stack while its threads still use them. So the call runs on a thread of its
  # own, which nobody can interrupt. A callback asks the thread that wants the result, the owner, and waits for the
  # answer. The owner runs the caller's procs and methods without any frame of C below them, see {Call}.
  #
  # A worker refers to nothing of the caller, neither procs nor storages. So an owner that will never answer, because it
  # is a fiber that nobody resumes, is collected as garbage, and its finalizer then ends the call.
  #
  # @api private
  class Worker
    # No interrupt of any kind.
    MASK = { Object => :never }.freeze
    # Interrupts at any time.
    UNMASK = { Object => :immediate }.freeze
    # How many entries of a listing are passed to the owner at once.
    BATCH = 256

    # A question to the owner. The answer is nil while there is none.
    Request = Struct.new(:name, :arguments, :answer)

    # @return [Integer] the status that the call returned
    attr_reader :status
    # @return [Error, nil] the error of the call
    attr_reader :error
    # @return [Report, Handle, nil] what the call made
    attr_reader :result
    # @return [Exception, nil] what failed before or after the call
    attr_reader :failure

    # @param operation [Symbol] the name for errors
    # @param function [Symbol] the function of libibt
    # @param handles [Array<Handle>] its first arguments
    # @param arguments [Array] its further arguments
    # @param cancel [FFI::Pointer] the ibt_cancel of this call
    # @param out [Symbol, nil] :report or :snapshot: what its last but one argument is for
    # @param buffer [String, Array, nil] collects the bytes or entries of the call; without it the owner receives them
    def initialize(operation, function, handles, arguments, cancel:, out: nil, buffer: nil)
      @operation = operation
      @function = function
      @handles = handles
      @arguments = arguments
      @out = out
      @buffer = buffer
      @cancel = cancel
      @batch = []
      @owner = Thread.current
      @wake = Thread::Queue.new
      @answers = Thread::Queue.new
    end

    # @return [Worker] the worker whose thread this is
    def self.current
      Thread.current[:ibt_worker]
    end

    # A finalizer of the owner, which must not refer to the owner.
    # @return [Proc]
    def self.abandoner(worker)
      proc { worker.abandon }
    end

    # ---- On the thread of the owner ----

    # Begins the call. Interrupts must be masked: the thread inherits the mask.
    # @return [void]
    def start
      @thread = Thread.new { run }
    end

    # @return [Boolean] whether the call runs. It does not in a process that was forked meanwhile.
    def running?
      !@ended && !@thread.nil? && @thread.alive?
    end

    # @return [Boolean] whether the call has returned
    def ended?
      @ended
    end

    # Waits until there may be a question, or the call has ended.
    # @return [Request, nil] the question without an answer
    def wait_for_request
      @wake.pop
      request = @request
      request if request && request.answer.nil?
    end

    # Answers a question. The worker may ask the next one at once.
    # @return [void]
    def answer(request, value)
      request.answer = value
      @answers.push(true)
    end

    # Asks libibt to stop, and answers the question, if there is one, with a failure.
    # @return [void]
    def break_off
      C.ibt_cancel_request(@cancel)
      request = @request
      request.answer = :failed if request && request.answer.nil?
      @answers.push(true) # also for an answer that was interrupted before it was sent
    end

    # Ends a call whose owner will never answer.
    # @return [void]
    def abandon
      return unless running?

      @abandoned = true
      C.ibt_cancel_request(@cancel)
      @answers.push(true)
    end

    # ---- On the thread of the call ----

    # Asks the owner.
    # @return [Object] the answer; :failed if there will be none
    def ask(name, *arguments)
      return :failed if @abandoned

      asked = Request.new(name, arguments)
      @request = asked
      @wake.push(true)
      wait_for_answer(asked)
      asked.answer.nil? ? :failed : asked.answer
    end

    # Takes bytes that libibt read.
    # @return [Integer] one of IBT_CALLBACK_*
    def take_bytes(bytes)
      return option(:bytes, bytes) unless @buffer

      @buffer << bytes
      unless_cancelled
    end

    # Takes an entry that libibt listed.
    # @return [Integer] one of IBT_CALLBACK_*
    def take_entry(entry)
      (@buffer || @batch) << entry
      @batch.length < BATCH ? unless_cancelled : pass_batch
    end

    # Asks the owner for the answer of a function of the caller.
    # @return [Integer] one of IBT_CALLBACK_* or IBT_FILTER_*
    def option(name, *arguments)
      answer = ask(name, *arguments)
      answer == :failed ? C::CALLBACK[:failed] : answer
    end

    # Runs the body of a callback. No exception leaves it.
    # @return [Integer] one of IBT_CALLBACK_*
    def guard
      yield
    rescue Exception => e # rubocop:disable Lint/RescueException
      @failure ||= e
      C.ibt_cancel_request(@cancel)
      C::CALLBACK[:failed]
    end

    private

    def run
      Thread.current[:ibt_worker] = self
      Thread.current.report_on_exception = false
      Handle.use_all(@handles) { |pointers| call(pointers) }
    rescue Exception => e # rubocop:disable Lint/RescueException
      @failure ||= e
    ensure
      @ended = true
      @wake.push(true)
    end

    def call(pointers)
      error = FFI::MemoryPointer.new(:pointer)
      out = @out && FFI::MemoryPointer.new(:pointer)
      @status = C.public_send(@function, *pointers, *@arguments, *(out ? [out, error] : [error]))
      pass_batch unless @batch.empty? || @status.negative?
      take_result(out.read_pointer) if out
      context = @result.is_a?(Report) ? { report: @result } : {}
      @error = Error.take(error.read_pointer, operation: @operation, **context)
    end

    def pass_batch
      batch = @batch
      @batch = []
      option(:entries, batch)
    end

    def unless_cancelled
      C.ibt_cancel_requested(@cancel).zero? ? C::CALLBACK[:ok] : C::CALLBACK[:failed]
    end

    def take_result(pointer)
      if @out == :report
        @result = Report.take(pointer)
      elsif !pointer.null?
        @result = Handle.new('snapshot', pointer, C.method(:ibt_snapshot_free))
      end
    end

    # Only here can the thread be killed, at the end of the process. It must not end before the call has returned: the
    # `return` keeps it alive.
    def wait_for_answer(asked)
      Thread.handle_interrupt(UNMASK) { @answers.pop while asked.answer.nil? && !@abandoned }
    ensure
      outlast_owner(asked) if asked.answer.nil? && !@abandoned
      return # rubocop:disable Lint/EnsureReturn
    end

    # An owner that is killed too still answers. The main thread does not: it is ending the process.
    def outlast_owner(asked)
      sleep 0.01 while asked.answer.nil? && @owner != Thread.main && @owner.alive?
      abandon if asked.answer.nil?
    end
  end
  private_constant :Worker
end
