//! JSON forms: strict for requests, and for what this version wrote itself.

use registry_core::model::ServiceEntry;
use registry_core::portable::{PortableRecord, read_record};
use registry_core::{Kind, Record, SCHEMA, SchemaVersion, Versioned};
use serde_json::{Value, json};

use crate::fixture::{entries, record};

const PLACES: [&str; 4] = [
    "/execution",
    "/location",
    "/state",
    "/last_health_check/status",
];

fn with_new_variant(place: &str, variant: &Value) -> Value {
    let mut entry = serde_json::to_value(&entries()[2]).unwrap();
    *entry.pointer_mut(place).unwrap() = variant.clone();
    entry
}

fn portable(entry: Value, minor: u16) -> Value {
    let mut value =
        serde_json::to_value(PortableRecord::from(&record(entries().remove(2)))).unwrap();
    value["image"]["schema"]["minor"] = minor.into();
    value["image"]["record"]["service"] = entry;
    value
}

#[test]
fn new_variants_are_unknown_in_a_newer_record_and_refused_elsewhere() {
    for place in PLACES {
        for variant in [json!("new_variant"), json!({ "new_variant": { "x": 1 } })] {
            let entry = with_new_variant(place, &variant);
            let refusal = serde_json::from_value::<ServiceEntry>(entry.clone()).unwrap_err();
            assert!(refusal.to_string().contains("new_variant"), "{refusal}");

            let newer: PortableRecord = serde_json::from_value(portable(entry.clone(), 1)).unwrap();
            let read = Versioned::try_from(newer).unwrap();
            let seen = serde_json::to_value(read.image.as_service().unwrap()).unwrap();
            assert_eq!(seen.pointer(place), Some(&json!("unknown")), "{place}");

            let known = serde_json::from_value::<PortableRecord>(portable(entry, 0));
            assert!(known.is_err(), "{place}: a 1.0 record has no such variant");
        }
    }
}

#[test]
fn broken_fields_of_a_newer_record_are_refused() {
    let broken = [
        ("/execution", json!(7)),
        ("/execution", json!({ "docker_container": { "image": 7 } })),
        ("/state", json!({})),
        ("/name", json!(7)),
        ("/endpoints", json!("none")),
    ];
    for (place, value) in broken {
        let entry = with_new_variant(place, &value);
        let read = serde_json::from_value::<PortableRecord>(portable(entry, 1));
        assert!(read.is_err(), "{place}: {value}");
    }
}

#[test]
fn order_of_the_fields_does_not_matter() {
    let value = record(entries().remove(2));
    let portable = PortableRecord::from(&value);
    let text = serde_json::to_string(&portable).unwrap();
    // A map of serde_json is sorted: the record comes before its schema.
    let sorted = serde_json::to_value(&portable).unwrap().to_string();
    assert_ne!(text, sorted);
    assert_eq!(
        serde_json::from_str::<PortableRecord>(&sorted).unwrap(),
        portable
    );
}

#[test]
fn entries_of_a_table_are_read_by_their_schema() {
    let text = with_new_variant("/state", &json!("drained")).to_string();
    let newer = SchemaVersion {
        minor: SCHEMA.minor + 1,
        ..SCHEMA
    };
    let Record::Service(entry) = read_record(Kind::Service, &text, newer).unwrap() else {
        panic!("a service was to be read");
    };
    assert_eq!(entry.state.as_str(), "unknown");
    let refusal = read_record(Kind::Service, &text, SCHEMA)
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("drained") && refusal.contains("running"),
        "{refusal}"
    );
}
