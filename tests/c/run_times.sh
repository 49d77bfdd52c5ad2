#!/bin/sh
# Times given to --at: which snapshot they select, and which one prune removes.   run_times.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
faketime=$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || { echo "skipped: times given to --at (no libfaketime)"; exit 0; }
mkdir src

# Runs a command with the clock set to a UTC time.
at_clock() {
    clock=$1
    shift
    env FAKETIME="$(date -u -d "$clock" '+%Y-%m-%d %H:%M:%S')" FAKETIME_FMT='%Y-%m-%d %H:%M:%S' FAKETIME_DONT_RESET=1 \
        NO_FAKE_STAT=1 TZ=UTC LD_PRELOAD="$faketime" "$@"
}

# snapshot TIME NUMBER: makes a snapshot at this time. Its only file contains the number.
snapshot() {
    echo "$2" >src/number
    expect 0 at_clock "$1" "$tool" $([ -d store ] && echo incr || echo full) src --store store
}

# selected ZONE TIME: prints the number of the snapshot that --at selects in this time zone, or "none".
selected() {
    TZ=$1 "$tool" cat src number --at "$2" --store store 2>err || echo none
}

selects() {
    got=$(selected "$2" "$3")
    [ "$got" = "$1" ] || fail "--at '$3' in $2 selects $got, not $1"
}

tool=$1
zone=Europe/Berlin
snapshot 2026-10-25T00:30:10Z 1 # 02:30:10, summer time
snapshot 2026-10-25T01:30:10Z 2 # 02:30:10 again
snapshot 2026-10-25T12:00:00Z 3
snapshot 2026-10-25T12:00:00Z 4 # a microsecond later
snapshot 2026-10-25T23:30:00Z 5 # the next day in Berlin

# A day and "12:00" are all of that day or minute: --at selects the last snapshot in it. "12:00:00" is a moment: --at
# never selects a snapshot that was made later, by a microsecond or more.
selects 3 UTC "2026-10-25 12:00:00"
selects 3 UTC 2026-10-25T12:00:00Z
selects 4 UTC "2026-10-25 12:00:01"
selects 4 UTC "2026-10-25 12:00"
selects 3 UTC "2026-10-25 12:00:00.0"
selects 4 UTC "2026-10-25 12:00:00.1"
selects 3 UTC "2026-10-25 12:00:00.000000"
selects 4 UTC "2026-10-25 12:00:00.000001"
selects 2 UTC "2026-10-25 11:59"
selects 5 UTC 2026-10-25
selects 4 $zone 2026-10-25
selects 5 $zone 2026-10-26
selects none UTC 2026-10-24
selects 4 $zone "2026-10-25T13:00"
selects 2 $zone "2026-10-25T12:59:59.9"
selects 4 Asia/Kolkata "2026-10-25 17:30"
selects 2 Asia/Kolkata "2026-10-25 17:29"
selects 3 Pacific/Chatham "2026-10-25 14:00:00 +0200"
selects 2 Pacific/Chatham "2026-10-25 14:00+02:01"

# At the end of summer time an hour comes twice. --at means the later one, unless the time has an offset.
selects 2 $zone "2026-10-25 02:30"
selects 1 $zone "2026-10-25 02:30:10+02:00"
selects 2 $zone "2026-10-25 02:30:10+01:00"
selects none $zone "2026-10-25 01:59"

# Times as words and as ages.
for case in "5 now" "5 today" "5 yesterday" "5 90s" "5 1h" "4 61min" "4 2h ago" "1 1d" "none 2d" "none 1w ago"; do
    # shellcheck disable=SC2086 # the two parts
    set -- $case
    number=$1
    shift
    got=$(at_clock 2026-10-26T00:30:10Z "$tool" cat src number --at "$*" --store store 2>err || echo none)
    [ "$got" = "$number" ] || fail "at half past midnight --at '$*' selects $got, not $number"
done

# Each time that list prints selects its own row, and prune removes that row only.
for zone in UTC $zone America/New_York Pacific/Chatham; do
    TZ=$zone "$tool" list src --store store >listed
    sed -n 's/^src  *[`|]*-* *\([^ ]*Z\)  \(.*[0-9]\)  *[a-z][a-z]* .*$/\1 \2/p' listed | sed 's/ *$//' >rows
    [ "$(wc -l <rows)" = 5 ] || { cat listed; fail "not five rows"; }
    number=0
    while read -r stamp time; do
        number=$((number + 1))
        selects $number $zone "$time"
        expect 0 env TZ=$zone "$tool" prune src --at "$time" --dry-run --store store
        [ "$(awk '/^would be removed/ { print $4 }' out)" = "$stamp" ] ||
            { cat out; fail "prune --at '$time' in $zone would not remove $stamp"; }
        grep -q '^dry run.* would be removed' out || fail "the dry run says that it did something"
    done <rows
done

# A prune needs a time with exactly one snapshot. It never takes an earlier snapshot instead.
expect 1 env TZ=UTC "$tool" prune src --at "2026-10-25 12:00" --store store
grep -q '2 snapshots.*20261025T120000.000000Z 20261025T120000.000001Z' err || fail "the two are not named"
expect 1 env TZ=UTC "$tool" prune src --at "2026-10-25 12:00:02" --store store
grep -q 'the last before it is 20261025T120000.000001Z' err || fail "the one before is not named"
expect 1 env TZ=UTC "$tool" prune src --at now --store store --json
grep -q '^{"status":-[0-9]*,"error":".*nothing was removed' out || fail "no error as JSON"
[ "$("$tool" list src --store store | grep -c '^src ')" = 5 ] || fail "something was removed"
expect 0 env TZ=UTC "$tool" prune src --at "2026-10-25 01:30" --store store
selects 1 UTC "2026-10-25 02:00"

# Within a second: list rounds the time of a snapshot up, so that it was there at the time that is shown. Each whole
# second after it selects it until the next one was made.
rm -rf store
for number in 1 2; do
    echo $number >src/number
    expect 0 "$tool" $([ -d store ] && echo incr || echo full) src --store store
    sleep 1.2
done
TZ=UTC "$tool" list src --store store >listed
number=0
for stamp in $(grep -o '[0-9]*T[0-9]*\.[0-9]*Z' listed); do
    number=$((number + 1))
    begin=$(date -u -d "$(echo "$stamp" | sed 's/^\(....\)\(..\)\(..\)T\(..\)\(..\)\(..\).*/\1-\2-\3 \4:\5:\6/')" +%s)
    case $stamp in *.000000Z) continue ;; esac
    next=$(date -u -d "@$((begin + 1))" '+%Y-%m-%d %H:%M:%S')
    grep -q " $next " listed || { cat listed; fail "$stamp is not listed under $next"; }
    selects $number UTC "$next"
    got=$(selected UTC "$(date -u -d "@$begin" '+%Y-%m-%d %H:%M:%S')")
    [ "$got" != $number ] || fail "--at selects $stamp, which was made later"
done
[ $number = 2 ] || { cat listed; fail "not two snapshots"; }

# The clock was in the year 2099 once. --at and the rules still count the right days, and each backup says how to remove
# the snapshot of 2099.
rm -rf store src
mkdir src
for day in 2026-11-01 2026-11-02 2099-01-01 2026-11-04 2026-11-05; do
    echo $day >src/number
    wanted=0
    case $day in 2026-11-04 | 2026-11-05) wanted=3 ;; esac
    expect $wanted at_clock ${day}T03:00:00Z "$tool" $([ -d store ] && echo incr || echo full) src --store store
    [ $wanted = 0 ] || grep -q '^ibt: clock: .*ibt prune KEY --at' err || fail "no cure is told"
done
for day in 2026-11-01 2026-11-02 2026-11-04 2026-11-05; do
    selects $day UTC "$day 12:00"
done
expect 0 env TZ=UTC "$tool" list src --store store
grep -q ' 2026-11-04 03:00:00 ' out || fail "the list does not say when a snapshot was made"
expect 0 at_clock 2026-11-05T04:00:00Z "$tool" prune src --keep-daily 5 --store store
grep -q '^0 of 5 ' out || { cat out; fail "five days are not five days"; }
expect 0 at_clock 2026-11-05T04:00:00Z "$tool" prune src --at 20990101T030000.000000Z --store store
echo 2026-11-06 >src/number
expect 0 at_clock 2026-11-06T03:00:00Z "$tool" incr src --store store
selects 2026-11-05 UTC "2026-11-05 12:00"
selects 2026-11-06 UTC "2026-11-06 12:00"

# The days of the rules are those of the local clock. In New York these four evenings are 00:30, 00:30, 23:30 and 23:30
# in UTC, because summer time begins: three days of UTC.
rm -rf store
for evening in 2026-03-07T00:30:00Z 2026-03-08T00:30:00Z 2026-03-08T23:30:00Z 2026-03-09T23:30:00Z; do
    echo $evening >src/number
    expect 0 at_clock $evening "$tool" $([ -d store ] && echo incr || echo full) src --store store
done
for zone_and_kept in "America/New_York 4" "UTC 3" "America/New_York --utc 3"; do
    # shellcheck disable=SC2086 # the zone, the option and the number
    set -- $zone_and_kept
    [ $# = 2 ] || utc=$2
    expect 0 env TZ=$1 "$tool" prune src --keep-daily 4 ${utc:+$utc} --dry-run --store store
    shift $(($# - 1))
    [ "$(grep -c '^kept ' out)" = "$1" ] || { cat out; fail "$zone_and_kept: not $1 days"; }
done
