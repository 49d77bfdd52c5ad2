# frozen_string_literal: true

module Ibt
  # The functions that libibt calls back. They exist once, for as long as the process: each finds its call by the thread
  # on which it runs.
  #
  # @api private
  module Callbacks
    # The answer of a callback that succeeds.
    OK = C::CALLBACK[:ok]
    # The answer of a callback that fails.
    FAILED = C::CALLBACK[:failed]

    # Makes a function of C.
    def self.function(*arguments, &body)
      FFI::Function.new(:int32, %i[pointer] + arguments) do |_, *values|
        worker = Worker.current
        worker.guard { body.call(worker, *values) }
      end
    end

    # Makes a function of C that returns nothing.
    def self.procedure(*arguments, &body)
      FFI::Function.new(:void, %i[pointer] + arguments) do |_, *values|
        worker = Worker.current
        worker.guard { body.call(worker, *values) }
        nil
      end
    end

    # Asks a storage, and passes the value of an answer that is no failure to a block.
    # @return [Integer]
    def self.storage(worker, name, *arguments)
      answer = worker.ask(:storage, name, *arguments)
      return fail_with(FAILED, 0, 'the storage was interrupted') if answer == :failed
      return fail_with(*answer.drop(1)) if answer.first == :failed

      yield answer.last if block_given?
      OK
    end

    # Records why a storage failed. Libibt knows the storage by the thread.
    # @return [Integer] the number that libibt gets
    def self.fail_with(number, os_code, reason)
      C.ibt_storage_fail(nil, os_code, reason)
      number
    end

    # ---- Options ----

    PROGRESS = function(:pointer) { |worker, now| worker.option(:progress, Progress.read(now)) }
    CHANGE = function(:uint32, :pointer, :pointer) do |worker, what, before, after|
      worker.option(:change, Change.read(what, before, after))
    end
    FILTER = function(:pointer) { |worker, entry| worker.option(:filter, Entry.read(entry)) }
    LOG = procedure(:int32, :pointer) do |worker, level, message|
      worker.option(:log, C.name_of(C::LOG, level), Text.from_c(message.read_string))
    end

    # ---- Listings and reads ----

    KEY = function(:pointer, :uint64) do |worker, key, snapshots|
      worker.option(:key, Text.from_c(key.read_string), snapshots)
    end
    ENTRY = function(:pointer) { |worker, entry| worker.take_entry(Entry.read(entry)) }
    BYTES = function(:pointer, :size_t) { |worker, data, length| worker.take_bytes(data.read_bytes(length)) }

    # ---- Storages ----

    CREATE = function(:pointer, :pointer) do |worker, name, stream|
      storage(worker, :create, Text.from_c(name.read_string)) do |number|
        stream.write_pointer(FFI::Pointer.new(number))
      end
    end
    WRITE = function(:pointer, :pointer, :size_t) do |worker, stream, data, length|
      storage(worker, :write, stream.address, data.read_bytes(length))
    end
    COMMIT = function(:pointer) { |worker, stream| storage(worker, :commit, stream.address) }
    ABORT = procedure(:pointer) { |worker, stream| worker.ask(:storage, :abort, stream.address) }
    READ_AT = function(:pointer, :uint64, :pointer, :size_t, :pointer) do |worker, name, offset, buffer, length, got|
      storage(worker, :read_at, Text.from_c(name.read_string), offset, length) do |bytes|
        buffer.put_bytes(0, bytes)
        got.write(:size_t, bytes.bytesize)
      end
    end
    LIST = function(:pointer, :pointer) do |worker, prefix, list|
      storage(worker, :list, Text.from_c(prefix.read_string)) do |objects|
        objects.each { |name, size| C.ibt_list_add(list, name, size) }
      end
    end
    DELETE = function(:pointer) { |worker, name| storage(worker, :delete, Text.from_c(name.read_string)) }
    LOCK = function(:pointer) { |worker, key| storage(worker, :lock, Text.from_c(key.read_string)) }
    UNLOCK = procedure(:pointer) { |worker, key| worker.ask(:storage, :unlock, Text.from_c(key.read_string)) }

    private_class_method :function, :procedure, :storage, :fail_with
  end
  private_constant :Callbacks
end
