# Two images:  docker build -t roundtable .                             the signaling server with the page
#              docker build -t roundtable-nginx --target nginx .        nginx with TLS, in front of it
#
# Base images and package registries are arguments, for places where others are nearer:
#   --build-arg RUST_IMAGE=registry.example/rust:1.95.0-bookworm
#   --build-arg CARGO_REGISTRY_MIRROR=sparse+https://mirrors.example/crates.io-index/
#   --build-arg NPM_REGISTRY=https://registry.example/
#
# What the images say of themselves, filled in by scripts/images (make image): IMAGE_REVISION, the commit; IMAGE_CREATED, the
# time as RFC 3339 has it; IMAGE_SOURCE, the address of the source.
#
# Empty means the name beside FROM: docker-compose 1 passes what is not set as empty.
ARG NODE_IMAGE
ARG RUST_IMAGE
ARG NGINX_IMAGE

# --- the page
FROM ${NODE_IMAGE:-node:24.19.0-bookworm-slim} AS page
WORKDIR /build/static
ARG NPM_REGISTRY=
COPY static/.npmrc static/package.json static/package-lock.json ./
RUN npm ci --no-audit --no-fund ${NPM_REGISTRY:+--registry="$NPM_REGISTRY"}
COPY static ./
# Modes come from the checkout: one made with umask 077 has files that the users of the images could not read.
RUN npm run build && chmod -R a+rX dist

# --- nginx, before the binary: the classic builder makes every stage above its target
FROM ${NGINX_IMAGE:-nginxinc/nginx-unprivileged:1.28.3} AS nginx
# The base image runs as user 101, who must own what a new volume is made from.
USER root
COPY nginx/nginx.conf /etc/nginx/nginx.conf
COPY nginx/templates /etc/nginx/templates
COPY nginx/start /docker-entrypoint.d
COPY turn/find-certificate nginx/health /usr/local/bin/
COPY nginx/50x.html /usr/share/nginx/errors/50x.html
# The entrypoint skips a start script that is not executable. The classic builder has no COPY --chmod.
RUN mkdir -p /var/lib/roundtable/certs && chown 101:101 /var/lib/roundtable/certs && rm -rf /usr/share/nginx/html && \
    chmod -R a+rX /etc/nginx/nginx.conf /etc/nginx/templates /docker-entrypoint.d /usr/share/nginx/errors && \
    chmod a+x /docker-entrypoint.d/*.sh /docker-entrypoint.d/*.envsh && \
    chmod a+rx /usr/local/bin/find-certificate /usr/local/bin/health
USER 101
COPY --from=page /build/static/dist /usr/share/nginx/html
# ROUNDTABLE_UPSTREAMS has several servers in place of the one of ROUNDTABLE_UPSTREAM.
# Only these are filled into the template: nginx has variables of its own.
ENV TZ=Asia/Shanghai \
    HTTPS_PORT=19003 \
    ROUNDTABLE_HOST=localhost \
    ROUNDTABLE_UPSTREAM=server:18080 \
    NGINX_ENVSUBST_FILTER=^(ROUNDTABLE_|HTTPS_PORT) \
    NGINX_ENVSUBST_OUTPUT_DIR=/tmp/nginx
VOLUME /var/lib/roundtable/certs
EXPOSE 19003 19080
# At once, in place of the base image's SIGQUIT: a call's socket never ends by itself, so nginx would wait for it, and take nobody
# meanwhile. After a reload the old workers keep their sockets for as long as that.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=10s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/health"]
# Last, as they differ from build to build.
ARG IMAGE_REVISION
ARG IMAGE_CREATED
ARG IMAGE_SOURCE
LABEL org.opencontainers.image.title="roundtable-nginx" \
      org.opencontainers.image.description="TLS and the page of Roundtable, in front of its signaling server" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$IMAGE_REVISION" \
      org.opencontainers.image.created="$IMAGE_CREATED" \
      org.opencontainers.image.source="$IMAGE_SOURCE"

# --- the binary
FROM ${RUST_IMAGE:-rust:1.95.0-bookworm} AS binary
WORKDIR /build
ARG CARGO_REGISTRY_MIRROR=
RUN if [ -n "$CARGO_REGISTRY_MIRROR" ]; then \
        printf '[source.crates-io]\nreplace-with = "mirror"\n[source.mirror]\nregistry = "%s"\n' "$CARGO_REGISTRY_MIRROR" \
            >"$CARGO_HOME/config.toml"; \
    fi
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
# The dependencies alone, under an empty crate: a layer that lasts until Cargo.lock changes. The empty
# crate is cleaned away, as the files to come may be older than it and would pass for built. Tests, benches and the
# fuzzer are no part of the image, and cargo refuses a manifest that names a file which is not there.
COPY Cargo.toml Cargo.lock ./
RUN sed -i -E '/^\[\[(bench|example|test)\]\]/,/^$/d' Cargo.toml && \
    mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs && \
    cargo build --release --locked && \
    cargo clean --release --package roundtable && rm -r src
COPY docs/openapi.json ./docs/
COPY src ./src
RUN cargo build --release --locked
# What goes with it: the files of Debian that it is linked to, at their places, with their licences, and what packages they are
# of, where scanners look for it in an image without dpkg. Names are looked up in /etc/hosts first, which is not glibc's own order.
RUN mkdir -p /image/etc /image/usr/local/bin /image/var/lib/dpkg/status.d /state && \
    cp target/release/roundtable /image/usr/local/bin/ && \
    for file in $(ldd target/release/roundtable | grep -o '/[^ ]*'); do \
        package=$(dpkg -S "$file" | cut -d: -f1) && \
        dpkg -s "$package" >"/image/var/lib/dpkg/status.d/$package" && \
        cp -L --parents "$file" "/usr/share/doc/$package/copyright" /image || exit 1; \
    done && \
    cp -L /etc/os-release /image/etc/ && echo 'hosts: files dns' >/image/etc/nsswitch.conf

# --- the server: the last stage, so that a plain build makes it. There is no system in it, and no shell: docs/OPERATIONS.md
# says how to look around in it.
FROM scratch AS server
COPY --from=binary /image /
# What a new volume is made from. The server keeps one file there: the key with which people come back
# to their calls after it was started anew.
COPY --from=binary --chown=10001:10001 /state /var/lib/roundtable
COPY --from=page /build/static/dist /usr/share/roundtable
# "container" tells roundtable doctor that localhost is not the machine's (https://systemd.io/CONTAINER_INTERFACE). Metrics are
# collected from outside the container; its port 18081 must not be published.
ENV PATH=/usr/local/bin \
    container=docker \
    TZ=Asia/Shanghai \
    ROUNDTABLE_OPS_LISTEN=[::]:18081 \
    ROUNDTABLE_STATIC_DIR=/usr/share/roundtable \
    ROUNDTABLE_RESUME_KEY_FILE=/var/lib/roundtable/resume.key
USER 10001:10001
EXPOSE 18080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["roundtable", "health"]
ENTRYPOINT ["roundtable"]
# Last, as they differ from build to build.
ARG IMAGE_REVISION
ARG IMAGE_CREATED
ARG IMAGE_SOURCE
LABEL org.opencontainers.image.title="roundtable" \
      org.opencontainers.image.description="A WebRTC signaling server and the browser meeting it serves" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$IMAGE_REVISION" \
      org.opencontainers.image.created="$IMAGE_CREATED" \
      org.opencontainers.image.source="$IMAGE_SOURCE"
