# frozen_string_literal: true

module Ibt
  # The methods of a caller's storage during one call, and what their values and exceptions mean for libibt. Runs on the
  # thread of the caller.
  #
  # @api private
  class StorageMethods
    # Errors that become the status of the operation.
    ANSWERS = [NotFoundError, ExistsError, BusyError, CancelledError, UnsupportedError].freeze
    # Errors that have such a meaning only in one method.
    METHOD_ANSWERS = { read_at: { Errno::ENOENT => NotFoundError, CorruptError => CorruptError },
                       commit: { Errno::EEXIST => ExistsError } }.freeze
    # An interrupt must not come between the lock and its answer: libibt would never unlock.
    UNINTERRUPTED = %i[lock unlock].freeze
    # Methods whose failure libibt cannot receive.
    CLEANUPS = %i[abort unlock].freeze

    # @return [Exception, nil] the first exception of a cleanup
    attr_reader :failed_cleanup

    # @param object [Object] the storage
    def initialize(object)
      @object = object
      @writers = {}
      @created = 0
      @failures = {} # by the text that libibt gets
    end

    # Runs a method of the storage.
    # @return [Array] [:ok, value], or [:failed, the number for libibt, the system's error number, a reason]
    def answer(name, *arguments)
      [:ok, __send__(name, *arguments)]
    rescue StandardError => e
      @failed_cleanup ||= e if CLEANUPS.include?(name)
      failed(name, e)
    end

    # @return [Exception, nil] the exception behind an error of libibt, whose message has its text. A failure before it,
    #   or a cleanup that failed after it, must not hide it.
    def cause_of(error)
      found = @failures.find { |text, _| error.message.include?(text) }
      found ||= @failures.to_a.last if error.is_a?(StorageError)
      found&.last
    end

    private

    def failed(name, exception)
      text = Text.line("#{exception.message} (#{exception.class})")
      @failures[text] = exception unless @failures.key?(text)
      [:failed, number_of(name, exception), os_code_of(exception), text]
    end

    def number_of(name, exception)
      meant = METHOD_ANSWERS.fetch(name, {}).find { |kind, _| exception.is_a?(kind) }&.last
      meant ||= ANSWERS.find { |known| exception.is_a?(known) }
      meant ? meant::STATUS : C::CALLBACK[:failed]
    end

    def os_code_of(exception)
      code = case exception
             when SystemCallError then exception.errno
             when Error then exception.os_code
             end
      code.to_i
    end

    # ---- The methods: called by their names ----

    def create(name)
      writer = @object.create(name)
      missing = %i[write commit abort].reject { |method| writer.respond_to?(method) }
      raise TypeError, "create returned #{writer.class} without #{missing.join(', ')}" unless missing.empty?

      @writers[@created += 1] = writer
      @created
    end

    def write(number, bytes)
      @writers.fetch(number).write(bytes)
    end

    def commit(number)
      @writers.delete(number).commit
    end

    def abort(number)
      @writers.delete(number).abort
    end

    def read_at(name, offset, length)
      return '' if offset > (2**63) - 1 # past the end of every object, and more than methods of Ruby take

      bytes = begin
        @object.read_at(name, offset, length) || ''
      rescue EOFError
        ''
      end
      raise TypeError, "read_at returned #{bytes.class}, not a String" unless bytes.is_a?(String)
      raise RangeError, "read_at returned #{bytes.bytesize} bytes, not #{length}" if bytes.bytesize > length

      bytes.b
    end

    def list(prefix)
      objects = []
      @object.list(prefix).each do |name, size|
        text = String.try_convert(name) or raise TypeError, "list gave #{name.inspect} as a name"
        # Libibt would take a name with NUL for another name. It ignores foreign names.
        objects << [text.b, Text.integer('a size in list', size, 0..C::UINT64_MAX)] unless text.b.include?("\0")
      end
      objects
    end

    def delete(name)
      @object.delete(name)
    end

    def lock(key)
      raise BusyError, "the key #{key} is locked" if @object.lock(key) == false
    end

    def unlock(key)
      @object.unlock(key)
    end
  end
  private_constant :StorageMethods
end
