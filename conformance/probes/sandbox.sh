#!/bin/sh
# Tells what a container sees of the machine below it: which kernel, whose processes, which memory,
# mounts and network interfaces.
#
# Environment: PROBE_ROOT  prefix in front of /proc, /sys and /dev, for tests (default empty)
#              PROBE_HOLD  seconds to stay after printing (default 0)
#
# Standard output holds marker lines only. What cannot be told is left empty.
set -u
LC_ALL=C
export LC_ALL
root="${PROBE_ROOT:-}"
# Enough to recognise a machine by, and little enough for a log.
most=200

encode() {
    printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/[[:space:]]/%20/g' -e 's/=/%3D/g'
}

first_line() {
    [ -r "$1" ] && head -n 1 "$1" 2>/dev/null | tr -d '\000-\037'
}

kernel() {
    release=$(first_line "$root/proc/sys/kernel/osrelease")
    [ -n "$release" ] || [ -n "$root" ] || release=$(uname -r)
    boot=$(first_line "$root/proc/sys/kernel/random/boot_id")
    version=$(first_line "$root/proc/version")
    echo "::probe kernel release=$(encode "$release") boot=$(encode "$boot") version=$(encode "$version")"
}

process() {
    name=$(first_line "$root/proc/$1/comm") || return 0
    shown=$((shown + 1))
    echo "::probe process pid=$1 name=$(encode "$name")"
}

# On a machine the first two are its init and the parent of the kernel's own threads.
processes() {
    shown=0
    process 1
    process 2
    for folder in "$root"/proc/[0-9]*; do
        case "$folder" in */proc/1 | */proc/2) continue ;; esac
        [ "$shown" -lt "$most" ] || break
        process "${folder##*/}"
    done
}

memory() {
    for path in /dev/mem /dev/kmem /dev/port; do
        [ -c "$root$path" ] || continue
        if (exec 3<"$root$path") 2>/dev/null; then
            open=yes
        else
            open=no
        fi
        echo "::probe memory path=$path open=$open"
    done
}

# A line reads: id parent device root target options... - type source more. The root of what is
# mounted, its source and the layers of an overlay show where on the machine it lies.
mounts() {
    [ -r "$root/proc/self/mountinfo" ] || return 0
    head -n "$most" "$root/proc/self/mountinfo" | while read -r _ _ device from target rest; do
        tail=${rest#*- }
        type=${tail%% *}
        tail=${tail#"$type"}
        tail=${tail# }
        source=${tail%% *}
        layers=''
        case "$tail" in
            *lowerdir=*) layers=${tail#*lowerdir=} layers=${layers%%[,:]*} ;;
        esac
        echo "::probe mount target=$(encode "$target") type=$(encode "$type") device=$(encode "$device")" \
            "root=$(encode "$from") source=$(encode "$source") layers=$(encode "$layers")"
    done
}

# The kernel's own table, below two lines of headings, is that of this very namespace. Some sandboxes
# leave the folders of sysfs empty.
interfaces() {
    if [ -r "$root/proc/net/dev" ]; then
        sed -e 1,2d -e 's/^ *//' -e 's/:.*//' "$root/proc/net/dev"
    else
        for folder in "$root"/sys/class/net/*; do
            [ -e "$folder" ] && echo "${folder##*/}"
        done
    fi | sort | head -n "$most" | while read -r name; do
        echo "::probe interface name=$(encode "$name")"
    done
    # Every local address has an entry of its own among the routes, wherever it is set.
    [ -r "$root/proc/net/fib_trie" ] || return 0
    grep -B 1 '/32 host LOCAL' "$root/proc/net/fib_trie" 2>/dev/null |
        sed -n 's/^.*|-- \([0-9.]*\)$/\1/p' | sort -u | head -n "$most" |
        while read -r address; do
            echo "::probe address ip=$address"
        done
}

echo "::probe begin program=sandbox"
kernel
processes
memory
mounts
interfaces
echo "::probe end"

hold="${PROBE_HOLD:-0}"
if [ "$hold" -gt 0 ] 2>/dev/null; then
    # A shell that waits hears the signal at once; one with sleep in the foreground would not.
    trap 'kill "$sleeper" 2>/dev/null; exit 143' TERM INT
    sleep "$hold" &
    sleeper=$!
    wait "$sleeper"
fi
exit 0
