# frozen_string_literal: true

# Runs every test:   ruby -w -Ilib test/all.rb
Dir[File.join(__dir__, 'test_*.rb')].sort.each { |file| require file }
