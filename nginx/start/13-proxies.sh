#!/bin/sh
# Where another proxy stands before this one, ROUNDTABLE_TRUSTED_PROXIES has its addresses and networks, separated by
# commas: what it says of who asks is believed, and passed on.
set -eu

files=$NGINX_ENVSUBST_OUTPUT_DIR/proxies.conf
rm -f "$files"
[ -n "${ROUNDTABLE_TRUSTED_PROXIES:-}" ] || exit 0

case $ROUNDTABLE_TRUSTED_PROXIES in
    *[!0-9A-Fa-f.:/,\ ]*)
        echo "proxies: ROUNDTABLE_TRUSTED_PROXIES is '$ROUNDTABLE_TRUSTED_PROXIES'; it should be addresses and networks, separated by commas." >&2
        exit 1
        ;;
esac
{
    for proxy in $(echo "$ROUNDTABLE_TRUSTED_PROXIES" | tr ',' ' '); do
        echo "set_real_ip_from $proxy;"
    done
    echo "real_ip_header X-Forwarded-For;"
    echo "real_ip_recursive on;"
} >"$files"
