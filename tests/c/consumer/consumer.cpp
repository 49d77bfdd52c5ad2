/* A program in C++ outside of this repository: it uses the installed files only. */
#include <ibt.hpp>

int main()
{
    try {
        ibt::storage::open_dir("");
    } catch (const ibt::error &e) {
        return e.status() == IBT_ERR_INVALID_ARG && ibt::version() == IBT_VERSION ? 0 : 1;
    }
    return 1;
}
