//! Records as a store keeps them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::CodecError;
use crate::hash::{Hash, Hasher};
use crate::key::Key;
use crate::limits::RECORD_BYTES_MAX;
use crate::model::{InstanceEntry, KeeperEntry, ModelError, ServiceEntry, ServicePolicy};
use crate::revision::Revision;
use crate::schema::{SCHEMA, SchemaVersion};

/// A value of one of the kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// What should run.
    Service(ServiceEntry),
    /// What does run.
    Instance(InstanceEntry),
    /// What an operator decides for the instances of a service.
    Policy(ServicePolicy),
    /// Who keeps leases.
    Keeper(KeeperEntry),
}

impl Record {
    /// The key that its own name gives it.
    ///
    /// # Errors
    /// [`ModelError`] where the name is not legal.
    pub fn key(&self) -> Result<Key, ModelError> {
        match self {
            Self::Service(entry) => Key::service(&entry.name),
            Self::Instance(entry) => Key::instance(&entry.service, &entry.instance_id),
            Self::Policy(policy) => Key::policy(&policy.service),
            Self::Keeper(keeper) => Key::keeper(&keeper.id),
        }
    }

    /// Gives up the room that its lists have to spare: read from JSON, which tells no lengths before, a list of one has
    /// room for four.
    fn shrink(&mut self) {
        match self {
            Self::Service(entry) => {
                entry.endpoints.shrink_to_fit();
                entry.depends_on.shrink_to_fit();
            }
            Self::Instance(entry) => entry.tags.shrink_to_fit(),
            Self::Policy(_) | Self::Keeper(_) => {}
        }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// [`ModelError`] for the first rule that is broken.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::Service(entry) => entry.validate(),
            Self::Instance(entry) => entry.validate(),
            Self::Policy(policy) => policy.validate(),
            Self::Keeper(keeper) => keeper.validate(),
        }
    }
}

/// A record with its key, the schema it was written in and the hash of its canonical form. Never changes.
///
/// The canonical form is the fcode body of the schema in the stamp, so a copy on another backend has the same hash.
#[derive(Debug)]
pub struct Image {
    key: Key,
    record: Record,
    schema: SchemaVersion,
    hash: Hash,
    /// Bounded by [`RECORD_BYTES_MAX`].
    body_bytes: u32,
    /// The form that a newer record was read from: all of it, where `record` has only what this code knows.
    original: Option<Box<Original>>,
}

/// The whole of a record that a newer program wrote, to be copied as it is.
#[derive(Debug, Clone)]
pub(crate) enum Original {
    /// The fcode body.
    Body(Box<[u8]>),
    /// The record's JSON.
    Json(serde_json::Value),
}

/// The same record: the hash covers what is not seen here.
impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.schema == other.schema && self.record == other.record
    }
}

impl Eq for Image {}

impl Image {
    /// Checks a record and stamps it with the current schema.
    ///
    /// # Errors
    /// [`ModelError`] where the model refuses it or its encoded form is larger than [`RECORD_BYTES_MAX`].
    pub fn new(mut record: Record) -> Result<Arc<Self>, ModelError> {
        record.validate()?;
        record.shrink();
        let key = record.key()?;
        let body = codec::record_body(&record);
        if body.len() > RECORD_BYTES_MAX {
            let expected = format!("at most {RECORD_BYTES_MAX} bytes when encoded");
            return Err(ModelError::new(
                key.to_string(),
                expected,
                format!("{} bytes", body.len()),
            ));
        }
        let hash = body_hash(&key, &body);
        Ok(Arc::new(Self {
            key,
            record,
            schema: SCHEMA,
            hash,
            body_bytes: bytes_of(&body),
            original: None,
        }))
    }

    /// A record as it was read from a store, with the stamp it carried there.
    ///
    /// The hash of a record in a schema that this code knows is computed and compared; that of a newer one is trusted,
    /// since its appended part cannot be seen here.
    ///
    /// # Errors
    /// [`CodecError::Hash`] where the hash is another, [`CodecError::Model`] where the record breaks a rule.
    pub fn from_stored(
        record: Record,
        schema: SchemaVersion,
        hash: Hash,
    ) -> Result<Arc<Self>, CodecError> {
        Self::from_json(record, schema, hash, None)
    }

    /// As [`from_stored`](Self::from_stored), with the JSON that a newer record was read from.
    pub(crate) fn from_json(
        record: Record,
        schema: SchemaVersion,
        hash: Hash,
        newer: Option<serde_json::Value>,
    ) -> Result<Arc<Self>, CodecError> {
        let key = record.key()?;
        let body = codec::record_body(&record);
        let found = body_hash(&key, &body);
        if schema.is_known() && found != hash {
            return Err(CodecError::Hash {
                expected: hash,
                found,
            });
        }
        Ok(Arc::new(Self {
            key,
            record,
            schema,
            hash,
            body_bytes: bytes_of(&body),
            original: newer.map(|value| Box::new(Original::Json(value))),
        }))
    }

    /// A record whose fcode body was just read, so that the hash is that of the body.
    pub(crate) fn from_body(
        record: Record,
        schema: SchemaVersion,
        body: &[u8],
    ) -> Result<Arc<Self>, CodecError> {
        let key = record.key()?;
        let hash = body_hash(&key, body);
        Ok(Arc::new(Self {
            key,
            record,
            schema,
            hash,
            body_bytes: bytes_of(body),
            original: (!schema.is_known()).then(|| Box::new(Original::Body(body.into()))),
        }))
    }

    /// The canonical body: the one that was read, where a newer program wrote it.
    pub(crate) fn body(&self) -> Cow<'_, [u8]> {
        match self.original.as_deref() {
            Some(Original::Body(body)) => Cow::Borrowed(body),
            _ => Cow::Owned(codec::record_body(&self.record)),
        }
    }

    /// The fcode body that was read, where a newer program wrote it.
    pub(crate) fn newer_body(&self) -> Option<&[u8]> {
        match self.original.as_deref() {
            Some(Original::Body(body)) => Some(body),
            _ => None,
        }
    }

    /// The JSON that was read, where a newer program wrote it.
    pub(crate) fn newer_json(&self) -> Option<&serde_json::Value> {
        match self.original.as_deref() {
            Some(Original::Json(value)) => Some(value),
            _ => None,
        }
    }

    /// What identifies it.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The value.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The schema it was written in.
    pub fn schema(&self) -> SchemaVersion {
        self.schema
    }

    /// Hash of the canonical form.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Size of the canonical form, in bytes.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes as usize
    }

    /// The entry of a service, for a record of that kind.
    pub fn as_service(&self) -> Option<&ServiceEntry> {
        match &self.record {
            Record::Service(entry) => Some(entry),
            _ => None,
        }
    }

    /// The entry of an instance, for a record of that kind.
    pub fn as_instance(&self) -> Option<&InstanceEntry> {
        match &self.record {
            Record::Instance(entry) => Some(entry),
            _ => None,
        }
    }
}

/// Size of a body, which [`RECORD_BYTES_MAX`] bounds.
fn bytes_of(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX)
}

fn body_hash(key: &Key, body: &[u8]) -> Hash {
    Hasher::new("harness.record.1")
        .number(key.kind() as u64)
        .bytes(body)
        .finish()
}

/// A record with the revisions that made it and last changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The record.
    pub image: Arc<Image>,
    /// The commit that put it where nothing was.
    pub created: Revision,
    /// The last commit that put it.
    pub modified: Revision,
}

impl Versioned {
    /// What identifies it.
    pub fn key(&self) -> &Key {
        self.image.key()
    }
}
