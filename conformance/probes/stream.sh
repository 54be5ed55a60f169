#!/bin/sh
# Sends requests over HTTP at a steady pace, and tells each second how many there were and how many failed.
#
# Environment: PROBE_URL       where to send them
#              PROBE_HEADER    a header to send with each, such as "X-Model: a" (default none)
#              PROBE_BODY      what to POST (default: nothing, the requests are GETs)
#              PROBE_RATE      how many to send before each pause of a second (default 1)
#              PROBE_PATIENCE  seconds to wait for the first good answer (default 60)
#              PROBE_HOLD      seconds to go on after that (default 0)
#
# Failed is a request without an answer of status 200; "status" is that of the last one that failed, 0
# where there was no answer.
set -u
LC_ALL=C
export LC_ALL
header="${PROBE_HEADER:-X-Probe: certportal}"
body="${PROBE_BODY:-}"
rate="${PROBE_RATE:-1}"
hold="${PROBE_HOLD:-0}"
sleeper=
trap '[ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null; exit 143' TERM INT

# Sets status.
ask() {
    if [ -n "$body" ]; then
        output=$(timeout 10 wget -S -q -O /dev/null --header "$header" \
            --header 'Content-Type: application/json' --post-data "$body" "$PROBE_URL" 2>&1)
    else
        output=$(timeout 10 wget -S -q -O /dev/null --header "$header" "$PROBE_URL" 2>&1)
    fi
    status=0
    case "$output" in
        *HTTP/1.[01]\ [1-5][0-9][0-9]*)
            status=${output#*HTTP/1.[01] }
            status=${status%%[!0-9]*}
            ;;
    esac
}

# A shell that waits hears a signal at once; one with sleep in the foreground would not. The sleep is
# kept from our output: whoever reads it must not wait for one that outlives us.
pause() {
    sleep 1 >/dev/null 2>&1 &
    sleeper=$!
    wait "$sleeper"
}

echo "::probe begin program=stream"
ends=$(($(date +%s) + ${PROBE_PATIENCE:-60}))
ask
until [ "$status" = 200 ]; do
    if [ "$(date +%s)" -ge "$ends" ]; then
        echo "::probe end reached=no status=$status"
        exit 0
    fi
    pause
    ask
done
echo "::probe reached"
sent=0
failed=0
last=200
ends=$(($(date +%s) + hold))
while [ "$(date +%s)" -lt "$ends" ]; do
    count=0
    while [ "$count" -lt "$rate" ]; do
        ask
        count=$((count + 1))
        sent=$((sent + 1))
        [ "$status" = 200 ] || {
            failed=$((failed + 1))
            last=$status
        }
    done
    echo "::probe tally sent=$sent failed=$failed status=$last"
    pause
done
echo "::probe end reached=yes sent=$sent failed=$failed"
exit 0
