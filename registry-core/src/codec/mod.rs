//! Stored bytes: a header with magic, codec, schema and checksum around a body that a codec wrote.
//!
//! Invariant: stored structs only ever grow at the end, and every variant is a number. See `docs/adr` on the codec
//! rules, and `docs/vectors` for the bytes that every later version must read.

mod bincode;
mod depth;
mod fcode;
mod log_value;
mod meta;
mod stored;
mod value;

use std::fmt;

pub use self::log_value::{
    LogValue, decode_log_value, encode_log_value, encode_log_values, peek_log_value,
};
pub use self::meta::{decode_meta, encode_meta, seal_bytes, unseal_bytes};
pub use self::value::{decode_value, encode_value};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CodecError;
use crate::key::Kind;
use crate::limits::RECORD_BYTES_MAX;
use crate::record::Record;
use crate::schema::{SCHEMA, SchemaVersion};

/// Which codec wrote a body. The number is stored and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CodecId {
    /// fcode: the default; old readers skip what newer writers append.
    Fcode = 1,
    /// bincode 2.0.1 with a limit: for kinds that are never extended in place.
    Bincode = 2,
}

impl CodecId {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Fcode),
            2 => Some(Self::Bincode),
            _ => None,
        }
    }

    fn encode<T: Serialize>(self, stored: &T) -> Vec<u8> {
        match self {
            Self::Fcode => fcode::to_bytes(stored),
            Self::Bincode => bincode::to_bytes(stored),
        }
    }

    fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, CodecError> {
        match self {
            Self::Fcode => fcode::from_bytes(body),
            Self::Bincode => bincode::from_bytes(body),
        }
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fcode => "fcode",
            Self::Bincode => "bincode",
        })
    }
}

/// The canonical body of a record in the current schema.
pub(crate) fn record_body(record: &Record) -> Vec<u8> {
    encode_body(CodecId::Fcode, record)
}

fn encode_body(codec: CodecId, record: &Record) -> Vec<u8> {
    match record {
        Record::Service(entry) => codec.encode(&stored::ServiceV1::from(entry)),
        Record::Instance(entry) => codec.encode(&stored::InstanceV1::from(entry)),
        Record::Policy(policy) => codec.encode(&stored::PolicyV1::from(policy)),
        Record::Keeper(keeper) => codec.encode(&stored::KeeperV1::from(keeper)),
    }
}

/// Reads the canonical body of a record of a kind, which a newer program may have written.
pub(crate) fn read_body(
    kind: Kind,
    schema: SchemaVersion,
    body: &[u8],
) -> Result<Record, CodecError> {
    if body.len() > RECORD_BYTES_MAX {
        return Err(CodecError::Limit {
            unit: "bytes",
            max: RECORD_BYTES_MAX,
            found: body.len(),
        });
    }
    decode_body(CodecId::Fcode, kind, schema, body)
}

/// Reads a body.
///
/// One of the current schema must be as it would be written, as its hash is that of its bytes: a second form of the same
/// record would be a second hash, and would be lost when the record is written again. So must any that bincode wrote, of
/// which no part can be kept that is not understood.
fn decode_body(
    codec: CodecId,
    kind: Kind,
    schema: SchemaVersion,
    body: &[u8],
) -> Result<Record, CodecError> {
    let record = match kind {
        Kind::Service => Record::Service(codec.decode::<stored::ServiceV1>(body)?.try_into()?),
        Kind::Instance => Record::Instance(codec.decode::<stored::InstanceV1>(body)?.into()),
        Kind::Policy => Record::Policy(codec.decode::<stored::PolicyV1>(body)?.into()),
        Kind::Keeper => Record::Keeper(codec.decode::<stored::KeeperV1>(body)?.into()),
    };
    let is_understood = schema == SCHEMA || codec == CodecId::Bincode;
    if is_understood && encode_body(codec, &record) != body {
        return Err(CodecError::Body {
            codec,
            detail: "it is not in the form that is written".to_owned(),
        });
    }
    Ok(record)
}
