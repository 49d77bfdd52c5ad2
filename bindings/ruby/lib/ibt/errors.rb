# frozen_string_literal: true

module Ibt
  # Why a call of libibt failed. Each status has a class of its own below this one.
  #
  # The methods of your storages raise {NotFoundError}, {ExistsError}, {BusyError}, {CancelledError} and
  # {UnsupportedError} to answer with that status.
  class Error < StandardError
    # The status in ibt.h; 0 for an unknown one.
    STATUS = 0

    # @return [Integer] the status, such as -3
    attr_reader :status
    # @return [Symbol, nil] the operation that failed, such as :restore
    attr_reader :operation
    # @return [String, nil] the path or backup file concerned, with any bytes
    attr_reader :path
    # @return [Integer] the system's error number behind the failure, or 0. The cause is then the system's error.
    attr_reader :os_code
    # @return [Report, nil] the report of the failed operation; nil if its work had not begun
    attr_reader :report

    # @param message [String, nil] one line for people
    # @param status [Integer] the status
    # @param operation [Symbol, nil] the operation that failed
    # @param path [String, nil] the path or backup file concerned
    # @param os_code [Integer] the system's error number, or 0
    # @param report [Report, nil] the report of the operation
    def initialize(message = nil, status: self.class::STATUS, operation: nil, path: nil, os_code: 0, report: nil)
      @status = status
      @operation = operation
      @path = path
      @os_code = os_code
      @report = report
      super(message || status_name)
    end

    # @return [String] the name of the status in ibt.h, such as "IBT_ERR_NOT_FOUND"
    def status_name
      Text.from_c(C.ibt_status_name(status))
    end
  end

  # An operation finished with problems: {Report#complete!} raises it. The report lists the problems.
  class PartialError < Error
    # IBT_PARTIAL
    STATUS = 1
  end

  # An argument or option is malformed, unknown, or has no use in the operation; or an object is closed.
  class InvalidArgumentError < Error
    # IBT_ERR_INVALID_ARG
    STATUS = -1
  end

  # The system could not read or write: for example there is no such source, no space left, or no permission.
  class InputOutputError < Error
    # IBT_ERR_IO
    STATUS = -2
  end

  # There is no such key, snapshot or entry, or a glob or path matches nothing.
  class NotFoundError < Error
    # IBT_ERR_NOT_FOUND
    STATUS = -3
  end

  # The operation would create something that exists already.
  class ExistsError < Error
    # IBT_ERR_EXISTS
    STATUS = -4
  end

  # Stored bytes are damaged.
  class CorruptError < Error
    # IBT_ERR_CORRUPT
    STATUS = -5
  end

  # A file was written by a newer libibt, or is not a backup file at all.
  class FormatError < Error
    # IBT_ERR_FORMAT
    STATUS = -6
  end

  # A backup file that the snapshot needs is gone.
  class MissingError < Error
    # IBT_ERR_MISSING
    STATUS = -7
  end

  # A method of a storage failed. If it raised an exception, the call raises that exception, whose cause is this error.
  class StorageError < Error
    # IBT_ERR_STORAGE
    STATUS = -8
  end

  # The operation was cancelled with a {Cancel}.
  class CancelledError < Error
    # IBT_ERR_CANCELLED
    STATUS = -9
  end

  # Another call or another program is using the object or the key.
  class BusyError < Error
    # IBT_ERR_BUSY
    STATUS = -10
  end

  # Not possible on this system, not built in, or the storage has no method for it.
  class UnsupportedError < Error
    # IBT_ERR_UNSUPPORTED
    STATUS = -11
  end

  # Beyond a documented limit.
  class LimitError < Error
    # IBT_ERR_LIMIT
    STATUS = -12
  end

  # The source or the host is another one than that of the newest snapshot, the source is empty although the newest
  # snapshot has entries, or the digest is not the expected one.
  class MismatchError < Error
    # IBT_ERR_MISMATCH
    STATUS = -13
  end

  # A bug in libibt that was caught. Please report it with the message.
  class PanicError < Error
    # IBT_ERR_PANIC
    STATUS = -99
  end

  class Error
    # The class of each status.
    CLASSES = Ibt.constants.map { |name| Ibt.const_get(name) }.select { |made| made.is_a?(Class) && made < self }
                 .to_h { |made| [made::STATUS, made] }.freeze

    # @api private
    # @return [Class] the class of a status
    def self.of_status(status)
      CLASSES.fetch(status, Error)
    end

    # Copies and frees an error of libibt. Returns nil for NULL.
    # @api private
    # @return [Error, nil]
    def self.take(pointer, **context)
      return if pointer.null?

      begin
        status = C.ibt_error_status(pointer)
        of_status(status).new(Text.from_c(C.ibt_error_message(pointer)),
                              status: status, path: Text.from_c(C.ibt_error_path(pointer)),
                              os_code: C.ibt_error_os_code(pointer), **context)
      ensure
        C.ibt_error_free(pointer)
      end
    end

    # Raises the error, with the system's error as its cause unless there is another one.
    # @api private
    def throw_with(cause = nil)
      cause ||= SystemCallError.new(nil, os_code) unless os_code.zero?
      raise self, cause: cause
    end
  end
end
