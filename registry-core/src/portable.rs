//! The JSON forms of records and log entries, for backends and exports that a person can read.
//!
//! They carry everything that the binary forms carry: revisions, schema stamps and hashes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::CodecError;
use crate::hash::Hash;
use crate::key::Key;
use crate::log::{Change, Commit, LogEntry};
use crate::model::ModelError;
use crate::record::{Image, Record, Versioned};
use crate::revision::Revision;
use crate::schema::SchemaVersion;
use crate::transaction::{Cause, TransactionId};

/// A record with its stamp, its hash and its revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableRecord {
    /// The commit that put it where nothing was.
    pub created: Revision,
    /// The last commit that put it.
    pub modified: Revision,
    /// The record with stamp and hash.
    pub image: PortableImage,
}

/// A record with its stamp and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableImage {
    /// The schema it was written in.
    pub schema: SchemaVersion,
    /// Hash of its canonical form.
    pub hash: Hash,
    /// The value.
    pub record: Record,
}

/// A log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableEntry {
    /// Its number.
    pub revision: Revision,
    /// The transaction's id.
    pub id: TransactionId,
    /// Why and when.
    pub cause: Cause,
    /// What changed.
    pub changes: Vec<PortableChange>,
    /// Hash of the entry before it.
    pub previous: Hash,
    /// Hash over `previous` and the rest.
    pub hash: Hash,
}

/// What one commit did to one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableChange {
    /// The key.
    pub key: Key,
    /// What was there before.
    pub before: Option<PortableImage>,
    /// What is there since.
    pub after: Option<PortableImage>,
}

impl From<&Versioned> for PortableRecord {
    fn from(record: &Versioned) -> Self {
        let Versioned {
            image,
            created,
            modified,
        } = record;
        Self {
            created: *created,
            modified: *modified,
            image: (&**image).into(),
        }
    }
}

impl TryFrom<PortableRecord> for Versioned {
    type Error = CodecError;

    fn try_from(portable: PortableRecord) -> Result<Self, CodecError> {
        let PortableRecord {
            created,
            modified,
            image,
        } = portable;
        Ok(Self {
            image: image.read()?,
            created,
            modified,
        })
    }
}

impl From<&Image> for PortableImage {
    fn from(image: &Image) -> Self {
        Self {
            schema: image.schema(),
            hash: *image.hash(),
            record: image.record().clone(),
        }
    }
}

impl PortableImage {
    fn read(self) -> Result<Arc<Image>, CodecError> {
        if !self.schema.is_readable() {
            return Err(CodecError::SchemaTooNew { found: self.schema });
        }
        Image::from_stored(self.record, self.schema, self.hash)
    }
}

impl From<&LogEntry> for PortableEntry {
    fn from(entry: &LogEntry) -> Self {
        let Commit {
            revision,
            id,
            cause,
            changes,
        } = &entry.commit;
        let image = |image: &Option<Arc<Image>>| image.as_deref().map(PortableImage::from);
        let change = |change: &Change| PortableChange {
            key: change.key.clone(),
            before: image(&change.before),
            after: image(&change.after),
        };
        Self {
            revision: *revision,
            id: *id,
            cause: cause.clone(),
            changes: changes.iter().map(change).collect(),
            previous: entry.previous,
            hash: entry.hash,
        }
    }
}

/// Takes the hashes as they are: [`LogEntry::is_intact`] and [`crate::Head::follow`] check them.
impl TryFrom<PortableEntry> for LogEntry {
    type Error = CodecError;

    fn try_from(portable: PortableEntry) -> Result<Self, CodecError> {
        let PortableEntry {
            revision,
            id,
            cause,
            changes,
            previous,
            hash,
        } = portable;
        let changes = changes
            .into_iter()
            .map(Change::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            commit: Commit {
                revision,
                id,
                cause,
                changes,
            },
            previous,
            hash,
        })
    }
}

impl TryFrom<PortableChange> for Change {
    type Error = CodecError;

    fn try_from(portable: PortableChange) -> Result<Self, CodecError> {
        let PortableChange { key, before, after } = portable;
        let before = before.map(PortableImage::read).transpose()?;
        let after = after.map(PortableImage::read).transpose()?;
        let mut images = before.iter().chain(&after);
        if let Some(image) = images.find(|image| *image.key() != key) {
            return Err(ModelError::new("key", key.to_string(), image.key().to_string()).into());
        }
        Ok(Self { key, before, after })
    }
}
