//! What a newer program wrote: a newer minor is read and never overwritten, a newer major is refused.

use std::sync::Arc;

use registry_core::codec::decode_value;
use registry_core::{
    Anchor, Change, Commit, ErrorKind, Hash, Head, Image, LogEntry, Mutation, Rejection,
    RestorePage, Revision, SCHEMA, SchemaVersion, Seal, TransactionId, Versioned,
};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{cause, delete, expect_kind, key, put, transaction};
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, newer_record_is_read_and_never_overwritten),
    case!(persistent, newer_record_survives_reopening),
    case!(any, newer_record_is_not_written),
    case!(persistent, newer_minor_of_the_store_is_opened),
    case!(persistent, newer_major_of_the_store_is_refused),
];

const NEWER_MINOR: SchemaVersion = SchemaVersion {
    major: SCHEMA.major,
    minor: SCHEMA.minor + 1,
};
const NEWER_MAJOR: SchemaVersion = SchemaVersion {
    major: SCHEMA.major + 1,
    minor: 0,
};

/// A record as the next minor version of this program left it: with a field and with variants that this one does not
/// know.
fn newer_image(name: &str) -> Arc<Image> {
    const VECTOR: &str = include_str!("../../../docs/vectors/service-newer-1.1.fcode.hex");
    let digits: Vec<u8> = VECTOR
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| u8::try_from(digit).expect("a digit is less than 16"))
        .collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    let value = decode_value(&key(name), &bytes).expect("the vector is a stored value");
    assert_eq!(value.image.schema(), NEWER_MINOR);
    value.image
}

/// A store of one commit that put one newer record.
fn page(schema: SchemaVersion) -> RestorePage {
    let image = newer_image("newer");
    let entry = LogEntry::chain(
        Hash::default(),
        Commit {
            revision: Revision(1),
            id: TransactionId::fresh(),
            cause: cause("register_service").into(),
            changes: vec![Change {
                key: key("newer"),
                before: None,
                after: Some(Arc::clone(&image)),
            }],
        },
    );
    let record = Versioned {
        image,
        created: Revision(1),
        modified: Revision(1),
    };
    let mut head = Head {
        last: Anchor {
            revision: Revision(1),
            hash: entry.hash,
        },
        ..Head::default()
    };
    head.tally.add(&record);
    RestorePage {
        anchor: None,
        entries: vec![Arc::new(entry)],
        records: vec![record],
        seal: Some(Seal { head, schema }),
    }
}

fn expect_kept(store: &crate::handle::Handle) -> Verdict {
    let found = store.get("newer")?.map(|record| record.image);
    assert_eq!(found, Some(newer_image("newer")));
    let before = Picture::of(store)?;
    let too_new = Err(Rejection::SchemaTooNew {
        key: key("newer"),
        found: NEWER_MINOR,
    });
    assert_eq!(store.try_apply(put("newer", "2"))?, too_new);
    assert_eq!(store.try_apply(delete("newer"))?, too_new);
    Picture::of(store)?.assert_is(&before);
    store.verify_clean()
}

fn newer_record_is_read_and_never_overwritten(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.restore(page(SCHEMA))?;
    expect_kept(&store)?;
    store.apply(put("other", "1"))?;
    Ok(())
}

fn newer_record_survives_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.restore(page(SCHEMA))?;
    let store = subject.reopen(store)?;
    expect_kept(&store)?;
    store.apply(put("other", "1"))?;
    let store = subject.reopen(store)?;
    expect_kept(&store)
}

fn newer_record_is_not_written(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let newer = transaction(vec![Mutation::Put(newer_image("newer"))]);
    let outcome = store.try_apply(newer)?;
    assert!(
        matches!(outcome, Err(Rejection::Invalid(_))),
        "expected Invalid, found {outcome:?}"
    );
    assert!(store.head()?.is_empty());
    Ok(())
}

fn newer_minor_of_the_store_is_opened(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.restore(page(NEWER_MINOR))?;
    let store = subject.reopen(store)?;
    expect_kept(&store)
}

fn newer_major_of_the_store_is_refused(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.restore(page(NEWER_MAJOR))?;
    store.close()?;
    drop(store);
    for _ in 0..2 {
        expect_kind(subject.open(), "SchemaTooNew", |kind| {
            *kind == ErrorKind::SchemaTooNew { found: NEWER_MAJOR }
        })?;
    }
    Ok(())
}
