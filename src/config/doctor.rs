//! `roundtable doctor`: its arguments.

use std::path::PathBuf;

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorOrder {
    /// The meeting's address, as people open it: https://meet.example.org. Without it, this machine's own settings.
    #[arg(value_name = "URL", value_parser = parse_page)]
    pub url: Option<axum::http::Uri>,

    /// Do not wait for the server's ping, by which a proxy's timeout shows (up to half a minute).
    #[arg(long)]
    pub quick: bool,

    /// For programs: one JSON object.
    #[arg(long)]
    pub json: bool,

    /// A file with a token, where only those come in who have one: good for all rooms (roundtable token --room '*').
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Certificates (PEM) of an authority that is believed beside those that browsers know.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

fn parse_page(text: &str) -> Result<axum::http::Uri, String> {
    super::values::parse_url(text)
        .ok()
        .and_then(|text| text.parse::<axum::http::Uri>().ok())
        .filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')))
        .ok_or_else(|| "it is the address of a page such as https://meet.example.org".into())
}
