//! A backend's own facts (stamp, head, marks) as stored bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | magic `HM` |
//! | 2..6 | CRC-32 over the name and the body, little endian |
//! | 6.. | body: JSON, so that a person with the engine's own tools can read it |

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CodecError;

const MAGIC: [u8; 2] = *b"HM";
const BODY_AT: usize = 6;

/// Writes a fact that is stored under `name`.
pub fn encode_meta<T: Serialize>(name: &str, value: &T) -> Vec<u8> {
    let body = serde_json::to_vec(value).expect("a fact has only forms that JSON can write");
    seal_bytes(name, &body)
}

/// Reads a fact that was stored under `name`.
///
/// # Errors
/// [`CodecError`] for anything but bytes that were stored under this name, and for a fact of another form.
pub fn decode_meta<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, CodecError> {
    let body = unseal_bytes(name, bytes)?;
    serde_json::from_slice(body).map_err(|error| CodecError::Fact(error.to_string()))
}

/// Writes opaque bytes that are stored under `name`, with a checksum.
pub fn seal_bytes(name: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BODY_AT + body.len());
    bytes.extend(MAGIC);
    bytes.extend(checksum(name, body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Reads opaque bytes that were stored under `name`.
///
/// # Errors
/// [`CodecError`] for anything but bytes that were stored under this name.
pub fn unseal_bytes<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], CodecError> {
    let Some((header, body)) = bytes.split_at_checked(BODY_AT) else {
        return Err(CodecError::Header("it ends within the header"));
    };
    if header[..2] != MAGIC {
        return Err(CodecError::Header("the magic is missing"));
    }
    let expected = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    let found = checksum(name, body);
    if expected == found {
        Ok(body)
    } else {
        Err(CodecError::Checksum { expected, found })
    }
}

fn checksum(name: &str, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(name.as_bytes());
    // No name holds this byte, so a name and a body cannot run into each other.
    crc.update(&[0xff]);
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_read_only_under_its_own_name() {
        let bytes = encode_meta("head", &7u64);
        assert_eq!(decode_meta::<u64>("head", &bytes).unwrap(), 7);
        assert!(decode_meta::<u64>("stamp", &bytes).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_meta::<u64>("head", &damaged).is_err(), "bit {bit}");
        }
    }
}
