# frozen_string_literal: true

module Ibt
  # A value with named facts, which never change.
  #
  # @api private
  class Record
    # @param facts [Hash{Symbol => Object}] a value for each attribute
    def initialize(**facts)
      facts.each { |name, value| instance_variable_set(:"@#{name}", value) }
      freeze
    end

    # @return [Hash{Symbol => Object}] the attributes by name
    def to_h
      instance_variables.to_h { |name| [name[1..].to_sym, instance_variable_get(name)] }
    end

    # @return [Boolean] whether both are of one class and have the same facts
    def ==(other)
      other.instance_of?(self.class) && other.to_h == to_h
    end
    alias eql? ==

    # @return [Integer]
    def hash
      to_h.hash
    end
  end
end
