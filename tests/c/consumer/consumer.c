/* A program outside of this repository: it uses the installed files only. */
#include <ibt.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    ibt_error *err;

    if (strcmp(ibt_version(), IBT_VERSION) != 0)
        return 1;
    if (ibt_restore(NULL, NULL, "dest", NULL, NULL, &err) != IBT_ERR_INVALID_ARG)
        return 1;
    puts(ibt_error_message(err));
    ibt_error_free(err);
    return 0;
}
