# frozen_string_literal: true

require_relative 'lib/ibt/version'

Gem::Specification.new do |spec|
  spec.name = 'ibt'
  spec.version = Ibt::VERSION
  spec.summary = 'Incremental backups with libibt'
  spec.description = 'Full backups, increments made of rsync deltas, and restores of any snapshot, in a directory or ' \
                     'in a storage of yours. Needs the C library libibt.'
  spec.authors = ['The libibt authors']
  spec.license = 'MIT'
  spec.required_ruby_version = '>= 3.1'
  spec.files = Dir.chdir(__dir__) { Dir['lib/**/*.rb', 'examples/*.rb', 'README.md', '.yardopts'] }
  spec.extra_rdoc_files = ['README.md']
  spec.requirements = ['libibt 0.1']
  spec.add_dependency 'ffi', '~> 1.15'
  spec.metadata = { 'rubygems_mfa_required' => 'true' }
end
