//! Stored bytes: every value comes back, and nothing damaged or hostile does.

use std::net::SocketAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use registry_core::codec::{
    CodecId, decode_log_value, decode_value, encode_log_value, encode_log_values, encode_value,
    peek_log_value,
};
use registry_core::limits::{LOG_VALUE_BYTES_MAX, RECORD_BYTES_MAX};
use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Location, Protocol, ServiceEntry, ServicePolicy,
    ServiceState, SshConfig, UnknownHeartbeat,
};
use registry_core::portable::PortableRecord;
use registry_core::{Change, CodecError, Image, LogEntry, Record, Revision, Timestamp, Versioned};

use crate::fixture::{entries, image, key, log, record};

const CODECS: [CodecId; 2] = [CodecId::Fcode, CodecId::Bincode];

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,40}"
}

fn execution() -> impl Strategy<Value = ExecutionInfo> {
    prop_oneof![
        (option::of(any::<u32>()), text())
            .prop_map(|(pid, command)| ExecutionInfo::ManagedProcess { pid, command }),
        (text(), text()).prop_map(|(container_id, image)| ExecutionInfo::DockerContainer {
            container_id,
            image
        }),
        text().prop_map(|unit_name| ExecutionInfo::SystemdService { unit_name }),
    ]
}

fn location() -> impl Strategy<Value = Location> {
    let remote = ("[^\0]{1,40}", text(), any::<u16>(), option::of(text()));
    prop_oneof![
        Just(Location::Local),
        remote.prop_map(|(host, user, port, identity_file)| Location::Remote {
            host,
            ssh_config: SshConfig {
                user,
                port,
                identity_file
            },
        }),
    ]
}

fn state() -> impl Strategy<Value = ServiceState> {
    prop_oneof![
        Just(ServiceState::Registered),
        Just(ServiceState::Starting),
        Just(ServiceState::Running),
        Just(ServiceState::Stopping),
        Just(ServiceState::Stopped),
        text().prop_map(|reason| ServiceState::Failed { reason }),
    ]
}

fn health() -> impl Strategy<Value = HealthStatus> {
    let status = prop_oneof![
        Just(Health::Passing),
        Just(Health::Warning),
        Just(Health::Critical),
        Just(Health::Unknown)
    ];
    (status, any::<i64>(), option::of(text())).prop_map(|(status, nanos, message)| HealthStatus {
        status,
        checked_at: Timestamp::from_nanos(nanos),
        message,
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    // A text of an IPv6 address has no flow label, and the model is a text on the wire.
    let address = (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from);
    ("[^\0]{1,40}", address, "[a-z0-9+._/-]{1,32}").prop_map(|(name, address, protocol)| Endpoint {
        name,
        address,
        protocol: Protocol::new(protocol),
    })
}

fn entry() -> impl Strategy<Value = ServiceEntry> {
    let names = ("[^\0]{1,60}", text(), vec("[^\0]{1,40}", 0..4));
    let rest = (
        execution(),
        location(),
        vec(endpoint(), 0..4),
        state(),
        option::of(health()),
    );
    (names, rest).prop_map(|((name, version, depends_on), rest)| {
        let (execution, location, endpoints, state, last_health_check) = rest;
        ServiceEntry {
            name,
            version,
            execution,
            location,
            endpoints,
            depends_on,
            state,
            last_health_check,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_comes_back(entry in entry(), created in any::<u64>(), modified in any::<u64>()) {
        let value = Versioned {
            image: image(entry),
            created: Revision(created),
            modified: Revision(modified),
        };
        for codec in CODECS {
            let read = decode_value(value.key(), &encode_value(codec, &value)).unwrap();
            prop_assert_eq!(&read, &value);
        }
        let json = serde_json::to_string(&PortableRecord::from(&value)).unwrap();
        let portable: PortableRecord = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(Versioned::try_from(portable).unwrap(), value);
    }

    #[test]
    fn noise_is_refused(noise in vec(any::<u8>(), 0..200)) {
        prop_assert!(decode_value(&key("api"), &noise).is_err());
        prop_assert!(decode_log_value(&noise).is_err());
        prop_assert!(peek_log_value(&noise).is_err());
    }

    #[test]
    fn noise_behind_a_right_checksum_does_no_harm(noise in vec(any::<u8>(), 0..200)) {
        for codec in [1, 2] {
            drop(decode_value(&key("api"), &sealed_value(codec, &noise)));
        }
        drop(decode_log_value(&sealed_log(&noise)));
        drop(peek_log_value(&sealed_log(&noise)));
    }
}

/// Damages bytes in every way that one flipped bit or one cut can.
fn for_every_damage(bytes: &[u8], check: impl Fn(&[u8], &str)) {
    let mut damaged = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("bit {bit} flipped"));
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    for end in 0..bytes.len() {
        check(&bytes[..end], &format!("cut to {end} bytes"));
    }
    damaged.push(0);
    check(&damaged, "one byte more");
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_value_is_refused() {
    for entry in entries() {
        let key = key(&entry.name);
        for codec in CODECS {
            let bytes = encode_value(codec, &record(entry.clone()));
            for_every_damage(&bytes, |damaged, what| {
                assert!(decode_value(&key, damaged).is_err(), "{codec}: {what}");
            });
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_log_value_is_refused() {
    for_every_damage(&encode_log_value(&log()), |damaged, what| {
        assert!(decode_log_value(damaged).is_err(), "{what}");
        assert!(peek_log_value(damaged).is_err(), "{what}");
    });
}

#[test]
fn value_of_another_key_is_refused() {
    let bytes = encode_value(CodecId::Fcode, &record(ServiceEntry::new("api", "1")));
    let found = decode_value(&key("apj"), &bytes);
    assert!(
        matches!(found, Err(CodecError::Checksum { .. })),
        "{found:?}"
    );
}

fn sealed(mut header: Vec<u8>, before: &[u8], body: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(before);
    crc.update(&header);
    crc.update(body);
    header.extend(crc.finalize().to_le_bytes());
    header.extend(body);
    header
}

/// A value at `api` with the right checksum around any body.
fn sealed_value(codec: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![b'H', b'R', codec, 1];
    header.extend([0; 18]);
    sealed(header, &key("api").to_bytes(), body)
}

fn sealed_log(body: &[u8]) -> Vec<u8> {
    sealed(vec![b'H', b'L', 1, 1, 0, 0], &[], body)
}

#[test]
fn other_magic_or_codec_is_no_log_value() {
    for header in [[b'H', b'R', 1, 1, 0, 0], [b'H', b'L', 2, 1, 0, 0]] {
        let found = decode_log_value(&sealed(header.to_vec(), &[], &[]));
        assert!(matches!(found, Err(CodecError::Header(_))), "{found:?}");
    }
}

#[test]
fn every_answer_to_unknown_heartbeats_comes_back() {
    let answers = [
        None,
        Some(UnknownHeartbeat::Refuse),
        Some(UnknownHeartbeat::Pending),
        Some(UnknownHeartbeat::Active),
    ];
    for unknown_heartbeat in answers {
        let policy = ServicePolicy {
            service: "api".to_owned(),
            unknown_heartbeat,
            ..ServicePolicy::default()
        };
        let value = Versioned {
            image: Image::new(Record::Policy(policy)).unwrap(),
            created: Revision(1),
            modified: Revision(2),
        };
        for codec in CODECS {
            let read = decode_value(value.key(), &encode_value(codec, &value));
            assert_eq!(read.unwrap(), value);
        }
    }
}

#[test]
fn hostile_depth_is_refused_before_decoding() {
    // Tag 3, a sequence of one item, is one byte a level.
    let deep = [vec![3 | 1 << 3; 100_000], vec![0]].concat();
    let limit = |found: &CodecError| matches!(found, CodecError::Limit { unit: "levels", .. });
    assert!(limit(
        &decode_value(&key("api"), &sealed_value(1, &deep)).unwrap_err()
    ));
    assert!(limit(&decode_log_value(&sealed_log(&deep)).unwrap_err()));
    assert!(limit(&peek_log_value(&sealed_log(&deep)).unwrap_err()));
}

#[test]
fn hostile_size_is_refused_before_decoding() {
    let limit = |found: &CodecError| matches!(found, CodecError::Limit { unit: "bytes", .. });
    for codec in [1, 2] {
        let large = sealed_value(codec, &vec![0; RECORD_BYTES_MAX + 1]);
        assert!(limit(&decode_value(&key("api"), &large).unwrap_err()));
    }
    let large = vec![0; LOG_VALUE_BYTES_MAX + 1];
    assert!(limit(&decode_log_value(&large).unwrap_err()));
    assert!(limit(&peek_log_value(&large).unwrap_err()));
    // A length of 2^64 - 1 in front of nothing, in both codecs.
    for (codec, length) in [(1, [0xfc; 1].as_slice()), (2, &[0xfd; 1])] {
        let body = [length, &[0xff; 8], &[1]].concat();
        assert!(decode_value(&key("api"), &sealed_value(codec, &body)).is_err());
    }
}

#[test]
fn bodies_in_another_form_than_written_are_refused() {
    let header_len = 26;
    let value = record(ServiceEntry::new("api", "1"));
    // The name's length of 3 in two bytes, which both codecs can read.
    let forms = [
        (CodecId::Fcode, 1, vec![4 | 3 << 3 | 0x80, 0]),
        (CodecId::Bincode, 0, vec![251, 3, 0]),
    ];
    for (codec, at, length) in forms {
        let body = encode_value(codec, &value)[header_len..].to_vec();
        assert!(decode_value(&key("api"), &sealed_value(codec as u8, &body)).is_ok());
        let other = [&body[..at], &length, &body[at + 1..]].concat();
        let found = decode_value(&key("api"), &sealed_value(codec as u8, &other));
        let is_told =
            matches!(&found, Err(CodecError::Body { detail, .. }) if detail.contains("form"));
        assert!(is_told, "{codec}: {found:?}");
    }
}

#[test]
fn unknown_codecs_and_newer_majors_are_refused() {
    let found = decode_value(&key("api"), &sealed_value(9, &[]));
    assert!(matches!(found, Err(CodecError::Header(_))), "{found:?}");
    let mut header = vec![b'H', b'R', 1, 2];
    header.extend([0; 18]);
    let found = decode_value(&key("api"), &sealed(header, &key("api").to_bytes(), &[]));
    assert!(
        matches!(found, Err(CodecError::SchemaTooNew { .. })),
        "{found:?}"
    );
    let found = decode_log_value(&sealed(vec![b'H', b'L', 1, 2, 0, 0], &[], &[]));
    assert!(
        matches!(found, Err(CodecError::SchemaTooNew { .. })),
        "{found:?}"
    );
}

/// An entry of that revision, with so many changes of some 130 KB each.
fn large_entry(revision: u64, changes: usize, reason_bytes: usize) -> Arc<LogEntry> {
    let large = image(ServiceEntry {
        depends_on: (0..512).map(|number| format!("{number:0255}")).collect(),
        ..ServiceEntry::new("api", "1")
    });
    let mut commit = log()[0].commit.clone();
    commit.revision = Revision(revision);
    Arc::make_mut(&mut commit.cause).reason = Some("x".repeat(reason_bytes));
    let change = Change {
        key: key("api"),
        before: None,
        after: Some(large),
    };
    commit.changes = vec![change; changes];
    Arc::new(LogEntry {
        commit,
        ..(*log()[0]).clone()
    })
}

#[test]
fn group_is_one_value_up_to_half_the_limit() {
    assert_eq!(encode_log_values(&[]).unwrap(), []);
    let small = log();
    let whole = encode_log_value(&small);
    assert_eq!(encode_log_values(&small).unwrap(), [(Revision(1), whole)]);
    // 13 MB each: two are below the half of 64 MiB, three are not.
    let large: Vec<_> = (7..12).map(|number| large_entry(number, 100, 0)).collect();
    let values = encode_log_values(&large).unwrap();
    let groups: Vec<Vec<_>> = values
        .iter()
        .map(|(_, value)| {
            let ids = peek_log_value(value).unwrap().into_iter();
            ids.map(|(revision, _)| revision.0).collect()
        })
        .collect();
    assert_eq!(groups, [vec![7, 8], vec![9, 10], vec![11]]);
    let firsts: Vec<_> = values.iter().map(|(first, _)| first.0).collect();
    assert_eq!(firsts, [7, 9, 11]);
}

#[test]
fn largest_log_value_is_written_and_read() {
    let value = |reason_bytes| encode_log_values(&[large_entry(7, 508, reason_bytes)]);
    let first = value(10_000).unwrap()[0].1.len();
    let fitting = 10_000 + LOG_VALUE_BYTES_MAX - first;
    let largest = value(fitting).unwrap().swap_remove(0).1;
    assert_eq!(largest.len(), LOG_VALUE_BYTES_MAX);
    assert_eq!(peek_log_value(&largest).unwrap().len(), 1);
    let larger = value(fitting + 1).unwrap_err();
    assert!(
        matches!(larger, CodecError::Limit { unit: "bytes", found, .. } if found == LOG_VALUE_BYTES_MAX + 1),
        "{larger:?}"
    );
}
