#!/bin/sh
# One step of a pipeline: prepares data, trains a model on it, registers the model; passes artefacts on.
#
# Environment: PROBE_STEP      prepare, train, register, or discard
#              PROBE_PIPELINE  name of the pipeline, of a-z and 0-9
#              PROBE_FOLDER    a volume the artefacts are kept on, or
#              PROBE_STORE     URL of what keeps them (see store.sh), or
#              PROBE_S3        URL of an S3-compatible store, with
#              PROBE_BUCKET    a bucket, PROBE_PREFIX what names begin with, PROBE_REGION (default
#                              us-east-1), PROBE_ACCESS_KEY and PROBE_SECRET_KEY
#              PROBE_HOLD      seconds to go on after training (default 0)
#              PROBE_STATE     a folder it may write to (default /tmp)
#
# The data of a pipeline are 2000 lines of its name and a number. A model is made of the checksum of
# the data, an entry of the register of that of the model.
set -u
umask 077
LC_ALL=C
export LC_ALL
task="${PROBE_STEP:-prepare}"
pipeline="${PROBE_PIPELINE:-a}"
folder="${PROBE_FOLDER:-}"
store="${PROBE_STORE:-}"
endpoint="${PROBE_S3:-}"
bucket="${PROBE_BUCKET:-}"
prefix="${PROBE_PREFIX:-}"
region="${PROBE_REGION:-us-east-1}"
state="${PROBE_STATE:-/tmp}"
host="${endpoint#*://}"
host="${host%%/*}"

# S3 -----------------------------------------------------------------------------------------------

# Writes the bytes of a hexadecimal number, each after "exclusive or" with 36 or 5c hexadecimal where
# that is asked for. Not every shell and awk knows more than octal.
bytes() {
    printf "$(awk -v digits="$1" -v mask="${2:-00}" 'BEGIN {
        hex = "0123456789abcdef"
        table["0"] = hex
        table["3"] = "32107654ba98fedc"
        table["6"] = "67452301efcdab89"
        table["5"] = "54761032dcfe98ba"
        table["c"] = "cdef89ab45670123"
        high = table[substr(mask, 1, 1)]
        low = table[substr(mask, 2, 1)]
        for (at = 1; at < length(digits); at += 2) {
            first = substr(high, index(hex, substr(digits, at, 1)), 1)
            second = substr(low, index(hex, substr(digits, at + 1, 1)), 1)
            printf "\\%03o", (index(hex, first) - 1) * 16 + index(hex, second) - 1
        }
    }')"
}

sha256() {
    sha256sum | cut -c 1-64
}

# HMAC-SHA256 in hexadecimal, of a text under a key in hexadecimal.
hmac() {
    key=$1
    while [ "${#key}" -lt 128 ]; do
        key="${key}00"
    done
    inner=$({ bytes "$key" 36 && printf '%s' "$2"; } | sha256)
    { bytes "$key" 5c && bytes "$inner"; } | sha256
}

# Signs a text as of a day, as version 4 of AWS signatures wants it.
signature() {
    secret=$(printf 'AWS4%s' "${PROBE_SECRET_KEY:-}" | od -An -v -tx1 | tr -d ' \n')
    [ "${#secret}" -le 128 ] || secret=$(printf 'AWS4%s' "${PROBE_SECRET_KEY:-}" | sha256)
    hmac "$(hmac "$(hmac "$(hmac "$(hmac "$secret" "$1")" "$region")" s3)" aws4_request)" "$2"
}

# Sends a request with headers that prove who sends it: method, path, query, body.
signed() {
    moment=$(date -u +%Y%m%dT%H%M%SZ)
    day=${moment%T*}
    hash=$(printf '%s' "$4" | sha256)
    md5=
    names='host;x-amz-content-sha256;x-amz-date'
    if [ -n "$4" ]; then
        md5=$(bytes "$(printf '%s' "$4" | md5sum | cut -c 1-32)" | base64)
        names="content-md5;$names"
    fi
    canonical=$(printf '%s\n%s\n%s\n%shost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n%s\n%s' "$1" "$2" "$3" \
        "${md5:+content-md5:$md5
}" "$host" "$hash" "$moment" "$names" "$hash")
    scope="$day/$region/s3/aws4_request"
    text=$(printf 'AWS4-HMAC-SHA256\n%s\n%s\n%s' "$moment" "$scope" "$(printf '%s' "$canonical" | sha256)")
    proof="AWS4-HMAC-SHA256 Credential=${PROBE_ACCESS_KEY:-}/$scope, SignedHeaders=$names"
    set -- "$1" "$endpoint$2${3:+?$3}" "$4" "$proof, Signature=$(signature "$day" "$text")"
    if [ "$1" = POST ]; then
        timeout 30 wget -q -O - --header "x-amz-date: $moment" --header "x-amz-content-sha256: $hash" \
            --header "Content-MD5: $md5" --header "Authorization: $4" --post-data "$3" "$2" 2>/dev/null
    else
        timeout 30 wget -q -O - --header "x-amz-date: $moment" --header "x-amz-content-sha256: $hash" \
            --header "Authorization: $4" "$2" 2>/dev/null
    fi
}

# wget cannot PUT, so objects are uploaded as a browser would: by a form with a signed policy.
upload() {
    moment=$(date -u +%Y%m%dT%H%M%SZ)
    day=${moment%T*}
    ends=$(date -u -d "@$(($(date +%s) + 600))" +%Y-%m-%dT%H:%M:%SZ)
    who="${PROBE_ACCESS_KEY:-}/$day/$region/s3/aws4_request"
    conditions="{\"bucket\":\"$bucket\"},{\"key\":\"$1\"},{\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\"}"
    conditions="$conditions,{\"x-amz-credential\":\"$who\"},{\"x-amz-date\":\"$moment\"}"
    policy=$(printf '{"expiration":"%s","conditions":[%s]}' "$ends" "$conditions" | base64 | tr -d '\n')
    edge="certportal$$x$moment"
    form=
    for field in "key=$1" "x-amz-algorithm=AWS4-HMAC-SHA256" "x-amz-credential=$who" "x-amz-date=$moment" \
        "policy=$policy" "x-amz-signature=$(signature "$day" "$policy")"; do
        form="$form--$edge$eol""Content-Disposition: form-data; name=\"${field%%=*}\"$eol$eol${field#*=}$eol"
    done
    form="$form--$edge$eol""Content-Disposition: form-data; name=\"file\"; filename=\"artefact\"$eol"
    form="$form""Content-Type: text/plain$eol$eol$(cat "$2")$eol--$edge--$eol"
    timeout 30 wget -q -O - --header "Content-Type: multipart/form-data; boundary=$edge" \
        --post-data "$form" "$endpoint/$bucket" >/dev/null 2>&1
}
eol=$(printf '\r\n.')
eol=${eol%.}

remove() {
    body='<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>'
    for name in data model entry; do
        body="$body<Object><Key>$prefix$pipeline-$name</Key></Object>"
    done
    signed POST "/$bucket" delete= "$body</Delete>" >/dev/null
}

# Artefacts ----------------------------------------------------------------------------------------

put() {
    if [ -n "$endpoint" ]; then
        upload "$prefix$pipeline-$1" "$2"
    elif [ -n "$store" ]; then
        timeout 30 wget -q -O - --post-data "$(cat "$2")" "$store/cgi-bin/keep?$pipeline-$1" >/dev/null 2>&1
    else
        cat "$2" >"$folder/$pipeline-$1" 2>/dev/null
    fi
}

get() {
    if [ -n "$endpoint" ]; then
        signed GET "/$bucket/$prefix$pipeline-$1" '' '' >"$2"
    elif [ -n "$store" ]; then
        timeout 30 wget -q -O "$2" "$store/kept/$pipeline-$1" 2>/dev/null
    else
        cat "$folder/$pipeline-$1" >"$2" 2>/dev/null
    fi && [ -s "$2" ]
}

# The last end of line is left out, because not every way keeps it.
made() {
    printf '%s' "$(cat)" >"$state/artefact"
}

# Tries a few times, for what is named may be on its way up.
again() {
    attempt=0
    until "$@"; do
        attempt=$((attempt + 1))
        if [ "$attempt" -ge 30 ]; then
            return 1
        fi
        sleep 1
    done
}

fail() {
    echo "::probe end done=no failed=$1 artefact=$2"
    exit 1
}

take() {
    again get "$1" "$state/taken" || fail get "$1"
    sum=$(sha256 <"$state/taken")
    echo "::probe took artefact=$1 sha256=$sum"
}

give() {
    again put "$1" "$state/artefact" || fail put "$1"
    echo "::probe gave artefact=$1 sha256=$(sha256 <"$state/artefact")"
}

echo "::probe begin program=pipeline step=$task pipeline=$pipeline"
case "$task" in
    prepare)
        seq 1 2000 | sed "s/^/$pipeline /" | made
        give data
        ;;
    train)
        take data
        echo "model of $sum" | made
        echo "::probe training"
        trap 'kill "$sleeper" 2>/dev/null; exit 143' TERM INT
        sleep "${PROBE_HOLD:-0}" &
        sleeper=$!
        wait "$sleeper"
        give model
        ;;
    register)
        take model
        echo "entry of $sum" | made
        give entry
        take entry
        ;;
    discard)
        again remove || fail remove all
        # A store that says it removed something and still hands it out has removed nothing.
        for name in data model entry; do
            if get "$name" "$state/taken"; then
                fail remove "$name"
            fi
        done
        ;;
esac
echo "::probe end done=yes"
exit 0
