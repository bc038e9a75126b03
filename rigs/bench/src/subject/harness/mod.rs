//! harness itself, over WebSocket and over HTTP.

pub(super) mod http;
mod websocket;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::load::Dialogue;
use crate::subject::{Subject, version_of};

/// Where `cargo xtask bench` builds it.
const PROGRAM: &str = "target/dist/harness";
/// The store's own cache: small enough that the memory of the registry itself is seen.
const CACHE_MIB: &str = "8";
/// Leases that one message renews.
pub(crate) const BEATS_AT_ONCE: u64 = 1000;

/// The daemon on one backend.
pub(crate) struct Harness {
    pub(crate) backend: String,
}

impl Subject for Harness {
    fn name(&self) -> String {
        format!("harness {}", self.backend)
    }

    fn missing(&self) -> Option<String> {
        let is_there = PathBuf::from(PROGRAM).is_file();
        (!is_there)
            .then(|| format!("{PROGRAM} is not built; start the bench with `cargo xtask bench`"))
    }

    fn version(&self) -> String {
        let mut command = Command::new(PROGRAM);
        command.arg("--version");
        version_of(command)
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(std::path::absolute(PROGRAM)?);
        command.args(["daemon", "start", "--log-level", "error"]);
        command.args(["--registry-backend", &self.backend, "--registry-path"]);
        command.arg(folder.join("registry"));
        command.args(["--bind", &address.to_string()]);
        command.args(["--cache-mib", CACHE_MIB]);
        Ok(command)
    }

    fn dialogue(&self, address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(websocket::WebSocket::new(address))
    }

    fn program(&self) -> Option<PathBuf> {
        Some(PathBuf::from(PROGRAM))
    }

    fn others(&self) -> Vec<&'static str> {
        vec!["HTTP"]
    }

    fn other(&self, _name: &str, address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(http::Http::new(address))
    }

    fn beats_at_once(&self) -> Option<u64> {
        Some(BEATS_AT_ONCE)
    }
}

/// The instance of that number, without its name.
fn write_instance(out: &mut Vec<u8>) {
    out.extend_from_slice(br#""address":"10.1.2.3","port":8080,"lease_ttl":"1h""#);
}

/// The `heartbeats` of the first so many leases.
fn write_beats(count: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"heartbeats":["#);
    for number in 0..count {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"service":""#);
        crate::record::write_name(number, out);
        out.extend_from_slice(br#"","instance_id":"i"}"#);
    }
    out.extend_from_slice(b"]}");
}

/// Whether a text has another in it.
fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The end of an answer, where what is told last stands.
fn tail(text: &[u8]) -> &[u8] {
    const TAIL_BYTES: usize = 400;
    &text[text.len().saturating_sub(TAIL_BYTES)..]
}
