#!/bin/sh
# Where another proxy stands before this one, ROUNDTABLE_TRUSTED_PROXIES has its addresses and networks, separated by
# commas: what it says of who asks, and of the trace that a request is part of, is believed, and passed on.
set -eu

files=$NGINX_ENVSUBST_OUTPUT_DIR/proxies.conf
trusted=${ROUNDTABLE_TRUSTED_PROXIES:-}

case $trusted in
    *[!0-9A-Fa-f.:/,\ ]*)
        echo "proxies: ROUNDTABLE_TRUSTED_PROXIES is '$trusted'; it should be addresses and networks, separated by commas." >&2
        exit 1
        ;;
esac
proxies=$(echo "$trusted" | tr ',' ' ')
{
    for proxy in $proxies; do
        echo "set_real_ip_from $proxy;"
    done
    echo "real_ip_header X-Forwarded-For;"
    echo "real_ip_recursive on;"
    # By who is connected, not by whom it asks for.
    echo "geo \$realip_remote_addr \$from_proxy {"
    echo "default 0;"
    for proxy in $proxies; do
        echo "$proxy 1;"
    done
    echo "}"
    echo 'map $from_proxy $traceparent { 1 $http_traceparent; default ""; }'
} >"$files"
