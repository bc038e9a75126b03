//! bincode 2.0.1, always with a limit: without one a corrupt length aborts the process.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecId;
use crate::error::CodecError;
use crate::limits::RECORD_BYTES_MAX;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<RECORD_BYTES_MAX>,
> = bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();

pub(super) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // The limit is for reading: the model bounds what is written.
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("a stored struct has only forms that bincode can write")
}

/// Reads a value that fills the bytes: bincode has no way to skip what a newer writer appended.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let body = |detail: String| CodecError::Body {
        codec: CodecId::Bincode,
        detail,
    };
    let (value, read) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| body(error.to_string()))?;
    if read == bytes.len() {
        Ok(value)
    } else {
        Err(body(format!("{} bytes after the end", bytes.len() - read)))
    }
}
