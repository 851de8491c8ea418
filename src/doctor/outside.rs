//! Checks of a server from a client's point of view: name, connection, certificate, page, API, WebSocket, join, ping,
//! TURN servers.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, header};
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::findings::Finding;
use super::relays;
use super::report::{Found, Report};
use super::target::Target;
use super::vantage::Vantage;
use super::web::{self, Answer, PATIENCE, Stream, Trust};
use crate::addresses::is_own;
use crate::config::DoctorOrder;
use crate::protocol::{IceServer, RoomName};

/// Tolerated clock difference, which tokens and credentials tolerate, too.
const SKEW: Duration = Duration::from_secs(30);
/// Tolerated delay of a server's ping, and maximum wait for one.
const PING_LATE: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(120);
/// Text in the page of every version.
pub(super) const TITLE: &str = "<title>Roundtable";
/// Maximum redirects.
const REDIRECTS: usize = 4;
/// Maximum bytes of a message; the `welcome` of an empty room is far shorter.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Maximum bytes of a token file.
const TOKEN_BYTES: usize = 16 * 1024;

pub(super) struct Outside<'a> {
    pub(super) target: Target,
    trust: Trust,
    order: &'a DoctorOrder,
    pub(super) report: &'a mut Report,
    pub(super) vantage: Vantage,
    /// Set if the connection ends on this machine, at a name that browsers trust without TLS.
    local: bool,
    /// Set if nobody else can read what is sent to the server.
    private: bool,
}

/// Runs all checks, as far as the connection permits.
pub(super) async fn look(page: &Url, order: &DoctorOrder, report: &mut Report) {
    let trust = match Trust::new(order.ca_file.as_deref()) {
        Ok(trust) => trust,
        Err(why) => return report.missed("certificates", why),
    };
    let vantage = Vantage::of_visitor();
    let target = Target::new(page.clone());
    let mut outside = Outside { target, trust, order, report, vantage, local: false, private: false };
    match outside.look().await {
        Ok(()) => {}
        Err(found) if outside.vantage.is_container && found.is_unreachable() => {
            let why = "this runs in a container, where names and addresses lead elsewhere than for visitors: run it on \
                       another machine";
            outside.report.missed("connection", format!("{found}; {why}"));
        }
        Err(found) => outside.report.found(found),
    }
}

impl Outside<'_> {
    /// Runs the checks. An error is a finding after which no further checks are possible.
    async fn look(&mut self) -> Result<(), Found> {
        let page = self.look_at_page().await?;
        if !self.target.tls() && !self.local {
            self.report.found(Found::new(Finding::PlainHttp, self.target.url(""), "browsers except only localhost"));
        }
        self.look_at_api(&page).await?;
        if page.status.is_success() {
            let whose = if page.body.contains(TITLE) { "is there" } else { "is another one than Roundtable's own" };
            self.report.well("page", format!("{} {whose}", self.target.page()));
            self.look_at_history_fallback(&page).await?;
        } else {
            let why = format!("the answer is {}", page.status);
            self.report.found(Found::new(Finding::PageMissing, self.target.page(), why));
        }
        let Some((mut socket, welcome)) = self.look_at_socket().await? else { return Ok(()) };
        let servers: Vec<IceServer> = ice_servers(&welcome);
        let longest = Duration::from_secs(welcome["heartbeat_seconds"].as_u64().unwrap_or(25));
        let longest = longest.saturating_add(PING_LATE).min(PING_PATIENCE);
        if !self.order.quick {
            self.report.busy(&format!("waiting for the server's ping, up to {} s (--quick: not)", longest.as_secs()));
        }
        let begun = Instant::now();
        let relays = relays::look(&servers, &self.trust, self.vantage, self.report);
        if self.order.quick {
            relays.await;
        } else {
            let (pinged, ()) = tokio::join!(timeout(longest, until_ping(&mut socket)), relays);
            let pinged = pinged.unwrap_or_else(|_| Err(format!("no ping within {} s", longest.as_secs())));
            match pinged {
                Ok(after) => self.report.well("ping", format!("it came after {:.1} s", (after - begun).as_secs_f64())),
                Err(why) => self.report.found(Found::new(Finding::ProxyTimeout, self.target.url("signal-api/ws"), why)),
            }
        }
        // Waits until the server has closed the connection, which frees its place.
        let _ = timeout(PATIENCE, async {
            let _ = socket.send(Message::text(r#"{"type":"leave"}"#)).await;
            while let Some(Ok(_)) = socket.next().await {}
        })
        .await;
        Ok(())
    }

    /// Requests the page, and follows redirects. The remaining checks use the final address.
    async fn look_at_page(&mut self) -> Result<Answer, Found> {
        let ordered = self.target.host();
        self.look_at_connection().await?;
        for _ in 0..=REDIRECTS {
            let page = self.ask_page(self.target.path()).await?;
            let Some(next) = page.location.as_deref().and_then(|location| self.target.redirected(location)) else {
                return Ok(page);
            };
            self.report.well("redirect", format!("{} leads to {}", self.target.page(), next.page()));
            let known = std::mem::replace(&mut self.target, next);
            if self.target.origin() != known.origin() {
                self.look_at_connection().await?;
                // A token is only for the host that the arguments name.
                self.private &= self.target.host() == ordered;
            }
        }
        let why = format!("it leads to another address more than {REDIRECTS} times");
        Err(Found::new(Finding::WrongAddress, self.target.page(), why))
    }

    async fn look_at_connection(&mut self) -> Result<(), Found> {
        let begun = Instant::now();
        self.private = false;
        let (tcp, address) = web::connect(&self.target.host(), self.target.port()).await?;
        self.vantage.is_near |= is_own(address.ip());
        self.report.well("connection", format!("{address} answers after {} ms", begun.elapsed().as_millis()));
        self.local = self.target.is_local(address.ip());
        if !self.target.tls() {
            self.private = self.local;
            return Ok(());
        }
        let about = self.target.authority();
        match web::secure(tcp, &self.target.host(), &self.trust, &about).await?.1 {
            Some(found) => self.report.found(found),
            None => {
                self.private = true;
                self.report.well("certificate", format!("browsers trust it for {}", self.target.host()));
            }
        }
        Ok(())
    }

    /// Opens another connection of the same kind. A certificate that is worse than the first one is an error, because a
    /// token may be sent over the connection.
    async fn connect(&self) -> Result<Stream, Found> {
        let (tcp, address) = web::connect(&self.target.host(), self.target.port()).await?;
        if !self.target.tls() {
            if self.private && !self.target.is_local(address.ip()) {
                let why = format!("it led to this machine at first, and now to {address}");
                return Err(Found::new(Finding::PlainHttp, self.target.url(""), why));
            }
            return Ok(Box::new(tcp));
        }
        match web::secure(tcp, &self.target.host(), &self.trust, &self.target.authority()).await? {
            (_, Some(found)) if self.private => Err(found),
            (stream, _) => Ok(stream),
        }
    }

    pub(super) async fn ask(&self, method: &str, path: &str) -> Result<Answer, Found> {
        self.ask_with(method, path, self.target.headers()).await
    }

    /// Sends a request like a browser that opens a page.
    pub(super) async fn ask_page(&self, path: &str) -> Result<Answer, Found> {
        self.ask_with("GET", path, self.target.page_headers()).await
    }

    async fn ask_with(&self, method: &str, path: &str, headers: HeaderMap) -> Result<Answer, Found> {
        let answer = web::ask(self.connect().await?, method, path, headers).await;
        let url = format!("{}{path}", self.target.origin());
        answer.map_err(|why| Found::new(Finding::WrongAddress, url, why))
    }

    /// Checks the API (R34 and R76): identity and clock of the server, and whether it would accept a WebSocket from its
    /// own page.
    async fn look_at_api(&mut self, page: &Answer) -> Result<(), Found> {
        let begun = Utc::now();
        let path = format!("{}signal-api/v1/welcome", self.target.base());
        let answer = self.ask("GET", &path).await?;
        let ended = Utc::now();
        let data = match answer.envelope() {
            Some((code, data)) if code == "SUCCESS" && data["name"] == "roundtable" => data,
            _ => return Err(self.who_answers(&answer, page).await),
        };
        let version = data["version"].as_str().unwrap_or("?");
        self.report.well("server", format!("Roundtable {version}"));
        if let Some(time) = data["time"].as_str().and_then(|time| DateTime::parse_from_rfc3339(time).ok()) {
            let (early, late) = (begun.signed_duration_since(time), time.signed_duration_since(ended));
            let skew = early.max(late).to_std().unwrap_or_default();
            if skew > SKEW {
                let side = if early > late { "behind" } else { "ahead" };
                let why = format!("it is {} s {side}: {time}", skew.as_secs());
                self.report.found(Found::new(Finding::ClockSkew, self.target.authority(), why));
            } else {
                self.report.well("clock", "the server's is the one here, within half a minute");
            }
        }
        let path = format!("{}signal-api/v1/check", self.target.base());
        let answer = self.ask("POST", &path).await?;
        match answer.envelope() {
            Some((code, data)) if code == "SUCCESS" => {
                self.look_at_client_address(&answer, &data);
                self.look_at_servers().await
            }
            Some((code, _)) => Err(self.refused(&code, answer.status)),
            None => Err(self.who_answers(&answer, page).await),
        }
    }

    /// Determines the finding if something other than the server answers.
    async fn who_answers(&self, answer: &Answer, page: &Answer) -> Found {
        let about = self.target.url("signal-api/");
        let status = answer.status;
        let is_own = |code: &str| code.starts_with("PATH_") || code == "ORIGIN_NOT_ALLOWED";
        if let Some((code, _)) = answer.envelope().filter(|(code, _)| is_own(code)) {
            return self.refused(&code, status);
        }
        if let Some(why) = self.is_hidden_outage(answer).await {
            return Found::new(Finding::ServerDown, about, why);
        }
        if matches!(status.as_u16(), 502..=504) && !answer.body.contains(TITLE) {
            return Found::new(Finding::ServerDown, about, format!("the answer is {status}"));
        }
        if page.body.contains(TITLE) {
            let why = format!("the page is there, and the answer here is {status}");
            return Found::new(Finding::WrongPath, about, why);
        }
        let root = self.ask("GET", "/signal-api/v1/welcome").await;
        let hint = match root.ok().and_then(|answer| answer.envelope()) {
            Some((_, data)) if data["name"] == "roundtable" => format!("; {}/ is", self.target.origin()),
            // nginx and Go respond with this status to plain HTTP on a TLS port.
            _ if !self.target.tls() && status == StatusCode::BAD_REQUEST => "; it may want https://".into(),
            _ => String::new(),
        };
        Found::new(Finding::WrongAddress, self.target.url(""), format!("the answer is {status}{hint}"))
    }

    /// Maps a code of R33 to a finding.
    fn refused(&self, code: &str, status: StatusCode) -> Found {
        let finding = match code {
            "ORIGIN_NOT_ALLOWED" => Finding::OriginRefused,
            "UPGRADE_REQUIRED" => Finding::UpgradeHeadersMissing,
            "SERVER_FULL" | "TOO_MANY_CONNECTIONS" | "TOO_MANY_ATTEMPTS" => Finding::LimitReached,
            "PATH_STRIPPED" => Finding::PathStripped,
            "PATH_WRONG" => Finding::WrongPath,
            "DRAINING" | "UNAVAILABLE" => Finding::ServerDown,
            _ => Finding::WebsocketFailed,
        };
        let about =
            if finding == Finding::OriginRefused { self.target.origin() } else { self.target.url("signal-api/ws") };
        Found::new(finding, about, format!("the answer is {status} {code}"))
    }

    /// Joins a room. Returns the WebSocket and the `welcome`, or `None` if a token is required.
    async fn look_at_socket(&mut self) -> Result<Option<(WebSocketStream<Stream>, Value)>, Found> {
        let room = RoomName::of_trial(fastrand::u128(..));
        let url = self.target.url(&format!("signal-api/ws?room={}", room.as_str())).replacen("http", "ws", 1);
        let about = self.target.url("signal-api/ws");
        let proof = self.origin_proof().await;
        let failed = |why: String| Found::new(Finding::WebsocketFailed, about.clone(), why);
        let mut request = url.into_client_request().map_err(|error| failed(error.to_string()))?;
        request.headers_mut().extend(self.target.headers());
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES)).read_buffer_size(4096);
        let shake = client_async_with_config(request, self.connect().await?, Some(config));
        let mut socket = match timeout(PATIENCE, shake).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(Error::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(body).into_owned();
                let answer = Answer { status: response.status(), location: None, proxy: None, body };
                let code = answer.envelope().map(|(code, _)| code).unwrap_or_default();
                return Err(self.refused(&code, answer.status));
            }
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed(format!("no answer within {PATIENCE:?}"))),
        };
        self.report.well("websocket", "it opens");
        let mut join = json!({"type": "join", "name": "doctor", "proof": proof});
        if let Some(path) = &self.order.token_file {
            match self.token(path) {
                Ok(token) => join["token"] = token.into(),
                Err(why) => {
                    self.report.missed("join", why);
                    return Ok(None);
                }
            }
        }
        socket.send(Message::text(join.to_string())).await.map_err(|error| failed(error.to_string()))?;
        let answer = timeout(PATIENCE, answer(&mut socket)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(format!("no answer to a join within {PATIENCE:?}"))).map_err(failed)?;
        match (answer["type"].as_str(), answer["code"].as_str()) {
            (Some("welcome"), _) => {
                self.report.well("join", "a room of its own let it in");
                Ok(Some((socket, answer)))
            }
            (_, Some("token_missing")) => {
                self.report.missed("join", "nobody comes in without a token: give one by --token-file");
                Ok(None)
            }
            (_, Some(code @ "origin_not_allowed")) => {
                let missing = if proof.is_none() { "; there is no origin proof" } else { "" };
                Err(Found::new(Finding::OriginRefused, self.target.origin(), format!("{code}{missing}")))
            }
            (_, Some(code)) if code.starts_with("token_") => Err(Found::new(Finding::TokenRefused, about, code)),
            (_, Some(code @ ("too_many_attempts" | "server_full" | "busy"))) => {
                Err(Found::new(Finding::LimitReached, about, code))
            }
            (kind, code) => Err(failed(format!("a join is answered by {:?}", code.or(kind).unwrap_or_default()))),
        }
    }

    /// Fetches an origin proof like a page (R92). Returns `None` if the server or the proxy has none.
    async fn origin_proof(&self) -> Option<String> {
        let mut headers = self.target.headers();
        // Browsers send no origin with a same-origin GET request.
        headers.remove(header::ORIGIN);
        let path = format!("{}signal-api/v1/origin-proof", self.target.base());
        let answer = web::ask(self.connect().await.ok()?, "GET", &path, headers).await.ok()?;
        Some(answer.envelope()?.1["proof"].as_str()?.to_owned())
    }

    fn token(&self, path: &Path) -> Result<String, String> {
        if !self.private {
            return Err(
                "the token is kept back: browsers do not trust the connection, or it leads to another host".into()
            );
        }
        let wrong = |why: String| format!("--token-file: {}: {why}", path.display());
        let token = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        if token.len() > TOKEN_BYTES {
            return Err(wrong("it is no token: it is too long".into()));
        }
        Ok(token.trim().to_owned())
    }
}

/// Returns the server's next message.
async fn answer(socket: &mut WebSocketStream<Stream>) -> Result<Value, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map_err(|error| error.to_string());
            }
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| frame.code.to_string()).unwrap_or_default();
                return Err(format!("it is closed: {reason}"));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("it is closed".into()),
        }
    }
}

/// Waits for the server's ping. The error says how the connection ended before it.
async fn until_ping(socket: &mut WebSocketStream<Stream>) -> Result<Instant, String> {
    let begun = Instant::now();
    let cut = |why: &str| Err(format!("it was cut after {:.1} s: {why}", begun.elapsed().as_secs_f64()));
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_))) => return Ok(Instant::now()),
            Some(Ok(Message::Close(Some(frame)))) => return cut(&frame.code.to_string()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return cut(&error.to_string()),
            None => return cut("the end"),
        }
    }
}

fn ice_servers(welcome: &Value) -> Vec<IceServer> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let servers = welcome["ice_servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let servers = servers.iter().map(|server| IceServer {
        urls: server["urls"].as_array().into_iter().flatten().filter_map(text).collect(),
        username: text(&server["username"]),
        credential: text(&server["credential"]),
    });
    servers.collect()
}
