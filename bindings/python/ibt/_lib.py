"""Finds and loads libibt, and declares its functions for ctypes.

ctypes, and not cffi: it is a part of Python, so that the package needs no compiler and no other package, and one wheel
serves every Python.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from typing import Any, List, Optional

SONAME = "libibt.so.0"

# The types of ibt.h. Every pointer is a number for Python, except const char *, which is bytes.
_TYPES = {
    "void": None,
    "text": ctypes.c_char_p,
    "ptr": ctypes.c_void_p,
    "size": ctypes.c_size_t,
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
}

# The result and the arguments of the functions that follow. tests/test_bound.py compares this with ibt.h.
_SIGNATURES = """
text: ibt_version
u32: ibt_version_number
text i32: ibt_status_name ibt_counter_name ibt_problem_name

i32 ptr: ibt_error_status ibt_error_os_code
text ptr: ibt_error_message ibt_error_path
void ptr: ibt_error_free

ptr: ibt_options_new
void ptr: ibt_options_free
i32 ptr ptr ptr ptr: ibt_options_set_progress ibt_options_set_change ibt_options_set_filter
i32 ptr i32 ptr ptr ptr: ibt_options_set_log
i32 ptr ptr: ibt_options_set_cancel
i32 ptr i32: ibt_options_set_verify ibt_options_set_metadata_only ibt_options_set_exclude_nodump
    ibt_options_set_map_owners ibt_options_set_overwrite ibt_options_set_delete_extra ibt_options_set_leave_partial
    ibt_options_set_local_time ibt_options_set_dry_run ibt_options_set_heal ibt_options_set_change_detection
    ibt_options_set_delta ibt_options_set_one_file_system ibt_options_set_skip_cache_dirs
    ibt_options_set_on_file_error ibt_options_set_allow_source_change ibt_options_set_allow_empty
    ibt_options_set_skip_unchanged ibt_options_set_allow_unlocked
i32 ptr u32: ibt_options_set_keep_last ibt_options_set_keep_hourly ibt_options_set_keep_daily
    ibt_options_set_keep_weekly ibt_options_set_keep_monthly ibt_options_set_keep_yearly ibt_options_set_threads
    ibt_options_set_restore_metadata
i32 ptr u32 u32: ibt_options_set_verify_part
i32 ptr i32 i32: ibt_options_set_compression
i32 ptr u64: ibt_options_set_exclude_larger_than ibt_options_set_keep_within ibt_options_set_part_size
    ibt_options_set_checkpoint
i32 ptr i64: ibt_options_set_as_of ibt_options_set_lock_wait
i32 ptr text: ibt_options_set_host ibt_options_set_source_name ibt_options_add_exclude_if_present
    ibt_options_add_source_path ibt_options_add_include ibt_options_add_path ibt_options_set_root ibt_options_set_key
    ibt_options_set_cache_dir ibt_options_add_protected_path ibt_options_add_exclude ibt_options_set_exclude_file
    ibt_options_set_snapshot ibt_options_add_removed ibt_options_set_expected_digest
i32 ptr text text: ibt_options_set_label ibt_options_add_keep_label ibt_options_add_label_filter

ptr: ibt_cancel_new
i32 ptr: ibt_cancel_requested
void ptr: ibt_cancel_request ibt_cancel_free

i32 ptr: ibt_progress_phase
text ptr: ibt_progress_path
u64 ptr: ibt_progress_done_bytes ibt_progress_total_bytes ibt_progress_done_entries ibt_progress_total_entries

i32 text u32 ptr ptr: ibt_storage_open_dir
i32 text ptr ptr: ibt_storage_open_url
i32 ptr ptr: ibt_storage_open_default ibt_storage_set_reader ibt_storage_set_list ibt_storage_set_delete
ptr ptr ptr: ibt_storage_new
void ptr: ibt_storage_free
i32 ptr ptr ptr ptr ptr: ibt_storage_set_writer
i32 ptr ptr ptr: ibt_storage_set_lock
i32 ptr u32: ibt_storage_set_traits
i32 ptr i32 text: ibt_storage_fail
i32 ptr text u64: ibt_list_add

i32 ptr text ptr ptr ptr: ibt_full_backup ibt_incremental_backup ibt_list_snapshots ibt_verify ibt_prune
    ibt_consolidate ibt_rebuild_cache ibt_snapshot_open
i32 ptr text text ptr ptr ptr: ibt_restore ibt_compare
i32 ptr ptr text ptr ptr ptr: ibt_import
i32 ptr ptr ptr ptr ptr: ibt_diff
i32 ptr ptr ptr ptr: ibt_list_keys

text ptr: ibt_snapshot_stamp ibt_snapshot_key ibt_snapshot_kind ibt_snapshot_digest ibt_snapshot_source
i64 ptr: ibt_snapshot_date
u64 ptr i32: ibt_snapshot_counter
size ptr: ibt_snapshot_label_count
text ptr size: ibt_snapshot_label_name ibt_snapshot_label_value
i32 ptr ptr ptr: ibt_snapshot_next
i32 ptr ptr: ibt_snapshot_rewind
i32 ptr text u32 ptr ptr ptr: ibt_snapshot_list
i32 ptr text u64 u64 ptr ptr ptr: ibt_snapshot_read
void ptr: ibt_snapshot_free

text ptr: ibt_entry_path ibt_entry_target ibt_entry_hash ibt_entry_user ibt_entry_group ibt_entry_flags ibt_entry_link
i32 ptr: ibt_entry_type
u32 ptr: ibt_entry_mode ibt_entry_uid ibt_entry_gid ibt_entry_project
u64 ptr: ibt_entry_size ibt_entry_data_size ibt_entry_rdev
i64 ptr: ibt_entry_mtime ibt_entry_ctime ibt_entry_btime
size ptr: ibt_entry_xattr_count
text ptr size: ibt_entry_xattr_name
ptr ptr size ptr: ibt_entry_xattr_value

i32 ptr: ibt_report_status
text ptr: ibt_report_key ibt_report_snapshot ibt_report_digest ibt_report_json
i64 ptr: ibt_report_date
u64 ptr: ibt_report_total_size
u64 ptr i32: ibt_report_counter
size ptr: ibt_report_file_count ibt_report_snapshot_count ibt_report_problem_count
u64 ptr size: ibt_report_file_size
i64 ptr size: ibt_report_snapshot_date
size ptr size: ibt_report_snapshot_label_count
u64 ptr size i32: ibt_report_snapshot_counter
text ptr size size: ibt_report_snapshot_label_name ibt_report_snapshot_label_value
text ptr size: ibt_report_file_name ibt_report_file_kind ibt_report_file_path ibt_report_snapshot_stamp
    ibt_report_snapshot_key ibt_report_snapshot_kind ibt_report_snapshot_digest ibt_report_snapshot_source
    ibt_report_snapshot_host ibt_report_snapshot_parent ibt_report_snapshot_reason ibt_report_problem_path
    ibt_report_problem_message ibt_report_problem_snapshot ibt_report_problem_file
i32 ptr size: ibt_report_snapshot_action ibt_report_problem_status ibt_report_problem_kind ibt_report_problem_is_note
    ibt_report_problem_os_code
void ptr: ibt_report_free
"""

# These may take long or call back, so that other threads run meanwhile. All others keep the GIL, which is faster.
_BLOCKING = frozenset(
    "ibt_full_backup ibt_incremental_backup ibt_restore ibt_list_snapshots ibt_verify ibt_compare ibt_diff "
    "ibt_list_keys ibt_prune ibt_import ibt_consolidate ibt_rebuild_cache ibt_snapshot_open ibt_snapshot_list "
    "ibt_snapshot_read ibt_snapshot_next ibt_snapshot_rewind ibt_snapshot_free ibt_storage_open_dir "
    "ibt_storage_open_url ibt_storage_open_default ibt_storage_free".split()
)


def _places() -> List[str]:
    """Where libibt may be, the best place first."""
    chosen = os.environ.get("IBT_LIBRARY")
    if chosen:
        return [chosen]
    bundled = os.path.join(os.path.dirname(os.path.abspath(__file__)), SONAME)
    return [bundled, SONAME] if os.path.exists(bundled) else [SONAME]


def _place_of_pkg_config() -> Optional[str]:
    try:
        command = ["pkg-config", "--variable=libdir", "ibt"]
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return os.path.join(os.fsdecode(found.stdout).strip(), SONAME)


def _load() -> ctypes.CDLL:
    places = _places()
    reasons = []
    for place in places:
        try:
            return ctypes.CDLL(place)
        except OSError as error:
            reasons.append(str(error))
    found = None if os.environ.get("IBT_LIBRARY") else _place_of_pkg_config()
    if found is not None:
        try:
            return ctypes.CDLL(found)
        except OSError as error:
            reasons.append(str(error))
    raise ImportError(
        f"cannot load libibt: {'; '.join(reasons)}. Install libibt, or set IBT_LIBRARY to the path of {SONAME}."
    )


class Library:
    """The functions of libibt, by their names in ibt.h."""

    def __init__(self) -> None:
        blocking = _load()
        quick = ctypes.PyDLL(blocking._name, handle=blocking._handle)
        signature: List[Any] = []
        for word in _SIGNATURES.split():
            if word.startswith("ibt_"):
                self._declare(blocking if word in _BLOCKING else quick, word, signature)
            elif not signature or signature[-1] == ":":
                signature = [word]
            else:
                signature.append(word)
            if word.endswith(":"):
                signature[-1:] = [word[:-1], ":"]

    def _declare(self, library: ctypes.CDLL, name: str, signature: List[str]) -> None:
        try:
            function = library[name]
        except AttributeError:
            raise ImportError(f"{library._name} has no function {name}: this package needs a newer libibt") from None
        types: List[Any] = [_TYPES[word] for word in signature[:-1]]
        function.restype, function.argtypes = types[0], types[1:]
        setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


lib = Library()
