#!/bin/sh
# Sends requests over HTTP and tells who answered each.
#
# Environment: PROBE_URL       where to send them
#              PROBE_READY     what to ask first, until it answers (default: nothing)
#              PROBE_PATIENCE  seconds to go on asking that (default 60)
#              PROBE_SETTLE    how many times in a row it has to answer (default 3)
#              PROBE_COUNT     how many requests to send (default 1)
#              PROBE_HEADER    a header to send with each, such as "X-Model: a" (default none)
#              PROBE_BODY      what to POST (default: nothing, the requests are GETs)
#
# The answer tells its sender as "served_by":"NAME"; a status of 0 stands for no answer at all.
set -u
LC_ALL=C
export LC_ALL
count="${PROBE_COUNT:-1}"
header="${PROBE_HEADER:-X-Probe: certportal}"
body="${PROBE_BODY:-}"

encode() {
    printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/=/%3D/g'
}

# Sets status and by.
ask() {
    if [ -n "$2" ]; then
        output=$(timeout 10 wget -S -q -O - --header "$header" --header 'Content-Type: application/json' \
            --post-data "$2" "$1" 2>&1)
    else
        output=$(timeout 10 wget -S -q -O - --header "$header" "$1" 2>&1)
    fi
    status=0
    by=
    case "$output" in
        *HTTP/1.[01]\ [1-5][0-9][0-9]*)
            status=${output#*HTTP/1.[01] }
            status=${status%%[!0-9]*}
            ;;
    esac
    case "$output" in
        *'"served_by":"'*)
            by=${output#*\"served_by\":\"}
            by=${by%%\"*}
            ;;
    esac
}

echo "::probe begin program=ask"
if [ -n "${PROBE_READY:-}" ]; then
    ends=$(($(date +%s) + ${PROBE_PATIENCE:-60}))
    settled=0
    while [ "$settled" -lt "${PROBE_SETTLE:-3}" ]; do
        ask "$PROBE_READY" ''
        if [ "$status" = 200 ]; then
            settled=$((settled + 1))
            continue
        fi
        settled=0
        if [ "$(date +%s)" -ge "$ends" ]; then
            echo "::probe end reached=no status=$status sent=0 answered=0"
            exit 0
        fi
        sleep 1
    done
fi
sent=0
answered=0
while [ "$sent" -lt "$count" ]; do
    ask "$PROBE_URL" "$body"
    sent=$((sent + 1))
    [ "$status" != 200 ] || answered=$((answered + 1))
    echo "::probe answer n=$sent status=$status by=$(encode "$by")"
done
echo "::probe end reached=yes status=200 sent=$sent answered=$answered"
exit 0
