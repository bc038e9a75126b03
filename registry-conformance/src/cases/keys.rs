//! Hostile names are kept as they are, or refused by the model.

use std::collections::BTreeSet;

use registry_core::limits::NAME_BYTES_MAX;
use registry_core::{Key, Mutation};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{delete, instance_key, key, put, put_at, transaction};
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, hostile_names_stay_distinct),
    case!(persistent, hostile_names_survive_reopening),
    case!(persistent, hostile_ids_survive_reopening),
    case!(any, illegal_names_are_refused),
];

fn hostile_names() -> Vec<String> {
    let names = [
        ".",
        "..",
        "../../etc/passwd",
        "/",
        "//",
        "a/b",
        "a/b/",
        "a//b",
        "a\\b",
        "a:b",
        "a%2Fb",
        "%",
        "%00",
        "%s",
        "a b",
        " a",
        "a ",
        "\t",
        "\n",
        "\r\n",
        "'",
        "\"",
        "';--",
        "\u{1}",
        "\u{7f}",
        "api",
        "Api",
        "API",
        "é",
        "e\u{301}",
        "ﬁ",
        "fi",
        "ß",
        "ss",
        "İ",
        "ı",
        "i",
        "I",
        "服务/变更",
        "\u{202e}rtl",
        "\u{200b}",
        "\u{feff}",
        "\u{1F469}\u{200D}\u{1F680}",
        "\u{10FFFF}",
        "\u{FFFD}",
        "CON",
        "nul",
        "a*",
        "[a]",
        "{a}",
        "null",
        "0",
        "-0",
        "--",
        "registry.lock",
        "x.new",
        "_",
        "__",
        "a_b",
        "a%b",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).to_vec();
    names.push("x".repeat(NAME_BYTES_MAX));
    names.push(format!("{}y", "x".repeat(NAME_BYTES_MAX - 1)));
    names.push("é".repeat(127));
    names.push("\u{1F600}".repeat(63));
    names
}

fn hostile_names_stay_distinct(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let names = hostile_names();
    store.commit(names.iter().map(|name| put(name, name)).collect())?;
    for name in &names {
        assert_eq!(store.version(name)?.as_ref(), Some(name));
        assert_eq!(store.log_of(Some(&key(name)), 2)?.len(), 1, "{name:?}");
    }
    let found: BTreeSet<Key> = store
        .records()?
        .iter()
        .map(|record| record.key().clone())
        .collect();
    assert_eq!(found, names.iter().map(|name| key(name)).collect());
    for name in names.iter().step_by(2) {
        store.apply(delete(name))?;
    }
    assert_eq!(store.records()?.len(), names.len() / 2);
    store.verify_clean()
}

fn hostile_names_survive_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let names = hostile_names();
    store.commit(names.iter().map(|name| put(name, name)).collect())?;
    let before = store.records()?;
    let store = subject.reopen(store)?;
    assert_eq!(store.records()?, before);
    for name in &names {
        assert_eq!(store.version(name)?.as_ref(), Some(name));
    }
    store.verify_clean()
}

/// Instances with a hostile name in the first part, in the second, and in both.
fn hostile_instances() -> Vec<Key> {
    let names = hostile_names();
    let beside = names.iter().skip(1).chain(&names);
    let pairs = names.iter().zip(beside);
    pairs
        .flat_map(|(one, other)| {
            [
                instance_key(one, "the id"),
                instance_key("the service", one),
                instance_key(one, other),
            ]
        })
        .collect()
}

fn hostile_ids_survive_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let keys = hostile_instances();
    for some in keys.chunks(64) {
        for outcome in store.commit(some.iter().map(|key| put_at(key, "1")).collect())? {
            outcome?;
        }
    }
    let before = store.records()?;
    let found: BTreeSet<_> = before.iter().map(|record| record.key().clone()).collect();
    assert_eq!(found, keys.iter().cloned().collect());
    let store = subject.reopen(store)?;
    assert_eq!(store.records()?, before);
    for key in &keys {
        let record = store.get_at(key)?;
        assert_eq!(
            record.map(|record| record.key().clone()).as_ref(),
            Some(key)
        );
        assert_eq!(store.log_of(Some(key), 2)?.len(), 1, "{key}");
    }
    for key in keys.iter().step_by(2) {
        store.apply(transaction(vec![Mutation::Delete(key.clone())]))?;
    }
    assert_eq!(store.records()?.len(), keys.len() / 2);
    store.verify_clean()
}

fn illegal_names_are_refused(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let wide = "é".repeat(128);
    for name in ["", "\0", "a\0b", &long, &wide] {
        assert!(Key::service(name).is_err(), "{name:?}");
        let entry = crate::fixture::entry(name, "1");
        let image = registry_core::Image::new(registry_core::Record::Service(entry));
        assert!(image.is_err(), "{name:?}");
        assert!(Key::instance(name, "id").is_err(), "{name:?}");
        assert!(Key::instance("service", name).is_err(), "{name:?}");
        assert!(Key::policy(name).is_err(), "{name:?}");
    }
    assert!(store.records()?.is_empty());
    Ok(())
}
