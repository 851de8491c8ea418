//! Tokens as people make them: by the program, and by the examples of the READMEs, each run as it stands there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::folder::Folder;
use crate::common::tokens::Keys;

/// The program, with nothing of this test's own environment.
fn run(args: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roundtable"))
        .args(args)
        .env_clear()
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// What a program prints, without the line's end.
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What a program says that fails.
fn told(output: Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

async fn welcome(server: &TestServer, room: &str, token: &str) -> Value {
    let mut client = server.connect(room).await;
    client.join_with(json!({"type": "join", "name": "Chosen", "token": token})).await;
    client.welcome.clone()
}

#[tokio::test]
async fn the_program_makes_keys_and_tokens() {
    let keys = Keys::new();
    std::fs::remove_file(&keys.path).unwrap();
    let file = keys.path.to_str().unwrap();
    let first = printed(run(&["token-key", "--key-file", file], &[]));
    printed(run(&["token-key", "--kid", "-public", "--algorithm", "Ed25519"], &[("ROUNDTABLE_TOKEN_KEYS_FILE", file)]));
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |args: &[&str]| printed(run(&[&["token", "--key-file", file], args].concat(), &[]));

    let by_last = token(&["--room", "standup", "--name", "Ada", "--role", "host", "--permissions", "mic,moderate"]);
    let ada = welcome(&server, "standup", &by_last).await;
    assert_eq!((&ada["role"], &ada["permissions"]), (&json!("host"), &json!(["mic", "moderate"])));
    let by_first = token(&["--room", "*", "--kid", &first, "--jti", "-1", "--ttl", "10m"]);
    assert_eq!(welcome(&server, "anywhere", &by_first).await["role"], "participant");
    let later = token(&["--room", "standup", "--starts-in", "1h"]);
    let mut early = server.connect("standup").await;
    early.send(json!({"type": "join", "name": "Ada", "token": later})).await;
    early.expect_error("token_not_yet_valid").await;

    // The server needs no private half, and cannot make a token without it.
    let mut set: Value = serde_json::from_slice(&std::fs::read(&keys.path).unwrap()).unwrap();
    set["keys"].as_array_mut().unwrap().remove(0);
    set["keys"][0].as_object_mut().unwrap().remove("d").expect("a private half");
    keys.write_text(&set.to_string());
    let public = TestServer::start(&keys.settings("token")).await;
    assert_eq!(welcome(&public, "standup", &by_last).await["role"], "host");
    let error = told(run(&["token", "--key-file", file, "--room", "r"], &[]));
    assert!(error.contains("public half") && error.contains(file), "{error}");
}

#[test]
fn a_key_is_added_through_no_file_that_another_user_has_made() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path()).unwrap();
    let (keys, others) = (folder.file("keys.json"), folder.file("others"));
    std::fs::write(&others, "untouched").unwrap();
    std::os::unix::fs::symlink(&others, folder.file("keys.new")).unwrap();
    for kids in 1..=2 {
        printed(run(&["token-key", "--key-file", keys.to_str().unwrap()], &[]));
        let metadata = std::fs::symlink_metadata(&keys).unwrap();
        assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o600, "{metadata:?}");
        let set: Value = serde_json::from_slice(&std::fs::read(&keys).unwrap()).unwrap();
        assert_eq!(set["keys"].as_array().unwrap().len(), kids);
    }
    assert_eq!(std::fs::read_to_string(&others).unwrap(), "untouched");
    assert_eq!(folder.files(""), [keys, folder.file("keys.new"), others], "nothing else is left behind");
}

#[test]
fn what_cannot_be_made_is_told() {
    let keys = Keys::new();
    let file = keys.path.to_str().unwrap();
    for (args, says) in [
        (&["token"][..], "--room"),
        (&["token", "--room", "a/b", "--key-file", file], "--room"),
        (&["token", "--room", "r"], "ROUNDTABLE_TOKEN_KEYS_FILE"),
        (&["token", "--room", "r", "--key-file", "/nonexistent/keys"], "/nonexistent/keys"),
        (&["token", "--room", "r", "--key-file", file, "--kid", "z"], "\"z\""),
        (&["token", "--room", "r", "--key-file", file, "--role", "king"], "host, participant or listener"),
        (&["token", "--room", "r", "--key-file", file, "--permissions", "mic,fly"], "broadcast"),
        (&["token", "--room", "r", "--key-file", file, "--ttl", "soon"], "20s"),
        (&["token-key"], "ROUNDTABLE_TOKEN_KEYS_FILE"),
        (&["token-key", "--key-file", "/nonexistent/keys"], "/nonexistent/keys"),
        (&["token-key", "--key-file", file, "--kid", "a"], "two keys"),
    ] {
        let error = told(run(args, &[]));
        assert!(error.contains(says), "{args:?}: {error}");
    }
    for (settings, says) in [
        (&[("ROUNDTABLE_ACCESS", "token")][..], "ROUNDTABLE_TOKEN_KEYS_FILE"),
        (&[("ROUNDTABLE_ACCESS", "closed")], "open-hosts-by-token"),
        (&[("ROUNDTABLE_ACCESS", "token"), ("ROUNDTABLE_TOKEN_KEYS_FILE", "/nonexistent/keys")], "/nonexistent/keys"),
    ] {
        let ports = [("ROUNDTABLE_LISTEN", "127.0.0.1:0"), ("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:0")];
        let error = told(run(&[], &[settings, &ports].concat()));
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn the_examples_of_the_readmes_make_tokens() {
    for readme in ["README.md", "README.zh-CN.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(readme)).unwrap();
        for (language, mark, program, algorithm) in
            [("```python\n", "hmac.digest", "python3", "HS256"), ("```js\n", "createPrivateKey", "node", "EdDSA")]
        {
            let mut blocks = text.split(language).skip(1).map(|rest| rest.split("```").next().unwrap());
            let example = blocks.find(|block| block.contains(mark)).unwrap_or_else(|| panic!("{readme}: {mark}"));
            let keys = Keys::new();
            std::fs::remove_file(&keys.path).unwrap();
            let file = keys.path.to_str().unwrap();
            printed(run(&["token-key", "--key-file", file, "--algorithm", algorithm], &[]));
            // In a file of its own, as a reader would have it.
            let extension = if language.contains("js") { "mjs" } else { "py" };
            let script = keys.path.with_extension(extension);
            std::fs::write(&script, example).unwrap();
            let output = Command::new(program).arg(&script).arg(file).output();
            let token = printed(output.unwrap_or_else(|error| panic!("{}: {error}", program)));
            std::fs::remove_file(script).unwrap();
            let server = TestServer::start(&keys.settings("token")).await;
            let welcome = welcome(&server, "standup", &token).await;
            assert_eq!((&welcome["role"], &welcome["room"]), (&json!("host"), &json!("standup")), "{readme}");
        }
    }
}
