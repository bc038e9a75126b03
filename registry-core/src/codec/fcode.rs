//! fcode, with depth and size checked before it reads.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CodecId, depth};
use crate::error::CodecError;

/// Room for most bodies: a buffer that grows step by step costs a third of the writing.
const BODY_BYTES_USUAL: usize = 512;

pub(super) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    to_bytes_of_about(value, BODY_BYTES_USUAL)
}

/// As [`to_bytes`], where it is known about how many bytes there will be.
pub(super) fn to_bytes_of_about<T: Serialize>(value: &T, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    fcode::to_writer(&mut bytes, value)
        .expect("a stored struct has only forms that fcode can write");
    bytes
}

/// Reads a value. Bytes beyond its fields are a newer writer's and are skipped inside the outermost struct.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    depth::check(bytes)?;
    fcode::from_bytes(bytes).map_err(|error| CodecError::Body {
        codec: CodecId::Fcode,
        detail: error.to_string(),
    })
}
