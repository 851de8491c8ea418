//! The frontend's files, from any folder, as they are at the moment of the request.
//!
//! Addresses in the pages are relative, so that they work under any path. Relative addresses depend on the depth of the
//! page, so there are two pages: `index.html` for `/` and `r/index.html` for `/r/<room>`.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use tower::{Service, service_fn};
use tower_http::services::ServeDir;

use super::api::ApiError;
use super::site_config::{CONFIG, ConfigFile};
use super::{precompressed, product_name};
use crate::config::Config;

/// Returns the Content-Security-Policy of the pages. `ancestors` are the sources of `frame-ancestors`.
/// `connect_sources` starts with a space unless it is empty. The hash is that of the script in `static/index.html`, and
/// `vue` the name of Vue's own Trusted Types policy.
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

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const NO_DIST: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Roundtable</title>\
<h1>Roundtable is running</h1><p>Signaling works, but there is no frontend in the server's static folder. \
Build it with <code>make page</code>, or name the folder of a built one with <code>--static-dir</code> \
(<code>ROUNDTABLE_STATIC_DIR</code>).</p>\
<p lang=\"zh-CN\">信令服务正常，但静态目录中没有前端页面。请运行 <code>make page</code> 构建，\
或用 <code>--static-dir</code>（<code>ROUNDTABLE_STATIC_DIR</code>）指定已构建的目录。</p></html>\n";

/// Builds the service of the frontend. A folder without one is logged, and served all the same: files may be added
/// later.
pub(super) fn service(
    config: &Config,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static {
    let dir = config.static_dir.clone();
    if !dir.join("index.html").is_file() {
        tracing::warn!(dir = %dir.display(), "no frontend here (index.html is missing); signaling works all the same");
    }
    let config_file = Arc::new(ConfigFile::of(&dir, config.frame_ancestors.clone()));
    config_file.current();
    service_fn(move |request: Request| {
        let (dir, config_file) = (dir.clone(), Arc::clone(&config_file));
        async move { Ok(serve_customized(&dir, request.into_parts().0, config_file).await) }
    })
}

async fn serve_customized(dir: &Path, request: Parts, config_file: Arc<ConfigFile>) -> Response {
    if request.uri.path().starts_with("/assets/") {
        return serve(dir, request, None).await;
    }
    let custom = tokio::task::spawn_blocking(move || config_file.current()).await.unwrap_or_default();
    let mut response = serve(dir, request, custom.name.as_deref()).await;
    if let Some(policy) = custom.policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn serve(dir: &Path, request: Parts, name: Option<&str>) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        return wrong_path();
    }
    let path = request.uri.path().to_owned();
    let file = if path == "/" { "/index.html" } else { &path };
    let response = named_response(dir, &request, file, name).await;
    if response.status() != StatusCode::NOT_FOUND {
        return response;
    }
    match fallback(&path) {
        Fallback::NotFound => (StatusCode::NOT_FOUND, "404 Not Found\n").into_response(),
        Fallback::Redirect(to) => redirect(to, request.uri.query()),
        Fallback::Page(page) => match named_response(dir, &request, page, name).await {
            missing if missing.status() == StatusCode::NOT_FOUND => without_page(dir, &path, &request),
            response => response,
        },
    }
}

/// Answers a request for a page that the folder lacks. A folder with `index.html` alone opens rooms by their query.
fn without_page(dir: &Path, path: &str, request: &Parts) -> Response {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        [_, _] if !dir.join("index.html").is_file() => no_page(),
        ["r", room] if !room.is_empty() => {
            // Characters that are literal in a path but not in a query.
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

/// Answers a request that only the API accepts: a proxy has passed it on under another path. Any page may read the
/// response, because it reveals nothing, and the page that needs it may be of another origin.
fn wrong_path() -> Response {
    let message = "The server's API is under /signal-api/: let the proxy pass that path on (nginx: proxy_pass that ends with \
                   /signal-api/).";
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "PATH_WRONG", message);
    ([(header::ALLOW, "GET, HEAD"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], error).into_response()
}

/// Answers in place of a page that the folder lacks.
pub(super) fn no_page() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CACHE_CONTROL, REVALIDATE)], Html(NO_DIST)).into_response()
}

/// Response to a path that names no file.
#[derive(Debug, PartialEq)]
enum Fallback {
    /// The page of this depth.
    Page(&'static str),
    /// There is no page of this depth: a relative address that has one.
    Redirect(String),
    /// The path is that of a file.
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

/// Serves a file of the folder, with the operator's name in place of the product's.
async fn named_response(dir: &Path, request: &Parts, path: &str, name: Option<&str>) -> Response {
    let Some(name) = name.filter(|_| product_name::is_in(path)) else { return file_response(dir, request, path).await };
    let mut whole = request.clone();
    // Compressed copies and byte ranges are those of the unchanged file.
    for header in [header::ACCEPT_ENCODING, header::RANGE] {
        whole.headers.remove(header);
    }
    // The length of the response is known only with its text. The response to `HEAD` still has no body.
    whole.method = Method::GET;
    product_name::write(file_response(dir, &whole, path).await, name).await
}

/// Serves a file of the folder, or 404 if there is none.
pub(super) async fn file_response(dir: &Path, request: &Parts, path: &str) -> Response {
    let mut inner = Request::new(Body::empty());
    inner.method_mut().clone_from(&request.method);
    inner.headers_mut().clone_from(&request.headers);
    if !path.starts_with("/assets/") {
        // Validators consist of modification time and size, so that a file replaced by an older one, or by one of the
        // same time and size, would count as unchanged. Browsers also keep the policy of an unchanged page, even if
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
        // `InvalidFilename`: a room's name may be longer in bytes than a file's.
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            StatusCode::NOT_FOUND.into_response()
        }
        _ => {
            // Without the path, which may contain a room's name.
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
}
