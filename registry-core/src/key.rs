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
    /// What does run.
    Instance = 2,
    /// What an operator decides for the instances of a service.
    Policy = 3,
    /// Who keeps leases, in a store that several processes write.
    Keeper = 4,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 4] = [Self::Service, Self::Instance, Self::Policy, Self::Keeper];

    /// The name on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Instance => "instance",
            Self::Policy => "policy",
            Self::Keeper => "keeper",
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
    /// An instance, by service and id.
    Instance {
        /// The service.
        service: Name,
        /// The instance's id.
        id: Name,
    },
    /// The policy of a service, by the service's name.
    Policy(Name),
    /// A keeper, by id.
    Keeper(Name),
}

impl Key {
    /// The key of the service `name`.
    ///
    /// # Errors
    /// [`ModelError`] where `name` is not a legal [`Name`].
    pub fn service(name: &str) -> Result<Self, ModelError> {
        Name::new(name).map(Self::Service)
    }

    /// The key of the instance `id` of a service.
    ///
    /// # Errors
    /// [`ModelError`] where one of them is not a legal [`Name`].
    pub fn instance(service: &str, id: &str) -> Result<Self, ModelError> {
        Ok(Self::Instance {
            service: named("service", service)?,
            id: named("instance_id", id)?,
        })
    }

    /// The key of the policy of a service.
    ///
    /// # Errors
    /// [`ModelError`] where `service` is not a legal [`Name`].
    pub fn policy(service: &str) -> Result<Self, ModelError> {
        named("service", service).map(Self::Policy)
    }

    /// The key of a keeper.
    ///
    /// # Errors
    /// [`ModelError`] where `id` is not a legal [`Name`].
    pub fn keeper(id: &str) -> Result<Self, ModelError> {
        named("id", id).map(Self::Keeper)
    }

    /// The kind of the record it leads to.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::Instance { .. } => Kind::Instance,
            Self::Policy(_) => Kind::Policy,
            Self::Keeper(_) => Kind::Keeper,
        }
    }

    /// Its first part: the service's name, or a keeper's id.
    pub fn name(&self) -> &Name {
        match self {
            Self::Service(name) | Self::Policy(name) | Self::Keeper(name) => name,
            Self::Instance { service, .. } => service,
        }
    }

    /// The service that the record belongs to; none for a keeper.
    pub fn service_name(&self) -> Option<&Name> {
        match self {
            Self::Keeper(_) => None,
            key => Some(key.name()),
        }
    }

    /// The id of an instance, its second part.
    pub fn instance_id(&self) -> Option<&Name> {
        match self {
            Self::Instance { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The stored form: the kind's number, then the parts, with U+0000 between them.
    ///
    /// Its byte order is the order of keys: no part holds U+0000.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes_len());
        self.each_part(|part| bytes.extend_from_slice(part));
        bytes
    }

    /// Length of the stored form, in bytes.
    pub(crate) fn bytes_len(&self) -> usize {
        1 + self.name().len() + self.instance_id().map_or(0, |id| 1 + id.len())
    }

    /// The stored form, part by part: for sums over it, which need no buffer.
    pub(crate) fn each_part(&self, mut take: impl FnMut(&[u8])) {
        take(&[self.kind() as u8]);
        take(self.name().as_bytes());
        if let Some(id) = self.instance_id() {
            take(&[0]);
            take(id.as_bytes());
        }
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
            Kind::Policy => Self::policy(name),
            Kind::Keeper => Self::keeper(name),
            Kind::Instance => {
                let parts = name.split_once('\0');
                let (service, id) = parts.ok_or_else(|| error("one part".into()))?;
                Self::instance(service, id)
            }
        }
    }
}

/// A name, or an error that says which part of the key it was to be.
fn named(field: &str, text: &str) -> Result<Name, ModelError> {
    Name::new(text).map_err(|error| ModelError::new(field, error.expected, error.found))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind(), self.name())?;
        match self.instance_id() {
            Some(id) => write!(f, " {id:?}"),
            None => Ok(()),
        }
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
        let names = ["a", "a\u{1}", "a/b", "a:b", "ab", "b", "é", "\u{1F600}"];
        let pairs = names
            .iter()
            .flat_map(|service| names.iter().map(move |id| (*service, *id)));
        let mut keys: Vec<Key> = pairs
            .map(|(service, id)| Key::instance(service, id).unwrap())
            .collect();
        for name in names {
            keys.extend(
                [Key::service(name), Key::policy(name), Key::keeper(name)].map(Result::unwrap),
            );
        }
        let mut by_bytes = keys.clone();
        by_bytes.sort_by_key(Key::to_bytes);
        let mut by_key = keys;
        by_key.sort();
        assert_eq!(by_bytes, by_key);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let foreign = [
            &b""[..],
            b"\x01",
            b"\xffname",
            b"\x01a\0b",
            b"\x01\xff",
            b"\x02a",
            b"\x02a\0",
            b"\x02\0b",
            b"\x02a\0b\0c",
        ];
        for bytes in foreign {
            assert!(Key::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
