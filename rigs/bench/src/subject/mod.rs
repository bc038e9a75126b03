//! Servers that are measured, one file each.

mod axum;
mod etcd;
mod harness;
mod http;
mod nacos;
mod nats;
mod postgres;
mod process;
mod redis;
mod running;
mod zookeeper;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

pub(crate) use self::axum::{Bare, serve as serve_bare};
pub(crate) use self::harness::Harness;
pub(crate) use self::process::Process;
pub(crate) use self::running::Running;
use crate::load::Dialogue;

/// A kind of server.
pub(crate) trait Subject {
    /// Its name in tables and in `--only`.
    fn name(&self) -> String;

    /// Why it cannot be measured here, where it cannot.
    fn missing(&self) -> Option<String>;

    /// What it says of its version.
    fn version(&self) -> String;

    /// Makes the folder ready for the first start.
    ///
    /// # Errors
    /// A tool of the server that fails.
    fn lay_out(&self, _folder: &Path) -> Result<()> {
        Ok(())
    }

    /// The command that serves the folder at the address.
    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command>;

    /// A client, over the first of its protocols.
    fn dialogue(&self, address: SocketAddr) -> Box<dyn Dialogue>;

    /// Other protocols, each with its name.
    fn others(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// A client over another protocol.
    fn other(&self, _name: &str, address: SocketAddr) -> Box<dyn Dialogue> {
        self.dialogue(address)
    }

    /// The file of the program, where it is one that we make.
    fn program(&self) -> Option<PathBuf> {
        None
    }

    /// Whether it can tell a client of records whose names the client does not know yet.
    fn tells_of_new_names(&self) -> bool {
        true
    }

    /// How many leases one message renews, where one message can renew several.
    fn beats_at_once(&self) -> Option<u64> {
        None
    }
}

/// Every peer that there is a client for.
pub(crate) fn peers() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(etcd::Etcd),
        Box::new(zookeeper::ZooKeeper),
        Box::new(postgres::Postgres),
        Box::new(redis::Redis),
        Box::new(nats::Nats),
        Box::new(nacos::Nacos),
    ]
}

/// A port of the loopback that was free a moment ago. It is below those that the kernel gives to clients: one of these
/// could be connected to itself while its server is not there yet.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 10_000;
    let begin = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap_or(0);
    for _ in 0..PORTS {
        let number = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(number) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("expected a free port from {FIRST} on, found none")
}

/// Where a program lies: in one of the folders, or on the PATH.
fn program(name: &str, folders: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(PathBuf::from);
    folders
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The reason where a program is missing.
fn missing(name: &str, folders: &[&str]) -> Option<String> {
    match program(name, folders) {
        Some(_) => None,
        None => Some(format!("{name} is not installed")),
    }
}

/// The first line that a program prints of its version.
fn version_of(mut command: Command) -> String {
    let printed = command.output().map(|output| output.stdout);
    let text = String::from_utf8_lossy(&printed.unwrap_or_default()).into_owned();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// An answer as an error says it.
fn shown(answer: &[u8]) -> String {
    const SHOWN_BYTES: usize = 300;
    let end = answer.len().min(SHOWN_BYTES);
    String::from_utf8_lossy(&answer[..end]).into_owned()
}
