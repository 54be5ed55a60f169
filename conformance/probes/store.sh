#!/bin/sh
# Keeps what it is sent over HTTP in a folder, and hands it out again.
#
# Environment: PROBE_FOLDER  where to keep it (default /tmp/kept)
#              PROBE_PORT    where to listen (default 8080)
#              PROBE_STATE   a folder of its own it may write to (default /tmp)
#
# POST /cgi-bin/keep?NAME keeps the body, GET /kept/NAME returns it. Names are of a-z, 0-9 and "-".
set -u
umask 077
LC_ALL=C
PROBE_FOLDER="${PROBE_FOLDER:-/tmp/kept}"
export LC_ALL PROBE_FOLDER
port="${PROBE_PORT:-8080}"
root="${PROBE_STATE:-/tmp}/store"

echo "::probe begin program=store"
mkdir -p "$root/cgi-bin" "$PROBE_FOLDER" 2>/dev/null
ln -sfn "$PROBE_FOLDER" "$root/kept"
# A file is complete or not there: it gets its name once all of it was written.
cat >"$root/cgi-bin/keep" <<'KEEP'
#!/bin/sh
name=$(printf '%s' "${QUERY_STRING:-}" | tr -cd 'a-z0-9-')
new="$PROBE_FOLDER/.$name.$$"
if [ -n "$name" ] && head -c "${CONTENT_LENGTH:-0}" >"$new" 2>/dev/null &&
    mv "$new" "$PROBE_FOLDER/$name" 2>/dev/null; then
    printf 'Content-Type: text/plain\r\n\r\nkept\n'
else
    rm -f "$new" 2>/dev/null
    printf 'Status: 507 Insufficient Storage\r\nContent-Type: text/plain\r\n\r\nnot kept\n'
fi
KEEP
chmod 700 "$root/cgi-bin/keep"
trap 'kill "$server" 2>/dev/null; exit 143' TERM INT
httpd -f -p "$port" -h "$root" </dev/null 2>/dev/null &
server=$!
echo "::probe serving port=$port"
wait "$server"
echo "::probe end served=no"
exit 1
