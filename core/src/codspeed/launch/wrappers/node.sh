#!/bin/sh
# `node` of a measured command: runs the real one, with the V8 flags that CodSpeed's plugins need.
#
# A plugin that finds __CODSPEED_NODE_CORE_INTROSPECTION_PATH__ writes {"flags": [...]} there and
# exits with 0 before anything is measured; node is then started again with those flags. If nothing
# was written, the first run was the real one. Source: spec/executors.md 1.6 of the reference.
set -fu
unset __CODSPEED_NODE_CORE_INTROSPECTION_PATH__
here=${0%/*}

# real NAME: print the first NAME on PATH that is no wrapper; of another run neither, or the two
# would call each other for ever.
real() {
    IFS=:
    for folder in ${PATH:-}; do
        folder=${folder:-.}
        case $folder in
            */codspeed-wrappers-*) continue ;;
        esac
        if [ -f "$folder/$1" ] && [ -x "$folder/$1" ] && ! [ "$folder" -ef "$here" ]; then
            printf '%s\n' "$folder/$1"
            return
        fi
    done
    printf '%s: not found in PATH\n' "$1" >&2
    return 127
}

# next_flag: take the next string of the JSON array in `rest` into `flag`; fails at its end.
next_flag() {
    case ${rest%%\"*} in
        *\]*) return 1 ;;
    esac
    case $rest in
        *\"*) rest=${rest#*\"} ;;
        *) return 1 ;;
    esac
    flag=
    while :; do
        plain=${rest%%[\"\\]*}
        flag=$flag$plain
        rest=${rest#"$plain"}
        case $rest in
            \"*) rest=${rest#?} && return ;;
            \\[\"\\/]*)
                rest=${rest#?}
                flag=$flag${rest%"${rest#?}"}
                rest=${rest#?}
                ;;
            *)
                printf 'node: V8 flags that cannot be read: %s\n' "$text" >&2
                exit 1
                ;;
        esac
    done
}

node=$(real node) || exit
asked=$here/flags.$$

# In the background, because a shell that waits for the foreground would die of a signal that is
# sent to it alone, and leave the real node behind. What runs in the background gets no standard
# input unless it is told so, and ignores Ctrl-C, which node undoes at its start.
exec 3<&0
(
    export __CODSPEED_NODE_CORE_INTROSPECTION_PATH__="$asked"
    exec "$node" "$@" <&3 3<&-
) &
child=$!
exec 3<&-
# Ctrl-C goes to the whole group: node has it already, and a second one would mean something else.
trap : INT QUIT
for signal in HUP TERM USR1 USR2; do
    # shellcheck disable=SC2064  # the name is meant as it is now
    trap "kill -$signal $child 2>/dev/null" "$signal"
done
# `wait` ends early when a signal came; the child has ended when it can't be signalled any more.
while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || break
done
trap - HUP INT QUIT TERM USR1 USR2
[ "$status" -eq 0 ] && [ -s "$asked" ] || exit "$status"

IFS= read -r text <"$asked" || [ -n "$text" ] || exit 1 # its last line has no end
rm -f "$asked"
rest=${text#*\[}
count=$#
while next_flag; do
    set -- "$@" "$flag"
done
# The flags go first: what was given moves behind them, one by one.
while [ "$count" -gt 0 ]; do
    given=$1
    shift
    set -- "$@" "$given"
    count=$((count - 1))
done
exec "$node" "$@"
