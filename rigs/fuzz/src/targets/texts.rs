//! Texts of people and of clients: times, spans, hashes, names, cursors, addresses.
//!
//! What is read is written so that it reads back the same.

use std::fmt::{Debug, Display};
use std::str::{self, FromStr};

use harness::backends::Backend;
use harness::client::Address;
use harness::store::Location;
use registry_core::engine::{Cursor, EventKind, InstanceCursor};
use registry_core::model::Name;
use registry_core::{Hash, Key, Revision, Span, Timestamp, TransactionId};
use registry_http::BindAddress;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "texts",
    run,
    dictionary: &[
        "redb:",
        "sqlite:",
        "json://",
        "memory:",
        "unix:",
        "ws://",
        "[::1]",
        ".json",
        ".sled",
        "//",
        ":",
        "/",
        "+",
        "-",
        "ms",
        "90d",
        "T00:00:00Z",
        "+23:59",
        "localhost",
        "é",
        "\u{0}",
    ],
    engine: None,
};

fn run(input: &[u8]) {
    check_key(input);
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    check_text::<Timestamp>(text);
    check_text::<Span>(text);
    check_text::<Hash>(text);
    check_text::<TransactionId>(text);
    check_text::<Revision>(text);
    check_text::<Cursor>(text);
    check_text::<InstanceCursor>(text);
    check_text::<EventKind>(text);
    check_text::<Backend>(text);
    check_text::<Location>(text);
    check_text::<Address>(text);
    check_text::<BindAddress>(text);
    if let Ok(name) = Name::new(text) {
        assert_eq!(name.to_string(), text);
    }
}

fn check_text<T>(text: &str)
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            let again = written.parse::<T>();
            assert_eq!(
                again.ok(),
                Some(value),
                "{text:?} is written as {written:?}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
    }
}

fn check_key(bytes: &[u8]) {
    if let Ok(key) = Key::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes, "{key}");
    }
}
