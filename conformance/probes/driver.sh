#!/bin/sh
# Tells what a container finds of an accelerator's driver: the devices and their identity, the tools
# and libraries that were injected, and the versions each of them states.
#
# Environment: PROBE_ROOT  prefix in front of every path, for tests (default empty)
#              PROBE_HOLD  seconds to stay after printing (default 0)
#
# Standard output holds marker lines only. What cannot be told is left empty.
set -u
LC_ALL=C
export LC_ALL
root="${PROBE_ROOT:-}"
count=0

encode() {
    printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/[[:space:]]/%20/g' -e 's/=/%3D/g'
}

first_line() {
    [ -r "$1" ] && head -n 1 "$1" 2>/dev/null | tr -d '\000-\037'
}

# The first number with dots in a text, which in what drivers print is their version.
dotted() {
    grep -o '[0-9][0-9]*\.[0-9][0-9.]*' | head -n 1 | sed -e 's/\.$//'
}

identity() {
    numbers=$(stat -L -c '%t %T' "$1" 2>/dev/null) || return 1
    printf 'c:%d:%d' "$((0x${numbers% *}))" "$((0x${numbers#* }))"
}

# The subshell keeps the descriptor from outliving the attempt: some drivers admit one holder only.
opens() {
    (exec 3<"$1") 2>/dev/null
}

# NVIDIA's driver tells of each device in a file of its own; the device node's number finds it.
nvidia_facts() {
    for file in "$root"/proc/driver/nvidia/gpus/*/information; do
        [ -r "$file" ] || continue
        number=$(sed -n 's/^Device Minor:[[:space:]]*\([0-9][0-9]*\).*/\1/p' "$file")
        [ "$number" = "$1" ] || continue
        model=$(sed -n 's/^Model:[[:space:]]*//p' "$file")
        uuid=$(sed -n 's/^GPU UUID:[[:space:]]*//p' "$file")
        bus=$(sed -n 's/^Bus Location:[[:space:]]*//p' "$file")
        return 0
    done
}

# The kernel tells of every graphics device which function of the bus it is.
graphics_facts() {
    place="$root/sys/dev/char/$1/device"
    link=$(readlink -f "$place" 2>/dev/null) && [ -e "$place" ] && bus=${link##*/}
    model=$(first_line "$place/product_name")
    uuid=$(first_line "$place/unique_id")
}

look() {
    [ -c "$1" ] || return 0
    id=$(identity "$1") || return 0
    path=${1#"$root"}
    model='' uuid='' bus=''
    case "$path" in
        /dev/nvidia*) nvidia_facts "${path#/dev/nvidia}" ;;
        /dev/dri/*) graphics_facts "${id#c:}" ;;
    esac
    if opens "$1"; then
        open=yes
    else
        open=no
    fi
    count=$((count + 1))
    echo "::probe device path=$(encode "$path") id=$id open=$open" \
        "uuid=$(encode "$uuid") bus=$(encode "$bus") model=$(encode "$model")"
}

# A tool may be there and yet not run, as in an image with another C library; that is told apart.
ask_nvidia_smi() {
    smi=''
    for place in /usr/bin /usr/local/nvidia/bin /usr/local/bin /opt/bin /bin; do
        if [ -f "$root$place/nvidia-smi" ]; then
            smi="$root$place/nvidia-smi"
            break
        fi
    done
    [ -n "$smi" ] || return 0
    runs=no
    driver=''
    runtime=''
    for folder in /usr/local/nvidia/lib64 /usr/lib64; do
        [ -d "$root$folder" ] && LD_LIBRARY_PATH="$root$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    done
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"
    if answer=$(timeout 30 "$smi" --query-gpu=driver_version --format=csv,noheader 2>/dev/null); then
        driver=$(printf '%s\n' "$answer" | dotted)
        [ -n "$driver" ] && runs=yes
        runtime=$(timeout 30 "$smi" 2>/dev/null |
            sed -n 's/.*CUDA Version: *\([0-9][0-9.]*\).*/\1/p' | head -n 1)
    fi
    echo "::probe tool name=nvidia-smi path=$(encode "${smi#"$root"}") runs=$runs"
    [ "$runs" = no ] || echo "::probe version vendor=nvidia source=tool driver=$driver runtime=$runtime"
}

find_nvidia_library() {
    for file in \
        "$root"/usr/lib/*-linux-gnu/libnvidia-ml.so.[0-9]*.[0-9]* \
        "$root"/usr/lib64/libnvidia-ml.so.[0-9]*.[0-9]* \
        "$root"/usr/lib/libnvidia-ml.so.[0-9]*.[0-9]* \
        "$root"/usr/local/nvidia/lib64/libnvidia-ml.so.[0-9]*.[0-9]*; do
        [ -f "$file" ] || continue
        echo "::probe version vendor=nvidia source=library driver=$(encode "${file##*libnvidia-ml.so.}") runtime="
        return 0
    done
}

ask_kernel() {
    driver=''
    [ -r "$root/proc/driver/nvidia/version" ] &&
        driver=$(grep NVRM "$root/proc/driver/nvidia/version" | dotted)
    [ -n "$driver" ] && echo "::probe version vendor=nvidia source=kernel driver=$driver runtime="
    driver=$(first_line "$root/sys/module/amdgpu/version")
    [ -n "$driver" ] && echo "::probe version vendor=amd source=kernel driver=$(encode "$driver") runtime="
}

echo "::probe begin program=driver"
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
ask_nvidia_smi
find_nvidia_library
ask_kernel
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
