#!/bin/sh
# Occupies what the container was given for PROBE_HOLD seconds (default 0), then ends well.
set -u
hold="${PROBE_HOLD:-0}"
echo "::probe begin program=hold"
# A shell that waits hears the signal at once; one with sleep in the foreground would not.
trap 'kill "$sleeper" 2>/dev/null; exit 143' TERM INT
sleep "$hold" &
sleeper=$!
wait "$sleeper"
echo "::probe end held=$hold"
exit 0
