//! Damage in a cleanly closed store is found: an error or a finding, never a wrong answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::test_runner::{RngAlgorithm, TestRng};
use registry_core::{Note, Tally};

use crate::case::{Case, Failure, Verdict, case, persistent};
use crate::fixture::{fill, put};
use crate::handle::Handle;
use crate::picture::Picture;
use crate::run::at;
use crate::settings;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(persistent, flipped_bit_is_found),
    case!(persistent, cut_file_is_found),
    case!(persistent, zeroed_block_is_found),
    case!(persistent, missing_file_is_found),
];

const PLACES: usize = 60;
const BLOCK_BYTES: usize = 512;

/// What the store answered before it was damaged.
struct Truth {
    picture: Picture,
    notes: Vec<Note>,
}

/// Makes a store with a history, and closes it.
fn truth(subject: &Subject) -> Result<Truth, Failure> {
    let store = subject.open()?;
    fill(&store)?;
    store.note("seen", b"service-00 at noon")?;
    store.compact(6)?;
    let store = subject.reopen(store)?;
    for index in 0..12 {
        store.apply(put(&format!("later-{index}"), "1"))?;
    }
    let truth = Truth {
        picture: Picture::of(&store)?,
        notes: store.notes()?,
    };
    store.close()?;
    Ok(truth)
}

/// Damages a copy of the store in each of some ways, one after the other.
fn damage_each<D: std::fmt::Debug>(
    subject: &Subject,
    ways: impl Fn(&[u8]) -> Vec<D>,
    damage: impl Fn(&Path, Vec<u8>, &D) -> std::io::Result<()>,
) -> Verdict {
    let truth = truth(subject)?;
    for file in files(subject)? {
        let content = fs::read(subject.folder().join(&file))?;
        for way in ways(&content) {
            let copy = subject.another()?;
            subject.copy_to(copy.folder())?;
            damage(&copy.folder().join(&file), content.clone(), &way)?;
            let place = format!("{} with {way:?}", file.display());
            at(&place, || expect_found_or_right(&copy, &truth))?;
        }
    }
    Ok(())
}

fn files(subject: &Subject) -> std::io::Result<Vec<PathBuf>> {
    let mut files = subject.files()?;
    files.retain(|path| subject.folder().join(path).is_file());
    Ok(files)
}

/// The same numbers below `end` in each run with the same seed.
fn places(count: usize, end: usize) -> Vec<usize> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&settings::seed().to_be_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let end = end as u64;
    (0..count)
        .map(|_| {
            usize::try_from(proptest::prelude::Rng::next_u64(&mut random) % end)
                .expect("it is below a length")
        })
        .collect()
}

#[derive(Debug)]
struct Bit {
    offset: usize,
    bit: u8,
}

fn flipped_bit_is_found(subject: &Subject) -> Verdict {
    let bits = |content: &[u8]| {
        if content.is_empty() {
            return Vec::new();
        }
        places(PLACES, content.len() * 8)
            .into_iter()
            .map(|place| Bit {
                offset: place / 8,
                bit: 1 << (place % 8),
            })
            .collect()
    };
    damage_each(subject, bits, |path, mut content, place| {
        content[place.offset] ^= place.bit;
        fs::write(path, content)
    })
}

#[derive(Debug)]
struct Length(usize);

fn cut_file_is_found(subject: &Subject) -> Verdict {
    let lengths = |content: &[u8]| {
        let end = content.len();
        let mut lengths = vec![0, 1, end / 4, end / 2, end - end / 8];
        lengths.extend([1, BLOCK_BYTES, 4096].map(|less| end.saturating_sub(less)));
        lengths.retain(|length| *length < end);
        lengths.sort_unstable();
        lengths.dedup();
        lengths.into_iter().map(Length).collect()
    };
    damage_each(subject, lengths, |path, content, length| {
        fs::write(path, &content[..length.0])
    })
}

#[derive(Debug)]
struct Zeroed {
    block: usize,
}

fn zeroed_block_is_found(subject: &Subject) -> Verdict {
    let blocks = |content: &[u8]| {
        let count = content.len().div_ceil(BLOCK_BYTES);
        let mut blocks = if count == 0 {
            Vec::new()
        } else {
            places(PLACES / 3, count)
        };
        blocks.sort_unstable();
        blocks.dedup();
        blocks.into_iter().map(|block| Zeroed { block }).collect()
    };
    damage_each(subject, blocks, |path, mut content, zeroed| {
        let start = zeroed.block * BLOCK_BYTES;
        let end = content.len().min(start + BLOCK_BYTES);
        content[start..end].fill(0);
        fs::write(path, content)
    })
}

fn missing_file_is_found(subject: &Subject) -> Verdict {
    let truth = truth(subject)?;
    let mut files = files(subject)?;
    // Without the file at its path there is no store, which is another case.
    files.retain(|path| path.components().count() > 1);
    if files.is_empty() {
        return Err(Failure::NotApplicable("the store is one file"));
    }
    for file in files {
        let copy = subject.another()?;
        subject.copy_to(copy.folder())?;
        fs::remove_file(copy.folder().join(&file))?;
        let place = format!("{} missing", file.display());
        at(&place, || expect_found_or_right(&copy, &truth))?;
    }
    Ok(())
}

/// A damaged store may refuse to open. Where it opens, each answer is an error or right, and where any is missing, the
/// engine's check at loading or `verify` says so.
fn expect_found_or_right(copy: &Subject, truth: &Truth) -> Verdict {
    let Ok(store) = copy.open() else {
        return Ok(());
    };
    let is_complete = assert_no_wrong_answer(&store, truth);
    let is_clean = store.verify().is_ok_and(|report| report.is_clean());
    // Closing may fail on a damaged store.
    let _ = store.close();
    if is_clean && !is_complete {
        return Err(Failure::new(
            "something is missing, and verify finds nothing",
        ));
    }
    Ok(())
}

/// Asks for everything. Fails for a wrong answer; answers whether all of it is there, or is known not to be.
fn assert_no_wrong_answer(store: &Handle, truth: &Truth) -> bool {
    let Picture {
        head, records, log, ..
    } = &truth.picture;
    let mut is_complete = true;
    let found_head = store.head();
    if let Ok(found) = &found_head {
        is_complete &= found == head;
    }
    let by_key: BTreeMap<_, _> = records
        .iter()
        .map(|record| (record.key(), record))
        .collect();
    for (key, record) in &by_key {
        match store.get_at(key) {
            Ok(Some(found)) => assert_eq!(found, **record, "a wrong record"),
            Ok(None) => is_complete = false,
            Err(_) => {}
        }
    }
    if let Ok(found) = store.records() {
        let mut tally = Tally::default();
        for record in &found {
            assert_eq!(Some(&record), by_key.get(record.key()), "a wrong record");
            tally.add(record);
        }
        // What the engine compares when it loads the state.
        let is_known = found_head.as_ref().is_ok_and(|head| head.tally != tally);
        is_complete &= is_known || found == *records;
    }
    if let Ok(found) = store.log() {
        for entry in &found {
            assert!(log.contains(entry), "a wrong log entry: {entry:?}");
        }
        is_complete &= found == *log;
    }
    for (key, revisions) in &truth.picture.by_key {
        if let Ok(found) = store.log_of(Some(key), 100) {
            let found = found.iter().map(|entry| entry.commit.revision);
            is_complete &= found.eq(revisions.iter().copied());
        }
    }
    for entry in log {
        if let Ok(found) = store.find(entry.commit.id) {
            let found = found.map(|commit| commit.revision);
            assert!(
                found.is_none_or(|found| found == entry.commit.revision),
                "a wrong revision for an id: {found:?}"
            );
            is_complete &= found.is_some();
        }
    }
    if let Ok(found) = store.notes() {
        for note in &found {
            assert!(truth.notes.contains(note), "a wrong note: {note:?}");
        }
    }
    is_complete
}
