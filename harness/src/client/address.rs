//! Where a daemon listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::ClientError;

/// The port of a URL that names none.
const DEFAULT_PORT: u16 = 80;

/// The address of a daemon: `ws://host:port/ws` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host and a port.
    Tcp {
        /// The URL as it was given.
        url: String,
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let bad = || ClientError::Address {
            found: text.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(bad()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let rest = text.strip_prefix("ws://").ok_or_else(bad)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, DEFAULT_PORT),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(bad());
        }
        Ok(Self::Tcp {
            url: text.to_owned(),
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { url, .. } => f.write_str(url),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> (String, u16) {
        match text.parse() {
            Ok(Address::Tcp { host, port, .. }) => (host, port),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn host_and_port_are_read() {
        assert_eq!(tcp("ws://127.0.0.1:9402/ws"), ("127.0.0.1".into(), 9402));
        assert_eq!(tcp("ws://[::1]:9402/ws"), ("::1".into(), 9402));
        assert_eq!(tcp("ws://[::1]/ws"), ("::1".into(), 80));
        assert_eq!(tcp("ws://registry"), ("registry".into(), 80));
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "",
            "http://127.0.0.1:9402",
            "ws://",
            "ws://:80",
            "ws://host:99999/ws",
            "unix:",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
