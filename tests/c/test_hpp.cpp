/*
 * test_hpp.cpp - ibt.hpp: operations, ranges, errors, and exceptions that callbacks and storages throw.
 */
#include <ibt.hpp>

extern "C" {
#include "check.h"
}

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <thread>

namespace {

/* An exception that is no std::exception. */
struct mine {
    int number;
};

/* A storage in memory. `before` runs at the beginning of each function, and may throw. */
class memory : public ibt::storage_functions {
public:
    struct shared {
        std::map<std::string, std::string> objects;
        std::set<std::string> locks;
        int open = 0; /* writers */
        std::function<void(const std::string &)> before = [](const std::string &) {};
    };

    explicit memory(std::shared_ptr<shared> to) : to_(std::move(to)) {}

    unsigned features() const override { return writes | removes | locks | reads_cheaply; }
    std::size_t read_at(const std::string &name, std::uint64_t offset, std::uint8_t *buffer,
                        std::size_t length) override
    {
        to_->before("read_at");
        auto found = to_->objects.find(name);
        if (found == to_->objects.end())
            throw ibt::error(IBT_ERR_NOT_FOUND, "no " + name);
        if (offset >= found->second.size())
            return 0;
        std::size_t at = static_cast<std::size_t>(offset);
        length = std::min(length, found->second.size() - at);
        std::memcpy(buffer, found->second.data() + at, length);
        return length;
    }
    void list(const std::string &prefix, const std::function<void(const std::string &, std::uint64_t)> &add) override
    {
        to_->before("list");
        for (const auto &[name, bytes] : to_->objects)
            if (name.compare(0, prefix.size(), prefix) == 0)
                add(name, bytes.size());
    }
    std::unique_ptr<ibt::object_writer> create(const std::string &name) override
    {
        to_->before("create");
        return std::make_unique<writer>(to_, name);
    }
    void remove(const std::string &name) override
    {
        to_->before("remove");
        to_->objects.erase(name);
    }
    void lock(const std::string &key) override
    {
        to_->before("lock");
        if (!to_->locks.insert(key).second)
            throw ibt::error(IBT_ERR_BUSY);
    }
    void unlock(const std::string &key) override
    {
        to_->locks.erase(key);
        to_->before("unlock");
    }

private:
    class writer : public ibt::object_writer {
    public:
        writer(std::shared_ptr<shared> to, std::string name) : to_(std::move(to)), name_(std::move(name)) { to_->open++; }
        ~writer() override { to_->open--; }
        void write(const std::uint8_t *data, std::size_t length) override
        {
            to_->before("write");
            bytes_.append(reinterpret_cast<const char *>(data), length);
        }
        void commit() override
        {
            to_->before("commit");
            if (!to_->objects.emplace(name_, bytes_).second)
                throw ibt::error(IBT_ERR_EXISTS);
        }
        void abort() override { to_->before("abort"); }

    private:
        std::shared_ptr<shared> to_;
        std::string name_, bytes_;
    };

    std::shared_ptr<shared> to_;
};

/* The status of the ibt::error that a call throws; IBT_OK if it throws none. */
template <class F> ibt_status status_of(F &&function)
{
    try {
        function();
    } catch (const ibt::error &e) {
        CHECK(std::strlen(e.what()) > 0);
        return e.status();
    }
    return IBT_OK;
}

/* The number of the exception of type `mine` that a call throws; 0 if it throws none. */
template <class F> int thrown_by(F &&function)
{
    try {
        function();
    } catch (const mine &m) {
        return m.number;
    } catch (const std::exception &e) {
        check_text(e.what(), "an exception of type mine", "the exception", __FILE__, __LINE__);
    }
    return 0;
}

/* A backup whose progress throws mine{5}. */
void backs_up_to(const ibt::storage &storage)
{
    (void)storage.full_backup(
        "source", ibt::options().cache_dir("").progress([](const ibt::progress &) { throw mine{5}; }));
}

void plant()
{
    make_dir("source");
    make_dir("source/dir");
    write_random("source/dir/file", 300000, 1);
    write_file("source/text", "text");
}

void operations(const ibt::storage &storage)
{
    write_file("source/text", "text");
    ibt::options options;
    int changes = 0;
    options.cache_dir("cache").label("reason", "a test").exclude("*.tmp").threads(2).change(
        [&](std::uint32_t, const ibt::entry &, const ibt::entry &after) { changes += after ? 1 : 0; });
    ibt::report full = storage.full_backup("source", options);
    CHECK_INT(full.status(), IBT_OK);
    CHECK(!full.partial());
    CHECK_TEXT(full.key().c_str(), "source");
    CHECK_INT(full.counter(IBT_COUNT_ENTRIES), 4);
    CHECK_INT(changes, 4);
    CHECK(full.files().size() >= 2 && full.files()[0].size > 0);
    CHECK(full.json().substr(0, 1) == "{");
    write_file("source/text", "another text");
    ibt::report increment = storage.incremental_backup("source", options);
    CHECK_INT(increment.counter(IBT_COUNT_MODIFIED), 1);

    ibt::report restored = storage.restore("source", "restored");
    CHECK_INT(restored.counter(IBT_COUNT_RESTORED), 4);
    CHECK(same_trees("source", "restored"));
    storage.restore("source", "oldest", ibt::options().snapshot(full.snapshot()).expected_digest(full.digest())).status();
    CHECK(!same_trees("source", "oldest"));
    int differences = 0;
    ibt::report compared = storage.compare(
        "source", "oldest",
        ibt::options().change([&](std::uint32_t what, const ibt::entry &before, const ibt::entry &after) {
            differences++;
            CHECK_INT(what & IBT_CHANGE_CONTENT, IBT_CHANGE_CONTENT);
            CHECK(before.path() == "text" && after.size() == 4);
            return false; /* enough */
        }));
    CHECK_INT(differences, 1);

    ibt::report list = storage.list_snapshots();
    CHECK_INT(list.snapshots().size(), 2);
    CHECK(list.snapshots()[0].kind == "full" && list.snapshots()[1].parent == full.snapshot());
    CHECK(list.snapshots()[0].labels.at(0) == std::make_pair(std::string("reason"), std::string("a test")));
    CHECK(list.snapshots()[0].source.filename() == "source");
    CHECK(storage.list_keys().at(0) == std::make_pair(std::string("source"), std::uint64_t{2}));
    CHECK_INT(storage.verify().counter(IBT_COUNT_PROBLEMS), 0);
    CHECK_INT(status_of([&] { (void)storage.import_ancestor("source"); }), IBT_ERR_NOT_FOUND);
    ibt::storage from = ibt::storage::open_dir("store");
    CHECK_INT(status_of([&] { (void)storage.import_ancestor(from, "source", ibt::options().key("new")); }),
              IBT_ERR_NOT_FOUND);
    CHECK_INT(storage.consolidate("source", ibt::options().cache_dir("cache")).status(), IBT_OK);
    CHECK_INT(storage.rebuild_cache("source", ibt::options().cache_dir("cache")).status(), IBT_OK);
    CHECK_INT(storage.prune("source", ibt::options().keep_last(1).cache_dir("cache")).counter(IBT_COUNT_DELETED), 2);
    remove_tree("restored");
    remove_tree("oldest");
}

void looks_into_a_snapshot(const ibt::storage &storage)
{
    ibt::snapshot snapshot = storage.open_snapshot("source");
    CHECK_TEXT(snapshot.key().c_str(), "source");
    for (int i = 0; i < 2; i++) {
        std::string paths;
        for (const ibt::entry &entry : snapshot)
            paths += std::string(entry.path()) + (entry.is_directory() ? "/," : ",");
        CHECK_TEXT(paths.c_str(), "/,dir/,dir/file,text,");
    }
    auto found = std::find_if(snapshot.begin(), snapshot.end(), [](const ibt::entry &e) { return e.path() == "text"; });
    CHECK(found != snapshot.end() && found->is_file() && found->hash().substr(0, 7) == "blake3:");
    CHECK_TEXT(snapshot.content("text").c_str(), "another text");
    std::string part;
    snapshot.read("text", [&](const std::uint8_t *data, std::size_t length) {
        part.append(reinterpret_cast<const char *>(data), length);
    }, 3, 5);
    CHECK_TEXT(part.c_str(), "ther ");
    int listed = 0;
    snapshot.list("", 1, [&](const ibt::entry &) { return ++listed < 2; });
    CHECK_INT(listed, 2);

    /* An exception of the callback of a listing or a read leaves that call. */
    CHECK_INT(thrown_by([&] { snapshot.list("", 1, [](const ibt::entry &) { throw mine{1}; }); }), 1);
    CHECK_INT(thrown_by([&] { snapshot.read("text", [](const std::uint8_t *, std::size_t) { throw mine{2}; }); }), 2);
    CHECK_TEXT(snapshot.content("text").c_str(), "another text");

    ibt::snapshot other = storage.open_snapshot("source");
    CHECK_INT(ibt::diff(snapshot, other).status(), IBT_OK);
    CHECK_INT(status_of([&] { (void)ibt::diff(snapshot, snapshot); }), IBT_ERR_BUSY);
    CHECK_INT(status_of([&] { snapshot.content("absent"); }), IBT_ERR_NOT_FOUND);
    ibt::snapshot moved = std::move(snapshot);
    CHECK_INT(moved.content("text").size(), 12);
    CHECK_INT(status_of([&] { snapshot.begin(); }), IBT_ERR_INVALID_ARG); /* NOLINT: it was moved from */
}

void errors_say_why(ibt::storage &storage)
{
    ibt::options no_cache;
    no_cache.cache_dir("");
    try {
        (void)storage.full_backup("absent", no_cache);
        CHECK(!"an exception");
    } catch (const ibt::error &e) {
        CHECK_INT(e.status(), IBT_ERR_IO);
        CHECK_INT(e.os_code(), 2);
        CHECK(e.path().filename() == "absent");
        CHECK_HAS(e.what(), "absent");
    }
    CHECK_INT(status_of([&] { (void)storage.full_backup("source", ibt::options().key("a/b")); }), IBT_ERR_INVALID_ARG);
    CHECK_INT(status_of([&] { ibt::options().key(std::string("a\0b", 3)); }), IBT_ERR_INVALID_ARG);
    CHECK_INT(status_of([&] { (void)storage.restore("absent", "dest"); }), IBT_ERR_NOT_FOUND);
    CHECK_INT(status_of([&] { ibt::storage::open_dir(""); }), IBT_ERR_INVALID_ARG);
    CHECK_INT(status_of([&] { ibt::storage::open_dir("absent", IBT_DIR_MUST_EXIST); }), IBT_ERR_NOT_FOUND);
    CHECK_INT(status_of([&] { ibt::storage none(std::unique_ptr<ibt::storage_functions>{}); }), IBT_ERR_INVALID_ARG);

    ibt::cancel cancel;
    cancel.request();
    CHECK(cancel.requested());
    CHECK_INT(status_of([&] { (void)storage.full_backup("source", ibt::options().cancel(cancel)); }), IBT_ERR_CANCELLED);
    ibt::options stopping;
    stopping.cache_dir("").progress([](const ibt::progress &) { return IBT_CALLBACK_FAILED; });
    try {
        (void)storage.full_backup("source", stopping);
        CHECK(!"an exception");
    } catch (const ibt::error &e) {
        CHECK_INT(e.status(), IBT_ERR_CANCELLED);
        CHECK(e.report() && e.report()->status() == IBT_ERR_CANCELLED);
        ibt::error copy = e;
        CHECK(copy.report() == e.report());
    }
    ibt::storage moved = std::move(storage);
    CHECK_INT(status_of([&] { (void)storage.list_snapshots(); }), IBT_ERR_INVALID_ARG); /* NOLINT */
    storage = std::move(moved);
}

void callbacks_throw(const ibt::storage &storage)
{
    auto backs_up = [&](ibt::options &options) { (void)storage.full_backup("source", options.cache_dir("")); };
    ibt::options progress, change, filter, log;
    progress.progress([](const ibt::progress &now) {
        if (now.phase() == IBT_PHASE_READ)
            throw mine{1};
    });
    change.change([](std::uint32_t, const ibt::entry &, const ibt::entry &) { throw mine{2}; });
    filter.filter([](const ibt::entry &) -> int { throw mine{3}; });
    log.log(IBT_LOG_DEBUG, [](std::int32_t, std::string_view) { throw mine{4}; });
    std::size_t before = storage.list_snapshots("source").snapshots().size();
    CHECK_INT(thrown_by([&] { backs_up(progress); }), 1);
    CHECK_INT(thrown_by([&] { backs_up(change); }), 2);
    CHECK_INT(thrown_by([&] { backs_up(filter); }), 3);
    int logged = 0;
    ibt::options counting;
    counting.log(IBT_LOG_DEBUG, [&](std::int32_t, std::string_view) { logged++; });
    CHECK_INT(storage.list_snapshots("source").snapshots().size(), before);
    backs_up(counting);
    CHECK_INT(thrown_by([&] { backs_up(log); }), logged > 0 ? 4 : 0);

    /* A call within a callback has exceptions of its own. */
    ibt::options nested;
    nested.cache_dir("").progress([&](const ibt::progress &) {
        CHECK_INT(status_of([&] { (void)storage.list_snapshots(); }), IBT_ERR_BUSY);
        ibt::storage other = ibt::storage::open_dir("other");
        CHECK_INT(thrown_by([&] { backs_up_to(other); }), 5);
    });
    CHECK_INT(storage.full_backup("source", nested).status(), IBT_OK);
}

void storages_throw()
{
    auto shared = std::make_shared<memory::shared>();
    ibt::storage storage(std::make_unique<memory>(shared));
    ibt::options options;
    options.cache_dir("");
    ibt::options cancelled;
    cancelled.cache_dir("").progress([](const ibt::progress &now) {
        return now.phase() == IBT_PHASE_READ ? IBT_CALLBACK_FAILED : IBT_CALLBACK_OK;
    });
    for (const char *name : {"read_at", "list", "create", "write", "commit", "remove", "lock", "unlock", "abort"}) {
        (void)storage.full_backup("source", options);
        bool called = false;
        shared->before = [&](const std::string &function) {
            if (function == name && !called) {
                called = true;
                throw mine{7};
            }
        };
        bool aborts = std::strcmp(name, "abort") == 0;
        int number = thrown_by([&] {
            if (aborts)
                (void)storage.full_backup("source", cancelled);
            (void)storage.full_backup("source", options);
            (void)storage.restore("source", "restored");
            (void)storage.prune("source", ibt::options().keep_last(1));
        });
        check_int(called, 1, name, __FILE__, __LINE__);
        check_int(number, 7, name, __FILE__, __LINE__);
        shared->before = [](const std::string &) {};
        CHECK_INT(shared->open, 0);
        CHECK_INT(shared->locks.size(), 0);
        if (exists("restored"))
            remove_tree("restored");
        CHECK_INT(storage.restore("source", "restored").status(), IBT_OK);
        remove_tree("restored");
    }
    shared->before = [](const std::string &function) {
        if (function == "read_at")
            throw ibt::error(IBT_ERR_CORRUPT, "the object is damaged");
    };
    CHECK_INT(status_of([&] { (void)storage.restore("source", "restored"); }), IBT_ERR_CORRUPT);
    shared->before = [](const std::string &) {};
    shared->locks.insert("source");
    CHECK_INT(status_of([&] { (void)storage.full_backup("source", options); }), IBT_ERR_BUSY);
}

/* One options object serves calls of several threads; each gets the exception of its own callback. */
void threads_throw()
{
    std::vector<std::thread> threads;
    ibt::options options;
    options.cache_dir("").progress([](const ibt::progress &) { throw mine{8}; });
    std::vector<int> numbers(4);
    for (std::size_t i = 0; i < numbers.size(); i++)
        threads.emplace_back([&, i] {
            ibt::storage storage = ibt::storage::open_dir("store-" + std::to_string(i));
            numbers[i] = thrown_by([&] { (void)storage.full_backup("source", options); });
        });
    for (std::thread &thread : threads)
        thread.join();
    for (int number : numbers)
        CHECK_INT(number, 8);
}

} // namespace

int main()
{
    check_begin();
    plant();
    ibt::storage directory = ibt::storage::open_dir("store");
    auto shared = std::make_shared<memory::shared>();
    ibt::storage functions(std::make_unique<memory>(shared));
    for (ibt::storage *storage : {&directory, &functions}) {
        operations(*storage);
        looks_into_a_snapshot(*storage);
        errors_say_why(*storage);
        callbacks_throw(*storage);
    }
    CHECK_INT(shared->open, 0);
    CHECK_INT(shared->locks.size(), 0);
    storages_throw();
    threads_throw();
    return check_end();
}
