#!/bin/sh
# A worker of a distributed training job, as far as the platform is concerned: it meets the others by
# name, passes numbers round a ring, keeps checkpoints, and goes on from the last one it finds.
#
# Environment: JOB_COMPLETION_INDEX  which worker this is, from 0
#              PROBE_WORKERS   how many there are
#              PROBE_PEERS     host and port of a worker, "@" standing for its index
#              PROBE_PORT      where this one listens (default 29500)
#              PROBE_STEPS     how many steps to take (default 12)
#              PROBE_EVERY     how many steps lie between checkpoints (default 4)
#              PROBE_STORE     URL of where checkpoints are kept (see store.sh)
#              PROBE_BYTES     how much is passed on at each step (default 32768)
#              PROBE_HANG      INDEX:STEP, a worker that hangs after a step unless it was resumed
#              PROBE_PATIENCE  seconds to wait for another worker (default 600)
#              PROBE_STATE     a folder it may write to (default /tmp)
#
# A worker's number begins as its index plus 1. At each step it becomes, modulo 1000003, 31 times
# itself plus its left neighbour's plus the step.
set -u
LC_ALL=C
export LC_ALL
index="${JOB_COMPLETION_INDEX:-0}"
workers="${PROBE_WORKERS:-1}"
peers="${PROBE_PEERS:-localhost:29500}"
port="${PROBE_PORT:-29500}"
steps="${PROBE_STEPS:-12}"
every="${PROBE_EVERY:-4}"
store="${PROBE_STORE:-}"
bytes="${PROBE_BYTES:-32768}"
hang="${PROBE_HANG:-}"
patience="${PROBE_PATIENCE:-600}"
state="${PROBE_STATE:-/tmp}"
ring="$state/ring"
left=$(((index + workers - 1) % workers))
history=
sleeper=

# A shell that waits hears a signal at once; one with sleep in the foreground would not.
pause() {
    sleep "$1" &
    sleeper=$!
    wait "$sleeper"
}

address() {
    printf 'http://%s%s%s/%s' "${peers%%@*}" "$1" "${peers#*@}" "$2"
}

load() {
    timeout 10 wget -q -O "$2" "$1" 2>/dev/null
}

# Lets the right neighbour have this worker's number after a step.
publish() {
    {
        echo "$2"
        head -c "$bytes" /dev/zero | tr '\0' .
    } >"$ring/.new"
    mv "$ring/.new" "$ring/$1"
    history="$history $2"
}

# Sets number to the left neighbour's after a step.
pull() {
    ends=$(($(date +%s) + patience))
    while :; do
        if load "$(address "$left" "$1")" "$state/pulled" && [ "$(wc -c <"$state/pulled")" -gt "$bytes" ]; then
            IFS= read -r number <"$state/pulled"
            case "$number" in
                '' | *[!0-9]*) ;;
                *) return 0 ;;
            esac
        fi
        [ "$(date +%s)" -lt "$ends" ] || return 1
        pause 1
    done
}

# Waits until every worker shows a file. Where "gone" is said, one that is there no more will do: nobody goes
# before all have everything. A network that loses a request or two is not taken for an absence.
await_all() {
    peer=0
    misses=0
    ends=$(($(date +%s) + patience))
    while [ "$peer" -lt "$workers" ]; do
        if load "$(address "$peer" "$1")" "$state/met"; then
            peer=$((peer + 1))
            misses=0
            continue
        fi
        if [ "${2:-}" = gone ]; then
            misses=$((misses + 1))
            ! load "$(address "$peer" here)" "$state/met" || misses=0
            [ "$misses" -lt 5 ] || return 0
        fi
        [ "$(date +%s)" -lt "$ends" ] || return 1
        pause 1
    done
}

# Keeps all numbers up to a step, and makes sure that they can be had again.
checkpoint() {
    text="$1$history"
    attempt=0
    while [ "$attempt" -lt 20 ]; do
        if timeout 10 wget -q -O - --post-data "$text" "$store/cgi-bin/keep?worker-$index" >/dev/null 2>&1 &&
            load "$store/kept/worker-$index" "$state/kept" && [ "$(cat "$state/kept")" = "$text" ]; then
            echo "::probe checkpoint n=$1 value=$value stored=yes"
            return
        fi
        attempt=$((attempt + 1))
        pause 1
    done
    echo "::probe checkpoint n=$1 value=$value stored=no"
}

# Takes up the last checkpoint; the store may be on its way up, or on its way back.
resume() {
    attempt=0
    while [ "$attempt" -lt 60 ]; do
        answer=$(timeout 10 wget -q -O "$state/kept" "$store/kept/worker-$index" 2>&1)
        if [ "$?" -eq 0 ]; then
            IFS= read -r text <"$state/kept"
            step=${text%% *}
            taken=0
            for value in ${text#* }; do
                publish "$taken" "$value"
                taken=$((taken + 1))
            done
            echo "::probe resumed n=$step value=$value"
            return
        fi
        case "$answer" in
            *" 404"*) break ;;
        esac
        attempt=$((attempt + 1))
        pause 1
    done
    step=0
    value=$((index + 1))
    publish 0 "$value"
    echo "::probe fresh value=$value"
}

echo "::probe begin program=train index=$index"
rm -rf "$ring"
mkdir -p "$ring"
echo "$index" >"$ring/here"
httpd -f -p "$port" -h "$ring" </dev/null 2>/dev/null &
server=$!
trap 'kill "$server" "$sleeper" 2>/dev/null; exit 143' TERM INT
resume
# Whoever resumed missed the beginning, in which all others meet.
if ! await_all here; then
    echo "::probe end done=no failed=rendezvous missing=$peer"
    kill "$server"
    exit 1
fi
echo "::probe met peers=$workers"
fresh=$([ "$step" -eq 0 ] && echo yes)
while [ "$step" -lt "$steps" ]; do
    if ! pull "$step"; then
        echo "::probe end done=no failed=exchange n=$((step + 1)) from=$left"
        kill "$server"
        exit 1
    fi
    step=$((step + 1))
    value=$(((value * 31 + number + step) % 1000003))
    publish "$step" "$value"
    echo "::probe step n=$step value=$value"
    [ $((step % every)) -ne 0 ] || checkpoint "$step"
    if [ "$hang" = "$index:$step" ] && [ -n "$fresh" ]; then
        echo "::probe hanging n=$step"
        pause "$patience"
    fi
done
# Neighbours still read from here. Nobody goes before all have everything.
await_all "$steps"
: >"$ring/done"
await_all done gone
echo "::probe end done=yes n=$step value=$value"
kill "$server"
exit 0
