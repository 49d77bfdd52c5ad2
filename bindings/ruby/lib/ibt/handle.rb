# frozen_string_literal: true

module Ibt
  # An object of libibt that may be closed while a call uses it: it is freed when that call has ended. An object that
  # nobody refers to any more is freed by the garbage collector.
  #
  # @api private
  class Handle
    # @param kind [String] for messages
    # @param pointer [FFI::Pointer] the object
    # @param release [Method] frees it
    def initialize(kind, pointer, release)
      @kind = kind
      @pointer = FFI::AutoPointer.new(pointer, release)
      @users = 0
      @closed = false
      @mutex = Thread::Mutex.new
    end

    # Runs a block with the pointer.
    # @raise [InvalidArgumentError] if the object is closed
    def use
      pointer = acquire
      begin
        yield pointer
      ensure
        give_back
      end
    end

    # Runs a block with the pointers of several objects.
    def self.use_all(handles, pointers = [], &block)
      return yield(pointers) if handles.empty?

      handles.first.use { |pointer| use_all(handles.drop(1), pointers + [pointer], &block) }
    end

    # @return [void]
    def close
      @mutex.synchronize do
        @closed = true
        free if @users.zero?
      end
    end

    # @return [Boolean]
    def closed?
      @closed
    end

    private

    def acquire
      @mutex.synchronize do
        raise InvalidArgumentError, "the #{@kind} is closed" if @closed

        @users += 1
        @pointer
      end
    end

    def give_back
      @mutex.synchronize do
        @users -= 1
        free if @closed && @users.zero?
      end
    end

    def free
      @pointer&.free
      @pointer = nil
    end
  end
  private_constant :Handle
end
