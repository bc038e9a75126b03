//! Can a daemon have its addresses, or has one them already?

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use harness::client::{Address, ClientError, Connection};
use harness::settings::Settings;
use registry_http::BindAddress;
use serde_json::{Value, json};

use super::super::daemon;
use super::check::{Check, Status};

/// The name of the check.
const PORT: &str = "port";
/// Time that whoever listens has to answer as a daemon does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The status of an answer to somebody without a token that is known.
const UNAUTHORIZED: u16 = 401;

/// Tries to listen on every address, and asks who does where that is not possible.
pub(super) async fn look(settings: &Settings) -> Check {
    let addresses = settings
        .ws()
        .map_err(anyhow::Error::from)
        .and_then(|ws| daemon::listen_addresses(settings, &ws));
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(error) => return Check::skipped(PORT, error.to_string()),
    };
    let mut found = Vec::new();
    for address in &addresses {
        found.push(match address {
            BindAddress::Tcp(addr) => look_at_port(*addr, settings).await,
            BindAddress::Unix(path) => look_at_socket(path, settings).await,
        });
    }
    sum(&found)
}

/// One check of those of all addresses: as the worst of them is.
fn sum(found: &[Check]) -> Check {
    let evidence: Vec<_> = found.iter().map(|check| check.evidence.clone()).collect();
    let is = |status| move |check: &&Check| check.status == status;
    let worst = found
        .iter()
        .find(is(Status::Fail))
        .or(found.iter().find(is(Status::Warn)));
    let mut all = worst
        .cloned()
        .unwrap_or_else(|| Check::ok(PORT, String::new()));
    all.evidence = evidence.join("; ");
    all
}

async fn look_at_port(addr: SocketAddr, settings: &Settings) -> Check {
    match TcpListener::bind(addr) {
        Ok(_) => Check::ok(PORT, format!("{addr} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && settings.has_tls() => Check::warn(
            PORT,
            format!("{addr} is taken, and with TLS it is not asked whether by the daemon"),
            format!(
                "ask it: curl --cacert CERTIFICATE https://NAME:{}/readyz",
                addr.port()
            ),
        ),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            taken(addr, &format!("ws://{addr}/ws"), settings).await
        }
        Err(error) => Check::fail(
            PORT,
            format!("{addr} cannot be listened on: {error}"),
            "set `bind` to an address of this host and a port that its user may have",
        ),
    }
}

/// Looks at a socket file without touching it.
async fn look_at_socket(path: &Path, settings: &Settings) -> Check {
    let place = format!("unix:{}", path.display());
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let is_there = |folder: &Path| folder.as_os_str().is_empty() || folder.is_dir();
            if path.parent().is_some_and(is_there) {
                return Check::ok(PORT, format!("{place} is free"));
            }
            let fix = "make the folder, or set `bind` to a path in one that is there";
            Check::fail(PORT, format!("{place} has no folder"), fix)
        }
        Err(error) => Check::fail(
            PORT,
            format!("{place} cannot be looked at: {error}"),
            "set `bind` to a path that its user may have",
        ),
        Ok(file) if !file.file_type().is_socket() => Check::fail(
            PORT,
            format!("a file that is no socket stands at {place}"),
            "move it away, or set `bind` to another path",
        ),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Check::ok(
                PORT,
                format!("nobody listens on {place} any more, and a daemon replaces it"),
            ),
            _ => taken(&place, &place, settings).await,
        },
    }
}

/// Asks who listens at a place.
async fn taken(place: impl Display, url: &str, settings: &Settings) -> Check {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, info(url, settings.any_token())).await;
    let stranger = |what: String| {
        let evidence = format!("{place} is taken by something that is no harness daemon: {what}");
        let fix = "end what listens there (`ss -ltnp` tells it), or set `bind` to another port";
        Check::fail(PORT, evidence, fix)
    };
    match answer {
        Ok(Ok(info)) => {
            let (backend, revision) = (&info["backend"], &info["revision"]);
            let evidence = format!(
                "a harness daemon answers at {place}: backend {backend}, revision {revision}"
            );
            Check::ok(PORT, evidence)
        }
        Ok(Err(error)) => match error.downcast_ref() {
            Some(ClientError::TurnedAway { status, .. }) if *status == UNAUTHORIZED => Check::warn(
                PORT,
                format!("{place} is taken by something that asks for a token: {error}"),
                "set HARNESS_TOKEN, so that it can be asked whether it is the daemon",
            ),
            _ => stranger(error.to_string()),
        },
        Err(_) => stranger(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    }
}

async fn info(url: &str, token: Option<&str>) -> Result<Value> {
    let address: Address = url.parse()?;
    let mut connection = Connection::connect(&address, token).await?;
    Ok(connection.call("registry_info", &json!({})).await?)
}
