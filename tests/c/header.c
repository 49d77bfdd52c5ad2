/* ibt.h compiles without another header, when included twice, and in each standard of C and C++ (cmake/tests.cmake). */
#include <ibt.h>
#include <ibt.h>

int main(void)
{
    ibt_status status = IBT_ERR_PANIC;

    return status == IBT_OK && ibt_version_number() >= IBT_VERSION_NUMBER;
}
