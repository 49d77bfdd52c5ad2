# frozen_string_literal: true

module Ibt
  # The content of a file in a snapshot, as an IO that is open for reading in binary mode: see {Snapshot#open}. It works
  # with IO.copy_stream, CSV, Zlib::GzipReader and others. Its parts have no hash that could be checked; {Snapshot#read}
  # and {Snapshot#copy} check the hash of a whole file.
  class Reader
    include Enumerable

    # How many bytes are read from the storage at once.
    PIECE = 1 << 20
    private_constant :PIECE

    # @return [Entry] the entry of the file
    attr_reader :entry
    # @return [Integer] the place of the next byte
    attr_reader :pos
    alias tell pos

    # @api private
    def initialize(snapshot, entry)
      @snapshot = snapshot
      @entry = entry
      @pos = 0
      @piece = ''.b
      @piece_begin = 0
    end

    # @return [Integer] the bytes of the file
    def size
      entry.size
    end

    # @param length [Integer, nil] how many bytes, nil for all that are left
    # @param buffer [String, nil] receives the bytes, in place of a new String
    # @return [String, nil] the bytes; nil at the end of the file, unless length is nil or 0
    def read(length = nil, buffer = nil)
      check_open
      wanted = length.nil? ? size : Text.integer('length', length, 0..)
      bytes = take(wanted)
      return fill(buffer, bytes) if length.nil? || wanted.zero? || !bytes.empty?

      buffer&.clear
      nil
    end

    # @param length [Integer] how many bytes at most
    # @param buffer [String, nil] receives the bytes, in place of a new String
    # @return [String] at least one byte
    # @raise [EOFError] at the end of the file
    def readpartial(length, buffer = nil)
      check_open
      length = Text.integer('length', length, 0..)
      raise EOFError, 'end of file reached' if eof? && length.positive?

      here = piece_at(@pos).bytesize - (@pos - @piece_begin)
      fill(buffer, take([length, here].min))
    end

    # Reads a line, as IO#gets does.
    # @param separator [String, Integer, nil] where a line ends: nil for nowhere, '' for empty lines. An Integer is the
    #   limit
    # @param limit [Integer, nil] how many bytes at most
    # @param chomp [Boolean] whether to remove the separator
    # @return [String, nil] nil at the end of the file
    def gets(separator = $/, limit = nil, chomp: false)
      separator, limit = $/, separator if separator.is_a?(Integer)
      check_open
      return ''.b if limit&.zero?

      skip_newlines if separator == ''
      return if eof?

      ending = separator == '' ? "\n\n" : separator&.b
      line = line_until(ending, limit || size)
      skip_newlines if separator == ''
      # String#chomp alone would also remove a "\r" at the end of a line that the limit or the file ends.
      chomp && ending && line.end_with?(ending) ? line.chomp(separator == '' ? '' : ending) : line
    end

    # Passes each line that is left to a block.
    # @param arguments [Array] as for {#gets}
    # @return [Enumerator, self]
    def each_line(*arguments, **options)
      return to_enum(:each_line, *arguments, **options) unless block_given?

      while (line = gets(*arguments, **options))
        yield line
      end
      self
    end
    alias each each_line

    # @return [Boolean] whether all bytes were read
    def eof?
      check_open
      @pos >= size
    end
    alias eof eof?

    # Moves to a place.
    # @param offset [Integer] how many bytes from whence
    # @param whence [Integer, Symbol] IO::SEEK_SET (:SET), IO::SEEK_CUR (:CUR) or IO::SEEK_END (:END)
    # @return [Integer] 0
    def seek(offset, whence = IO::SEEK_SET)
      check_open
      base = { IO::SEEK_SET => 0, IO::SEEK_CUR => @pos, IO::SEEK_END => size, SET: 0, CUR: @pos, END: size }
      place = base.fetch(whence) { raise ArgumentError, "whence: #{whence.inspect} is unknown" }
      raise Errno::EINVAL, 'before the begin of the file' if (place += Integer(offset)).negative?

      @pos = place
      0
    end

    # Moves to a place.
    # @param offset [Integer] how many bytes from the begin of the file
    # @return [Integer]
    def pos=(offset)
      seek(offset)
    end

    # Moves to the begin of the file.
    # @return [Integer] 0
    def rewind
      seek(0)
    end

    # Closes the reader. The snapshot stays open.
    # @return [nil]
    def close
      @snapshot = nil
      @piece = ''.b
      nil
    end

    # @return [Boolean]
    def closed?
      @snapshot.nil?
    end

    # Does nothing: a reader is always in binary mode.
    # @return [self]
    def binmode
      self
    end

    # @return [String] the class and the path
    def inspect
      "#<#{self.class} #{entry.path.inspect}>"
    end

    private

    def check_open
      raise IOError, 'closed stream' if closed?
    end

    def fill(buffer, bytes)
      buffer ? buffer.replace(bytes) : bytes
    end

    # Takes the next bytes: fewer if the file ends before.
    def take(wanted)
      wanted = [wanted, size - @pos].min
      taken = ''.b
      while taken.bytesize < wanted
        piece = piece_at(@pos)
        part = piece.byteslice(@pos - @piece_begin, wanted - taken.bytesize)
        taken << part
        @pos += part.bytesize
      end
      taken
    end

    # @return [String] bytes that contain those at an offset before the end of the file
    def piece_at(offset)
      return @piece if offset >= @piece_begin && offset < @piece_begin + @piece.bytesize

      piece = @snapshot.read(entry.path, PIECE, offset)
      raise CorruptError.new('the file has another length than recorded', path: entry.path) if piece.nil?

      @piece_begin = offset
      @piece = piece
    end

    def line_until(separator, limit)
      line = ''.b
      until eof? || line.bytesize >= limit
        begin_at = line.bytesize
        line << take([limit - begin_at, 4096].min)
        found = separator && line.index(separator, [begin_at - separator.bytesize, 0].max)
        next unless found

        length = found + separator.bytesize
        @pos -= line.bytesize - length
        return line.byteslice(0, length)
      end
      line
    end

    def skip_newlines
      @pos += 1 while !eof? && piece_at(@pos).getbyte(@pos - @piece_begin) == 10
    end
  end
end
