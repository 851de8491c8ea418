//! Checks how a proxy in front of the server handles paths, client addresses and rooms.

use axum::http::StatusCode;
use serde_json::Value;

use super::findings::Finding;
use super::outside::{Outside, TITLE};
use super::report::Found;
use super::web::Answer;

/// Requests for the server's identity. nginx distributes them round-robin; other strategies, such as random choice,
/// need some more to show.
const SERVER_REQUESTS: usize = 8;

impl Outside<'_> {
    /// Requests the pages of a room and of the check like a browser. `page` is the response at the base path.
    pub(super) async fn look_at_history_fallback(&mut self, page: &Answer) -> Result<(), Found> {
        // A foreign page can only be recognised by its status.
        let is_ours = page.body.contains(TITLE);
        for path in [format!("r/check-{:016x}", fastrand::u64(..)), "diag".to_owned()] {
            let path = format!("{}{path}", self.target.base());
            let mut answer = self.ask_page(&path).await?;
            // A server may redirect to the same page at another path.
            let next = answer.location.as_deref().and_then(|location| self.target.beside(&path, location));
            if let Some(next) = next.filter(|next| next.origin() == self.target.origin()) {
                answer = self.ask_page(next.path()).await?;
            }
            if !answer.status.is_success() || (is_ours && !answer.body.contains(TITLE)) {
                let why = format!("GET {path} is answered with {}", answer.status);
                self.report.found(Found::new(Finding::NoHistoryFallback, self.target.page(), why));
                return Ok(());
            }
        }
        self.report.well("links", "/r/<room> and /diag lead to the page");
        Ok(())
    }

    /// Checks how the server sees this client. `answer` is the response to `check` (R76), and `data` its content.
    pub(super) fn look_at_client_address(&mut self, answer: &Answer, data: &Value) {
        let about = self.target.authority();
        let mut found = |finding, why: String| self.report.found(Found::new(finding, about.clone(), why));
        match (data["address_source"].as_str(), &answer.proxy) {
            (Some("untrusted_proxy"), _) => {
                found(Finding::SharedClientAddress, "a proxy names its clients, and the server does not trust it".into());
            }
            (Some("no_forwarded_for"), _) => {
                found(Finding::SharedClientAddress, "the proxy does not send X-Forwarded-For".into());
            }
            (Some("direct"), Some(proxy)) => {
                found(Finding::SharedClientAddress, format!("{proxy} answers, and the server sees no X-Forwarded-For"));
            }
            (Some("gateway"), _) if self.vantage.is_near => self.report.missed(
                "address",
                "the proxy sees this machine itself with the address of the containers' gateway, and may see others so, too: \
                 run it on another machine",
            ),
            (Some("gateway"), _) => {
                found(Finding::GatewayClientAddress, "X-Forwarded-For has the gateway's address".into());
            }
            (Some(_), _) => self.report.well("address", "the server sees this client's own address"),
            // A server of an earlier version.
            (None, _) => {}
        }
    }

    /// Asks repeatedly, over separate connections, which server handles the same room.
    pub(super) async fn look_at_servers(&mut self) -> Result<(), Found> {
        // With the room, because a proxy may choose the server by it.
        let room = fastrand::u64(..);
        let path = format!("{}signal-api/v1/welcome?room=check-{room:016x}", self.target.base());
        let (mut seen, mut is_cluster) = (Vec::new(), true);
        for _ in 0..SERVER_REQUESTS {
            let answer = self.ask("GET", &path).await?;
            let Some((_, data)) = answer.envelope() else { continue };
            // A server of an earlier version has no id.
            let Some(instance) = data["instance"].as_str() else { return Ok(()) };
            is_cluster &= data["cluster"] == true;
            seen.push(instance.to_owned());
        }
        match (alternates(&seen), is_cluster) {
            (false, _) => self.report.well("servers", "one server answers"),
            (true, true) => self.report.well("servers", "several servers answer, which share rooms"),
            (true, false) => {
                let (about, count) = (self.target.url("signal-api/"), distinct(&seen));
                let why = format!("{count} servers answered {} requests for one room", seen.len());
                self.report.found(Found::new(Finding::ServersNotShared, about, why));
            }
        }
        Ok(())
    }

    /// Distinguishes a proxy that cannot reach its server, and shows a missing error page, from a path that does not
    /// lead to a server.
    ///
    /// nginx with `error_page 502 /50x.html` answers with 404 if that file is missing. It accepts only GET, HEAD and
    /// POST for files. A location without a file therefore answers OPTIONS with 405, and a proxied one with 404.
    pub(super) async fn is_hidden_outage(&self, answer: &Answer) -> Option<String> {
        let is_nginx = answer.proxy.as_deref().is_some_and(|name| name.starts_with("nginx"));
        if !is_nginx || answer.status != StatusCode::NOT_FOUND || answer.envelope().is_some() {
            return None;
        }
        let base = self.target.base();
        let beside = format!("{base}check-{:016x}", fastrand::u64(..));
        let of_api = self.ask("OPTIONS", &format!("{base}signal-api/v1/welcome")).await.ok()?;
        let of_files = self.ask("OPTIONS", &beside).await.ok()?;
        let is_passed_on = of_api.status == StatusCode::NOT_FOUND && of_files.status == StatusCode::METHOD_NOT_ALLOWED;
        is_passed_on.then(|| {
            "the answer is 404, though nginx passes the path on: the file of its error_page (/50x.html) is missing, too".into()
        })
    }
}

/// Returns whether a server answered again after another one had. After a restart, the earlier ID never returns.
fn alternates(seen: &[String]) -> bool {
    let mut changes = seen.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]);
    changes.any(|(at, pair)| seen[at + 1..].contains(&pair[0]))
}

fn distinct(seen: &[String]) -> usize {
    seen.iter().collect::<std::collections::BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_told_from_servers_that_take_turns() {
        let seen = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        for (text, expected) in
            [("", false), ("AAA", false), ("AAB", false), ("ABBB", false), ("ABA", true), ("ABCB", true)]
        {
            assert_eq!(alternates(&seen(text)), expected, "{text}");
        }
        assert_eq!(distinct(&seen("ABAB")), 2);
    }
}
