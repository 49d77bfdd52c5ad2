# Comments of ibt.h and ibt.hpp as Doxygen wants them.
1s,^/\*$,/** @file,
s,^\( *\)/\* ,\1/** ,
/^ \* ==== .* ====$/s/.*/ */
s/^\( \* \)Since: \(.*\)/\1@since \2/
