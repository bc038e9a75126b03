//! The JSON forms of records and log entries, for backends and exports that a person can read.
//!
//! They carry everything that the binary forms carry: revisions, schema stamps and hashes.
//!
//! To be written they borrow what they tell; what was read owns it.
//!
//! A record of a newer minor is read as far as it is known, with unknown variants as `unknown`, and written back as it
//! was. Requests are never read so: the model's own reading is strict.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::codec::read_body;
use crate::error::CodecError;
use crate::hash::Hash;
use crate::key::{Key, Kind};
use crate::log::{Change, Commit, LogEntry};
use crate::model::ModelError;
use crate::record::{Image, Record, Versioned};
use crate::revision::Revision;
use crate::schema::SchemaVersion;
use crate::transaction::{Cause, TransactionId};

/// A record with its stamp, its hash and its revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableRecord<'a> {
    /// The commit that put it where nothing was.
    pub created: Revision,
    /// The last commit that put it.
    pub modified: Revision,
    /// The record with stamp and hash.
    pub image: PortableImage<'a>,
}

/// A record with its stamp and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortableImage<'a> {
    /// The schema it was written in.
    pub schema: SchemaVersion,
    /// Hash of its canonical form.
    pub hash: Hash,
    /// The value.
    pub record: Cow<'a, Record>,
    /// The whole value, where it is of a newer minor and was read as JSON.
    newer: Option<Cow<'a, Value>>,
    /// The whole body, where it is of a newer minor and was read as fcode.
    body: Option<Cow<'a, [u8]>>,
}

/// A log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableEntry<'a> {
    /// Its number.
    pub revision: Revision,
    /// The transaction's id.
    pub id: TransactionId,
    /// Why and when.
    pub cause: Cow<'a, Cause>,
    /// What changed.
    pub changes: Vec<PortableChange<'a>>,
    /// Hash of the entry before it.
    pub previous: Hash,
    /// Hash over `previous` and the rest.
    pub hash: Hash,
}

/// What one commit did to one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortableChange<'a> {
    /// The key.
    pub key: Cow<'a, Key>,
    /// What was there before.
    pub before: Option<PortableImage<'a>>,
    /// What is there since.
    pub after: Option<PortableImage<'a>>,
}

impl<'a> From<&'a Versioned> for PortableRecord<'a> {
    fn from(record: &'a Versioned) -> Self {
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

impl TryFrom<PortableRecord<'_>> for Versioned {
    type Error = CodecError;

    fn try_from(portable: PortableRecord<'_>) -> Result<Self, CodecError> {
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

impl<'a> From<&'a Image> for PortableImage<'a> {
    fn from(image: &'a Image) -> Self {
        Self {
            schema: image.schema(),
            hash: *image.hash(),
            record: Cow::Borrowed(image.record()),
            newer: image.newer_json().map(Cow::Borrowed),
            body: image.newer_body().map(Cow::Borrowed),
        }
    }
}

impl PortableImage<'_> {
    /// The record as a store keeps it.
    ///
    /// # Errors
    /// `SchemaTooNew` for a newer major; `Hash` where the record has another; `Model` where it breaks a rule.
    pub fn read(self) -> Result<Arc<Image>, CodecError> {
        if !self.schema.is_readable() {
            return Err(CodecError::SchemaTooNew { found: self.schema });
        }
        let Some(body) = self.body.filter(|_| !self.schema.is_known()) else {
            let newer = self.newer.map(Cow::into_owned);
            return Image::from_json(self.record.into_owned(), self.schema, self.hash, newer);
        };
        let kind = self.record.key()?.kind();
        let image = Image::from_body(read_body(kind, self.schema, &body)?, self.schema, &body)?;
        if *image.hash() != self.hash {
            return Err(CodecError::Hash {
                expected: self.hash,
                found: *image.hash(),
            });
        }
        Ok(image)
    }
}

const IMAGE_FIELDS: [&str; 4] = ["schema", "hash", "record", "body"];

impl Serialize for PortableImage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut image = serializer.serialize_struct("PortableImage", IMAGE_FIELDS.len())?;
        image.serialize_field("schema", &self.schema)?;
        image.serialize_field("hash", &self.hash)?;
        match &self.newer {
            Some(value) => image.serialize_field("record", value)?,
            None => image.serialize_field("record", &self.record)?,
        }
        match &self.body {
            Some(body) => image.serialize_field("body", &hex(body))?,
            None => image.skip_field("body")?,
        }
        image.end()
    }
}

impl<'de> Deserialize<'de> for PortableImage<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("PortableImage", &IMAGE_FIELDS, ImageVisitor(PhantomData))
    }
}

struct ImageVisitor<'a>(PhantomData<PortableImage<'a>>);

impl<'de, 'a> Visitor<'de> for ImageVisitor<'a> {
    type Value = PortableImage<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record with schema and hash")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PortableImage<'a>, A::Error> {
        let (mut schema, mut hash) = (None, None);
        // Read at once where the schema before it is known, else when it is.
        let (mut known, mut later, mut body) = (None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "schema" => schema = Some(map.next_value::<SchemaVersion>()?),
                "hash" => hash = Some(map.next_value()?),
                "record" if schema.is_some_and(SchemaVersion::is_known) => {
                    known = Some(map.next_value::<Record>()?);
                }
                "record" => later = Some(map.next_value::<Value>()?),
                "body" => body = Some(unhex(&map.next_value::<String>()?)?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = |index: usize| de::Error::missing_field(IMAGE_FIELDS[index]);
        let schema = schema.ok_or_else(|| missing(0))?;
        let hash = hash.ok_or_else(|| missing(1))?;
        let record = match (known, &later) {
            (Some(record), _) => record,
            (None, Some(value)) => read_newer(value.clone(), schema).map_err(de::Error::custom)?,
            (None, None) => return Err(missing(2)),
        };
        let newer = later.filter(|_| !schema.is_known());
        Ok(PortableImage {
            schema,
            hash,
            record: Cow::Owned(record),
            newer: newer.map(Cow::Owned),
            body: body.map(Cow::Owned),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;

    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn unhex<E: de::Error>(digits: &str) -> Result<Vec<u8>, E> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|it| it.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.ok_or_else(|| de::Error::custom("expected pairs of hexadecimal digits"))
}

/// Reads the JSON of a record of a kind, as a store kept it under that schema, without the name of the kind around it.
///
/// # Errors
/// What serde says of a field; an unknown variant is one only in a schema that this code knows.
pub fn read_record(kind: Kind, text: &str, schema: SchemaVersion) -> serde_json::Result<Record> {
    if schema.is_known() {
        return Ok(match kind {
            Kind::Service => Record::Service(serde_json::from_str(text)?),
            Kind::Instance => Record::Instance(serde_json::from_str(text)?),
            Kind::Policy => Record::Policy(serde_json::from_str(text)?),
            Kind::Keeper => Record::Keeper(serde_json::from_str(text)?),
        });
    }
    let value: Value = serde_json::from_str(text)?;
    read_newer(serde_json::json!({ kind.as_str(): value }), schema)
}

/// Writes the JSON of a record, without the name of the kind around it.
pub fn write_record(record: &Record) -> String {
    let text = match record {
        Record::Service(entry) => serde_json::to_string(entry),
        Record::Instance(entry) => serde_json::to_string(entry),
        Record::Policy(policy) => serde_json::to_string(policy),
        Record::Keeper(keeper) => serde_json::to_string(keeper),
    };
    text.expect("a record has string keys and no failing parts")
}

const HEALTH: &[&str] = &["passing", "warning", "critical", "unknown"];

/// The variants that this code knows, by their place in a record. A test compares them with the model.
const VARIANTS: [(&str, &[&str]); 8] = [
    (
        "/service/execution",
        &[
            "managed_process",
            "docker_container",
            "systemd_service",
            "unknown",
        ],
    ),
    ("/service/location", &["local", "remote", "unknown"]),
    (
        "/service/state",
        &[
            "registered",
            "starting",
            "running",
            "stopping",
            "stopped",
            "failed",
            "unknown",
        ],
    ),
    ("/service/last_health_check/status", HEALTH),
    (
        "/instance/intent",
        &["enabled", "draining", "disabled", "unknown"],
    ),
    ("/instance/lifecycle", &["pending", "active", "unknown"]),
    ("/instance/last_health_check/status", HEALTH),
    (
        "/policy/unknown_heartbeat",
        &["refuse", "pending", "active"],
    ),
];

/// Reads a record; in one of a newer schema, variants that this code does not know are `unknown`, or none where the
/// field may be none.
fn read_newer(mut value: Value, schema: SchemaVersion) -> serde_json::Result<Record> {
    if !schema.is_known() {
        for (place, known) in VARIANTS {
            if let Some(variant) = value.pointer_mut(place)
                && name_of(variant).is_some_and(|name| !known.contains(&name))
            {
                let has_unknown = known.contains(&"unknown");
                *variant = if has_unknown {
                    "unknown".into()
                } else {
                    Value::Null
                };
            }
        }
    }
    serde_json::from_value(value)
}

/// The name of a variant: a text, or the only field of an object.
fn name_of(variant: &Value) -> Option<&str> {
    match variant {
        Value::String(name) => Some(name),
        Value::Object(fields) if fields.len() == 1 => fields.keys().next().map(String::as_str),
        _ => None,
    }
}

impl<'a> From<&'a LogEntry> for PortableEntry<'a> {
    fn from(entry: &'a LogEntry) -> Self {
        let Commit {
            revision,
            id,
            cause,
            changes,
        } = &entry.commit;
        Self {
            revision: *revision,
            id: *id,
            cause: Cow::Borrowed(cause),
            changes: changes.iter().map(PortableChange::from).collect(),
            previous: entry.previous,
            hash: entry.hash,
        }
    }
}

impl<'a> From<&'a Change> for PortableChange<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            key: Cow::Borrowed(&change.key),
            before: change.before.as_deref().map(PortableImage::from),
            after: change.after.as_deref().map(PortableImage::from),
        }
    }
}

/// Takes the hashes as they are: [`LogEntry::is_intact`] and [`crate::Head::follow`] check them.
impl TryFrom<PortableEntry<'_>> for LogEntry {
    type Error = CodecError;

    fn try_from(portable: PortableEntry<'_>) -> Result<Self, CodecError> {
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
                cause: cause.into_owned().into(),
                changes,
            },
            previous,
            hash,
        })
    }
}

impl TryFrom<PortableChange<'_>> for Change {
    type Error = CodecError;

    fn try_from(portable: PortableChange<'_>) -> Result<Self, CodecError> {
        let PortableChange { key, before, after } = portable;
        let key = key.into_owned();
        let before = before.map(PortableImage::read).transpose()?;
        let after = after.map(PortableImage::read).transpose()?;
        let mut images = before.iter().chain(&after);
        if let Some(image) = images.find(|image| *image.key() != key) {
            return Err(ModelError::new("key", key.to_string(), image.key().to_string()).into());
        }
        Ok(Self { key, before, after })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The smallest record of each kind, with a health report where it can have one.
    fn smallest(kind: &str) -> Value {
        let health = json!({ "status": "passing", "checked_at": "2026-01-01T00:00:00Z" });
        let record = match kind {
            "service" => json!({ "name": "api", "version": "1", "last_health_check": health }),
            "instance" => json!({
                "service": "api", "instance_id": "api-1", "address": "10.0.0.7", "port": 80,
                "weight": 1, "lease_ttl": "30s", "incarnation": 1, "fencing_revision": 1,
                "registered_at": "2026-01-01T00:00:00Z", "last_health_check": health,
            }),
            _ => json!({ "service": "api" }),
        };
        json!({ kind: record })
    }

    #[test]
    fn known_variants_are_those_of_the_model() {
        for (place, known) in VARIANTS {
            let kind = place.split('/').nth(1).unwrap();
            let mut record = smallest(kind);
            assert!(serde_json::from_value::<Record>(record.clone()).is_ok());
            let (parent, field) = place.rsplit_once('/').unwrap();
            record.pointer_mut(parent).unwrap()[field] = "new".into();
            let refusal = serde_json::from_value::<Record>(record.clone())
                .unwrap_err()
                .to_string();
            let (_, expected) = refusal.split_once("expected one of ").unwrap();
            let names: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
            assert_eq!(names, known, "{place}");
            let newer = SchemaVersion { major: 1, minor: 1 };
            assert!(read_newer(record, newer).is_ok(), "{place}");
        }
    }
}
