#!/bin/sh
# Reports mounted folders that nginx cannot read, as they are when they were made with umask 027 or 077. A page is then answered with
# 403 or 500, which is seen; a certificate would not be found, and a self-signed one be used in its place, so that is refused.
set -eu

page=/usr/share/nginx/html
[ -z "$(find "$page" ! -readable 2>/dev/null)" ] ||
    echo "page: user $(id -u) cannot read all of $page, so browsers get 403 or 500 for it. On the machine: chmod -R a+rX <the folder that is mounted there> (for example static/dist)." >&2

certs=/certs
if [ -d "$certs" ] && ! { [ -r "$certs" ] && [ -x "$certs" ]; }; then
    echo "certificate: user $(id -u) cannot read the folder $certs. On the machine: chmod 755 <the folder that is mounted there> (for example certs)." >&2
    exit 1
fi
