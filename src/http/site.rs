//! The frontend's files, from any folder, as they are at the moment of the request.
//!
//! Addresses in the pages are relative, so that they work under any path. Relative addresses
//! depend on the depth of the page, so there are two pages: `index.html` for `/` and
//! `r/index.html` for `/r/<room>`.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use tower::{Service, service_fn};
use tower_http::services::ServeDir;

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
    dir: &Path,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static {
    if !dir.join("index.html").is_file() {
        tracing::warn!(dir = %dir.display(), "no frontend here (index.html is missing); signaling works all the same");
    }
    let dir: PathBuf = dir.into();
    service_fn(move |request: Request| {
        let dir = dir.clone();
        async move { Ok(serve(&dir, request.into_parts().0).await) }
    })
}

async fn serve(dir: &Path, request: Parts) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri.path().to_owned();
    let file = if path == "/" { "/index.html" } else { &path };
    let response = file_response(dir, &request, file).await;
    if response.status() != StatusCode::NOT_FOUND {
        return response;
    }
    match fallback(&path) {
        Fallback::NotFound => (StatusCode::NOT_FOUND, "404 Not Found\n").into_response(),
        Fallback::Root(up) => Redirect::temporary(&up).into_response(),
        Fallback::Page(page) => match file_response(dir, &request, page).await {
            missing if missing.status() == StatusCode::NOT_FOUND => no_page(),
            response => response,
        },
    }
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
    /// A page of a depth that there is none for: the way to the root.
    Root(String),
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
        _ if is_file => Fallback::NotFound,
        [_] => Fallback::Page("/index.html"),
        [_, _] => Fallback::Page("/r/index.html"),
        _ => Fallback::Root("../".repeat(segments.len() - 1)),
    }
}

/// A file of the folder; 404 where there is none.
pub(super) async fn file_response(dir: &Path, request: &Parts, path: &str) -> Response {
    let mut inner = Request::new(Body::empty());
    inner.method_mut().clone_from(&request.method);
    inner.headers_mut().clone_from(&request.headers);
    match path.parse::<Uri>() {
        Ok(uri) => *inner.uri_mut() = uri,
        Err(_) => return StatusCode::NOT_FOUND.into_response(),
    }
    let mut files = ServeDir::new(dir).precompressed_br().precompressed_gzip().append_index_html_on_directories(false);
    let mut response = match files.try_call(inner).await {
        Ok(response) => response.map(Body::new),
        Err(error) => return unreadable(path, &error),
    };
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        let cache = match path {
            path if path.starts_with("/assets/") => IMMUTABLE,
            path if path.ends_with(".html") => REVALIDATE,
            _ => AN_HOUR,
        };
        response.headers_mut().insert(header::CACHE_CONTROL, cache);
    }
    response
}

fn unreadable(path: &str, error: &io::Error) -> Response {
    match error.kind() {
        // The last one: a room's name may have more bytes than a file's.
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            StatusCode::NOT_FOUND.into_response()
        }
        _ => {
            tracing::error!(path, %error, "cannot read a file of the frontend");
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
            ("/a/b/c", Fallback::Root("../../".into())),
            ("/assets/gone-123.js", Fallback::NotFound),
            ("/assets/gone", Fallback::NotFound),
            ("/r/assets/gone.js", Fallback::NotFound),
            ("/favicon.ico", Fallback::NotFound),
        ] {
            assert_eq!(fallback(path), expected, "{path}");
        }
    }
}
