#!/bin/sh
# Where another proxy is in front of this one, ROUNDTABLE_TRUSTED_PROXIES has its addresses and networks, separated by
# commas. What such a proxy says of the client and of the trace that a request is part of is believed and passed on.
set -eu

trusted=${ROUNDTABLE_TRUSTED_PROXIES:-}

case $trusted in
    *[!0-9A-Fa-f.:/,\ ]*)
        echo "proxies: ROUNDTABLE_TRUSTED_PROXIES is '$trusted'; it should be addresses and networks, separated by commas." >&2
        exit 1
        ;;
esac
proxies=$(echo "$trusted" | tr ',' ' ')

# from_proxy VARIABLE: whether the address in it is a trusted proxy's.
from_proxy() {
    echo "geo $1 \$from_proxy {"
    echo "default 0;"
    for proxy in $proxies; do
        echo "$proxy 1;"
    done
    echo "}"
}

# Not *.conf, which http includes.
from_proxy '$remote_addr' >"$NGINX_ENVSUBST_OUTPUT_DIR/proxies.stream"
{
    # Every connection comes from front.stream, which tells the address of its other end by the PROXY protocol.
    from_proxy '$proxy_protocol_addr'
    echo "set_real_ip_from unix:;"
    if [ -n "$(echo $proxies)" ]; then
        for proxy in $proxies; do
            echo "set_real_ip_from $proxy;"
        done
        echo "real_ip_header X-Forwarded-For;"
        echo "real_ip_recursive on;"
    else
        echo "real_ip_header proxy_protocol;"
    fi
    # X-Forwarded-For is believed of proxies alone. "unix:" stands in $remote_addr where a proxy has not sent it.
    cat <<'CONF'
map $remote_addr $forwarded_address { "unix:" $proxy_protocol_addr; default $remote_addr; }
map $from_proxy $client_address { 1 $forwarded_address; default $proxy_protocol_addr; }
map $from_proxy $traceparent { 1 $http_traceparent; default ""; }
CONF
} >"$NGINX_ENVSUBST_OUTPUT_DIR/proxies.conf"
