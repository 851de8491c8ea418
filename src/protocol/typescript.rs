//! Generates the TypeScript types of the protocol. `make protocol` rewrites the file.

use ts_rs::{Config, TS};

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/static/src/protocol/messages.ts");

fn generated() -> String {
    let config = Config::default();
    let decls = [
        ClientMessage::<'_>::decl(&config),
        ServerMessage::<'_>::decl(&config),
        Welcome::<'_>::decl(&config),
        Peer::decl(&config),
        Role::decl(&config),
        Settings::decl(&config),
        SettingsPatch::decl(&config),
        Moderation::decl(&config),
        Ask::decl(&config),
        Switch::decl(&config),
        Waiting::decl(&config),
        StateValue::decl(&config),
        IceServer::decl(&config),
        Limits::decl(&config),
        ServerInfo::<'_>::decl(&config),
        ErrorBody::<'_>::decl(&config),
        ErrorCode::decl(&config),
        RoleReason::decl(&config),
        LeaveReason::decl(&config),
        Link::decl(&config),
        NotResumed::decl(&config),
        LinkReport::decl(&config),
    ];
    let mut text = String::from("// Generated from src/protocol by `make protocol`; do not edit.\n\n");
    text.push_str("export type State = { [key in string]?: StateValue };\n\n");
    text.push_str("export type StatePatch = { [key in string]?: StateValue | null };\n\n");
    for decl in decls {
        text.push_str("export ");
        text.push_str(&decl);
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[test]
fn typescript_types_are_fresh() {
    let generated = generated();
    if std::env::var_os("ROUNDTABLE_WRITE_PROTOCOL").is_some() {
        std::fs::create_dir_all(std::path::Path::new(PATH).parent().unwrap()).unwrap();
        std::fs::write(PATH, &generated).unwrap();
    }
    let found = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(found == generated, "{PATH} is stale: run `make protocol`");
}
