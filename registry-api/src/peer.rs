//! Where a connection comes from.

use std::fmt;
use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A host.
    Tcp(SocketAddr),
    /// A process on this machine, as the kernel told it when the process connected.
    Unix {
        /// Its process id, where the system tells it.
        pid: Option<u32>,
        /// The user that it ran as.
        uid: u32,
    },
}

impl Peer {
    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix {
                pid: Some(pid),
                uid,
            } => write!(f, "unix:pid={pid},uid={uid}"),
            Self::Unix { pid: None, uid } => write!(f, "unix:uid={uid}"),
        }
    }
}
