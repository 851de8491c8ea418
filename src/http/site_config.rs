//! The operator's `config.json` in the frontend's folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderValue;
use serde::Deserialize;

use super::frames::FrameAncestors;
use super::site::policy;
use super::{precompressed, product_name};

/// The file in the folder that tells the page where the signaling server is.
pub(super) const CONFIG: &str = "config.json";
const CONFIG_BYTES: u64 = 64 * 1024;

/// The `config.json` of a folder, and what it changes in the server's responses.
pub(super) struct ConfigFile {
    file: PathBuf,
    ancestors: FrameAncestors,
    known: Mutex<Option<(Version, Customization)>>,
}

/// State of a file; `None` where there is none.
type Version = Option<precompressed::Version>;

/// Changes that `config.json` makes to the responses.
#[derive(Clone, Default)]
pub(super) struct Customization {
    /// Content-Security-Policy of pages, if the signaling server has another origin.
    pub(super) policy: Option<HeaderValue>,
    /// Product name that the operator has chosen.
    pub(super) name: Option<Arc<str>>,
}

impl ConfigFile {
    pub(super) fn of(dir: &Path, ancestors: FrameAncestors) -> Self {
        Self { file: dir.join(CONFIG), ancestors, known: Mutex::default() }
    }

    /// Reads the file again if it has changed, and logs what is wrong with it. Blocks.
    pub(super) fn current(&self) -> Customization {
        let version = std::fs::metadata(&self.file).ok().map(|found| precompressed::Version::of(&found));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, custom)) = &*known
            && *of == version
        {
            return custom.clone();
        }
        let custom = version.map(|_| self.read()).transpose().unwrap_or_else(|error| {
            tracing::warn!(file = %self.file.display(), error, "the page will not work with this config.json");
            None
        });
        let custom = custom.unwrap_or_default();
        *known = Some((version, custom.clone()));
        custom
    }

    fn read(&self) -> Result<Customization, String> {
        let mut text = String::new();
        let read = File::open(&self.file).and_then(|file| file.take(CONFIG_BYTES).read_to_string(&mut text));
        read.map_err(|error| error.to_string())?;
        let config = SiteConfig::parse(&text)?;
        let sources = config.connect_sources()?;
        let policy = sources.map(|sources| policy(&self.ancestors.sources(), &format!(" {sources}")));
        Ok(Customization { policy, name: config.product_name()?.map(Arc::from) })
    }
}

/// Contents of `config.json`. The page has the same rules (`static/src/readConfig.ts`) and tells its user what is
/// wrong. Only the page applies and checks the logo and the accent colour.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteConfig {
    signal_api: Option<String>,
    name: Option<String>,
    #[serde(rename = "logo")]
    _logo: Option<String>,
    #[serde(rename = "accent")]
    _accent: Option<String>,
}

impl SiteConfig {
    fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text)
            .map_err(|error| format!("{error}; it should be an object such as {{ \"signal_api\": \"signal-api/\" }}"))
    }

    fn product_name(&self) -> Result<Option<&str>, String> {
        match self.name.as_deref() {
            Some(name) if !product_name::is_valid(name) => Err(format!(
                "\"name\" is {name:?}; it should be one line of 1 to {} characters, such as \"Example Meet\"",
                product_name::MAX_CHARS
            )),
            name => Ok(name),
        }
    }

    /// Returns the sources of `connect-src` besides the page's own origin: those of a signaling server on another one.
    fn connect_sources(&self) -> Result<Option<String>, String> {
        let Some(api) = self.signal_api.as_deref() else { return Ok(None) };
        let wrong = || {
            format!(
                "\"signal_api\" is {api:?}; it should be a path such as signal-api/ or an address such as \
                 https://api.example.org/signal-api/"
            )
        };
        let (scheme, rest) = match api.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, api),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_sources(text: &str) -> Result<Option<String>, String> {
        SiteConfig::parse(text)?.connect_sources()
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
