#!/bin/sh
# Where a folder is mounted at /var/log/roundtable, the logs go there as well.
# It also makes the folder that the filled templates go to.
set -eu

mkdir -p "$NGINX_ENVSUBST_OUTPUT_DIR"
# Sockets of a run that was killed: nginx does not start where one is.
rm -f "$NGINX_ENVSUBST_OUTPUT_DIR"/*.sock
files=$NGINX_ENVSUBST_OUTPUT_DIR/log-files.conf
rm -f "$files"

folder=/var/log/roundtable
[ -d "$folder" ] || exit 0
if [ ! -w "$folder" ]; then
    echo "logs: $folder is not writable for user $(id -u): logging to the console only. On the machine: chown $(id -u) <the folder that is mounted there>." >&2
    exit 0
fi

# An error_log in http replaces the one of the process, so the console stands here again.
cat >"$files" <<CONF
access_log $folder/access.log access;
error_log /dev/stderr notice;
error_log $folder/error.log notice;
CONF
