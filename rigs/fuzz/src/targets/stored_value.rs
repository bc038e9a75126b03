//! A stored record: the length of a key, the key, and the bytes that are stored at it.
//!
//! What is read is written as the same bytes, in the other codec and in JSON so that it reads back the same. Each input
//! is tried as it is and with its checksum put right.

use registry_core::codec::{CodecId, decode_value, encode_value};
use registry_core::portable::PortableRecord;
use registry_core::{Key, Versioned};

use crate::forge::reseal_value;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "stored_value",
    run,
    dictionary: &["HR\u{1}\u{1}\0\0", "HR\u{2}\u{1}\0\0", "\u{1}api", "\u{0}"],
    engine: None,
};

fn run(input: &[u8]) {
    let Some((&length, rest)) = input.split_first() else {
        return;
    };
    let Some((key, stored)) = rest.split_at_checked(length.into()) else {
        return;
    };
    let Ok(key) = Key::from_bytes(key) else {
        return;
    };
    check(&key, stored);
    check(&key, &reseal_value(&key, stored));
}

fn check(key: &Key, stored: &[u8]) {
    let value = match decode_value(key, stored) {
        Ok(value) => value,
        Err(error) => return assert!(!error.to_string().is_empty(), "a refusal says why"),
    };
    assert_eq!(value.key(), key);
    let codec = if stored[2] == CodecId::Fcode as u8 {
        CodecId::Fcode
    } else {
        CodecId::Bincode
    };
    assert!(
        encode_value(codec, &value) == stored,
        "another form of what is written: {value:?}"
    );
    check_forms(&value);
}

/// Checks that a record reads back the same from every form it can be kept in. One of a newer program can be kept only
/// in the form it was read from.
pub(crate) fn check_forms(value: &Versioned) {
    let is_known = value.image.schema().is_known();
    for codec in [CodecId::Fcode, CodecId::Bincode] {
        let stored = encode_value(codec, value);
        let read = decode_value(value.key(), &stored);
        assert!(
            !is_known || read.ok().as_ref() == Some(value),
            "in {codec}: {value:?}"
        );
    }
    let json =
        serde_json::to_string(&PortableRecord::from(value)).expect("a record has a JSON form");
    let read: PortableRecord = serde_json::from_str(&json).expect("what is written can be read");
    let read = Versioned::try_from(read);
    assert_eq!(read.ok().as_ref(), Some(value), "in JSON");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{expect_case, from_hex, read_vectors};

    /// The key of a vector: its portable form has it, or its name, which can hold no slash.
    fn key_of(name: &str) -> Key {
        let stem = name
            .strip_suffix(".fcode")
            .or(name.strip_suffix(".bincode"));
        let stem = stem.expect("a vector's name ends with its codec");
        let portable = read_vectors("json")
            .into_iter()
            .find(|(name, _)| name == stem);
        if let Some((_, json)) = portable {
            let record: PortableRecord = serde_json::from_slice(&json).unwrap();
            return record.image.record.key().unwrap();
        }
        let service = match stem.strip_prefix("service-") {
            Some("stopped") => "größe/変更:%41",
            Some("newer-1.1") => "newer",
            name => name.expect("every other kind has a portable form"),
        };
        Key::service(service).unwrap()
    }

    #[test]
    fn corpus_has_every_vector() {
        for (name, hex) in read_vectors("hex") {
            if name.starts_with("log") {
                continue;
            }
            let (key, stored) = (key_of(&name), from_hex(&hex));
            assert!(decode_value(&key, &stored).is_ok(), "{name}");
            let key = key.to_bytes();
            let length = u8::try_from(key.len()).unwrap();
            expect_case(TARGET.name, &name, &[&[length], &key[..], &stored].concat());
        }
    }
}
