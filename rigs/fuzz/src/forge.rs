//! Puts checksums and hashes right: they guard against accidents, and whoever forges a file gets behind them.

use registry_core::portable::PortableRecord;
use registry_core::{CodecError, Key, Versioned};
use serde_json::Value;

const VALUE_CHECKSUM_AT: usize = 22;
const LOG_CHECKSUM_AT: usize = 6;
const CHECKSUM_BYTES: usize = 4;

/// A stored record with the checksum that it has at a key.
pub(crate) fn reseal_value(key: &Key, bytes: &[u8]) -> Vec<u8> {
    reseal(&key.to_bytes(), bytes, VALUE_CHECKSUM_AT)
}

/// A log value with its checksum.
pub(crate) fn reseal_log(bytes: &[u8]) -> Vec<u8> {
    reseal(&[], bytes, LOG_CHECKSUM_AT)
}

fn reseal(before: &[u8], bytes: &[u8], at: usize) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    let body_at = at + CHECKSUM_BYTES;
    if bytes.len() >= body_at {
        let crc = crc(&[before, &bytes[..at], &bytes[body_at..]]);
        sealed[at..body_at].copy_from_slice(&crc.to_le_bytes());
    }
    sealed
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize()
}

/// Lines of a file of the JSON backend, each with its checksum.
pub(crate) fn reseal_lines(content: &[u8]) -> Vec<u8> {
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    lines.flat_map(reseal_line).collect()
}

/// A line is `{"crc":"01234567","tag":value}`, and the checksum covers `tag:value`.
fn reseal_line(line: &[u8]) -> Vec<u8> {
    const START: &[u8] = b"{\"crc\":\"";
    let sealed = || {
        let rest = line.strip_prefix(START)?.get(8..)?;
        let tagged = rest.strip_prefix(b"\",\"")?;
        let end = tagged.iter().position(|byte| *byte == b'"')?;
        let body = tagged.get(end..)?.strip_prefix(b"\":")?;
        let body = body.trim_ascii_end().strip_suffix(b"}")?;
        let crc = crc(&[&tagged[..end], b":", body]);
        Some([START, format!("{crc:08x}").as_bytes(), rest].concat())
    };
    sealed().unwrap_or_else(|| line.to_vec())
}

/// A record that was read from JSON, its hash put right where it is not.
pub(crate) fn read_record(mut portable: PortableRecord) -> Result<Versioned, CodecError> {
    match Versioned::try_from(portable.clone()) {
        Err(CodecError::Hash { found, .. }) => {
            portable.image.hash = found;
            Versioned::try_from(portable)
        }
        read => read,
    }
}

/// Puts the hash of a portable image right, where the rest of it can be read.
pub(crate) fn rehash_image(image: &mut Value) {
    let record = serde_json::json!({ "created": 1, "modified": 1, "image": image });
    let Ok(portable) = serde_json::from_value::<PortableRecord>(record) else {
        return;
    };
    if let Err(CodecError::Hash { found, .. }) = Versioned::try_from(portable) {
        image["hash"] = found.to_string().into();
    }
}
