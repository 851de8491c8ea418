//! The operator's product name in files that are read without running the page's scripts: link previews read the HTML,
//! and systems that install the page read the manifest.

use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Files of the frontend that name the product.
const FILES: [&str; 3] = ["/index.html", "/r/index.html", "/manifest.webmanifest"];
/// Size of the largest file that is rewritten.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Longest name, in characters.
pub(super) const MAX_CHARS: usize = 40;

/// Returns whether the page accepts this name. The page has the same rule (`static/src/readConfig.ts`).
pub(super) fn is_valid(name: &str) -> bool {
    let ends_line = |c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}');
    name.chars().count() <= MAX_CHARS && !name.contains(ends_line) && name.chars().any(|c| !c.is_whitespace())
}

/// Returns whether the file at this path of the folder names the product.
pub(super) fn is_in(path: &str) -> bool {
    FILES.contains(&path)
}

/// Replaces the product's own name in an uncompressed file. If an operator has already put another name into the file,
/// that one stays.
pub(super) async fn write(response: Response, name: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if parts.status != StatusCode::OK || length.is_none_or(|length| length > MAX_FILE_BYTES) {
        return Response::from_parts(parts, body);
    }
    let Ok(file) = to_bytes(body, MAX_FILE_BYTES).await else {
        tracing::error!("a file of the frontend has changed while it was read");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // These headers describe the file on disk, which stays the same when the name changes; its byte ranges differ, too.
    for header in [header::LAST_MODIFIED, header::ETAG, header::ACCEPT_RANGES, header::CONTENT_LENGTH] {
        parts.headers.remove(header);
    }
    let is_html = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let named = match str::from_utf8(&file) {
        Ok(text) if is_html => Body::from(in_html(text, name)),
        Ok(text) => Body::from(in_json(text, name)),
        Err(_) => Body::from(file),
    };
    Response::from_parts(parts, named)
}

fn in_html(page: &str, name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    page.replace("content=\"Roundtable\"", &format!("content=\"{escaped}\""))
        .replace("<title>Roundtable</title>", &format!("<title>{escaped}</title>"))
}

fn in_json(manifest: &str, name: &str) -> String {
    manifest.replace("\"Roundtable\"", &serde_json::Value::from(name).to_string())
}
