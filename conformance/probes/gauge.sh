#!/bin/sh
# Exposes one gauge that is high while somebody sends work, and low when nobody has for a while.
#
# Environment: PROBE_METRIC  the gauge's name (default certportal_probe_load)
#              PROBE_HIGH    its value while there is work (default 100; else it is 0)
#              PROBE_IDLE    seconds without work after which it is low again (default 10)
#              PROBE_PORT    where it listens (default 8080)
#              PROBE_STATE   a folder it may write to (default /tmp)
#
# GET /work is work, GET /metrics the gauge in Prometheus' text format, everything else is not found.
set -u
LC_ALL=C
PROBE_METRIC="${PROBE_METRIC:-certportal_probe_load}"
PROBE_HIGH="${PROBE_HIGH:-100}"
PROBE_IDLE="${PROBE_IDLE:-10}"
PROBE_STATE="${PROBE_STATE:-/tmp}"
port="${PROBE_PORT:-8080}"
export LC_ALL PROBE_METRIC PROBE_HIGH PROBE_IDLE PROBE_STATE

# What is run for each connection: the client is on standard input and output.
handler='
cr=$(printf "\r")

answer() {
    printf "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" "$1" "$2" "${#3}"
    printf "%s" "$3"
}

gauge() {
    last=0
    read -r last 2>/dev/null <"$PROBE_STATE/worked"
    value=0
    [ "$(($(date +%s) - last))" -ge "$PROBE_IDLE" ] || value=$PROBE_HIGH
    echo "# HELP $PROBE_METRIC High while there is work."
    echo "# TYPE $PROBE_METRIC gauge"
    echo "$PROBE_METRIC $value"
}

IFS= read -r request || exit 0
request=${request%"$cr"}
path=${request#* }
path=${path%% *}
while IFS= read -r header; do
    [ -n "${header%"$cr"}" ] || break
done
case "$path" in
    /metrics | /metrics\?*) answer "200 OK" "text/plain; version=0.0.4; charset=utf-8" "$(gauge)
" ;;
    /work)
        date +%s >"$PROBE_STATE/worked.$$"
        mv "$PROBE_STATE/worked.$$" "$PROBE_STATE/worked"
        answer "200 OK" "text/plain; charset=utf-8" ok
        ;;
    *) answer "404 Not Found" "text/plain; charset=utf-8" "not found" ;;
esac
'

echo "::probe begin program=gauge"
if ! { echo 0 >"$PROBE_STATE/worked"; } 2>/dev/null; then
    echo "::probe end served=no reason=state"
    exit 1
fi
trap 'kill "$server" 2>/dev/null; exit 143' TERM INT
for address in :: 0.0.0.0; do
    tcpsvd -E -c 50 "$address" "$port" /bin/sh -c "$handler" handler </dev/null 2>/dev/null &
    server=$!
    # It ends at once where it cannot listen, as on a node without IPv6.
    sleep 1
    if kill -0 "$server" 2>/dev/null; then
        echo "::probe serving metric=$PROBE_METRIC port=$port"
        wait "$server"
    fi
done
echo "::probe end served=no reason=listen"
exit 1
