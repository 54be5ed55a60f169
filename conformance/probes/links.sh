#!/bin/sh
# Tells which network interfaces this container has, and moves data to or from a neighbour.
#
# Environment: PROBE_ROOT     prefix in front of /sys, for tests (default empty)
#              PROBE_SERVE    bytes to serve at /payload (default: serves nothing)
#              PROBE_FETCH    addresses of a neighbour that serves (default: fetches nothing)
#              PROBE_PORT     where to serve, and where neighbours do (default 8080)
#              PROBE_PATIENCE seconds to try a neighbour's address (default 20)
#              PROBE_STATE    a folder it may write to (default /tmp)
#              PROBE_HOLD     seconds to stay after printing (default 0)
#
# An interface is told before and after fetching: its counters show which one the data went through.
# The loopback interface is left out, and so are link-local addresses.
set -u
umask 077
LC_ALL=C
export LC_ALL
root="${PROBE_ROOT:-}"
port="${PROBE_PORT:-8080}"
state="${PROBE_STATE:-/tmp}"
folder="$state/served"
server=
sleeper=
trap '[ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null; [ -z "$server" ] || kill "$server" 2>/dev/null; exit 143' TERM INT

encode() {
    printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/=/%3D/g'
}

counter() {
    value=$(cat "$root/sys/class/net/$1/statistics/$2" 2>/dev/null) || value=
    printf '%s' "${value:--1}"
}

addresses() {
    ip -o addr show dev "$1" 2>/dev/null | while read -r _ _ family address _; do
        case "$family $address" in
            inet\ * | inet6\ [!f]* | inet6\ f[!e]*) printf '%s ' "${address%/*}" ;;
        esac
    done | sed -e 's/ $//' -e 's/ /,/g'
}

links() {
    count=0
    for path in "$root"/sys/class/net/*; do
        name=${path##*/}
        case "$name" in lo | \*) continue ;; esac
        count=$((count + 1))
        echo "::probe link when=$1 name=$(encode "$name") addresses=$(addresses "$name") rx=$(counter "$name" rx_bytes) tx=$(counter "$name" tx_bytes)"
    done
}

digest() {
    sum=$(sha256sum "$1" 2>/dev/null) || sum=
    printf '%s' "${sum%% *}"
}

echo "::probe begin program=links"
links before
if [ -n "${PROBE_SERVE:-}" ]; then
    mkdir -p "$folder"
    dd if=/dev/urandom of="$folder/payload" bs=1024 count=$((PROBE_SERVE / 1024)) 2>/dev/null
    httpd -f -p "$port" -h "$folder" </dev/null >/dev/null 2>&1 &
    server=$!
    sleep 1
    serving=no
    kill -0 "$server" 2>/dev/null && serving=yes
    echo "::probe serve listening=$serving port=$port size=$(wc -c <"$folder/payload") digest=$(digest "$folder/payload")"
fi
for address in ${PROBE_FETCH:-}; do
    case "$address" in
        *:*) host="[$address]" ;;
        *) host=$address ;;
    esac
    ends=$(($(date +%s) + ${PROBE_PATIENCE:-20}))
    got="$state/payload"
    result=failed
    while [ "$result" = failed ]; do
        rm -f "$got"
        if timeout 10 wget -q -O "$got" "http://$host:$port/payload" 2>/dev/null; then
            result=ok
        elif [ "$(date +%s)" -ge "$ends" ]; then
            break
        else
            sleep 1
        fi
    done
    # Some kinds of wget leave an empty file where they got nothing.
    size=0 sum=
    [ "$result" = failed ] || size=$(($(wc -c <"$got"))) sum=$(digest "$got")
    echo "::probe fetch from=$address result=$result size=$size digest=$sum"
    rm -f "$got"
done
[ -z "${PROBE_FETCH:-}" ] || links after
echo "::probe end links=$count"
hold="${PROBE_HOLD:-0}"
if [ "$hold" -gt 0 ] 2>/dev/null; then
    # Without our output: whoever reads it must not wait for a sleep that outlives us.
    sleep "$hold" >/dev/null 2>&1 &
    sleeper=$!
    wait "$sleeper"
fi
[ -z "$server" ] || kill "$server" 2>/dev/null
exit 0
