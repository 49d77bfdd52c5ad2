#!/bin/sh
# ibt.hpp uses every function of the ABI.   bound.sh SYMBOLS HEADER
set -eu
missing=0
while read -r name; do
    case $name in
    # Names of numbers, and a status that the failed call returned too.
    ibt_counter_name | ibt_problem_name | ibt_version_number | ibt_error_status) continue ;;
    esac
    grep -qw "$name" "$2" || { echo "$2 does not use $name" >&2; missing=1; }
done <"$1"
exit $missing
