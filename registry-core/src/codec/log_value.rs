//! A group of log entries as stored bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | magic `HL` |
//! | 2 | codec |
//! | 3 | schema major |
//! | 4..6 | schema minor, little endian |
//! | 6..10 | CRC-32 over bytes 0..6 and the body, little endian |
//! | 10.. | body: the entries, oldest first |

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CodecId, decode_body, fcode};
use crate::error::CodecError;
use crate::hash::Hash;
use crate::key::Key;
use crate::limits::{LOG_VALUE_BYTES_MAX, RECORD_BYTES_MAX};
use crate::log::{Change, Commit, LogEntry};
use crate::record::Image;
use crate::revision::Revision;
use crate::schema::{SCHEMA, SchemaVersion};
use crate::time::Timestamp;
use crate::transaction::{Cause, TransactionId};

const MAGIC: [u8; 2] = *b"HL";
const CHECKSUM_AT: usize = 6;
const BODY_AT: usize = 10;
/// What an entry mostly takes beside its records: ids, hashes, names, a reason.
const ENTRY_BYTES_USUAL: usize = 256;

/// The entries of one log value, oldest first.
pub type LogValue = Vec<Arc<LogEntry>>;

#[derive(Serialize, Deserialize)]
struct EntryV1<'a> {
    revision: u64,
    #[serde(borrow)]
    id: Bytes<'a>,
    time_nanos: i64,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    changes: Vec<ChangeV1<'a>>,
    #[serde(borrow)]
    previous: Bytes<'a>,
    #[serde(borrow)]
    hash: Bytes<'a>,
}

/// The fields that the window of recent ids needs; fcode skips the rest.
#[derive(Deserialize)]
struct EntryIdV1<'a> {
    revision: u64,
    #[serde(borrow)]
    id: Bytes<'a>,
}

#[derive(Serialize, Deserialize)]
struct ChangeV1<'a> {
    #[serde(borrow)]
    key: Bytes<'a>,
    #[serde(borrow)]
    before: Option<ImageV1<'a>>,
    #[serde(borrow)]
    after: Option<ImageV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ImageV1<'a> {
    schema_major: u8,
    schema_minor: u16,
    #[serde(borrow)]
    body: Bytes<'a>,
}

/// Bytes that are written as bytes and read without a copy.
struct Bytes<'a>(Cow<'a, [u8]>);

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(|bytes| Self(bytes.into()))
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(bytes.into())
    }
}

/// Writes entries with header and checksum.
pub fn encode_log_value(entries: &[Arc<LogEntry>]) -> Vec<u8> {
    let stored: Vec<EntryV1<'_>> = entries.iter().map(|entry| stored_entry(entry)).collect();
    let capacity = entries
        .iter()
        .map(|entry| ENTRY_BYTES_USUAL + entry.body_bytes());
    let body = fcode::to_bytes_of_about(&stored, capacity.sum());
    let mut bytes = Vec::with_capacity(BODY_AT + body.len());
    bytes.extend(MAGIC);
    bytes.extend([CodecId::Fcode as u8, SCHEMA.major]);
    bytes.extend(SCHEMA.minor.to_le_bytes());
    let checksum = checksum(&bytes, &body);
    bytes.extend(checksum.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Writes a group as log values that a reader accepts, each with the revision of its first entry.
///
/// A group is one value unless the records in it add up to more than half of [`LOG_VALUE_BYTES_MAX`].
///
/// # Errors
/// [`CodecError::Limit`] where a single entry is larger than that.
pub fn encode_log_values(
    entries: &[Arc<LogEntry>],
) -> Result<Vec<(Revision, Vec<u8>)>, CodecError> {
    let mut values = Vec::with_capacity(1);
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let more = rest.iter().take_while(|entry| {
            bytes += entry.body_bytes();
            bytes <= LOG_VALUE_BYTES_MAX / 2
        });
        let (group, tail) = rest.split_at(more.count().max(1));
        let value = encode_log_value(group);
        if value.len() > LOG_VALUE_BYTES_MAX {
            return Err(CodecError::Limit {
                unit: "bytes",
                max: LOG_VALUE_BYTES_MAX,
                found: value.len(),
            });
        }
        values.push((first.commit.revision, value));
        rest = tail;
    }
    Ok(values)
}

/// Reads the entries of a log value.
///
/// # Errors
/// [`CodecError`] for anything but a whole log value of a schema that this code can read.
pub fn decode_log_value(bytes: &[u8]) -> Result<LogValue, CodecError> {
    let stored: Vec<EntryV1<'_>> = read_body(checked_body(bytes)?)?;
    stored
        .into_iter()
        .map(|entry| read_entry(&entry).map(Arc::new))
        .collect()
}

/// Reads only revisions and transaction ids of a log value, with its checksum checked.
///
/// # Errors
/// As [`decode_log_value`].
pub fn peek_log_value(bytes: &[u8]) -> Result<Vec<(Revision, TransactionId)>, CodecError> {
    let stored: Vec<EntryIdV1<'_>> = read_body(checked_body(bytes)?)?;
    stored
        .into_iter()
        .map(|entry| Ok((Revision(entry.revision), TransactionId(fixed(&entry.id)?))))
        .collect()
}

fn stored_entry(entry: &LogEntry) -> EntryV1<'_> {
    let Commit {
        revision,
        id,
        cause,
        changes,
    } = &entry.commit;
    EntryV1 {
        revision: revision.0,
        id: id.0[..].into(),
        time_nanos: cause.time.as_nanos(),
        actor: (&cause.actor).into(),
        action: (&*cause.action).into(),
        reason: cause.reason.as_ref().map(Cow::from),
        changes: changes.iter().map(stored_change).collect(),
        previous: entry.previous.0[..].into(),
        hash: entry.hash.0[..].into(),
    }
}

fn stored_change(change: &Change) -> ChangeV1<'_> {
    ChangeV1 {
        key: Bytes(change.key.to_bytes().into()),
        before: change.before.as_deref().map(stored_image),
        after: change.after.as_deref().map(stored_image),
    }
}

fn stored_image(image: &Image) -> ImageV1<'_> {
    let schema = image.schema();
    ImageV1 {
        schema_major: schema.major,
        schema_minor: schema.minor,
        body: Bytes(image.body()),
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}

fn checked_body(bytes: &[u8]) -> Result<&[u8], CodecError> {
    if bytes.len() < BODY_AT {
        return Err(CodecError::Header("it ends within the header"));
    }
    if bytes.len() > LOG_VALUE_BYTES_MAX {
        return Err(CodecError::Limit {
            unit: "bytes",
            max: LOG_VALUE_BYTES_MAX,
            found: bytes.len(),
        });
    }
    let (header, body) = bytes.split_at(BODY_AT);
    if header[..2] != MAGIC || header[2] != CodecId::Fcode as u8 {
        return Err(CodecError::Header("it is no log value"));
    }
    let expected = u32::from_le_bytes(
        header[CHECKSUM_AT..BODY_AT]
            .try_into()
            .expect("the header has ten bytes"),
    );
    let found = checksum(&header[..CHECKSUM_AT], body);
    if expected != found {
        return Err(CodecError::Checksum { expected, found });
    }
    let schema = SchemaVersion {
        major: header[3],
        minor: u16::from_le_bytes([header[4], header[5]]),
    };
    if schema.is_readable() {
        Ok(body)
    } else {
        Err(CodecError::SchemaTooNew { found: schema })
    }
}

fn read_body<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, CodecError> {
    super::depth::check(body)?;
    ::fcode::from_bytes(body).map_err(|error| CodecError::Body {
        codec: CodecId::Fcode,
        detail: error.to_string(),
    })
}

fn fixed<const N: usize>(bytes: &Bytes<'_>) -> Result<[u8; N], CodecError> {
    bytes
        .0
        .as_ref()
        .try_into()
        .map_err(|_| CodecError::Header("a hash or an id has another length"))
}

fn read_entry(stored: &EntryV1<'_>) -> Result<LogEntry, CodecError> {
    let cause = Cause {
        actor: stored.actor.to_string(),
        action: stored.action.to_string().into(),
        reason: stored.reason.as_deref().map(str::to_owned),
        time: Timestamp::from_nanos(stored.time_nanos),
    };
    let commit = Commit {
        revision: Revision(stored.revision),
        id: TransactionId(fixed(&stored.id)?),
        cause: cause.into(),
        changes: stored
            .changes
            .iter()
            .map(read_change)
            .collect::<Result<_, _>>()?,
    };
    Ok(LogEntry {
        commit,
        previous: Hash(fixed(&stored.previous)?),
        hash: Hash(fixed(&stored.hash)?),
    })
}

fn read_change(stored: &ChangeV1<'_>) -> Result<Change, CodecError> {
    let key = Key::from_bytes(&stored.key.0)?;
    let image = |image: &Option<ImageV1<'_>>| {
        image
            .as_ref()
            .map(|image| read_image(&key, image))
            .transpose()
    };
    let (before, after) = (image(&stored.before)?, image(&stored.after)?);
    Ok(Change { key, before, after })
}

fn read_image(key: &Key, stored: &ImageV1<'_>) -> Result<Arc<Image>, CodecError> {
    let body = stored.body.0.as_ref();
    if body.len() > RECORD_BYTES_MAX {
        return Err(CodecError::Limit {
            unit: "bytes",
            max: RECORD_BYTES_MAX,
            found: body.len(),
        });
    }
    let schema = SchemaVersion {
        major: stored.schema_major,
        minor: stored.schema_minor,
    };
    if !schema.is_readable() {
        return Err(CodecError::SchemaTooNew { found: schema });
    }
    let record = decode_body(CodecId::Fcode, key.kind(), schema, body)?;
    let image = Image::from_body(record, schema, body)?;
    if image.key() == key {
        Ok(image)
    } else {
        Err(CodecError::Header("a record in the log has another key"))
    }
}
