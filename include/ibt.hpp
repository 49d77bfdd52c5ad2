/*
 * ibt.hpp - libibt for C++17: ibt.h with objects that free themselves, exceptions, std::filesystem::path and
 * functions of any kind as callbacks. Only a header: a program links libibt as a C program does.
 *
 * ibt.h describes every option and operation in full. The names here are those of ibt.h without "ibt_", so that
 * ibt_options_set_key() is options::key() and ibt_full_backup() is storage::full_backup(). Constants are those of
 * ibt.h, such as IBT_OVERWRITE_ALWAYS.
 *
 * Errors. A call that fails throws ibt::error, with the status, the path and the report. A report with problems is no
 *     error: look at report::partial().
 *
 * Exceptions of callbacks. If a function of the caller throws, libibt ends the operation and frees what it holds, and
 *     the call then throws that exception. It may be of any type.
 *
 * Ownership. Objects can be moved and not copied. A moved-from object is empty, and a call with it throws ibt::error
 *     (IBT_ERR_INVALID_ARG). An ibt::entry and an ibt::progress belong to libibt: they are valid only during the call
 *     that received them.
 *
 * Threads are as in ibt.h: one call at a time for a storage and a snapshot.
 */
#ifndef IBT_HPP
#define IBT_HPP

#include <ibt.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ibt {

class report;

/* Why a call failed. */
class error : public std::runtime_error {
public:
    /* Storage functions throw it to answer with IBT_ERR_NOT_FOUND, _EXISTS, _BUSY, _CANCELLED or _UNSUPPORTED, and
       read_at() also with _CORRUPT. */
    explicit error(ibt_status status, const std::string &message = {}, std::filesystem::path path = {},
                   std::int32_t os_code = 0)
        : std::runtime_error(message.empty() ? ibt_status_name(status) : message), status_(status), os_code_(os_code),
          path_(std::make_shared<std::filesystem::path>(std::move(path)))
    {
    }

    /* One of IBT_ERR_*. */
    ibt_status status() const noexcept { return status_; }
    /* The system's error number (errno) behind the failure, or 0. */
    std::int32_t os_code() const noexcept { return os_code_; }
    /* The path or backup file concerned; empty if there is none. */
    const std::filesystem::path &path() const noexcept { return *path_; }
    /* The report of the failed operation; null if its work had not begun. */
    const std::shared_ptr<const ibt::report> &report() const noexcept { return report_; }

private:
    friend struct detail_access;
    ibt_status status_;
    std::int32_t os_code_;
    std::shared_ptr<const std::filesystem::path> path_;
    std::shared_ptr<const ibt::report> report_;
};

struct detail_access {
    static void set_report(error &e, std::shared_ptr<const ibt::report> report) { e.report_ = std::move(report); }
};

namespace detail {

/* Frees an object of libibt. */
template <auto function> struct free_with {
    template <class T> void operator()(T *object) const noexcept { function(object); }
};

using error_ptr = std::unique_ptr<ibt_error, free_with<ibt_error_free>>;
using report_ptr = std::unique_ptr<ibt_report, free_with<ibt_report_free>>;
using options_ptr = std::unique_ptr<ibt_options, free_with<ibt_options_free>>;
using storage_ptr = std::unique_ptr<ibt_storage, free_with<ibt_storage_free>>;
using snapshot_ptr = std::unique_ptr<ibt_snapshot, free_with<ibt_snapshot_free>>;
using cancel_ptr = std::unique_ptr<ibt_cancel, free_with<ibt_cancel_free>>;

inline std::string text(const char *s) { return s == nullptr ? std::string() : std::string(s); }
inline std::string_view view(const char *s) { return s == nullptr ? std::string_view() : std::string_view(s); }

/* A string without NUL: libibt would see only the part before it. */
inline const char *c_string(const std::string &s)
{
    if (s.find('\0') != std::string::npos)
        throw error(IBT_ERR_INVALID_ARG, "a text has a NUL byte");
    return s.c_str();
}
inline const char *c_string(const std::filesystem::path &path) { return c_string(path.native()); }

/* One running call of libibt on this thread. It keeps the exceptions of callbacks, which must not cross libibt. A
   callback may begin another call. */
class call {
public:
    call() noexcept : outer_(current()) { current() = this; }
    call(const call &) = delete;
    call &operator=(const call &) = delete;
    ~call() { current() = outer_; }

    static call *&current() noexcept
    {
        static thread_local call *innermost = nullptr;
        return innermost;
    }

    bool thrown() const noexcept { return thrown_ != nullptr; }
    /* Keeps the first exception, for the end of the call. */
    void keep(std::exception_ptr exception) noexcept
    {
        if (!thrown_)
            thrown_ = std::move(exception);
    }
    /* Keeps an exception of a storage's function, which counts only if it ends the call. libibt's message then has the
       reason. */
    void keep_failure(std::exception_ptr exception, const char *reason) noexcept
    {
        try {
            failures_.push_back({exception, reason});
        } catch (...) {
            keep(std::move(exception)); /* no memory: the first exception counts */
        }
    }

    /* Throws if the call failed, or if a callback threw. Takes the error. */
    void finish(ibt_status status, ibt_error *raw, report_ptr *report);

private:
    struct failure {
        std::exception_ptr exception;
        std::string reason;
    };

    /* The exception that libibt's message names, else the last one. A cleanup that failed later must not hide it. */
    std::exception_ptr failure_in(std::string_view message) const
    {
        for (const failure &one : failures_)
            if (message.find(one.reason) != std::string_view::npos)
                return one.exception;
        return failures_.empty() ? nullptr : failures_.back().exception;
    }

    call *outer_;
    std::exception_ptr thrown_;
    std::vector<failure> failures_;
};

/* Runs a callback of the options or of a listing. No exception may leave it. */
template <class F> std::int32_t answer(F &&function) noexcept
{
    call *now = call::current();
    if (now == nullptr || now->thrown())
        return IBT_CALLBACK_FAILED;
    try {
        return function();
    } catch (...) {
        now->keep(std::current_exception());
        return IBT_CALLBACK_FAILED;
    }
}

/* Calls a callback. If it returns nothing or true, the answer is "go on". */
template <class F, class... Arguments> std::int32_t invoke(F &function, Arguments &&...arguments)
{
    using result = std::invoke_result_t<F &, Arguments...>;
    if constexpr (std::is_void_v<result>) {
        function(std::forward<Arguments>(arguments)...);
        return IBT_CALLBACK_OK;
    } else if constexpr (std::is_same_v<result, bool>) {
        return function(std::forward<Arguments>(arguments)...) ? IBT_CALLBACK_OK : IBT_CALLBACK_STOP;
    } else {
        return function(std::forward<Arguments>(arguments)...);
    }
}

} // namespace detail

/* The version of the running library, such as "0.1.0". */
inline std::string version() { return ibt_version(); }

/* A request to stop, for options::cancel(). */
class cancel {
public:
    cancel() : object_(ibt_cancel_new()) {}
    /* Any thread, and any signal handler. */
    void request() noexcept { ibt_cancel_request(object_.get()); }
    bool requested() const noexcept { return ibt_cancel_requested(object_.get()) != 0; }
    ibt_cancel *get() const noexcept { return object_.get(); }

private:
    detail::cancel_ptr object_;
};

/* The progress of an operation, during a callback. */
class progress {
public:
    explicit progress(const ibt_progress *now) noexcept : now_(now) {}
    std::int32_t phase() const noexcept { return ibt_progress_phase(now_); } /* one of IBT_PHASE_* */
    std::string_view path() const noexcept { return ibt_progress_path(now_); }
    std::uint64_t done_bytes() const noexcept { return ibt_progress_done_bytes(now_); }
    std::uint64_t total_bytes() const noexcept { return ibt_progress_total_bytes(now_); }
    std::uint64_t done_entries() const noexcept { return ibt_progress_done_entries(now_); }
    std::uint64_t total_entries() const noexcept { return ibt_progress_total_entries(now_); }

private:
    const ibt_progress *now_;
};

/* One file, directory, link or device, during a callback or until the next step of an iterator. Texts are bytes as the
   system has them; an absent text is empty. */
class entry {
public:
    explicit entry(const ibt_entry *object = nullptr) noexcept : object_(object) {}
    explicit operator bool() const noexcept { return object_ != nullptr; }

    std::string_view path() const noexcept { return detail::view(ibt_entry_path(object_)); } /* "" is the root */
    std::int32_t type() const noexcept { return ibt_entry_type(object_); }                   /* one of IBT_TYPE_* */
    bool is_file() const noexcept { return type() == IBT_TYPE_FILE; }
    bool is_directory() const noexcept { return type() == IBT_TYPE_DIR; }
    bool is_symlink() const noexcept { return type() == IBT_TYPE_SYMLINK; }
    std::string_view target() const noexcept { return detail::view(ibt_entry_target(object_)); }
    std::string_view hash() const noexcept { return detail::view(ibt_entry_hash(object_)); }
    std::uint64_t size() const noexcept { return ibt_entry_size(object_); }
    std::uint32_t mode() const noexcept { return ibt_entry_mode(object_); } /* UINT32_MAX: none */
    std::uint32_t uid() const noexcept { return ibt_entry_uid(object_); }
    std::uint32_t gid() const noexcept { return ibt_entry_gid(object_); }
    std::string_view user() const noexcept { return detail::view(ibt_entry_user(object_)); }
    std::string_view group() const noexcept { return detail::view(ibt_entry_group(object_)); }
    std::int64_t mtime() const noexcept { return ibt_entry_mtime(object_); } /* nanoseconds since 1970 */
    std::int64_t ctime() const noexcept { return ibt_entry_ctime(object_); }
    std::uint64_t data_size() const noexcept { return ibt_entry_data_size(object_); } /* outside of holes */
    std::uint32_t project() const noexcept { return ibt_entry_project(object_); }
    std::string_view flags() const noexcept { return detail::view(ibt_entry_flags(object_)); }
    std::int64_t btime() const noexcept { return ibt_entry_btime(object_); } /* INT64_MIN if it is unknown */
    std::uint64_t rdev() const noexcept { return ibt_entry_rdev(object_); }
    std::string_view link() const noexcept { return detail::view(ibt_entry_link(object_)); }

    std::size_t xattr_count() const noexcept { return ibt_entry_xattr_count(object_); }
    std::string_view xattr_name(std::size_t i) const noexcept { return detail::view(ibt_entry_xattr_name(object_, i)); }
    std::string_view xattr_value(std::size_t i) const noexcept
    {
        std::size_t length = 0;
        const std::uint8_t *value = ibt_entry_xattr_value(object_, i, &length);
        return value == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char *>(value), length);
    }

    const ibt_entry *get() const noexcept { return object_; }

private:
    const ibt_entry *object_;
};

/* The options of an operation. The functions return the options themselves, so that calls can be chained. If libibt
   refuses a value, the operation throws. Callbacks may return nothing, bool (false: make no further call) or a number
   of ibt.h. The options own the callbacks, and libibt keeps them until the last operation that uses them has ended. */
class options {
public:
    options() : object_(ibt_options_new()) {}

    /* void, bool or int (const ibt::progress &). false, 0 or a negative number cancels the operation. */
    template <class F> options &progress(F function)
    {
        set_progress([function = std::move(function)](const ibt::progress &now) mutable -> std::int32_t {
            std::int32_t said = detail::invoke(function, now);
            return said == IBT_CALLBACK_STOP ? IBT_CALLBACK_FAILED : said;
        });
        return *this;
    }
    /* void, bool or int (std::uint32_t what, const ibt::entry &before, const ibt::entry &after). An entry that does
       not exist is false. */
    template <class F> options &change(F function)
    {
        using stored = std::decay_t<F>;
        auto box = std::make_unique<stored>(std::move(function));
        ibt_change_fn trampoline = [](void *ud, std::uint32_t what, const ibt_entry *before, const ibt_entry *after) {
            return detail::answer([&] {
                return detail::invoke(*static_cast<stored *>(ud), what, entry(before), entry(after));
            });
        };
        ibt_options_set_change(get(), trampoline, box.release(), destroy<stored>);
        return *this;
    }
    /* int (const ibt::entry &), one of IBT_FILTER_*. */
    template <class F> options &filter(F function)
    {
        using stored = std::decay_t<F>;
        static_assert(!std::is_same_v<std::invoke_result_t<stored &, const entry &>, bool>,
                      "a filter returns one of IBT_FILTER_*: false would cancel the backup");
        auto box = std::make_unique<stored>(std::move(function));
        ibt_filter_fn trampoline = [](void *ud, const ibt_entry *one) {
            return detail::answer([&]() -> std::int32_t { return (*static_cast<stored *>(ud))(entry(one)); });
        };
        ibt_options_set_filter(get(), trampoline, box.release(), destroy<stored>);
        return *this;
    }
    /* void (std::int32_t level, std::string_view message), for messages of `level` (IBT_LOG_*) or higher. */
    template <class F> options &log(std::int32_t level, F function)
    {
        using stored = std::decay_t<F>;
        auto box = std::make_unique<stored>(std::move(function));
        ibt_log_fn trampoline = [](void *ud, std::int32_t importance, const char *message) {
            detail::answer([&] {
                (*static_cast<stored *>(ud))(importance, std::string_view(message));
                return IBT_CALLBACK_OK;
            });
        };
        /* libibt calls `destroy` only if it takes the function. */
        if (ibt_options_set_log(get(), level, trampoline, box.get(), destroy<stored>) == IBT_OK)
            box.release();
        if (!has_progress_) /* an answer to a message cannot end an operation, one to progress can */
            set_progress([](const ibt::progress &) -> std::int32_t { return IBT_CALLBACK_OK; });
        return *this;
    }
    options &cancel(const ibt::cancel &object)
    {
        ibt_options_set_cancel(get(), object.get());
        return *this;
    }

    options &key(const std::string &v) { return set(ibt_options_set_key, v); }
    options &host(const std::string &v) { return set(ibt_options_set_host, v); }
    options &source_name(const std::filesystem::path &v) { return set(ibt_options_set_source_name, v); }
    options &cache_dir(const std::filesystem::path &v) { return set(ibt_options_set_cache_dir, v); } /* "": no cache */
    options &exclude(const std::string &pattern) { return set(ibt_options_add_exclude, pattern); }
    options &exclude_file(const std::string &name) { return set(ibt_options_set_exclude_file, name); }
    options &exclude_if_present(const std::string &name) { return set(ibt_options_add_exclude_if_present, name); }
    options &exclude_larger_than(std::uint64_t bytes) { return set(ibt_options_set_exclude_larger_than, bytes); }
    options &exclude_nodump(bool on = true) { return set(ibt_options_set_exclude_nodump, number(on)); }
    options &one_file_system(bool on = true) { return set(ibt_options_set_one_file_system, number(on)); }
    options &skip_cache_dirs(bool on = true) { return set(ibt_options_set_skip_cache_dirs, number(on)); }
    options &source_path(const std::filesystem::path &v) { return set(ibt_options_add_source_path, v); }
    options &protected_path(const std::filesystem::path &v) { return set(ibt_options_add_protected_path, v); }
    options &allow_source_change(bool on = true) { return set(ibt_options_set_allow_source_change, number(on)); }
    options &allow_empty(bool on = true) { return set(ibt_options_set_allow_empty, number(on)); }
    options &allow_unlocked(bool on = true) { return set(ibt_options_set_allow_unlocked, number(on)); }

    options &snapshot(const std::string &stamp) { return set(ibt_options_set_snapshot, stamp); }
    options &newest_snapshot()
    {
        ibt_options_set_snapshot(get(), nullptr);
        return *this;
    }
    options &as_of(std::int64_t unix_nanoseconds) { return set(ibt_options_set_as_of, unix_nanoseconds); }
    options &expected_digest(const std::string &v) { return set(ibt_options_set_expected_digest, v); }
    options &include(const std::string &glob) { return set(ibt_options_add_include, glob); }
    options &path(const std::filesystem::path &v) { return set(ibt_options_add_path, v); }
    options &root(const std::filesystem::path &v) { return set(ibt_options_set_root, v); }

    options &overwrite(std::int32_t policy) { return set(ibt_options_set_overwrite, policy); }
    options &delete_extra(bool on = true) { return set(ibt_options_set_delete_extra, number(on)); }
    options &leave_partial(bool on = true) { return set(ibt_options_set_leave_partial, number(on)); }
    options &restore_metadata(std::uint32_t mask) { return set(ibt_options_set_restore_metadata, mask); }
    options &dry_run(bool on = true) { return set(ibt_options_set_dry_run, number(on)); }

    options &keep_last(std::uint32_t n) { return set(ibt_options_set_keep_last, n); }
    options &keep_within(std::uint64_t seconds) { return set(ibt_options_set_keep_within, seconds); }
    options &keep_hourly(std::uint32_t n) { return set(ibt_options_set_keep_hourly, n); }
    options &keep_daily(std::uint32_t n) { return set(ibt_options_set_keep_daily, n); }
    options &keep_weekly(std::uint32_t n) { return set(ibt_options_set_keep_weekly, n); }
    options &keep_monthly(std::uint32_t n) { return set(ibt_options_set_keep_monthly, n); }
    options &keep_yearly(std::uint32_t n) { return set(ibt_options_set_keep_yearly, n); }
    options &local_time(bool on = true) { return set(ibt_options_set_local_time, number(on)); }
    options &removed(const std::string &stamp) { return set(ibt_options_add_removed, stamp); }

    /* Without a value: label() removes the label; the rules and filters accept any value. */
    options &label(const std::string &name, const std::optional<std::string> &value)
    {
        return set_label(ibt_options_set_label, name, value);
    }
    options &keep_label(const std::string &name, const std::optional<std::string> &value = {})
    {
        return set_label(ibt_options_add_keep_label, name, value);
    }
    options &label_filter(const std::string &name, const std::optional<std::string> &value = {})
    {
        return set_label(ibt_options_add_label_filter, name, value);
    }

    options &compression(std::int32_t codec, std::int32_t level = 0)
    {
        ibt_options_set_compression(get(), codec, level);
        return *this;
    }
    options &part_size(std::uint64_t bytes) { return set(ibt_options_set_part_size, bytes); }
    options &checkpoint(std::uint64_t bytes) { return set(ibt_options_set_checkpoint, bytes); }
    options &threads(std::uint32_t n) { return set(ibt_options_set_threads, n); }
    options &change_detection(std::int32_t rule) { return set(ibt_options_set_change_detection, rule); }
    options &delta(std::int32_t mode) { return set(ibt_options_set_delta, mode); }
    options &on_file_error(std::int32_t policy) { return set(ibt_options_set_on_file_error, policy); }
    options &verify(std::int32_t scope) { return set(ibt_options_set_verify, scope); }
    options &verify_part(std::uint32_t part, std::uint32_t parts)
    {
        ibt_options_set_verify_part(get(), part, parts);
        return *this;
    }
    options &metadata_only(bool on = true) { return set(ibt_options_set_metadata_only, number(on)); }
    options &heal(bool on = true) { return set(ibt_options_set_heal, number(on)); }
    options &skip_unchanged(bool on = true) { return set(ibt_options_set_skip_unchanged, number(on)); }
    options &map_owners(bool on = true) { return set(ibt_options_set_map_owners, number(on)); }
    options &lock_wait(std::int64_t milliseconds) { return set(ibt_options_set_lock_wait, milliseconds); }

    /* The object of ibt.h. */
    ibt_options *get() const noexcept { return object_.get(); }

private:
    static std::int32_t number(bool on) noexcept { return on ? 1 : 0; }

    template <class T> static void destroy(void *ud) { delete static_cast<T *>(ud); }

    template <class F> void set_progress(F function)
    {
        auto box = std::make_unique<F>(std::move(function));
        ibt_progress_fn trampoline = [](void *ud, const ibt_progress *now) {
            return detail::answer([&] { return (*static_cast<F *>(ud))(ibt::progress(now)); });
        };
        ibt_options_set_progress(get(), trampoline, box.release(), destroy<F>);
        has_progress_ = true;
    }
    options &set(ibt_status (*setter)(ibt_options *, const char *), const std::string &value)
    {
        setter(get(), detail::c_string(value));
        return *this;
    }
    options &set(ibt_status (*setter)(ibt_options *, const char *), const std::filesystem::path &value)
    {
        setter(get(), detail::c_string(value));
        return *this;
    }
    template <class T> options &set(ibt_status (*setter)(ibt_options *, T), T value)
    {
        setter(get(), value);
        return *this;
    }
    options &set_label(ibt_status (*setter)(ibt_options *, const char *, const char *), const std::string &name,
                       const std::optional<std::string> &value)
    {
        setter(get(), detail::c_string(name), value ? detail::c_string(*value) : nullptr);
        return *this;
    }

    detail::options_ptr object_;
    bool has_progress_ = false;
};

/* A backup file of a report. */
struct backup_file {
    std::string name;
    std::string kind; /* "full", "created", "updated", "sigvault", "state", "retired" or "partial" */
    std::filesystem::path path; /* empty if the storage is not a directory */
    std::uint64_t size;
};

/* A snapshot of a report. Texts that ibt.h gives as NULL are empty. */
struct snapshot_info {
    std::string key, stamp, kind, digest;
    std::filesystem::path source;
    std::string host, parent, reason;
    std::int64_t date;   /* nanoseconds since 1970, UTC */
    std::int32_t action; /* one of IBT_ACTION_* */
    std::vector<std::pair<std::string, std::string>> labels;
};

/* A problem or note of a report. */
struct problem {
    std::int32_t kind; /* one of IBT_PROBLEM_* */
    bool note;
    ibt_status status;
    std::int32_t os_code;
    std::string message;
    std::filesystem::path path; /* of the entry; empty if there is none */
    std::string snapshot, file;
};

/* The result of an operation. */
class [[nodiscard]] report {
public:
    explicit report(detail::report_ptr object) noexcept : object_(std::move(object)) {}

    ibt_status status() const noexcept { return ibt_report_status(get()); }
    /* The operation finished with problems. */
    bool partial() const noexcept { return status() == IBT_PARTIAL; }
    std::string key() const { return detail::text(ibt_report_key(get())); }
    std::string snapshot() const { return detail::text(ibt_report_snapshot(get())); }
    std::string digest() const { return detail::text(ibt_report_digest(get())); }
    std::int64_t date() const noexcept { return ibt_report_date(get()); }
    std::uint64_t total_size() const noexcept { return ibt_report_total_size(get()); }
    std::uint64_t counter(std::int32_t which) const noexcept { return ibt_report_counter(get(), which); }
    std::uint64_t snapshot_counter(std::size_t i, std::int32_t which) const noexcept
    {
        return ibt_report_snapshot_counter(get(), i, which);
    }
    std::string_view json() const noexcept { return ibt_report_json(get()); }

    std::vector<backup_file> files() const
    {
        std::vector<backup_file> all;
        for (std::size_t i = 0, n = ibt_report_file_count(get()); i < n; i++)
            all.push_back({detail::text(ibt_report_file_name(get(), i)), detail::text(ibt_report_file_kind(get(), i)),
                           detail::text(ibt_report_file_path(get(), i)), ibt_report_file_size(get(), i)});
        return all;
    }
    std::vector<snapshot_info> snapshots() const
    {
        std::vector<snapshot_info> all;
        for (std::size_t i = 0, n = ibt_report_snapshot_count(get()); i < n; i++)
            all.push_back(snapshot_at(i));
        return all;
    }
    std::vector<problem> problems() const
    {
        std::vector<problem> all;
        for (std::size_t i = 0, n = ibt_report_problem_count(get()); i < n; i++)
            all.push_back({ibt_report_problem_kind(get(), i), ibt_report_problem_is_note(get(), i) != 0,
                           ibt_report_problem_status(get(), i), ibt_report_problem_os_code(get(), i),
                           detail::text(ibt_report_problem_message(get(), i)),
                           detail::text(ibt_report_problem_path(get(), i)),
                           detail::text(ibt_report_problem_snapshot(get(), i)),
                           detail::text(ibt_report_problem_file(get(), i))});
        return all;
    }

    const ibt_report *get() const noexcept { return object_.get(); }

private:
    snapshot_info snapshot_at(std::size_t i) const
    {
        snapshot_info one{detail::text(ibt_report_snapshot_key(get(), i)),
                          detail::text(ibt_report_snapshot_stamp(get(), i)),
                          detail::text(ibt_report_snapshot_kind(get(), i)),
                          detail::text(ibt_report_snapshot_digest(get(), i)),
                          detail::text(ibt_report_snapshot_source(get(), i)),
                          detail::text(ibt_report_snapshot_host(get(), i)),
                          detail::text(ibt_report_snapshot_parent(get(), i)),
                          detail::text(ibt_report_snapshot_reason(get(), i)),
                          ibt_report_snapshot_date(get(), i),
                          ibt_report_snapshot_action(get(), i),
                          {}};
        for (std::size_t j = 0, n = ibt_report_snapshot_label_count(get(), i); j < n; j++)
            one.labels.emplace_back(detail::text(ibt_report_snapshot_label_name(get(), i, j)),
                                    detail::text(ibt_report_snapshot_label_value(get(), i, j)));
        return one;
    }

    detail::report_ptr object_;
};

inline void detail::call::finish(ibt_status status, ibt_error *raw, report_ptr *report)
{
    error_ptr failure(raw);
    if (thrown_)
        std::rethrow_exception(thrown_);
    if (status >= 0)
        return;
    if (status == IBT_ERR_STORAGE)
        if (std::exception_ptr cause = failure_in(view(ibt_error_message(failure.get()))))
            std::rethrow_exception(cause);
    error e(status, text(ibt_error_message(failure.get())), text(ibt_error_path(failure.get())),
            ibt_error_os_code(failure.get()));
    if (report != nullptr && *report)
        detail_access::set_report(e, std::make_shared<const ibt::report>(std::move(*report)));
    throw e;
}

/* Writes one object of a storage. libibt ends it with exactly one call of commit() or abort(), and then destroys it. */
class object_writer {
public:
    virtual ~object_writer() = default;
    virtual void write(const std::uint8_t *data, std::size_t length) = 0;
    /* Makes the object durable and visible. Throws error(IBT_ERR_EXISTS) if the name is taken. */
    virtual void commit() = 0;
    virtual void abort() {}
};

/* A storage made of functions of the caller: an object store, a database, a tape. See ibt_storage_new() in ibt.h.

   A function that fails throws. error with IBT_ERR_NOT_FOUND, IBT_ERR_EXISTS, IBT_ERR_BUSY, IBT_ERR_CANCELLED or
   IBT_ERR_UNSUPPORTED becomes the status of the operation, or has the meaning that the function's comment gives it. Any
   other exception ends the operation, which throws it again. */
class storage_functions {
public:
    /* The abilities of a storage besides reading, for features(). */
    enum feature : unsigned { writes = 1, removes = 2, locks = 4, reads_cheaply = 8 };

    virtual ~storage_functions() = default;
    /* A sum of features. libibt calls only the functions that it names. */
    virtual unsigned features() const { return writes; }

    /* Reads up to `length` bytes, and returns their number; 0 at the end. Throws error(IBT_ERR_NOT_FOUND) if there is
       no such object, and error(IBT_ERR_CORRUPT) if it finds that the bytes are damaged: both are losses that a
       restore lists. */
    virtual std::size_t read_at(const std::string &name, std::uint64_t offset, std::uint8_t *buffer,
                                std::size_t length) = 0;
    /* Calls `add` with the name and the size of every committed object whose name begins with `prefix`. */
    virtual void list(const std::string &prefix,
                      const std::function<void(const std::string &name, std::uint64_t size)> &add) = 0;
    /* Begins to write an object. Up to four are open at a time. */
    virtual std::unique_ptr<object_writer> create(const std::string &name)
    {
        throw error(IBT_ERR_UNSUPPORTED, "cannot create " + name);
    }
    /* Removes an object. Does nothing if there is no such object. */
    virtual void remove(const std::string &name) { throw error(IBT_ERR_UNSUPPORTED, "cannot remove " + name); }
    /* Locks a key for one writer. Throws error(IBT_ERR_BUSY) if somebody has the lock. */
    virtual void lock(const std::string &key) { throw error(IBT_ERR_UNSUPPORTED, "cannot lock " + key); }
    virtual void unlock(const std::string &) {}
};

class snapshot;

/* A place for backup files. */
class storage {
public:
    /* Opens a directory; `flags` is a sum of IBT_DIR_*. */
    static storage open_dir(const std::filesystem::path &path, std::uint32_t flags = 0)
    {
        ibt_storage *made = nullptr;
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status = ibt_storage_open_dir(detail::c_string(path), flags, &made, &failure);
        storage opened{detail::storage_ptr(made)};
        now.finish(status, failure, nullptr);
        return opened;
    }
    /* Opens the storage of a URL, such as "s3://bucket/prefix": see ibt_storage_open_url(). */
    static storage open_url(const std::string &url)
    {
        ibt_storage *made = nullptr;
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status = ibt_storage_open_url(detail::c_string(url), &made, &failure);
        storage opened{detail::storage_ptr(made)};
        now.finish(status, failure, nullptr);
        return opened;
    }
    /* Opens a private directory under $TMPDIR, for experiments. */
    static storage open_default()
    {
        ibt_storage *made = nullptr;
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status = ibt_storage_open_default(&made, &failure);
        storage opened{detail::storage_ptr(made)};
        now.finish(status, failure, nullptr);
        return opened;
    }
    /* Makes a storage of functions, which it owns. */
    explicit storage(std::unique_ptr<storage_functions> functions);

    report full_backup(const std::filesystem::path &source, const options &o = {}) const
    {
        return run(ibt_full_backup, o, source);
    }
    report incremental_backup(const std::filesystem::path &source, const options &o = {}) const
    {
        return run(ibt_incremental_backup, o, source);
    }
    report restore(const std::string &key, const std::filesystem::path &dest, const options &o = {}) const
    {
        return run(ibt_restore, o, key, dest);
    }
    report compare(const std::string &key, const std::filesystem::path &tree, const options &o = {}) const
    {
        return run(ibt_compare, o, key, tree);
    }
    /* Without a key: of every key. */
    report list_snapshots(const std::optional<std::string> &key = {}, const options &o = {}) const
    {
        return run(ibt_list_snapshots, o, key);
    }
    report verify(const std::optional<std::string> &key = {}, const options &o = {}) const
    {
        return run(ibt_verify, o, key);
    }
    report prune(const std::string &key, const options &o) const { return run(ibt_prune, o, key); }
    /* Imports the backups of incremental-backups-tools 0.1 that are in this storage, or in `from`. */
    report import_ancestor(const std::string &key, const options &o = {}) const
    {
        return run(ibt_import, o, static_cast<const storage *>(nullptr), key);
    }
    report import_ancestor(const storage &from, const std::string &key, const options &o = {}) const
    {
        return run(ibt_import, o, &from, key);
    }
    report consolidate(const std::string &key, const options &o = {}) const { return run(ibt_consolidate, o, key); }
    report rebuild_cache(const std::string &key, const options &o = {}) const
    {
        return run(ibt_rebuild_cache, o, key);
    }
    /* The keys that have a snapshot, with the number of their snapshots. */
    std::vector<std::pair<std::string, std::uint64_t>> list_keys() const
    {
        std::vector<std::pair<std::string, std::uint64_t>> keys;
        ibt_key_fn take = [](void *ud, const char *key, std::uint64_t snapshots) {
            return detail::answer([&] {
                static_cast<decltype(keys) *>(ud)->emplace_back(key, snapshots);
                return IBT_CALLBACK_OK;
            });
        };
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status = ibt_list_keys(get(), take, &keys, &failure);
        now.finish(status, failure, nullptr);
        return keys;
    }
    snapshot open_snapshot(const std::string &key, const options &o = {}) const;

    ibt_storage *get() const noexcept { return object_.get(); }

private:
    explicit storage(detail::storage_ptr object) noexcept : object_(std::move(object)) {}

    static ibt_storage *argument(const storage *s) { return s != nullptr ? s->get() : nullptr; }
    static const char *argument(const std::string &s) { return detail::c_string(s); }
    static const char *argument(const std::filesystem::path &p) { return detail::c_string(p); }
    static const char *argument(const std::optional<std::string> &s) { return s ? detail::c_string(*s) : nullptr; }

    template <class Operation, class... Arguments>
    report run(Operation operation, const options &o, const Arguments &...arguments) const
    {
        detail::call now;
        ibt_report *made = nullptr;
        ibt_error *failure = nullptr;
        ibt_status status = operation(get(), argument(arguments)..., o.get(), &made, &failure);
        detail::report_ptr owned(made);
        now.finish(status, failure, &owned);
        return report(std::move(owned));
    }

    detail::storage_ptr object_;
};

/* One opened snapshot. A range of its entries:

       for (const ibt::entry &entry : snapshot) ...

   Only one such loop at a time; each begins at the root. */
class snapshot {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = entry;
        using difference_type = std::ptrdiff_t;
        using pointer = const entry *;
        using reference = const entry &;

        iterator() noexcept = default;
        explicit iterator(ibt_snapshot *of) : of_(of) { ++*this; }
        reference operator*() const noexcept { return now_; }
        pointer operator->() const noexcept { return &now_; }
        iterator &operator++()
        {
            detail::call now;
            const ibt_entry *next = nullptr;
            ibt_error *failure = nullptr;
            ibt_status status = ibt_snapshot_next(of_, &next, &failure);
            now_ = entry(next);
            now.finish(status, failure, nullptr);
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.now_.get() == b.now_.get(); }
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return !(a == b); }

    private:
        ibt_snapshot *of_ = nullptr;
        entry now_;
    };

    iterator begin()
    {
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status = ibt_snapshot_rewind(get(), &failure);
        now.finish(status, failure, nullptr);
        return iterator(get());
    }
    iterator end() const noexcept { return iterator(); }

    std::string stamp() const { return detail::text(ibt_snapshot_stamp(get())); }
    std::string key() const { return detail::text(ibt_snapshot_key(get())); }
    std::string kind() const { return detail::text(ibt_snapshot_kind(get())); }
    std::string digest() const { return detail::text(ibt_snapshot_digest(get())); }
    std::filesystem::path source() const { return detail::text(ibt_snapshot_source(get())); }
    std::int64_t date() const noexcept { return ibt_snapshot_date(get()); }
    std::uint64_t counter(std::int32_t which) const noexcept { return ibt_snapshot_counter(get(), which); }
    std::vector<std::pair<std::string, std::string>> labels() const
    {
        std::vector<std::pair<std::string, std::string>> all;
        for (std::size_t i = 0, n = ibt_snapshot_label_count(get()); i < n; i++)
            all.emplace_back(detail::text(ibt_snapshot_label_name(get(), i)),
                             detail::text(ibt_snapshot_label_value(get(), i)));
        return all;
    }

    /* Passes the entry at `path` and those below it, down to `depth` levels, to void, bool or int (const entry &). */
    template <class F> void list(const std::filesystem::path &path, std::uint32_t depth, F &&function) const
    {
        using called = std::remove_reference_t<F>;
        ibt_entry_fn trampoline = [](void *ud, const ibt_entry *one) {
            return detail::answer([&] { return detail::invoke(**static_cast<called **>(ud), entry(one)); });
        };
        called *address = std::addressof(function);
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status = ibt_snapshot_list(get(), detail::c_string(path), depth, trampoline, &address, &failure);
        now.finish(status, failure, nullptr);
    }
    /* Passes `length` bytes of a file, from `offset` on, to void, bool or int (const std::uint8_t *, std::size_t).
       A read of the whole file checks its hash. */
    template <class F>
    void read(const std::filesystem::path &path, F &&function, std::uint64_t offset = 0,
              std::uint64_t length = UINT64_MAX) const
    {
        using called = std::remove_reference_t<F>;
        ibt_sink_fn trampoline = [](void *ud, const std::uint8_t *data, std::size_t count) {
            return detail::answer([&] { return detail::invoke(**static_cast<called **>(ud), data, count); });
        };
        called *address = std::addressof(function);
        detail::call now;
        ibt_error *failure = nullptr;
        ibt_status status =
            ibt_snapshot_read(get(), detail::c_string(path), offset, length, trampoline, &address, &failure);
        now.finish(status, failure, nullptr);
    }
    /* The whole content of a file, whose hash is checked. */
    std::string content(const std::filesystem::path &path) const
    {
        std::string all;
        read(path, [&](const std::uint8_t *data, std::size_t count) {
            all.append(reinterpret_cast<const char *>(data), count);
        });
        return all;
    }

    ibt_snapshot *get() const noexcept { return object_.get(); }

private:
    friend class storage;
    explicit snapshot(detail::snapshot_ptr object) noexcept : object_(std::move(object)) {}

    detail::snapshot_ptr object_;
};

inline snapshot storage::open_snapshot(const std::string &key, const options &o) const
{
    detail::call now;
    ibt_snapshot *made = nullptr;
    ibt_error *failure = nullptr;
    ibt_status status = ibt_snapshot_open(get(), detail::c_string(key), o.get(), &made, &failure);
    snapshot opened{detail::snapshot_ptr(made)};
    now.finish(status, failure, nullptr);
    return opened;
}

/* Compares two opened snapshots. options::change() receives each difference. */
inline report diff(const snapshot &before, const snapshot &after, const options &o = {})
{
    detail::call now;
    ibt_report *made = nullptr;
    ibt_error *failure = nullptr;
    ibt_status status = ibt_diff(before.get(), after.get(), o.get(), &made, &failure);
    detail::report_ptr owned(made);
    now.finish(status, failure, &owned);
    return report(std::move(owned));
}

namespace detail {

/* The userdata of a storage's functions. */
struct functions {
    std::unique_ptr<storage_functions> of;
    ibt_storage *storage = nullptr;

    static functions &from(void *ud) noexcept { return *static_cast<functions *>(ud); }

    /* Runs a function. Its exceptions become the answers that storage_functions describes. */
    template <class F> std::int32_t answer(F &&function) noexcept
    {
        try {
            function();
            return IBT_CALLBACK_OK;
        } catch (const error &e) {
            if (is_answer(e.status())) {
                fail(e.os_code(), e.what());
                return e.status();
            }
            return fail_and_keep(e.os_code(), e.what());
        } catch (const std::exception &e) {
            return fail_and_keep(0, e.what());
        } catch (...) {
            return fail_and_keep(0, "the function threw an exception");
        }
    }
    static bool is_answer(ibt_status status) noexcept
    {
        return status == IBT_ERR_NOT_FOUND || status == IBT_ERR_EXISTS || status == IBT_ERR_BUSY ||
               status == IBT_ERR_CANCELLED || status == IBT_ERR_UNSUPPORTED || status == IBT_ERR_CORRUPT;
    }
    /* Called in a handler. */
    std::int32_t fail_and_keep(std::int32_t os_code, const char *reason) noexcept
    {
        fail(os_code, reason);
        if (call *now = call::current())
            now->keep_failure(std::current_exception(), reason);
        return IBT_CALLBACK_FAILED;
    }
    /* Runs a function that cannot answer. */
    template <class F> static void tell(F &&function) noexcept
    {
        try {
            function();
        } catch (...) {
            if (call *now = call::current())
                now->keep(std::current_exception());
        }
    }
    void fail(std::int32_t os_code, const char *reason) noexcept { ibt_storage_fail(storage, os_code, reason); }

    static std::int32_t create(void *ud, const char *name, void **stream)
    {
        return from(ud).answer([&] {
            std::unique_ptr<object_writer> writer = from(ud).of->create(name);
            if (!writer)
                throw error(IBT_ERR_STORAGE, "create() returned no writer");
            *stream = writer.release();
        });
    }
    static std::int32_t write(void *ud, void *stream, const std::uint8_t *data, std::size_t length)
    {
        return from(ud).answer([&] { static_cast<object_writer *>(stream)->write(data, length); });
    }
    static std::int32_t commit(void *ud, void *stream)
    {
        return from(ud).answer([&] {
            std::unique_ptr<object_writer> writer(static_cast<object_writer *>(stream));
            writer->commit();
        });
    }
    static void abort(void *, void *stream)
    {
        tell([&] {
            std::unique_ptr<object_writer> writer(static_cast<object_writer *>(stream));
            writer->abort();
        });
    }
    static std::int32_t read_at(void *ud, const char *name, std::uint64_t offset, std::uint8_t *buffer,
                                std::size_t length, std::size_t *got)
    {
        return from(ud).answer([&] {
            std::size_t count = from(ud).of->read_at(name, offset, buffer, length);
            if (count > length)
                throw error(IBT_ERR_STORAGE, "read_at() returned more bytes than it was asked for");
            *got = count;
        });
    }
    static std::int32_t list(void *ud, const char *prefix, ibt_list *out)
    {
        return from(ud).answer([&] {
            from(ud).of->list(prefix, [&](const std::string &name, std::uint64_t size) {
                if (name.find('\0') == std::string::npos)
                    ibt_list_add(out, name.c_str(), size);
            });
        });
    }
    static std::int32_t remove(void *ud, const char *name)
    {
        return from(ud).answer([&] { from(ud).of->remove(name); });
    }
    static std::int32_t lock(void *ud, const char *key)
    {
        return from(ud).answer([&] { from(ud).of->lock(key); });
    }
    static void unlock(void *ud, const char *key)
    {
        tell([&] { from(ud).of->unlock(key); });
    }
    static void destroy(void *ud) { delete static_cast<functions *>(ud); }
};

} // namespace detail

inline storage::storage(std::unique_ptr<storage_functions> of)
{
    if (!of)
        throw error(IBT_ERR_INVALID_ARG, "a storage needs functions");
    unsigned features = of->features();
    auto state = std::make_unique<detail::functions>();
    state->of = std::move(of);
    detail::functions *kept = state.release(); /* the storage frees it */
    object_.reset(ibt_storage_new(kept, detail::functions::destroy));
    kept->storage = get();
    ibt_storage_set_reader(get(), detail::functions::read_at);
    ibt_storage_set_list(get(), detail::functions::list);
    if (features & storage_functions::writes)
        ibt_storage_set_writer(get(), detail::functions::create, detail::functions::write, detail::functions::commit,
                               detail::functions::abort);
    if (features & storage_functions::removes)
        ibt_storage_set_delete(get(), detail::functions::remove);
    if (features & storage_functions::locks)
        ibt_storage_set_lock(get(), detail::functions::lock, detail::functions::unlock);
    if (features & storage_functions::reads_cheaply)
        ibt_storage_set_traits(get(), IBT_STORAGE_READS_CHEAPLY);
}

} // namespace ibt

#endif /* IBT_HPP */
