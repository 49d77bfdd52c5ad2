/*
 * quickstart.cpp - quickstart.c in C++: a full backup, an increment, and a restore.
 *
 *     quickstart [SOURCE RESTORED]
 *
 * Backups go to the default storage, a private directory under $TMPDIR.
 */
#include <ibt.hpp>
#include <iostream>

int main(int argc, char **argv)
{
    std::filesystem::path source = argc == 3 ? argv[1] : "/path/to/backup";
    std::filesystem::path restored = argc == 3 ? argv[2] : "/path/to/backup_restored";

    try {
        ibt::storage storage = ibt::storage::open_default();
        ibt::report full = storage.full_backup(source);
        std::cout << full.json() << '\n';

        /* some time later */
        ibt::report increment = storage.incremental_backup(source);
        if (increment.partial())
            for (const ibt::problem &problem : increment.problems())
                std::cerr << problem.message << '\n';

        /* after a loss */
        if (storage.restore(full.key(), restored).partial())
            std::cerr << "something could not be restored\n";
    } catch (const ibt::error &e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
