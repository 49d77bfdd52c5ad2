/* NULL as a storage is a private directory under TMPDIR. If its name belongs to something else, the call fails. */
#include "check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    char path[64];
    struct stat status;
    ibt_report *report;
    ibt_error *err;

    check_begin();
    snprintf(path, sizeof path, "tmp/ibt-%lu", (unsigned long)getuid());
    make_dir("src");
    write_file("src/a", "one");

    CHECK_INT(told(ibt_full_backup(NULL, "src", NULL, &report, &err), &err), IBT_OK);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 07777) == 0700);
    ibt_report_free(report);
    CHECK_INT(told(ibt_restore(NULL, "src", "dest", NULL, &report, &err), &err), IBT_OK);
    CHECK(same_trees("src", "dest"));
    ibt_report_free(report);

    remove_tree(path);
    make_dir("trap");
    if (symlink("../trap", path) != 0)
        perror("test");
    CHECK(ibt_full_backup(NULL, "src", NULL, NULL, NULL) < 0);
    CHECK_INT(count_entries("trap"), 0);
    return check_end();
}
