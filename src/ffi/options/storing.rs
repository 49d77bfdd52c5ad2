//! The setters that say how a backup stores its files.

use crate::format::PART_SIZE_MIN;
use crate::job::Codec;

use super::super::args::Handle;
use super::super::constants::*;
use super::*;

const _: () = assert!(IBT_PART_SIZE_MIN == PART_SIZE_MIN);

/// The compression of backup files. `codec` is one of IBT_COMPRESSION_*.
/// `level` is for IBT_COMPRESSION_ZSTD: 1 (fast) to 19 (small); 0 means 3. Each
/// file records how it is compressed, so one series may mix codecs and levels.
///
/// Default: IBT_COMPRESSION_ZSTD, 3.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL, codec is unknown or
/// level is out of range.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_compression(
    options: *mut ibt_options,
    codec: i32,
    level: i32,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_compression", |settings| {
            settings.engine.codec = match (codec, level) {
                (IBT_COMPRESSION_NONE, _) => Codec::None,
                (IBT_COMPRESSION_ZSTD, 0) => Codec::Zstd(3),
                (IBT_COMPRESSION_ZSTD, 1..=19) => Codec::Zstd(level),
                (IBT_COMPRESSION_ZSTD, _) => return Err(format!("level {level} is not 0 to 19")),
                _ => return Err(unknown("codec", codec)),
            };
            Ok(())
        })
    })
}

/// The greatest size of a file that is stored, in bytes, for storages that limit
/// it: a longer archive is stored in parts of at most this size. The first part
/// has the archive's name, and the name of each further part ends in its number:
/// `.00002`, `.00003` and so on. The parts joined in this order are a file that
/// zstd and tar read. A lost part costs only the contents that lie in it.
///
/// A file system of the type FAT stores at most 4,294,967,295 bytes in a file.
/// Parts of less than 16 MiB make archives a little longer. States are not
/// divided; a state is much smaller than its archives.
///
/// Backups and consolidations; ignored elsewhere. Each backup of a series may
/// have another size of parts. They return IBT_ERR_LIMIT if an archive
/// would have more than 65,536 parts, or if all archives that the snapshot needs
/// have more parts together than its state can name: about 160,000 to 270,000, by
/// the length of the key, and fewer if there are many problems. A backup notices
/// the latter at its end. Then set a greater size of parts, and consolidate or
/// make a full backup.
///
/// If a process is killed while it writes parts into a storage of functions, the
/// parts stay there until the next prune of the key.
///
/// Default: 0, archives in one file. Else at least IBT_PART_SIZE_MIN.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or bytes is too small.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_part_size(options: *mut ibt_options, bytes: u64) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_part_size", |settings| {
            if bytes > 0 && bytes < PART_SIZE_MIN {
                return Err(format!("{bytes} bytes are less than {PART_SIZE_MIN}"));
            }
            settings.engine.part_size = bytes;
            Ok(())
        })
    })
}

/// How often a long full backup notes how far it is, in bytes of the source:
/// each time that it has read this many, it publishes a partial state. If the
/// backup is killed or fails, the next ibt_full_backup() of the key goes on from
/// there: it takes over the files that did not change since then, and reads the
/// others (IBT_COUNT_BYTES_ALREADY_STORED counts the bytes that it took over).
/// A partial state is no snapshot, and no other operation uses it. ibt_prune()
/// keeps the newest one, with the files that it names, until the key has a
/// newer snapshot; with 0 it removes all, for example to free space after
/// backups that failed because the storage is full.
///
/// A full that publishes partial states stores its archives in parts, also
/// without ibt_options_set_part_size(). While it runs, it keeps a copy of its
/// state in $TMPDIR; without room for it, it publishes no more. A backup that
/// has to read less than this many bytes publishes none, and stores the same
/// files as without the option. So does a backup whose storage has no function
/// to delete.
///
/// A partial state is used only if it is newer than every snapshot of the key
/// (so make the full again before an increment), of the same source and host,
/// and if it and its files are undamaged. Else the report has a note
/// (IBT_PROBLEM_LEFTOVER), and the backup begins from zero. If one of these
/// files cannot be read now, the backup fails, and the files stay: try again, or
/// set 0 to begin from zero. If the storage is not cheap to read, only the files
/// that were stored last are read to find damage: ibt_verify() reads all.
/// Metadata of unchanged files are taken over too, as increments do.
///
/// A snapshot needs the archives of the fulls that it went on from as long as it
/// exists, also if most of their content changed before the last one. Set 0, or
/// use ibt_consolidate() later, if that takes too much space.
///
/// Full backups and prunes; ignored elsewhere.
///
/// Default: 4 GiB. 0: a full publishes no partial state, and uses none.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_checkpoint(options: *mut ibt_options, bytes: u64) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_checkpoint", |settings| {
            settings.engine.checkpoint = bytes;
            Ok(())
        })
    })
}
