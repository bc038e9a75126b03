//! A record or a log entry in JSON, as exports and the files of the JSON backend have them.
//!
//! What is read reads back the same from every form it can be kept in. The hashes of records are put right first.

use registry_core::LogEntry;
use registry_core::portable::{PortableEntry, PortableRecord};
use serde_json::Value;

use super::log_value;
use super::stored_value::check_forms;
use crate::forge::{read_record, rehash_image};
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "portable",
    run,
    dictionary: DICTIONARY,
    engine: None,
};

/// What records are made of.
pub(crate) const DICTIONARY: &[&str] = &[
    "\"schema\":{\"major\":1,\"minor\":1},",
    "\"schema\":{\"major\":2,\"minor\":0},",
    "\"hash\":\"",
    "\"record\":{\"service\":{",
    "\"record\":{\"instance\":{",
    "\"record\":{\"policy\":{",
    "\"record\":{\"keeper\":{",
    "\"created\":18446744073709551615,",
    "\"before\":null,",
    "\"execution\":{\"managed_process\":{\"pid\":null,\"command\":\"\"}},",
    "\"execution\":\"unknown\",",
    "\"location\":\"local\",",
    "\"address\":\"[::ffff:1.2.3.4%1]:0\"",
    "\"2261-12-31T23:59:59.999999999Z\"",
    "\"metadata\":{\"\":\"\"},",
    "null",
    "-9223372036854775808",
    "1e999",
    "\\u0000",
    "\\ud83d\\ude00",
    "[[[[[[[[",
];

fn run(input: &[u8]) {
    if let Ok(portable) = serde_json::from_slice::<PortableRecord>(input)
        && let Ok(value) = read_record(portable)
    {
        check_forms(&value);
    }
    let Ok(mut entry) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    rehash_entry(&mut entry);
    if let Ok(portable) = serde_json::from_value::<PortableEntry>(entry)
        && let Ok(entry) = LogEntry::try_from(portable)
    {
        log_value::check_json(&entry);
        log_value::check_stored(entry);
    }
}

/// Puts the hashes of the records in an entry right.
pub(crate) fn rehash_entry(entry: &mut Value) {
    let changes = entry.get_mut("changes").and_then(Value::as_array_mut);
    for change in changes.into_iter().flatten() {
        for image in ["before", "after"] {
            if let Some(image) = change.get_mut(image) {
                rehash_image(image);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{expect_case, read_vectors};

    #[test]
    fn corpus_has_every_vector() {
        for (name, json) in read_vectors("json") {
            expect_case(TARGET.name, &name, &json);
        }
    }
}
