/*
 * quickstart.c - a full backup, an increment, and a restore.
 *
 *     quickstart [SOURCE RESTORED]
 *
 * Backups go to the default storage, a private directory under $TMPDIR.
 */
#include <ibt.h>
#include <stdio.h>
#include <string.h>

/* The default key of a source: the last component of its path, without trailing slashes. */
static const char *key_of(const char *source)
{
    static char key[129]; /* a key has at most 128 bytes */
    size_t start, end;

    for (end = strlen(source); end > 0 && source[end - 1] == '/';)
        end--;
    for (start = end; start > 0 && source[start - 1] != '/';)
        start--;
    snprintf(key, sizeof key, "%.*s", (int)(end - start), source + start);
    return key;
}

int main(int argc, char **argv)
{
    const char *source = argc == 3 ? argv[1] : "/path/to/backup";
    const char *restored = argc == 3 ? argv[2] : "/path/to/backup_restored";
    ibt_storage *storage;
    ibt_report *report = NULL;
    ibt_error *err;

    if (ibt_storage_open_default(&storage, &err) < 0)
        goto failed;
    if (ibt_full_backup(storage, source, NULL, &report, &err) < 0)
        goto failed;
    puts(ibt_report_json(report));
    ibt_report_free(report);

    /* some time later */
    if (ibt_incremental_backup(storage, source, NULL, &report, &err) < 0)
        goto failed;
    ibt_report_free(report);

    /* after a loss */
    if (ibt_restore(storage, key_of(source), restored, NULL, &report, &err) < 0)
        goto failed;
    ibt_report_free(report);
    ibt_storage_free(storage);
    return 0;

failed:
    fprintf(stderr, "%s\n", ibt_error_message(err));
    ibt_error_free(err);
    ibt_report_free(report);
    ibt_storage_free(storage);
    return 1;
}
