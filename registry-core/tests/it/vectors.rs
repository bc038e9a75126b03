//! The bytes in `docs/vectors`, which every later version must read.

use std::path::PathBuf;
use std::sync::Arc;

use futures_lite::future::block_on;
use registry_core::codec::{
    CodecId, decode_log_value, decode_value, encode_log_value, encode_value, peek_log_value,
};
use registry_core::limits::RECORD_BYTES_MAX;
use registry_core::model::{
    ExecutionInfo, Health, KeeperEntry, Location, ServiceEntry, ServiceState,
};
use registry_core::portable::{PortableEntry, PortableRecord};
use registry_core::{
    Anchor, Change, CodecError, Commit, Hash, Head, Image, LogEntry, MemoryStore, Mutation, Record,
    RegistryStore as _, Rejection, RestorePage, Revision, SCHEMA, SchemaVersion, Seal, Transaction,
    TransactionId, Versioned,
};
use serde::{Deserialize, Serialize};

use crate::fixture::{TIME, entries, image, instances, key, log, policies, record};

/// The minor after ours.
pub(crate) const NEWER: SchemaVersion = SchemaVersion { major: 1, minor: 1 };

/// The content of a vector. A new one is written where `HARNESS_VECTORS_NEW` is set; none is ever written over.
fn vector(name: &str, now: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/vectors")
        .join(name);
    if !path.exists() && std::env::var_os("HARNESS_VECTORS_NEW").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn to_hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| -> String {
        let digits = line.iter().map(|byte| format!("{byte:02x}"));
        digits.chain(["\n".to_owned()]).collect()
    };
    bytes.chunks(32).map(line).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// What the file says must be what is written now, and is answered as bytes.
fn bytes_of(name: &str, now: &[u8]) -> Vec<u8> {
    let text = vector(name, &to_hex(now));
    assert_eq!(text, to_hex(now), "{name}: other bytes are written now");
    from_hex(&text)
}

/// File names hold no slashes.
fn file_name(entry: &ServiceEntry) -> &str {
    if entry.name.is_ascii() {
        &entry.name
    } else {
        "stopped"
    }
}

#[test]
fn stored_values_are_read_and_written_byte_for_byte() {
    for entry in entries() {
        let value = record(entry.clone());
        for codec in [CodecId::Fcode, CodecId::Bincode] {
            let name = format!("service-{}.{codec}.hex", file_name(&entry));
            let bytes = bytes_of(&name, &encode_value(codec, &value));
            let read = decode_value(&key(&entry.name), &bytes).unwrap();
            assert_eq!(read, value, "{name}");
            assert_eq!(encode_value(codec, &read), bytes, "{name}");
        }
    }
}

/// Records of the other kinds with the names of their vectors, of the same revisions as services.
fn others() -> Vec<(String, Versioned)> {
    let instances = instances().into_iter();
    let instances =
        instances.map(|(name, entry)| (format!("instance-{name}"), Record::Instance(entry)));
    let policies = policies().into_iter();
    let policies =
        policies.map(|(name, policy)| (format!("policy-{name}"), Record::Policy(policy)));
    instances.chain(policies).map(versioned).collect()
}

/// Keepers with the names of their vectors, of the same revisions.
fn keepers() -> Vec<(String, Versioned)> {
    let keeper = |adopted_by: &str| {
        Record::Keeper(KeeperEntry {
            id: "0199e4f0-0000-7000-8000-000000000001".to_owned(),
            adopted_by: adopted_by.to_owned(),
        })
    };
    let adopter = "0199e4f0-0000-7000-8000-000000000002";
    let keepers = [("keeper-own", ""), ("keeper-adopted", adopter)];
    keepers
        .map(|(name, adopted_by)| versioned((name.to_owned(), keeper(adopted_by))))
        .into()
}

fn versioned((name, record): (String, Record)) -> (String, Versioned) {
    let value = Versioned {
        image: Image::new(record).unwrap(),
        created: Revision(3),
        modified: Revision(258),
    };
    (name, value)
}

#[test]
fn stored_values_of_every_kind_are_read_and_written_byte_for_byte() {
    for (name, value) in others().into_iter().chain(keepers()) {
        for codec in [CodecId::Fcode, CodecId::Bincode] {
            let name = format!("{name}.{codec}.hex");
            let bytes = bytes_of(&name, &encode_value(codec, &value));
            let read = decode_value(value.key(), &bytes).unwrap();
            assert_eq!(read, value, "{name}");
            assert_eq!(encode_value(codec, &read), bytes, "{name}");
        }
        let name = format!("{name}.json");
        let now = serde_json::to_string_pretty(&PortableRecord::from(&value)).unwrap() + "\n";
        let text = vector(&name, &now);
        assert_eq!(text, now, "{name}");
        let portable: PortableRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(Versioned::try_from(portable).unwrap(), value, "{name}");
    }
}

/// One commit that changes records of three kinds.
fn mixed_log() -> Vec<Arc<LogEntry>> {
    let changes = others().into_iter().map(|(_, value)| Change {
        key: value.key().clone(),
        before: None,
        after: Some(value.image),
    });
    let service = image(ServiceEntry::new("api", "1"));
    let removed = Change {
        key: key("api"),
        before: Some(service),
        after: None,
    };
    let commit = Commit {
        changes: changes.chain([removed]).collect(),
        ..log()[0].commit.clone()
    };
    vec![Arc::new(LogEntry::chain(Hash::default(), commit))]
}

#[test]
fn log_of_every_kind_is_read_and_written_byte_for_byte() {
    let log = mixed_log();
    let bytes = bytes_of("log-kinds.fcode.hex", &encode_log_value(&log));
    let read = decode_log_value(&bytes).unwrap();
    assert_eq!(read, log);
    assert!(read[0].is_intact());
    let entry = &log[0];
    let now = serde_json::to_string_pretty(&PortableEntry::from(&**entry)).unwrap() + "\n";
    let text = vector("entry-kinds.json", &now);
    assert_eq!(text, now);
    let portable: PortableEntry = serde_json::from_str(&text).unwrap();
    assert_eq!(LogEntry::try_from(portable).unwrap(), **entry);
}

#[test]
fn hashes_of_every_kind_are_the_same_for_ever() {
    let records = others().into_iter();
    let records = records.map(|(name, value)| format!("record {name} {}\n", value.image.hash()));
    let link = format!("chain 1 {}\n", mixed_log()[0].hash);
    let now: String = records.chain([link]).collect();
    assert_eq!(vector("hashes-kinds.txt", &now), now);
}

#[test]
fn log_values_are_read_and_written_byte_for_byte() {
    let bytes = bytes_of("log.fcode.hex", &encode_log_value(&log()));
    let read = decode_log_value(&bytes).unwrap();
    assert_eq!(read, log());
    assert!(read.iter().all(|entry| entry.is_intact()));
    assert_eq!(encode_log_value(&read), bytes);
    let ids: Vec<_> = read
        .iter()
        .map(|entry| (entry.commit.revision, entry.commit.id))
        .collect();
    assert_eq!(peek_log_value(&bytes).unwrap(), ids);
}

#[test]
fn hashes_are_the_same_for_ever() {
    let records = entries().into_iter().map(|entry| {
        let image = image(entry.clone());
        format!("record {} {}\n", file_name(&entry), image.hash())
    });
    let chain = log();
    let links = chain
        .iter()
        .map(|entry| format!("chain {} {}\n", entry.commit.revision, entry.hash));
    let now: String = records.chain(links).collect();
    assert_eq!(vector("hashes.txt", &now), now);
}

#[test]
fn portable_forms_are_read_and_written_text_for_text() {
    let value = record(entries().swap_remove(2));
    let now = serde_json::to_string_pretty(&PortableRecord::from(&value)).unwrap() + "\n";
    let text = vector("record.json", &now);
    assert_eq!(text, now);
    let portable: PortableRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(Versioned::try_from(portable).unwrap(), value);

    let entry = &log()[1];
    let now = serde_json::to_string_pretty(&PortableEntry::from(&**entry)).unwrap() + "\n";
    let text = vector("entry.json", &now);
    assert_eq!(text, now);
    let portable: PortableEntry = serde_json::from_str(&text).unwrap();
    assert_eq!(LogEntry::try_from(portable).unwrap(), **entry);
}

type Remote = (String, String, u16, Option<String>);

/// The body of a service as version 1.1 could write it: one field more, and variants that 1.0 does not know.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct ServiceV1_1 {
    name: String,
    version: String,
    execution: (u32, Option<u32>, String, String),
    location: (u32, Option<Remote>),
    endpoints: Vec<(String, String, String)>,
    depends_on: Vec<String>,
    state: (u32, String),
    last_health_check: Option<(u32, i64, Option<String>)>,
    #[serde(default)]
    health_endpoint: Option<String>,
}

fn newer_body() -> Vec<u8> {
    newer_body_with("http://10.0.0.7/health")
}

/// The body with any text in the field that 1.1 has more.
fn newer_body_with(health_endpoint: &str) -> Vec<u8> {
    let service = ServiceV1_1 {
        name: "newer".to_owned(),
        version: "1".to_owned(),
        execution: (77, None, "function".to_owned(), String::new()),
        location: (77, None),
        endpoints: Vec::new(),
        depends_on: vec!["api".to_owned()],
        state: (77, "drained".to_owned()),
        last_health_check: Some((77, TIME.as_nanos(), None)),
        health_endpoint: Some(health_endpoint.to_owned()),
    };
    fcode::to_bytes(&service).unwrap()
}

/// A stored value with a header and a checksum of its own.
fn stored(codec: CodecId, schema: SchemaVersion, name: &str, body: &[u8]) -> Vec<u8> {
    let mut header = b"HR".to_vec();
    header.extend([codec as u8, schema.major]);
    header.extend(schema.minor.to_le_bytes());
    header.extend(1_u64.to_le_bytes());
    header.extend(1_u64.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&key(name).to_bytes());
    crc.update(&header);
    crc.update(body);
    header.extend(crc.finalize().to_le_bytes());
    header.extend(body);
    header
}

/// The value of the 1.1 vector, with its bytes.
pub(crate) fn newer_value() -> (Vec<u8>, Versioned) {
    let now = stored(CodecId::Fcode, NEWER, "newer", &newer_body());
    let bytes = bytes_of("service-newer-1.1.fcode.hex", &now);
    let value = decode_value(&key("newer"), &bytes).unwrap();
    (bytes, value)
}

fn assert_is_read_as_known(entry: &ServiceEntry) {
    assert_eq!((&*entry.name, &*entry.version), ("newer", "1"));
    assert_eq!(entry.depends_on, ["api"]);
    assert_eq!(entry.execution, ExecutionInfo::Unknown);
    assert_eq!(entry.location, Location::Unknown);
    assert_eq!(entry.state, ServiceState::Unknown);
    let health = entry.last_health_check.as_ref().unwrap();
    assert_eq!((health.status, health.checked_at), (Health::Unknown, TIME));
}

#[test]
fn newer_value_is_read_as_far_as_it_is_known_and_copied_whole() {
    let (bytes, value) = newer_value();
    assert_is_read_as_known(value.image.as_service().unwrap());
    assert_eq!(value.image.schema(), NEWER);
    assert_eq!(encode_value(CodecId::Fcode, &value), bytes);
    // The hash covers what is not seen here: the appended field is the last.
    let mut other = newer_body();
    *other.last_mut().unwrap() ^= 1;
    let other = decode_value(
        &key("newer"),
        &stored(CodecId::Fcode, NEWER, "newer", &other),
    );
    let other = other.unwrap();
    assert_eq!(value.image.record(), other.image.record());
    assert_ne!(value.image.hash(), other.image.hash());
}

#[test]
fn appended_fields_under_the_current_schema_are_refused() {
    let known = stored(CodecId::Fcode, SCHEMA, "newer", &newer_body());
    assert!(decode_value(&key("newer"), &known).is_err());
}

#[test]
fn newer_value_in_the_log_keeps_its_hash() {
    let (_, value) = newer_value();
    let mut entry = log()[0].commit.clone();
    entry.changes = vec![Change {
        key: key("newer"),
        before: None,
        after: Some(value.image),
    }];
    let entry = Arc::new(LogEntry::chain(Hash::default(), entry));
    let read = decode_log_value(&encode_log_value(&[Arc::clone(&entry)])).unwrap();
    assert!(read[0].is_intact());
    assert_eq!(read, [entry]);
}

#[test]
fn newer_value_is_portable_with_what_is_not_seen() {
    let (_, value) = newer_value();
    let json = serde_json::to_value(PortableRecord::from(&value)).unwrap();
    let read = |json: serde_json::Value| {
        let portable: PortableRecord = serde_json::from_value(json).unwrap();
        Versioned::try_from(portable)
    };
    assert_eq!(read(json.clone()).unwrap(), value);
    let mut other = json;
    other["image"]["hash"] = "00".repeat(32).into();
    let found = read(other);
    assert!(matches!(found, Err(CodecError::Hash { .. })), "{found:?}");
}

/// A stored value of schema 1.1 whose body has so many bytes.
fn newer_of_size(body_bytes: usize) -> Vec<u8> {
    let text = |length| "x".repeat(length);
    let most = newer_body_with(&text(body_bytes)).len();
    let body = newer_body_with(&text(body_bytes - (most - body_bytes)));
    assert_eq!(body.len(), body_bytes);
    stored(CodecId::Fcode, NEWER, "newer", &body)
}

#[test]
fn largest_record_is_read_and_no_larger_one() {
    let is_limit = |found: &CodecError| matches!(found, CodecError::Limit { unit: "bytes", max: RECORD_BYTES_MAX, found } if *found == RECORD_BYTES_MAX + 1);
    let larger = decode_value(&key("newer"), &newer_of_size(RECORD_BYTES_MAX + 1));
    assert!(is_limit(&larger.unwrap_err()));
    let largest = decode_value(&key("newer"), &newer_of_size(RECORD_BYTES_MAX)).unwrap();
    // In a log, too.
    let mut commit = log()[0].commit.clone();
    commit.changes = vec![Change {
        key: key("newer"),
        before: None,
        after: Some(Arc::clone(&largest.image)),
    }];
    let entry = Arc::new(LogEntry::chain(Hash::default(), commit));
    let read = decode_log_value(&encode_log_value(&[Arc::clone(&entry)]));
    assert_eq!(read.unwrap(), [entry]);
    // And in JSON.
    let mut json = serde_json::to_value(PortableRecord::from(&largest)).unwrap();
    let read = |json: &serde_json::Value| {
        let portable: PortableRecord = serde_json::from_value(json.clone()).unwrap();
        Versioned::try_from(portable)
    };
    assert_eq!(read(&json).unwrap(), largest);
    let body = json["image"]["body"].as_str().unwrap().to_owned() + "00";
    json["image"]["body"] = body.into();
    assert!(is_limit(&read(&json).unwrap_err()));
}

#[test]
fn newer_value_is_never_overwritten() {
    let (_, value) = newer_value();
    let store = MemoryStore::new();
    block_on(store.restore(restore_page(&value))).unwrap();
    let changes = [
        Mutation::Put(image(ServiceEntry::new("newer", "2"))),
        Mutation::Delete(key("newer")),
    ];
    for mutation in changes {
        let transaction = Transaction {
            id: TransactionId::fresh(),
            preconditions: Vec::new(),
            mutations: vec![mutation],
            cause: log()[0].commit.cause.clone(),
        };
        let outcomes = block_on(store.commit(vec![transaction])).unwrap();
        let refusal = Rejection::SchemaTooNew {
            key: key("newer"),
            found: NEWER,
        };
        assert_eq!(outcomes, [Err(refusal)]);
    }
    assert_eq!(block_on(store.get(&key("newer"))).unwrap(), Some(value));
}

/// A whole store of one commit that put that record.
pub(crate) fn restore_page(value: &Versioned) -> RestorePage {
    let commit = Commit {
        changes: vec![Change {
            key: value.key().clone(),
            before: None,
            after: Some(Arc::clone(&value.image)),
        }],
        ..log()[0].commit.clone()
    };
    let entry = LogEntry::chain(Hash::default(), commit);
    let mut head = Head {
        last: Anchor {
            revision: Revision(1),
            hash: entry.hash,
        },
        ..Head::default()
    };
    head.tally.add(value);
    RestorePage {
        anchor: None,
        entries: vec![Arc::new(entry)],
        records: vec![value.clone()],
        seal: Some(Seal {
            head,
            schema: SCHEMA,
        }),
    }
}

#[test]
fn newer_json_is_read_as_far_as_it_is_known_and_written_back_whole() {
    let hash = image(ServiceEntry::new("newer", "1")).hash().to_string();
    let now = serde_json::to_string_pretty(&serde_json::json!({
        "created": 1,
        "modified": 1,
        "image": {
            "schema": { "major": 1, "minor": 1 },
            "hash": hash,
            "record": { "service": {
                "name": "newer",
                "version": "1",
                "execution": { "function": { "runtime": "wasm" } },
                "location": "orbit",
                "endpoints": [],
                "depends_on": ["api"],
                "state": { "drained": { "since": 7 } },
                "last_health_check": { "status": "flapping", "checked_at": TIME.to_string() },
                "health_endpoint": "http://10.0.0.7/health",
            } },
        },
    }))
    .unwrap()
        + "\n";
    let text = vector("record-newer-1.1.json", &now);
    let portable: PortableRecord = serde_json::from_str(&text).unwrap();
    let value = Versioned::try_from(portable).unwrap();
    assert_is_read_as_known(value.image.as_service().unwrap());
    assert_eq!(value.image.hash().to_string(), hash);
    let written: serde_json::Value = serde_json::to_value(PortableRecord::from(&value)).unwrap();
    assert_eq!(
        written,
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    );
}

#[test]
fn version_1_1_reads_what_version_1_0_wrote() {
    for entry in entries() {
        let bytes = encode_value(CodecId::Fcode, &record(entry.clone()));
        let body = &bytes[26..];
        let read: ServiceV1_1 = fcode::from_bytes(body).unwrap();
        assert_eq!(read.name, entry.name);
        assert_eq!(read.depends_on, entry.depends_on);
        assert_eq!(read.health_endpoint, None);
        // What 1.1 appends is all that differs.
        assert!(fcode::to_bytes(&read).unwrap().len() > body.len());
    }
}
