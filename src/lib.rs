//! libibt: the building blocks of incremental backups behind a small C ABI.
//!
//! The stable interface is the C ABI, `include/ibt.h`, implemented by [`ffi`]. The modules are public so that
//! tests and benchmarks reach them; their Rust interface may change with every release.
//!
//! # From the top
//!
//! A **snapshot** is one committed backup of one **source** directory under one **key**. One **state** describes the
//! snapshot: a sorted list of **entries**, each with its metadata, the hash of its content, and the place of that
//! content: one whole copy in some **archive**, then zero or more **deltas**. The state of an increment usually holds
//! only the changes to older state files, its **layers** (at most eight); a reader merges all of them. A restore or a
//! listing needs these state files and the archives that they name, and no others.
//!
//! ```text
//! backup    walk --> tasks --> merge with the parent's entries --> archives --> state, written last
//! restore   state and layers --> contents out of archives --> files, checked --> links --> directories' metadata
//! ```
//!
//! # Rooms
//!
//! Lower rows never import higher rows; `tests/layout.rs` checks that. `unsafe` is allowed in [`ffi`],
//! [`platform`] and, for measured kernels and the C engine, in [`delta`].
//!
//! | module | responsibility |
//! |---|---|
//! | [`ffi`] | check pointers, call one safe function, map the result; one file for each C type |
//! | [`ancestor`] | read the backups of the Python ancestor, and import them |
//! | [`backup`] | drive walk, merge with the parent, archives, commit; full or incremental |
//! | [`retain`] | prune snapshots, consolidate, rebuild the cache |
//! | [`inspect`] | list, browse, compare and verify snapshots |
//! | [`commit`] | write the archives of one snapshot, then its state, then the cache's copies |
//! | [`restore`] | write a tree of files: contents, metadata, links; over an existing tree too |
//! | [`contents`] | read stored contents out of archives, through their deltas |
//! | [`store`] | hold backup files, in a directory, a bucket or through a caller's functions; the cache |
//! | [`mod@format`] | define every name and byte at rest; read and write streams of them |
//! | [`walk`], [`exclude`] | yield the source's sorted entries, each with a safe way to open it |
//! | [`filter`] | select entries of a snapshot by globs and paths |
//! | [`delta`] | librsync's formats: signature, delta, patch, composition; works on bytes, not on files |
//! | [`state`] | compare recorded entries with the source: the merge, the rule of change detection (pure) |
//! | [`job`] | options, callbacks and report of one call |
//! | [`pool`] | the threads of one call |
//! | [`spool`] | temporary storage, in memory or in an unlinked file |
//! | [`platform`] | metadata, opening beneath a directory, fsync, rename, locks; every `cfg(target_os)` |
//! | [`entry`], [`error`], [`stamp`], [`text`] | types that every module shares |

// Module docs link to private items, because they are written for readers of the code. Users read the C header.
#![allow(rustdoc::private_intra_doc_links)]

pub mod ancestor;
pub mod backup;
pub mod commit;
pub mod contents;
pub mod delta;
pub mod entry;
pub mod error;
pub mod exclude;
pub mod ffi;
pub mod filter;
pub mod format;
pub mod inspect;
pub mod job;
pub mod platform;
pub mod pool;
pub mod restore;
pub mod retain;
pub mod spool;
pub mod stamp;
pub mod state;
pub mod store;
pub mod text;
pub mod walk;
