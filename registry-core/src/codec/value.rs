//! A record as stored bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | magic `HR` |
//! | 2 | codec |
//! | 3 | schema major |
//! | 4..6 | schema minor, little endian |
//! | 6..14 | revision that created the record, little endian |
//! | 14..22 | revision that last modified it, little endian |
//! | 22..26 | CRC-32 over the key's bytes, bytes 0..22 and the body, little endian |
//! | 26.. | body |

use super::{CodecId, decode_body, encode_body};
use crate::error::CodecError;
use crate::key::Key;
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{Image, Versioned};
use crate::revision::Revision;
use crate::schema::SchemaVersion;

const MAGIC: [u8; 2] = *b"HR";
const CHECKSUM_AT: usize = 22;
const BODY_AT: usize = 26;

/// Writes a record with header and checksum.
pub fn encode_value(codec: CodecId, value: &Versioned) -> Vec<u8> {
    let body = match codec {
        CodecId::Fcode => value.image.body(),
        CodecId::Bincode => encode_body(codec, value.image.record()).into(),
    };
    let schema = value.image.schema();
    let mut bytes = Vec::with_capacity(BODY_AT + body.len());
    bytes.extend(MAGIC);
    bytes.extend([codec as u8, schema.major]);
    bytes.extend(schema.minor.to_le_bytes());
    bytes.extend(value.created.0.to_le_bytes());
    bytes.extend(value.modified.0.to_le_bytes());
    let checksum = checksum(value.key(), &bytes, &body);
    bytes.extend(checksum.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a record that was stored at `key`.
///
/// # Errors
/// [`CodecError`] for anything but a value that was stored at this key. Nothing is allocated before size, checksum and
/// depth were checked.
pub fn decode_value(key: &Key, bytes: &[u8]) -> Result<Versioned, CodecError> {
    if bytes.len() < BODY_AT {
        return Err(CodecError::Header("it ends within the header"));
    }
    if bytes.len() - BODY_AT > RECORD_BYTES_MAX {
        return Err(CodecError::Limit {
            unit: "bytes",
            max: RECORD_BYTES_MAX,
            found: bytes.len() - BODY_AT,
        });
    }
    let (header, body) = bytes.split_at(BODY_AT);
    if header[..2] != MAGIC {
        return Err(CodecError::Header("the magic is missing"));
    }
    let expected = u32::from_le_bytes(array(header, CHECKSUM_AT));
    let found = checksum(key, &header[..CHECKSUM_AT], body);
    if expected != found {
        return Err(CodecError::Checksum { expected, found });
    }
    let schema = SchemaVersion {
        major: header[3],
        minor: u16::from_le_bytes(array(header, 4)),
    };
    if !schema.is_readable() {
        return Err(CodecError::SchemaTooNew { found: schema });
    }
    let codec =
        CodecId::from_number(header[2]).ok_or(CodecError::Header("the codec is unknown"))?;
    let record = decode_body(codec, key.kind(), schema, body)?;
    let image = match codec {
        CodecId::Fcode => Image::from_body(record, schema, body)?,
        CodecId::Bincode => Image::from_body(
            record.clone(),
            schema,
            &encode_body(CodecId::Fcode, &record),
        )?,
    };
    if image.key() != key {
        return Err(CodecError::Header("the record has another key"));
    }
    let created = Revision(u64::from_le_bytes(array(header, 6)));
    let modified = Revision(u64::from_le_bytes(array(header, 14)));
    Ok(Versioned {
        image,
        created,
        modified,
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the header's length was checked")
}

fn checksum(key: &Key, header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    key.each_part(|part| crc.update(part));
    crc.update(header);
    crc.update(body);
    crc.finalize()
}
