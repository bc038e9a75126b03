//! A stored group of log entries.
//!
//! What is read reads back the same once it is written again, in JSON, too; a peek tells the same revisions and ids. Each
//! input is tried as it is and with its checksum put right.

use std::sync::Arc;

use registry_core::LogEntry;
use registry_core::codec::{decode_log_value, encode_log_value, peek_log_value};
use registry_core::portable::PortableEntry;

use crate::forge::reseal_log;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "log_value",
    run,
    dictionary: &["HL\u{1}\u{1}\0\0", "\u{1}api", "\u{0}"],
    engine: None,
};

fn run(input: &[u8]) {
    check(input);
    check(&reseal_log(input));
}

fn check(stored: &[u8]) {
    let entries = match decode_log_value(stored) {
        Ok(entries) => entries,
        Err(error) => return assert!(!error.to_string().is_empty(), "a refusal says why"),
    };
    let again = decode_log_value(&encode_log_value(&entries));
    assert_eq!(again.ok().as_ref(), Some(&entries));
    let told = entries
        .iter()
        .map(|entry| (entry.commit.revision, entry.commit.id));
    let peeked = peek_log_value(stored).expect("what can be read can be peeked at");
    assert_eq!(peeked, told.collect::<Vec<_>>());
    for entry in &entries {
        check_json(entry);
    }
}

/// Checks that an entry reads back the same from JSON.
pub(crate) fn check_json(entry: &LogEntry) {
    let json =
        serde_json::to_string(&PortableEntry::from(entry)).expect("an entry has a JSON form");
    let read: PortableEntry = serde_json::from_str(&json).expect("what is written can be read");
    assert_eq!(
        LogEntry::try_from(read).ok().as_ref(),
        Some(entry),
        "in JSON"
    );
}

/// Checks that an entry reads back the same from a log value. Records of a newer program that were read from JSON have
/// no stored form.
pub(crate) fn check_stored(entry: LogEntry) {
    let changes = entry.commit.changes.iter();
    let mut images = changes.flat_map(|change| change.before.iter().chain(&change.after));
    if images.any(|image| !image.schema().is_known()) {
        return;
    }
    let entries = [Arc::new(entry)];
    let read = decode_log_value(&encode_log_value(&entries));
    assert_eq!(read.ok().as_deref(), Some(&entries[..]), "in a log value");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{expect_case, from_hex, read_vectors};

    #[test]
    fn corpus_has_every_vector() {
        for (name, hex) in read_vectors("hex") {
            if name.starts_with("log") {
                expect_case(TARGET.name, &name, &from_hex(&hex));
            }
        }
    }
}
