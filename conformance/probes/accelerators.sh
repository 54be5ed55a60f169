#!/bin/sh
# Tells which accelerator device nodes this container sees and whether it can open them.
#
# Environment: PROBE_ROOT  prefix in front of /dev, for tests (default empty)
#              PROBE_TRY   space separated ids (c:MAJOR:MINOR) to try to open through a node of our own
#              PROBE_HOLD  seconds to stay after printing (default 0)
#
# Standard output holds marker lines only. Control nodes (nvidiactl, nvidia-uvm, kfd) are no devices:
# they are shared by design and grant nothing without a device node beside them.
set -u
umask 077
LC_ALL=C
export LC_ALL
root="${PROBE_ROOT:-}"
count=0

encode() {
    printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/=/%3D/g'
}

identity() {
    numbers=$(stat -L -c '%t %T' "$1" 2>/dev/null) || return 1
    printf 'c:%d:%d' "$((0x${numbers% *}))" "$((0x${numbers#* }))"
}

# The subshell keeps the descriptor from outliving the attempt: some drivers admit one holder only.
opens() {
    (exec 3<"$1") 2>/dev/null
}

look() {
    [ -c "$1" ] || return 0
    id=$(identity "$1") || return 0
    if opens "$1"; then
        open=yes
    else
        open=no
    fi
    count=$((count + 1))
    echo "::probe device path=$(encode "${1#"$root"}") id=$id open=$open"
}

# A node made here reaches the driver unless the container's device rules forbid it. /dev comes
# first because other places may be mounted so that no device node works there at all.
try() {
    kind=${1%%:*}
    rest=${1#*:}
    major=${rest%%:*}
    minor=${rest#*:}
    for folder in "$root/dev" /tmp; do
        node="$folder/.certportal-probe-$$"
        rm -f "$node" 2>/dev/null
        mknod "$node" "$kind" "$major" "$minor" 2>/dev/null || continue
        if problem=$( (exec 3<"$node") 2>&1); then
            result=opened
        else
            case "$problem" in
                *"No such device"*) result=absent ;;
                *) result=denied ;;
            esac
        fi
        rm -f "$node"
        echo "::probe try id=$1 result=$result step=open"
        return 0
    done
    echo "::probe try id=$1 result=denied step=mknod"
}

echo "::probe begin program=accelerators"
for path in \
    "$root"/dev/nvidia[0-9]* \
    "$root"/dev/dri/renderD[0-9]* \
    "$root"/dev/dxg \
    "$root"/dev/accel/accel[0-9]* \
    "$root"/dev/accel[0-9]* \
    "$root"/dev/apex_[0-9]* \
    "$root"/dev/neuron[0-9]* \
    "$root"/dev/davinci[0-9]* \
    "$root"/dev/hl[0-9]* \
    "$root"/dev/habanalabs/hl[0-9]* \
    "$root"/dev/mlu[0-9]* \
    "$root"/dev/cambricon_dev[0-9]* \
    "$root"/dev/xpu[0-9]* \
    "$root"/dev/vfio/[0-9]*; do
    look "$path"
done
for id in ${PROBE_TRY:-}; do
    try "$id"
done
echo "::probe end devices=$count"

hold="${PROBE_HOLD:-0}"
if [ "$hold" -gt 0 ] 2>/dev/null; then
    # A shell that waits hears the signal at once; one with sleep in the foreground would not.
    trap 'kill "$sleeper" 2>/dev/null; exit 143' TERM INT
    sleep "$hold" &
    sleeper=$!
    wait "$sleeper"
fi
exit 0
