#!/bin/sh
# Sends a request a second for as long as it is left alone.
#
# Environment: PROBE_URL       where to send them
#              PROBE_PATIENCE  seconds to wait for the first answer (default 60)
#              PROBE_HOLD      seconds to go on after that (default 0)
#
# What it has to say ends with the first answer; the rest is work.
set -u
hold="${PROBE_HOLD:-0}"
sleeper=
trap '[ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null; exit 143' TERM INT

ask() {
    timeout 5 wget -q -O /dev/null "$PROBE_URL" 2>/dev/null
}

# A shell that waits hears a signal at once; one with sleep in the foreground would not. The sleep is
# kept from our output: whoever reads it must not wait for one that outlives us.
pause() {
    sleep 1 >/dev/null 2>&1 &
    sleeper=$!
    wait "$sleeper"
}

echo "::probe begin program=load"
ends=$(($(date +%s) + ${PROBE_PATIENCE:-60}))
until ask; do
    if [ "$(date +%s)" -ge "$ends" ]; then
        echo "::probe end reached=no"
        exit 0
    fi
    pause
done
echo "::probe end reached=yes"
ends=$(($(date +%s) + hold))
while [ "$(date +%s)" -lt "$ends" ]; do
    pause
    ask
done
exit 0
