#!/bin/sh
# Removes the IPv6 listeners from the filled template where the kernel has no IPv6: nginx would not start with them.
set -eu

[ -e /proc/net/if_inet6 ] || sed -i '/listen \[::\]/d' "$NGINX_ENVSUBST_OUTPUT_DIR/front.stream"
