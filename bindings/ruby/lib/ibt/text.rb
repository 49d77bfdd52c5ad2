# frozen_string_literal: true

module Ibt
  # Conversions between values of Ruby and of C.
  #
  # @api private
  module Text
    module_function

    # @return [String, nil] a string of libibt: any bytes but NUL, marked as UTF-8
    def from_c(bytes)
      bytes&.force_encoding(Encoding::UTF_8)&.freeze
    end

    # @return [Time] a number of nanoseconds since 1970, in UTC
    def time(nanoseconds)
      seconds, rest = nanoseconds.divmod(1_000_000_000)
      Time.at(seconds, rest, :nsec, in: 'UTC').freeze
    end

    # @return [Time, nil] nil for an unknown time
    def time_if_known(nanoseconds)
      nanoseconds == C::INT64_MIN ? nil : time(nanoseconds)
    end

    # Checks a name or text. Bytes are passed on as they are, other encodings than UTF-8 are converted.
    # @return [String]
    def string(what, value)
      text = String.try_convert(value) or raise TypeError, "#{what}: #{value.inspect} is not a String"
      keep = [Encoding::UTF_8, Encoding::US_ASCII, Encoding::ASCII_8BIT].include?(text.encoding)
      text = text.encode(Encoding::UTF_8) unless keep
      raise ArgumentError, "#{what}: the text has a NUL byte" if text.b.include?("\0")

      text.b.freeze
    end

    # Checks a path: a String, a Pathname, or anything with to_path. Its bytes are passed on as they are.
    # @return [String]
    def path(what, value)
      File.path(value).b.freeze
    rescue TypeError, ArgumentError => e
      raise e.class, "#{what}: #{e.message}"
    end

    # Checks a number.
    # @return [Integer]
    def integer(what, value, range)
      number = Integer === value ? value : Integer.try_convert(value)
      raise TypeError, "#{what}: #{value.inspect} is not an Integer" unless number
      raise RangeError, "#{what}: #{number} is not in #{range}" unless range.cover?(number)

      number
    end

    # Checks a symbol of a table of constants.
    # @return [Integer]
    def constant(what, value, table)
      table.fetch(value) do
        raise ArgumentError, "#{what}: #{value.inspect} is none of #{table.keys.map(&:inspect).join(', ')}"
      end
    end

    # Copies a string into memory that no other thread changes.
    # @return [FFI::MemoryPointer]
    def pointer(bytes)
      FFI::MemoryPointer.from_string(bytes)
    end

    # @return [String] one line of UTF-8 without NUL, whatever the bytes of the text are
    def line(text)
      text = text.dup.force_encoding(Encoding::UTF_8) if text.encoding == Encoding::ASCII_8BIT
      text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub.tr("\0\r\n", ' ')
    end
  end
  private_constant :Text
end
