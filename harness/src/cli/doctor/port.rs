//! Can a daemon have its port, or has one it already?

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Result;
use harness::client::{ClientError, Connection};
use registry_http::BindAddress;
use serde_json::{Value, json};

use super::super::config::Settings;
use super::super::daemon;
use super::check::Check;

/// Time that whoever listens has to answer as a daemon does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The status of an answer to somebody without a token that is known.
const UNAUTHORIZED: u16 = 401;

/// Tries to listen, and asks who does where that is not possible.
pub(super) async fn look(settings: &Settings) -> Check {
    let addresses = settings
        .ws()
        .and_then(|ws| daemon::listen_addresses(settings, &ws));
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(error) => return Check::skipped("port", error.to_string()),
    };
    let addr = addresses.iter().find_map(|address| match address {
        BindAddress::Tcp(addr) => Some(*addr),
        BindAddress::Unix(_) => None,
    });
    let Some(addr) = addr else {
        return Check::skipped("port", "no address of TCP is listened on");
    };
    match TcpListener::bind(addr) {
        Ok(_) => Check::ok("port", format!("{addr} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => taken(addr, settings).await,
        Err(error) => Check::fail(
            "port",
            format!("{addr} cannot be listened on: {error}"),
            "set `bind` to an address of this host and a port that its user may have",
        ),
    }
}

async fn taken(addr: SocketAddr, settings: &Settings) -> Check {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, info(addr, settings.any_token())).await;
    let stranger = |what: String| {
        let evidence = format!("{addr} is taken by something that is no harness daemon: {what}");
        let fix = "end what listens there (`ss -ltnp` tells it), or set `bind` to another port";
        Check::fail("port", evidence, fix)
    };
    match answer {
        Ok(Ok(info)) => {
            let (backend, revision) = (&info["backend"], &info["revision"]);
            let evidence = format!(
                "a harness daemon answers at {addr}: backend {backend}, revision {revision}"
            );
            Check::ok("port", evidence)
        }
        Ok(Err(error)) => match error.downcast_ref() {
            Some(ClientError::TurnedAway { status, .. }) if *status == UNAUTHORIZED => Check::warn(
                "port",
                format!("{addr} is taken by something that asks for a token: {error}"),
                "set HARNESS_TOKEN, so that it can be asked whether it is the daemon",
            ),
            _ => stranger(error.to_string()),
        },
        Err(_) => stranger(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    }
}

async fn info(addr: SocketAddr, token: Option<&str>) -> Result<Value> {
    let address = format!("ws://{addr}/ws").parse()?;
    let mut connection = Connection::connect(&address, token).await?;
    Ok(connection.call("registry_info", &json!({})).await?)
}
