//! Keys: typed, and ordered by kind and then by the bytes of their parts on every backend.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ModelError, Name};

/// The kind of a record. Its number is a part of every stored key and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// What should run.
    Service = 1,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 1] = [Self::Service];

    /// The name on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What identifies a record.
///
/// ```
/// use registry_core::Key;
///
/// let key = Key::service("payments/eu:1")?;
/// assert_eq!(Key::from_bytes(&key.to_bytes())?, key);
/// # Ok::<(), registry_core::model::ModelError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Key {
    /// A service, by name.
    Service(Name),
}

impl Key {
    /// The key of the service `name`.
    ///
    /// # Errors
    /// [`ModelError`] where `name` is not a legal [`Name`].
    pub fn service(name: &str) -> Result<Self, ModelError> {
        Name::new(name).map(Self::Service)
    }

    /// The kind of the record it leads to.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
        }
    }

    /// The name within its kind.
    pub fn name(&self) -> &Name {
        match self {
            Self::Service(name) => name,
        }
    }

    /// The stored form: the kind's number, then the parts, with U+0000 between them.
    ///
    /// Its byte order is the order of keys: no part holds U+0000.
    pub fn to_bytes(&self) -> Vec<u8> {
        let name = self.name().as_bytes();
        let mut bytes = Vec::with_capacity(1 + name.len());
        bytes.push(self.kind() as u8);
        bytes.extend_from_slice(name);
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`ModelError`] for bytes that no key has.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let error = |found: String| ModelError::new("key", "a kind and a name", found);
        let (&number, name) = bytes
            .split_first()
            .ok_or_else(|| error("no bytes".into()))?;
        let kind = Kind::from_number(number).ok_or_else(|| error(format!("kind {number}")))?;
        let name = std::str::from_utf8(name)
            .map_err(|_| error(format!("{:?}", name.escape_ascii().to_string())))?;
        match kind {
            Kind::Service => Self::service(name),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind(), self.name())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_key_order() {
        let names = ["a", "a/b", "a:b", "ab", "b", "é", "\u{1F600}"];
        let keys: Vec<Key> = names
            .iter()
            .map(|name| Key::service(name).unwrap())
            .collect();
        let mut by_bytes = keys.clone();
        by_bytes.sort_by_key(Key::to_bytes);
        let mut by_key = keys;
        by_key.sort();
        assert_eq!(by_bytes, by_key);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"\x01", b"\xffname", b"\x01a\0b", b"\x01\xff"] {
            assert!(Key::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
