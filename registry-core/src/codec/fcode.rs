//! fcode, with depth and size checked before it reads.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CodecId, depth};
use crate::error::CodecError;

pub(super) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    fcode::to_bytes(value).expect("a stored struct has only forms that fcode can write")
}

/// Reads a value. Bytes beyond its fields are a newer writer's and are skipped inside the outermost struct.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    depth::check(bytes)?;
    fcode::from_bytes(bytes).map_err(|error| CodecError::Body {
        codec: CodecId::Fcode,
        detail: error.to_string(),
    })
}
