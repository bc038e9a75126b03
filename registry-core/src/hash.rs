//! The cryptographic hash that binds records and log entries, and its text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::key::Key;

/// A SHA-256 hash. Its text is 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

/// The text of a hash could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {found:?}")]
pub struct HashError {
    found: String,
}

impl Hash {
    /// The hash of bytes for one purpose: no two purposes yield the same.
    pub fn of(purpose: &str, bytes: &[u8]) -> Self {
        Hasher::new(purpose).bytes(bytes).finish()
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The text of a hash, on the stack: json writes three of them for each commit.
struct Text([u8; 64]);

impl Text {
    fn of(hash: &Hash) -> Self {
        let mut text = [0; 64];
        for (digits, byte) in text.chunks_exact_mut(2).zip(hash.0) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 0xf)];
        }
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Text::of(self).as_str())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let error = || HashError {
            found: text.chars().take(80).collect(),
        };
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| error())?;
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (upper, lower) = (value_of(digits[0]), value_of(digits[1]));
            *byte = (upper << 4) | lower;
            if (upper | lower) > 0xf {
                return Err(error());
            }
        }
        Ok(Self(bytes))
    }
}

/// The value of a hexadecimal digit; more than 15 for everything else.
fn value_of(digit: u8) -> u8 {
    VALUES[usize::from(digit)]
}

/// By the byte: a start of json reads three hashes for each commit in its log.
static VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        values[DIGITS[value as usize].to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Text::of(self).as_str())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reading)
    }
}

/// Reads a hash where its text stands.
struct Reading;

impl de::Visitor<'_> for Reading {
    type Value = Hash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Hash, E> {
        text.parse().map_err(E::custom)
    }
}

/// Feeds a hash with values that cannot run into each other: every text carries its length.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Starts a hash of one purpose; no two purposes can yield the same input.
    pub(crate) fn new(purpose: &str) -> Self {
        Self(Sha256::new()).bytes(purpose.as_bytes())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// As [`bytes`](Self::bytes) of a key's stored form.
    pub(crate) fn key(mut self, key: &Key) -> Self {
        self.0.update((key.bytes_len() as u64).to_be_bytes());
        key.each_part(|part| self.0.update(part));
        self
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.update(number.to_be_bytes());
        self
    }

    pub(crate) fn hash(mut self, hash: &Hash) -> Self {
        self.0.update(hash.0);
        self
    }

    pub(crate) fn maybe(self, hash: Option<&Hash>) -> Self {
        match hash {
            Some(hash) => self.number(1).hash(hash),
            None => self.number(0),
        }
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_hash_reads_back() {
        let hash = Hasher::new("test").bytes(b"x").finish();
        assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        assert!("abc".parse::<Hash>().is_err());
        assert!("g".repeat(64).parse::<Hash>().is_err());
        assert!("+f".repeat(32).parse::<Hash>().is_err());
        assert!("é".repeat(32).parse::<Hash>().is_err());
    }

    #[test]
    fn every_digit_has_its_value_in_either_case() {
        let hash = Hash(std::array::from_fn(|index| {
            [0x01, 0x9f, 0xa8, 0xef][index % 4]
        }));
        let text = hash.to_string();
        assert_eq!(text, "019fa8ef".repeat(8));
        assert_eq!(text.to_uppercase().parse::<Hash>().unwrap(), hash);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);
        assert!(serde_json::from_str::<Hash>("\"01\"").is_err());
    }

    #[test]
    fn key_counts_as_its_stored_form() {
        for key in [
            Key::service("a/b").unwrap(),
            Key::instance("api", "7").unwrap(),
        ] {
            let stored = Hasher::new("test").bytes(&key.to_bytes()).finish();
            assert_eq!(Hasher::new("test").key(&key).finish(), stored);
        }
    }

    #[test]
    fn neighbouring_values_do_not_run_into_each_other() {
        let one = Hasher::new("test").bytes(b"ab").bytes(b"c").finish();
        let other = Hasher::new("test").bytes(b"a").bytes(b"bc").finish();
        assert_ne!(one, other);
    }
}
