//! Misconfigured TURN servers.

use super::stage::{Folder, NOW, SECRET, Turn, free_port, own};

#[test]
fn a_relay_that_is_well() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &[]);
    for transport in ["udp", "tcp"] {
        let said = turn.seen(&folder, SECRET, transport);
        said.all_well();
        assert!(said.text.contains("it relays at 127.0.0.1"), "{said:?}");
    }
}

#[test]
fn a_wrong_secret() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &[]);
    for transport in ["udp", "tcp"] {
        turn.seen(&folder, "another-secret-than-its-and-as-long", transport)
            .only("relay_secret_wrong", &turn.url(transport));
    }
}

#[test]
fn nothing_there() {
    let folder = Folder::new();
    let port = free_port();
    let url = format!("turn:127.0.0.1:{port}?transport=tcp");
    own(&folder, &[("ROUNDTABLE_ICE_URLS", &url), ("ROUNDTABLE_TURN_SECRET", SECRET)]).only("relay_unreachable", &url);
    let url = format!("turn:127.0.0.1:{port}?transport=udp");
    own(&folder, &[("ROUNDTABLE_ICE_URLS", &url), ("ROUNDTABLE_TURN_SECRET", SECRET)]).only("relay_unreachable", &url);
    let url = format!("stun:127.0.0.1:{port}");
    own(&folder, &[("ROUNDTABLE_ICE_URLS", &url)]).only("stun_unreachable", &url);
}

/// The relay's ports are open at another address than the one that a firewall would admit.
#[test]
fn closed_ports() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &["--relay-ip=127.0.0.2", "--external-ip=127.0.0.1/127.0.0.2"]);
    turn.seen(&folder, SECRET, "udp").only("relay_ports_closed", &turn.url("udp"));
}

#[test]
fn a_wrong_external_address() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &["--external-ip=10.255.255.254/127.0.0.1"]);
    turn.seen(&folder, SECRET, "udp").only("relay_address_wrong", &turn.url("udp"));
}

/// From the TURN server's own machine, it cannot be determined whether a public address leads to it.
#[test]
fn a_public_address_that_this_machine_does_not_reach_is_unknown() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &["--external-ip=198.51.100.7/127.0.0.1"]);
    turn.seen(&folder, SECRET, "udp").unknown("relay", "198.51.100.7 is not reached from here");
    let elsewhere = [("ROUNDTABLE_ICE_URLS", "stun:198.51.100.7:3478")];
    own(&folder, &elsewhere).unknown("relay", "198.51.100.7 is not reached from here");
    // In a container, the loopback address is the container's own.
    let inside = [("ROUNDTABLE_ICE_URLS", &*format!("stun:127.0.0.1:{}", free_port())), ("container", "docker")];
    own(&folder, &inside).unknown("relay", "127.0.0.1 is not reached from here");
}

#[test]
fn a_relay_that_does_not_let_itself_in() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &["--relay-ip=127.0.0.2", "--denied-peer-ip=127.0.0.2"]);
    turn.seen(&folder, SECRET, "udp").only("relay_not_to_itself", &turn.url("udp"));
}

#[test]
fn no_port_left() {
    let folder = Folder::new();
    let turn = Turn::start(&folder, &["--user-quota=1"]);
    turn.seen(&folder, SECRET, "udp").only("relay_refused", &turn.url("udp"));
}

#[test]
fn tls_and_a_certificate_for_another_name() {
    let folder = Folder::new();
    let ca = folder.authority();
    for (names, finding) in [("DNS:localhost", None), ("DNS:elsewhere.example", Some("certificate_name"))] {
        let certificate = folder.certificate("relay.crt", names, NOW);
        let (tls, key) = (free_port(), folder.path("key"));
        let options = [format!("--tls-listening-port={tls}"), format!("--cert={certificate}"), format!("--pkey={key}")];
        let _turn = Turn::start(&folder, &options.each_ref().map(String::as_str));
        let url = format!("turns:localhost:{tls}?transport=tcp");
        let settings = [("ROUNDTABLE_ICE_URLS", url.as_str()), ("ROUNDTABLE_TURN_SECRET", SECRET)];
        let page = folder.write("index.html", "");
        let page = page.trim_end_matches("/index.html");
        let rest = [
            ("ROUNDTABLE_STATIC_DIR", page),
            ("ROUNDTABLE_LISTEN", "127.0.0.1:0"),
            ("ROUNDTABLE_CONNECTIONS", "100"),
            ("ROUNDTABLE_REQUESTS", "10"),
        ];
        let said = super::stage::doctor(&["--ca-file", &ca], &[&settings[..], &rest].concat());
        match finding {
            None => said.all_well(),
            Some(name) => said.only(name, &url),
        }
    }
}
