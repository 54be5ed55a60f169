#!/bin/sh
# A stand-in for a model server: answers every request with its own name, and tells its metrics.
#
# Environment: PROBE_NAME   what it calls itself in each answer (default backend)
#              PROBE_PORT   where it listens (default 8080)
#              PROBE_LABEL  value of the label "run" on its metrics (default none)
#              PROBE_LEVEL  value of its gauge (default 1)
#              PROBE_QUEUE  how many requests it claims to have waiting (default: it does not say)
#              PROBE_METRIC a gauge of how many requests to the model came lately (default: none)
#              PROBE_WINDOW how many seconds "lately" is (default 10)
#              PROBE_DRAIN  seconds it goes on serving after it was told to end (default 0)
#              PROBE_STATE  a folder it may write to (default /tmp)
#
# GET /metrics are the metrics in Prometheus' text format, GET /health is "ok"; neither is counted.
# Everything else is a request to the model: each is counted, and its duration told as 50 ms.
set -u
LC_ALL=C
PROBE_NAME="${PROBE_NAME:-backend}"
PROBE_LABEL="${PROBE_LABEL:-none}"
PROBE_LEVEL="${PROBE_LEVEL:-1}"
PROBE_QUEUE="${PROBE_QUEUE:-}"
PROBE_METRIC="${PROBE_METRIC:-}"
PROBE_WINDOW="${PROBE_WINDOW:-10}"
PROBE_STATE="${PROBE_STATE:-/tmp}"
drain="${PROBE_DRAIN:-0}"
port="${PROBE_PORT:-8080}"
export LC_ALL PROBE_NAME PROBE_LABEL PROBE_LEVEL PROBE_QUEUE PROBE_METRIC PROBE_WINDOW PROBE_STATE

# What is run for each connection: the client is on standard input and output.
handler='
cr=$(printf "\r")

answer() {
    printf "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" "$1" "$2" "${#3}"
    printf "%s" "$3"
}

# A body that is left unread when the connection closes may take the answer with it.
skip_body() {
    if [ -n "$chunked" ]; then
        while IFS= read -r line; do
            [ "${line%"$cr"}" != 0 ] || break
        done
        IFS= read -r line
    elif [ "$length" -gt 0 ] 2>/dev/null; then
        head -c "$length" >/dev/null
    fi
}

metrics() {
    total=$(($(wc -c <"$PROBE_STATE/requests")))
    echo "# HELP certportal_probe_requests_total Requests to the model."
    echo "# TYPE certportal_probe_requests_total counter"
    echo "certportal_probe_requests_total{run=\"$PROBE_LABEL\"} $total"
    echo "# HELP certportal_probe_request_seconds How long requests took."
    echo "# TYPE certportal_probe_request_seconds histogram"
    echo "certportal_probe_request_seconds_bucket{run=\"$PROBE_LABEL\",le=\"0.01\"} 0"
    echo "certportal_probe_request_seconds_bucket{run=\"$PROBE_LABEL\",le=\"0.1\"} $total"
    echo "certportal_probe_request_seconds_bucket{run=\"$PROBE_LABEL\",le=\"+Inf\"} $total"
    printf "certportal_probe_request_seconds_sum{run=\"%s\"} %d.%02d\n" \
        "$PROBE_LABEL" "$((total * 5 / 100))" "$((total * 5 % 100))"
    echo "certportal_probe_request_seconds_count{run=\"$PROBE_LABEL\"} $total"
    echo "# HELP certportal_probe_level A level set from outside."
    echo "# TYPE certportal_probe_level gauge"
    echo "certportal_probe_level{run=\"$PROBE_LABEL\"} $PROBE_LEVEL"
    if [ -n "$PROBE_METRIC" ]; then
        since=$(($(date +%s) - PROBE_WINDOW))
        echo "# HELP $PROBE_METRIC Requests to the model in the last $PROBE_WINDOW seconds."
        echo "# TYPE $PROBE_METRIC gauge"
        lately=$(tail -n 2000 "$PROBE_STATE/times" | awk "\$1 > $since { count++ } END { print count + 0 }")
        echo "$PROBE_METRIC{run=\"$PROBE_LABEL\"} $lately"
    fi
    [ -n "$PROBE_QUEUE" ] || return 0
    echo "# TYPE vllm:num_requests_running gauge"
    echo "vllm:num_requests_running{model_name=\"certportal-probe\"} 0"
    echo "# TYPE vllm:num_requests_waiting gauge"
    echo "vllm:num_requests_waiting{model_name=\"certportal-probe\"} $PROBE_QUEUE"
    echo "# TYPE vllm:kv_cache_usage_perc gauge"
    echo "vllm:kv_cache_usage_perc{model_name=\"certportal-probe\"} 0"
    echo "# TYPE vllm:lora_requests_info gauge"
    echo "vllm:lora_requests_info{max_lora=\"0\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"} 1"
    echo "# TYPE vllm:cache_config_info gauge"
    echo "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"1024\"} 1"
}

IFS= read -r request || exit 0
request=${request%"$cr"}
path=${request#* }
path=${path%% *}
length=0
chunked=
while IFS= read -r header; do
    header=${header%"$cr"}
    [ -n "$header" ] || break
    case "$header" in
        [Cc]ontent-[Ll]ength:*) length=$(printf "%s" "${header#*:}" | tr -cd 0-9) ;;
        [Tt]ransfer-[Ee]ncoding:*[Cc]hunked*) chunked=yes ;;
        [Ee]xpect:*100-continue*) printf "HTTP/1.1 100 Continue\r\n\r\n" ;;
    esac
done
skip_body
case "$path" in
    /metrics | /metrics\?*) answer "200 OK" "text/plain; version=0.0.4; charset=utf-8" "$(metrics)
" ;;
    /health) answer "200 OK" "text/plain; charset=utf-8" ok ;;
    *)
        printf . >>"$PROBE_STATE/requests"
        [ -z "$PROBE_METRIC" ] || date +%s >>"$PROBE_STATE/times"
        choice="{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"ok\"}}"
        usage="{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}"
        answer "200 OK" application/json "{\"object\":\"chat.completion\",\"model\":\"certportal-probe\",\"served_by\":\"$PROBE_NAME\",\"choices\":[$choice],\"usage\":$usage}"
        ;;
esac
'

echo "::probe begin program=serve"
if ! (: >"$PROBE_STATE/requests" && : >"$PROBE_STATE/times") 2>/dev/null; then
    echo "::probe end served=no reason=state"
    exit 1
fi
# Whoever sends requests learns a moment later that this one is on its way out.
trap '[ "$drain" = 0 ] || sleep "$drain"; kill "$server" 2>/dev/null; exit 143' TERM INT
for address in :: 0.0.0.0; do
    tcpsvd -E -c 200 "$address" "$port" /bin/sh -c "$handler" handler </dev/null 2>/dev/null &
    server=$!
    # It ends at once where it cannot listen, as on a node without IPv6.
    sleep 1
    if kill -0 "$server" 2>/dev/null; then
        echo "::probe serving name=$PROBE_NAME port=$port"
        wait "$server"
    fi
done
echo "::probe end served=no reason=listen"
exit 1
