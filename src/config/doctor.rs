//! Arguments of `roundtable doctor`.

use std::path::PathBuf;

/// Arguments of `roundtable doctor`.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorOrder {
    /// The meeting's address, as people open it: https://meet.example.org. Without it, this machine's own settings.
    #[arg(value_name = "URL", value_parser = parse_page)]
    pub url: Option<url::Url>,

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

/// Parses a URL as it is typed into a browser, with https as the default scheme.
fn parse_page(text: &str) -> Result<url::Url, String> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let form = "it is the address of a page such as https://meet.example.org";
    let page = url::Url::parse(&whole).map_err(|error| format!("{form} ({error})"))?;
    if !matches!(page.scheme(), "http" | "https") {
        return Err(form.into());
    }
    if !page.username().is_empty() || page.password().is_some() {
        return Err(format!("{form}, without a name and a password"));
    }
    Ok(page)
}
