/* ibt.h compiles alone, twice, and in every language. */
#include <ibt.h>
#include <ibt.h>

int main(void)
{
    ibt_status status = IBT_ERR_PANIC;

    return status == IBT_OK && ibt_version_number() >= IBT_VERSION_NUMBER;
}
