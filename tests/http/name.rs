//! The operator's product name where no script runs: link previews, and systems that install the page.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::dist::{Dist, get, gzip};
use crate::common::http::ask;

const FILES: [(&str, &str); 3] = [
    ("index.html", "static/index.html"),
    ("r/index.html", "static/r/index.html"),
    ("manifest.webmanifest", "static/public/manifest.webmanifest"),
];

/// Creates a frontend with the files of this repository that name the product, and compressed copies of them.
fn dist() -> Dist {
    let dist = Dist::built();
    for (file, source) in FILES {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).unwrap();
        dist.write(file, &text);
        dist.write(&format!("{file}.gz"), gzip(&text));
    }
    dist
}

#[tokio::test]
async fn pages_and_manifest_carry_the_name_of_config_json() {
    const NAME: &str = r#"A&B <"Meet's">\ </title>圆桌"#;
    const ESCAPED: &str = "A&amp;B &lt;&quot;Meet&#39;s&quot;&gt;\\ &lt;/title&gt;圆桌";
    let dist = dist();
    let server = dist.serve().await;
    let accept = ("Accept-Encoding", "br, gzip");
    let page = |name: &str| [format!("property=\"og:title\" content=\"{name}\""), format!("<title>{name}</title>")];
    let compressed = get(&server, "/", &[accept]).await;
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));

    dist.write("config.json", serde_json::json!({ "name": NAME }).to_string());
    for path in ["/", "/index.html", "/about", "/r/secret-plan", "/r/index.html"] {
        let answer = get(&server, path, &[accept, ("Range", "bytes=0-9")]).await;
        let text = answer.text();
        assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{path}");
        assert!(page(ESCAPED).iter().all(|part| text.contains(part)), "{path}: {text}");
        assert!(!text.contains("secret-plan") && !text.contains("Roundtable"), "{path}: {text}");
        // Validators of the file do not apply to the page with another name.
        assert_eq!((answer.header("last-modified"), answer.header("etag")), (None, None), "{path}");
        let head = ask(server.address, "HEAD", path, &[]).await;
        for name in ["content-length", "content-type", "cache-control"] {
            assert_eq!(head.header(name), answer.header(name), "{path} {name}");
        }
        assert_eq!(head.header("content-length"), Some(&*text.len().to_string()), "{path}");
    }
    let manifest = get(&server, "/manifest.webmanifest", &[accept]).await;
    assert_eq!(manifest.header("content-type"), Some("application/manifest+json"));
    assert_eq!((&manifest.json()["name"], &manifest.json()["short_name"]), (&NAME.into(), &NAME.into()));
    assert_eq!(manifest.json()["icons"].as_array().map(Vec::len), Some(4));

    // Effective immediately, even for clients that have cached the page with the earlier name.
    dist.write("config.json", r#"{ "name": "Next" }"#);
    let known = [("If-None-Match", "*"), ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")];
    let answer = get(&server, "/", &known).await;
    assert_eq!(answer.status, 200);
    assert!(page("Next").iter().all(|part| answer.text().contains(part)), "{}", answer.text());
    // A name that the operator has written into a file stays.
    dist.write("r/index.html", "<title>Standup rooms</title>");
    assert_eq!(get(&server, "/r/standup", &[]).await.text(), "<title>Standup rooms</title>");

    // A configuration that the page rejects, or one without a name, leaves the files unchanged.
    for config in [r#"{ "name": " " }"#, r#"{ "name": "two\nlines" }"#, r#"{ "name": "Meet", "color": "red" }"#, "{}"] {
        dist.write("config.json", config);
        let answer = get(&server, "/", &[accept]).await;
        assert_eq!((answer.header("content-encoding"), &answer.body), (Some("gzip"), &compressed.body), "{config}");
    }
}

/// For a frontend that another web server serves.
#[test]
fn the_command_of_the_readme_writes_the_name_into_a_dist() {
    for (readme, name) in [("README.md", "Example Meet"), ("README.zh-CN.md", "示例会议")] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(readme)).unwrap();
        let command = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let command = command.into_iter().find(|command| command.contains("manifest.webmanifest")).expect(readme);
        let dist = dist();
        let status = Command::new("sh").args(["-euc", command]).current_dir(dist.path()).status().unwrap();
        assert!(status.success(), "{readme}");
        let read = |file: &str| std::fs::read_to_string(dist.path().join(file)).unwrap();
        for (file, _) in FILES {
            let named = read(file);
            assert!(named.contains(name) && !named.contains("Roundtable"), "{readme}, {file}: {named}");
            for copy in ["br", "gz"] {
                assert!(!dist.path().join(format!("{file}.{copy}")).exists(), "{readme}, {file}.{copy}");
            }
        }
        assert!(read("index.html").contains(&format!("content=\"{name}\"")), "{readme}");
        assert!(read("index.html").contains(&format!("<title>{name}</title>")), "{readme}");
        let manifest: Value = serde_json::from_str(&read("manifest.webmanifest")).unwrap();
        assert_eq!((&manifest["name"], &manifest["short_name"]), (&name.into(), &name.into()), "{readme}");
    }
}
