//! Problems that can be found, with name, meaning and fix. The page `/diag` uses the same names.

use serde::Serialize;

/// Defines the enum together with the list of all variants, so that none is missing from the list.
macro_rules! findings {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Name of a problem.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        #[serde(rename_all = "snake_case")]
        pub enum Finding {
            $($(#[$doc])+ $name,)+
        }

        /// All findings in the order of the checks.
        pub const FINDINGS: &[Finding] = &[$(Finding::$name),+];
    };
}

findings! {
    /// The page is served without TLS.
    PlainHttp,
    /// DNS does not resolve the name.
    NameNotFound,
    /// Nothing accepts connections at the address.
    PortClosed,
    /// The peer does not speak TLS.
    NoTls,
    /// The peer speaks TLS, but every handshake fails.
    TlsHandshakeFailed,
    /// The certificate is valid for another name.
    CertificateName,
    /// The certificate is not valid now.
    CertificateExpired,
    /// The certificate is not signed by an authority that browsers trust.
    CertificateUntrusted,
    /// Another program answers.
    WrongAddress,
    /// The page is found, but the signaling API is not.
    WrongPath,
    /// The proxy removes `/signal-api/` from the path.
    PathStripped,
    /// The proxy cannot reach a server.
    ServerDown,
    /// The proxy removes the headers of a WebSocket upgrade.
    UpgradeHeadersMissing,
    /// The WebSocket fails for another reason.
    WebsocketFailed,
    /// The server rejects the page's origin.
    OriginRefused,
    /// The server has reached a limit, of all clients or of this address.
    LimitReached,
    /// The server counts everybody behind the proxy as one address.
    SharedClientAddress,
    /// The proxy sees its clients with the address of the container network's gateway.
    GatewayClientAddress,
    /// Several servers answer alternately and do not share rooms.
    ServersNotShared,
    /// The web server has no history fallback.
    NoHistoryFallback,
    /// The token is rejected.
    TokenRefused,
    /// The connection is closed before the next ping.
    ProxyTimeout,
    /// The clocks differ.
    ClockSkew,
    /// The STUN server does not answer.
    StunUnreachable,
    /// The TURN server does not answer.
    RelayUnreachable,
    /// The TURN server rejects the credentials.
    RelaySecretWrong,
    /// The TURN server rejects the allocation.
    RelayRefused,
    /// No data passes through the relay's ports.
    RelayPortsClosed,
    /// The relay announces an address that is not its own.
    RelayAddressWrong,
    /// The relay cannot reach itself.
    RelayNotToItself,
    /// `TZ` is not a zone.
    UnknownZone,
    /// A file named by the settings cannot be read.
    FileUnreadable,
    /// Another setting is invalid.
    SettingWrong,
    /// Another program has the port.
    PortTaken,
    /// The page's files are missing.
    PageMissing,
    /// Redis or Valkey is unreachable.
    EngineUnreachable,
    /// The limit of open files is below the limit of connections.
    FileLimitLow,
    /// The browser has no WebRTC.
    WebrtcMissing,
    /// The browser denies the page access to camera and microphone.
    DevicesBlocked,
    /// There is no camera or no microphone.
    DevicesMissing,
}

impl Finding {
    /// Returns the name as used by programs and documents.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
    }

    /// Returns one sentence about the problem, and one about its fix.
    pub fn texts(self) -> (&'static str, &'static str) {
        use Finding::*;
        match self {
            PlainHttp => (
                "The page comes over plain http, so browsers keep camera and microphone shut.",
                "Serve it with https: the Compose stack does (port 19003), or a proxy with a certificate.",
            ),
            NameNotFound => (
                "DNS does not know this name.",
                "Check its spelling, and that it has an A or AAAA record with the server's public address.",
            ),
            PortClosed => (
                "Nothing takes connections at this address and port.",
                "Check that the server runs and its port is published (Docker: -p), and open the port in the firewall.",
            ),
            NoTls => (
                "What answers at this port does not speak TLS.",
                "Use the port that has https (Compose: 19003), or http:// where there is no TLS.",
            ),
            TlsHandshakeFailed => (
                "What answers speaks TLS and rejects every handshake: most often certificate and key do not belong together.",
                "Compare openssl x509 -noout -pubkey -in tls.crt with openssl pkey -pubout -in tls.key: both must print the \
                 same; and allow TLS 1.2 or 1.3.",
            ),
            CertificateName => (
                "The certificate is for another name.",
                "Open it under a name that the certificate has, or get a certificate for this one.",
            ),
            CertificateExpired => (
                "The certificate is not valid at this time.",
                "Renew it, put the new files where the old ones are, and reload the proxy; check this machine's clock.",
            ),
            CertificateUntrusted => (
                "Nobody whom browsers trust has signed the certificate.",
                "Get one from a known authority, and give the proxy the full chain; of your own authority: --ca-file.",
            ),
            WrongAddress => (
                "What answers at this address is not Roundtable.",
                "Check host, port and path: it is the address at which the page with New meeting opens.",
            ),
            WrongPath => (
                "The path /signal-api/ at this address does not lead to the signaling server.",
                "Let the proxy pass /signal-api/ on as it is (nginx: proxy_pass that ends with the port, without a \
                 slash); where all is below a path such as /meet/, let it take that off (with a slash: \
                 nginx/sub-path.conf).",
            ),
            PathStripped => (
                "The proxy takes /signal-api/ off the path before the signaling server gets it.",
                "nginx: let proxy_pass end with the port, without a slash (proxy_pass http://127.0.0.1:18080;), or with \
                 /signal-api/.",
            ),
            ServerDown => (
                "The proxy does not reach the signaling server.",
                "Start the server, and check the host and port to which the proxy passes /signal-api/ (18080).",
            ),
            UpgradeHeadersMissing => (
                "The proxy does not pass WebSockets on.",
                "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
                 \"upgrade\";",
            ),
            WebsocketFailed => (
                "The server answers HTTP, but no WebSocket could be opened.",
                "Check what stands between here and the server: proxies, firewalls and their logs.",
            ),
            OriginRefused => (
                "The server does not take connections from pages at this address.",
                "Let the proxy forward all of /signal-api/, not only /signal-api/ws. If the page belongs to another site, \
                 add its origin to ROUNDTABLE_ALLOWED_ORIGINS; if ROUNDTABLE_SERVER_NAMES is set, add this host name to it.",
            ),
            LimitReached => (
                "The server takes no more, of all or of this address.",
                "Try again later; `roundtable limits` shows the limits, and behind a proxy ROUNDTABLE_TRUSTED_PROXIES \
                 is to have its address.",
            ),
            SharedClientAddress => (
                "The server does not see the addresses of visitors: everyone behind the proxy counts as one address and \
                 shares its limits.",
                "nginx: proxy_set_header X-Forwarded-For $remote_addr; and add the proxy's address to \
                 ROUNDTABLE_TRUSTED_PROXIES (the server's log names the line).",
            ),
            GatewayClientAddress => (
                "The proxy sees visitors with the address of the containers' gateway: all of them share the limits of one \
                 address.",
                "Enable IPv6 in the containers' network, or run the proxy in the host's network: docs/NETWORKING.md, section \
                 IPv6.",
            ),
            ServersNotShared => (
                "Several servers answer here in turn and do not share rooms: people in the same room do not see each other.",
                "Let the proxy use one server, or give all servers the same ROUNDTABLE_REDIS_URL and ROUNDTABLE_RESUME_KEY \
                 (docs/SCALING.md).",
            ),
            NoHistoryFallback => (
                "The web server does not know the addresses /r/<room> and /diag: the page makes links with ?room= instead, \
                 and links of the form /r/<room> lead to an error page.",
                "nginx, with the root of the page: location ~ ^/r/[^/]+$ { root /usr/web/nginx/html; try_files /r/index.html \
                 =404; } location = /diag { root /usr/web/nginx/html; try_files /index.html =404; } (below a path such as \
                 /meet/: /meet in front of both locations).",
            ),
            TokenRefused => (
                "The token does not let in.",
                "Make one that is good for all rooms: roundtable token --room '*'; server and maker need the same key.",
            ),
            ProxyTimeout => (
                "Something on the way cuts a silent WebSocket before the server's next ping.",
                "Set the proxy's timeout above the ping (nginx: proxy_read_timeout 90s;), or ROUNDTABLE_PING_INTERVAL \
                 below it.",
            ),
            ClockSkew => (
                "The server's clock and the one here differ, by which tokens and credentials end too early or too late.",
                "Let both set their clocks by NTP.",
            ),
            StunUnreachable => (
                "The STUN server does not answer.",
                "Check that it runs, its name, and that its UDP port (3478) is open.",
            ),
            RelayUnreachable => (
                "The relay does not answer.",
                "Check that coturn runs, that TURN_HOST is the address which others see, and that its port (3478 UDP and \
                 TCP, 5349 for TLS) is open.",
            ),
            RelaySecretWrong => (
                "The relay does not take the credentials.",
                "Give signaling server and relay the same secret (TURN_SECRET_FILE) and the right time, and restart both.",
            ),
            RelayRefused => (
                "The relay takes the credentials and gives no port.",
                "Give it more ports (TURN_RELAY_PORTS) and a larger quota (TURN_USER_QUOTA); its log says more.",
            ),
            RelayPortsClosed => (
                "The relay gives a port, and nothing comes through it.",
                "Open the relay's UDP ports (TURN_RELAY_PORTS, 49160-49259) in the firewall, for every source.",
            ),
            RelayAddressWrong => (
                "The relay tells an address at which it is not reached.",
                "Set TURN_HOST (coturn: external-ip) to the public address of its machine.",
            ),
            RelayNotToItself => (
                "Two people who both need the relay do not reach each other through it.",
                "Allow the relay its own address as a peer (coturn: allowed-peer-ip).",
            ),
            UnknownZone => ("TZ is no known time zone.", "Set an IANA name such as Asia/Shanghai."),
            FileUnreadable => (
                "A file that the settings name cannot be read.",
                "Check its path (in a container: that it is mounted) and that the server's user may read it.",
            ),
            SettingWrong => (
                "A setting is wrong, and the server does not start with it.",
                "Correct it as said; roundtable --help lists all settings.",
            ),
            PortTaken => (
                "Another program has the server's address.",
                "Stop that program, or set ROUNDTABLE_LISTEN to another port.",
            ),
            PageMissing => (
                "There is no page (index.html): people see nothing.",
                "Build it with `make page`, or set ROUNDTABLE_STATIC_DIR to a built one; a proxy is to pass / on, too.",
            ),
            EngineUnreachable => (
                "Valkey or Redis is not reached: no room that servers share can begin.",
                "Check that it runs, and host, port, password and TLS in ROUNDTABLE_REDIS_URL.",
            ),
            FileLimitLow => (
                "Fewer files may be open than the server takes connections.",
                "Raise the limit (ulimit -Hn; Docker: --ulimit nofile=; systemd: LimitNOFILE=), or lower \
                 ROUNDTABLE_CONNECTIONS.",
            ),
            WebrtcMissing => ("This browser cannot hold video calls.", "Use a current Chrome, Edge or Firefox."),
            DevicesBlocked => (
                "The browser does not let this page use camera and microphone.",
                "Allow both with the icon beside the address, and reload the page.",
            ),
            DevicesMissing => (
                "The browser finds no camera or no microphone that works.",
                "Check the plug, and that no other program holds it.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/static/src/protocol/findings.ts");

    /// `make protocol` rewrites the file.
    #[test]
    fn typescript_names_are_fresh() {
        let names = <Finding as ts_rs::TS>::decl(&ts_rs::Config::default());
        let text =
            format!("// Generated from src/doctor/findings.rs by `make protocol`; do not edit.\n\nexport {names}\n");
        if std::env::var_os("ROUNDTABLE_WRITE_PROTOCOL").is_some() {
            std::fs::write(PATH, &text).unwrap();
        }
        let found = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(found == text, "{PATH} is stale: run `make protocol`");
    }

    #[test]
    fn all_have_names_and_texts_of_their_own() {
        let names: HashSet<_> = FINDINGS.iter().map(|finding| finding.name()).collect();
        let texts: HashSet<_> = FINDINGS.iter().map(|finding| finding.texts()).collect();
        assert_eq!((names.len(), texts.len()), (FINDINGS.len(), FINDINGS.len()));
    }
}
