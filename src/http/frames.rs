//! Pages that may show the meeting in a frame.

use std::str::FromStr;

use super::client::normalized;

/// Origins of pages that may show the meeting in a frame, besides its own.
#[derive(Clone, Debug, Default)]
pub struct FrameAncestors(Vec<String>);

impl FromStr for FrameAncestors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(parse_origin).collect::<Result<_, _>>().map(Self)
    }
}

impl FrameAncestors {
    /// Returns the sources of `frame-ancestors` (CSP3 §6.4.2). A page in a frame finds out by this directive that the
    /// pages around it are listed (`static/src/autojoin.ts`).
    pub(super) fn sources(&self) -> String {
        self.0.iter().fold("'self'".to_owned(), |sources, origin| sources + " " + origin)
    }

    /// Returns an allowlist for a feature (Permissions Policy §5.2).
    pub(super) fn allowlist(&self) -> String {
        let list = self.0.iter().fold("self".to_owned(), |list, origin| format!("{list} \"{origin}\""));
        format!("({list})")
    }
}

/// Parses an origin. An accepted origin needs no escaping in a header.
fn parse_origin(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!(
            "{text:?}: there are no wildcards: list each origin, such as https://a.example.com,https://b.example.com"
        ));
    }
    let origin = normalized(text).map_err(|why| format!("{text:?}: {why}"))?;
    // Neither an IPv6 address nor `null` is a source of a Content-Security-Policy.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:/".contains(c);
    if origin == "null" || !origin.chars().all(is_plain) {
        return Err(format!("{text:?}: it is the origin of a page, by name: https://portal.example"));
    }
    Ok(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_origins_are_in_both_policies_as_browsers_write_them() {
        let none: FrameAncestors = " , ".parse().unwrap();
        assert_eq!((none.sources().as_str(), none.allowlist().as_str()), ("'self'", "(self)"));
        let two: FrameAncestors = "https://Portal.example:443/, http://会议.example:8080".parse().unwrap();
        assert_eq!(two.sources(), "'self' https://portal.example http://xn--6oqu09l.example:8080");
        assert_eq!(two.allowlist(), r#"(self "https://portal.example" "http://xn--6oqu09l.example:8080")"#);
    }

    #[test]
    fn text_that_is_no_origin_of_a_page_is_rejected_with_the_reason() {
        for (bad, says) in [
            ("*", "no wildcards"),
            ("https://*.example", "no wildcards"),
            ("portal.example", "write https://portal.example"),
            ("https://portal.example/meet", "write https://portal.example"),
            ("null", "by name"),
            ("https://[::1]:8443", "by name"),
            ("https://a;script-src", "by name"),
            ("https://a.example https://b.example", "https://app.example"),
        ] {
            let error = bad.parse::<FrameAncestors>().unwrap_err();
            assert!(error.contains(bad) && error.contains(says), "{bad}: {error}");
        }
    }
}
