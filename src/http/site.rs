//! The frontend's files, from any folder, as they are at the moment of the request.
//!
//! Addresses in the pages are relative, so that they work under any path. Relative addresses
//! depend on the depth of the page, so there are two pages: `index.html` for `/` and
//! `r/index.html` for `/r/<room>`.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use tower::{Service, service_fn};
use tower_http::services::ServeDir;

use super::api::ApiError;
use super::frames::FrameAncestors;
use super::precompressed;
use crate::config::Config;

/// Returns the Content-Security-Policy of the pages. `ancestors` are the sources of `frame-ancestors`. `connect_sources` starts with a space where it is not empty. The hash
/// is that of the script in `static/index.html`, and `vue` the name of Vue's own Trusted Types policy.
#[expect(clippy::expect_used, reason = "settings accept origins in ASCII only")]
pub(super) fn policy(ancestors: &str, connect_sources: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'self'; \
         script-src 'self' 'wasm-unsafe-eval' 'sha256-eb8L9rDrK/mPTNn+2wk6Gt6byR6ZMeKyiEFyEbzGhCc='; connect-src 'self'{connect_sources}; \
         img-src 'self' data: blob:; media-src 'self' blob: mediastream:; worker-src 'self' blob:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}; \
         require-trusted-types-for 'script'; trusted-types vue roundtable"
    );
    HeaderValue::try_from(policy).expect("origins and sources are ASCII")
}

/// The file in the folder that tells the page where the signaling server is.
const CONFIG: &str = "config.json";
const CONFIG_BYTES: u64 = 64 * 1024;

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const NO_DIST: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Roundtable</title>\
<h1>Roundtable is running</h1><p>Signaling works, but there is no frontend in the server's static folder. \
Build it with <code>make page</code>, or name the folder of a built one with <code>--static-dir</code> \
(<code>ROUNDTABLE_STATIC_DIR</code>).</p>\
<p lang=\"zh-CN\">信令服务正常，但静态目录中没有前端页面。请运行 <code>make page</code> 构建，\
或用 <code>--static-dir</code>（<code>ROUNDTABLE_STATIC_DIR</code>）指定已构建的目录。</p></html>\n";

/// Logs once where the folder has no frontend, and serves it all the same: it may come later.
pub(super) fn service(
    config: &Config,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static {
    let dir = config.static_dir.clone();
    if !dir.join("index.html").is_file() {
        tracing::warn!(dir = %dir.display(), "no frontend here (index.html is missing); signaling works all the same");
    }
    let policy = Arc::new(Policy::of(&dir, config.frame_ancestors.clone()));
    policy.current();
    service_fn(move |request: Request| {
        let (dir, policy) = (dir.clone(), Arc::clone(&policy));
        async move { Ok(serve_with_policy(&dir, request.into_parts().0, policy).await) }
    })
}

async fn serve_with_policy(dir: &Path, request: Parts, policy: Arc<Policy>) -> Response {
    if request.uri.path().starts_with("/assets/") {
        return serve(dir, request).await;
    }
    let policy = tokio::task::spawn_blocking(move || policy.current()).await.ok().flatten();
    let mut response = serve(dir, request).await;
    if let Some(policy) = policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn serve(dir: &Path, request: Parts) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        return wrong_path();
    }
    let path = request.uri.path().to_owned();
    let file = if path == "/" { "/index.html" } else { &path };
    let response = file_response(dir, &request, file).await;
    if response.status() != StatusCode::NOT_FOUND {
        return response;
    }
    match fallback(&path) {
        Fallback::NotFound => (StatusCode::NOT_FOUND, "404 Not Found\n").into_response(),
        Fallback::Redirect(to) => redirect(to, request.uri.query()),
        Fallback::Page(page) => match file_response(dir, &request, page).await {
            missing if missing.status() == StatusCode::NOT_FOUND => without_page(dir, &path, &request),
            response => response,
        },
    }
}

/// Answers a page that the folder does not have. A folder with `index.html` alone opens rooms by their query.
fn without_page(dir: &Path, path: &str, request: &Parts) -> Response {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        [_, _] if !dir.join("index.html").is_file() => no_page(),
        ["r", room] if !room.is_empty() => {
            // What a path takes as it is and a query does not.
            let room = room.replace('&', "%26").replace('+', "%2B");
            redirect(format!("../?room={room}"), request.uri.query())
        }
        [_, _] => redirect("../".to_owned(), request.uri.query()),
        _ => no_page(),
    }
}

/// Redirects to a relative address, so that it is right under any path, and keeps the query.
fn redirect(mut to: String, query: Option<&str>) -> Response {
    if let Some(query) = query {
        to.push(if to.contains('?') { '&' } else { '?' });
        to.push_str(query);
    }
    Redirect::temporary(&to).into_response()
}

/// Answers a request that only the API takes: a proxy has passed it on under another path. Any page may read the answer,
/// because it tells nothing, and the page that needs it may be of another origin.
fn wrong_path() -> Response {
    let message = "The server's API is under /signal-api/: let the proxy pass that path on (nginx: proxy_pass that ends with \
                   /signal-api/).";
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "PATH_WRONG", message);
    ([(header::ALLOW, "GET, HEAD"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], error).into_response()
}

/// The Content-Security-Policy of the pages of a folder.
struct Policy {
    file: PathBuf,
    ancestors: FrameAncestors,
    known: Mutex<Option<(Version, Option<HeaderValue>)>>,
}

/// State of a file; `None` where there is none.
type Version = Option<precompressed::Version>;

impl Policy {
    fn of(dir: &Path, ancestors: FrameAncestors) -> Self {
        Self { file: dir.join(CONFIG), ancestors, known: Mutex::default() }
    }

    /// Returns the policy where the signaling server has another origin. Reads `config.json` again when the file has changed, and logs what is wrong
    /// with it. Blocks.
    fn current(&self) -> Option<HeaderValue> {
        let version = std::fs::metadata(&self.file).ok().map(|found| precompressed::Version::of(&found));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, policy)) = &*known
            && *of == version
        {
            return policy.clone();
        }
        let policy = version.and_then(|_| match self.read() {
            Ok(sources) => sources.map(|sources| policy(&self.ancestors.sources(), &format!(" {sources}"))),
            Err(error) => {
                tracing::warn!(file = %self.file.display(), error, "the page will not work with this config.json");
                None
            }
        });
        *known = Some((version, policy.clone()));
        policy
    }

    fn read(&self) -> Result<Option<String>, String> {
        let mut text = String::new();
        let read = File::open(&self.file).and_then(|file| file.take(CONFIG_BYTES).read_to_string(&mut text));
        read.map_err(|error| error.to_string())?;
        connect_sources(&text)
    }
}

/// `config.json`. The page applies the name, the logo and the accent colour, and checks them more closely.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteConfig {
    signal_api: Option<String>,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "logo")]
    _logo: Option<String>,
    #[serde(rename = "accent")]
    _accent: Option<String>,
}

/// The sources of `connect-src` beside the page's own origin: those of a signaling server on another one.
///
/// The page has the same rules for the file (`static/src/readConfig.ts`), and tells its user what is wrong.
fn connect_sources(text: &str) -> Result<Option<String>, String> {
    let config: SiteConfig = serde_json::from_str(text)
        .map_err(|error| format!("{error}; it should be an object such as {{ \"signal_api\": \"signal-api/\" }}"))?;
    let Some(api) = config.signal_api else { return Ok(None) };
    let wrong = || {
        format!(
            "\"signal_api\" is {api:?}; it should be a path such as signal-api/ or an address such as \
             https://api.example.org/signal-api/"
        )
    };
    let (scheme, rest) = match api.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, &*api),
    };
    let (host, path) = match scheme {
        Some(_) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let is_plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    if api.is_empty() || api.starts_with("//") || !is_plain(path, "_.~%/-") || !is_plain(name, "_.-") {
        return Err(wrong());
    }
    if port.is_empty() || !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let socket = match scheme.as_deref() {
        None => return Ok(None),
        Some("https") if !name.is_empty() => "wss",
        Some("http") if !name.is_empty() => "ws",
        Some(_) => return Err(wrong()),
    };
    Ok(scheme.map(|scheme| format!("{scheme}://{host} {socket}://{host}")))
}

/// In place of a page that the folder does not have.
pub(super) fn no_page() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CACHE_CONTROL, REVALIDATE)], Html(NO_DIST)).into_response()
}

/// What a missing path gets.
#[derive(Debug, PartialEq)]
enum Fallback {
    /// The page of this depth.
    Page(&'static str),
    /// A depth that there is no page for: a relative address that has one.
    Redirect(String),
    /// It was a file.
    NotFound,
}

fn fallback(path: &str) -> Fallback {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_file = segments.last().is_some_and(|last| last.contains('.'));
    match segments[..] {
        ["" | "index.html"] => Fallback::Page("/index.html"),
        ["assets", ..] => Fallback::NotFound,
        // A room's name may have a dot.
        ["r", _] => Fallback::Page("/r/index.html"),
        ["r", room, ""] if !room.is_empty() => Fallback::Redirect(format!("../{room}")),
        _ if is_file => Fallback::NotFound,
        [_] => Fallback::Page("/index.html"),
        [_, _] => Fallback::Page("/r/index.html"),
        _ => Fallback::Redirect("../".repeat(segments.len() - 1)),
    }
}

/// A file of the folder; 404 where there is none.
pub(super) async fn file_response(dir: &Path, request: &Parts, path: &str) -> Response {
    let mut inner = Request::new(Body::empty());
    inner.method_mut().clone_from(&request.method);
    inner.headers_mut().clone_from(&request.headers);
    if !path.starts_with("/assets/") {
        // Validators are made of modification time and size: a file that was replaced by one of an earlier time, or of the
        // same time and size, would count as unchanged; and browsers keep the policy of an unchanged page, also when
        // `config.json` has changed. These files are small enough to be sent each time.
        for name in [header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH] {
            inner.headers_mut().remove(name);
        }
    }
    match path.parse::<Uri>() {
        Ok(uri) => *inner.uri_mut() = uri,
        Err(_) => return StatusCode::NOT_FOUND.into_response(),
    }
    let copies = precompressed::copies_of(dir, path).await;
    let mut files = ServeDir::new(dir).append_index_html_on_directories(false);
    if copies.brotli {
        files = files.precompressed_br();
    }
    if copies.gzip {
        files = files.precompressed_gzip();
    }
    let mut response = match files.try_call(inner).await {
        Ok(response) => response.map(Body::new),
        Err(error) => return unreadable(&error),
    };
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let cache = match path {
            path if path.starts_with("/assets/") => IMMUTABLE,
            path if path.ends_with(".html") || path.strip_prefix('/') == Some(CONFIG) => REVALIDATE,
            _ => AN_HOUR,
        };
        response.headers_mut().insert(header::CACHE_CONTROL, cache);
    }
    response
}

fn unreadable(error: &io::Error) -> Response {
    match error.kind() {
        // The last one: a room's name may have more bytes than a file's.
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            StatusCode::NOT_FOUND.into_response()
        }
        _ => {
            // Without the path, which may be that of a room.
            tracing::error!(%error, "cannot read a file of the frontend");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fall_back_by_depth_and_files_do_not() {
        for (path, expected) in [
            ("/", Fallback::Page("/index.html")),
            ("/about", Fallback::Page("/index.html")),
            ("/r/standup", Fallback::Page("/r/index.html")),
            ("/r/v1.2", Fallback::Page("/r/index.html")),
            ("/r/%E5%9C%86%E6%A1%8C", Fallback::Page("/r/index.html")),
            ("/a/b", Fallback::Page("/r/index.html")),
            ("/a/b/c", Fallback::Redirect("../../".into())),
            ("/r/standup/", Fallback::Redirect("../standup".into())),
            ("/r/v1.2/", Fallback::Redirect("../v1.2".into())),
            ("/r//", Fallback::Redirect("../../".into())),
            ("/r/a/b", Fallback::Redirect("../../".into())),
            ("/assets/gone-123.js", Fallback::NotFound),
            ("/assets/gone", Fallback::NotFound),
            ("/r/assets/gone.js", Fallback::NotFound),
            ("/favicon.ico", Fallback::NotFound),
        ] {
            assert_eq!(fallback(path), expected, "{path}");
        }
    }

    #[test]
    fn connect_sources_are_those_of_another_origin() {
        for (api, sources) in [
            ("signal-api/", None),
            ("/rtc/", None),
            ("../rtc", None),
            ("./", None),
            ("https://api.example", Some("https://api.example wss://api.example")),
            ("https://api.example:8443/a/b/", Some("https://api.example:8443 wss://api.example:8443")),
            ("HTTP://API.example/", Some("http://API.example ws://API.example")),
        ] {
            let text = serde_json::json!({ "signal_api": api }).to_string();
            assert_eq!(connect_sources(&text), Ok(sources.map(str::to_owned)), "{api}");
        }
        assert_eq!(connect_sources("{}"), Ok(None));
        let look = r##"{"name":"Meet","logo":"logo.svg","accent":"#0a7d55"}"##;
        assert_eq!(connect_sources(look), Ok(None));
    }

    #[test]
    fn a_wrong_config_is_named() {
        for api in [
            "",
            " signal-api/",
            "//api.example/signal-api/",
            "wss://api.example/",
            "https:/api.example/",
            "https:///signal-api/",
            "https://user@api.example/",
            "https://api.example:port/",
            "https://api.example:/",
            "https://[2001:db8::1]/",
            "signal-api/?room=x",
            "https://api.example; script-src 'unsafe-inline'",
            "https://api.example/\nx",
            "https://圆桌.example/",
        ] {
            let text = serde_json::json!({ "signal_api": api }).to_string();
            let error = connect_sources(&text).expect_err(api);
            assert!(error.contains(&format!("{api:?}")) && error.contains("https://api.example.org/"), "{error}");
        }
        for text in ["", "{", "[]", "7", r#"{"signalApi":"rtc/"}"#, r#"{"signal_api":7}"#] {
            let error = connect_sources(text).expect_err(text);
            assert!(error.contains(r#"{ "signal_api": "signal-api/" }"#), "{error}");
        }
        assert!(connect_sources(r#"{"signalApi":"rtc/"}"#).unwrap_err().contains("`signalApi`"));
    }
}
