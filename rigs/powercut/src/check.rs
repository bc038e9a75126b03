//! The process that looks at what is left: a fresh one, as after a reboot.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use futures_lite::future::block_on;
use harness::backends::OpenOptions;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{
    Anchor, Hash, Head, LogPages, OpenMode, RecordPages, RegistryStore, Revision, StoreError,
    SystemClock,
};
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::told::Shown;
use crate::worker::location;

/// What is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Check {
    /// Name of the backend.
    pub(crate) backend: String,
    /// The store.
    pub(crate) path: PathBuf,
    /// What was known before the last process.
    pub(crate) ledger: Ledger,
    /// What the last process told of.
    pub(crate) shown: Vec<Shown>,
    /// Commands that may have been under way in it.
    pub(crate) in_flight_max: u64,
    /// A migration that the last process began, and the head that it told of at its end.
    pub(crate) migration: Option<(PathBuf, Option<Anchor>)>,
}

/// What became of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Everything that was shown is there, and nothing is half.
    Sound,
    /// A commit is gone that somebody was told of.
    Lost,
    /// Entry, state and head do not belong together.
    Half,
    /// It does not open.
    Unopenable,
    /// It answers what nobody wrote.
    Wrong,
}

/// A verdict with its evidence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
    /// What must be found the next time.
    pub(crate) ledger: Ledger,
    /// Whether the target of a migration is there.
    #[serde(default)]
    pub(crate) has_migrated: bool,
}

impl Checked {
    /// The verdict where something is wrong.
    pub(crate) fn failed(verdict: Verdict, detail: String) -> Self {
        Self {
            verdict,
            detail,
            ledger: Ledger::default(),
            has_migrated: false,
        }
    }
}

/// What is wrong.
type Problem = (Verdict, String);

/// Plays the part, and prints the verdict.
pub(crate) fn run(check: &Check) -> Result<()> {
    let checked = match block_on(examine(check)) {
        Ok(checked) => checked,
        Err((verdict, detail)) => Checked::failed(verdict, detail),
    };
    serde_json::to_writer(std::io::stdout(), &checked)?;
    Ok(())
}

async fn examine(check: &Check) -> Result<Checked, Problem> {
    let store = open(&check.backend, &check.path, OpenMode::OpenOrCreate)?;
    let head = store.head().await.map_err(half)?;
    let log = read_log(&*store, &head).await?;
    let ledger = follow(check, &head, &log)?;
    let found = read_records(&*store).await?;
    let expected = expected_records(&ledger, &log);
    if found != expected {
        return Err((Verdict::Half, difference(&expected, &found)));
    }
    check_verified(&*store).await?;
    let clock = std::sync::Arc::new(SystemClock::new());
    let opened = Registry::open(store, EngineConfig::default(), clock).await;
    let (registry, driver) =
        opened.map_err(|error| (Verdict::Unopenable, format!("the engine: {error}")))?;
    registry.begin_close();
    let closed = driver.run().await;
    closed.map_err(|error| (Verdict::Half, format!("close: {error}")))?;
    let has_migrated = match &check.migration {
        Some((target, told)) => check_target(&check.backend, target, *told, &head).await?,
        None => false,
    };
    Ok(Checked {
        verdict: Verdict::Sound,
        detail: String::new(),
        ledger,
        has_migrated,
    })
}

fn half(error: impl Borrow<StoreError>) -> Problem {
    (Verdict::Half, describe(error.borrow()))
}

/// An error with what caused it.
pub(crate) fn describe(error: &StoreError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let texts = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
    texts.collect::<Vec<_>>().join(": ")
}

fn open(
    backend: &str,
    path: &Path,
    mode: OpenMode,
) -> Result<std::sync::Arc<dyn RegistryStore>, Problem> {
    let unopenable = |text: String| (Verdict::Unopenable, text);
    let location = location(backend, path).map_err(|error| unopenable(error.to_string()))?;
    let options = OpenOptions {
        mode,
        ..OpenOptions::default()
    };
    location
        .open(&options)
        .map_err(|error| unopenable(describe(&error)))
}

/// The commits of the log, by revision, with the hash of the chain.
type Log = BTreeMap<Revision, (Shown, Hash)>;

async fn read_log(store: &dyn RegistryStore, head: &Head) -> Result<Log, Problem> {
    let mut log = Log::new();
    // A commit that is sent again, since its answer was lost, is still one commit.
    let mut ids = BTreeSet::new();
    let mut pages = LogPages::new(store, head.compacted.revision, head.revision());
    while let Some(page) = pages.next().await.map_err(half)? {
        for entry in &page.entries {
            let shown = Shown::of(entry);
            if !ids.insert(entry.commit.id) {
                return Err((Verdict::Wrong, format!("{shown} was committed before")));
            }
            log.insert(entry.commit.revision, (shown, entry.hash));
        }
    }
    Ok(log)
}

async fn read_records(
    store: &dyn RegistryStore,
) -> Result<BTreeMap<String, (Revision, Hash)>, Problem> {
    let mut records = BTreeMap::new();
    let mut pages = RecordPages::new(store);
    while let Some(page) = pages.next().await.map_err(half)? {
        for record in page.records {
            let found = (record.modified, *record.image.hash());
            records.insert(record.key().to_string(), found);
        }
    }
    Ok(records)
}

/// Holds the log to everything that was shown, and answers the ledger up to the last of it.
fn follow(check: &Check, head: &Head, log: &Log) -> Result<Ledger, Problem> {
    let last_shown = check.shown.iter().map(|shown| shown.revision).max();
    let known = check.ledger.last;
    let required = last_shown.unwrap_or_default().max(known.revision);
    if head.revision() < required {
        let found = head.revision();
        return Err((
            Verdict::Lost,
            format!("revision {required} was shown, the store ends at {found}"),
        ));
    }
    let found = hash_at(known.revision, head, log);
    if found.is_some_and(|found| found != known.hash) {
        let detail = format!("revision {} is another one than before", known.revision);
        return Err((Verdict::Lost, detail));
    }
    let mut shown: BTreeMap<Revision, &Shown> = BTreeMap::new();
    for now in &check.shown {
        if let Some(before) = shown.insert(now.revision, now)
            && before != now
        {
            let detail = format!("{before} was shown, and {now}");
            return Err((Verdict::Wrong, detail));
        }
    }
    let mut ledger = check.ledger.clone();
    let mut revision = known.revision;
    while revision < required {
        revision = revision.next();
        let found = log.get(&revision).map(|(found, _)| found);
        let commit = match (found, shown.get(&revision)) {
            (Some(found), Some(shown)) if found != *shown => {
                let detail = format!(
                    "expected {shown} with {:?}, found {found} with {:?}",
                    shown.record, found.record
                );
                return Err((Verdict::Lost, detail));
            }
            (Some(found), _) => found,
            (None, Some(shown)) if revision <= head.compacted.revision => shown,
            _ => return Err((Verdict::Half, format!("revision {revision} is in no log"))),
        };
        ledger.apply(revision, &commit.key, commit.record);
    }
    let unanswered = head.revision().0 - required.0;
    let gaps = (known.revision.0 + 1..=required.0).filter(|at| !shown.contains_key(&Revision(*at)));
    let unseen = unanswered + gaps.count() as u64;
    let unseen_max = check.in_flight_max + check.ledger.unanswered;
    if unseen > unseen_max {
        let detail = format!(
            "{unseen} commits that nobody was told of, at most {unseen_max} were under way"
        );
        return Err((Verdict::Wrong, detail));
    }
    ledger.last = Anchor {
        revision: required,
        hash: hash_at(required, head, log).unwrap_or(known.hash),
    };
    ledger.unanswered = unanswered;
    Ok(ledger)
}

/// The hash of a revision, where the store still knows it.
fn hash_at(revision: Revision, head: &Head, log: &Log) -> Option<Hash> {
    if revision == head.compacted.revision {
        return Some(head.compacted.hash);
    }
    log.get(&revision).map(|(_, hash)| *hash)
}

/// The records that the log adds up to, with the commits beyond the ledger.
fn expected_records(ledger: &Ledger, log: &Log) -> BTreeMap<String, (Revision, Hash)> {
    let mut expected = ledger.clone();
    for (revision, (commit, _)) in log.range(ledger.last.revision.next()..) {
        expected.apply(*revision, &commit.key, commit.record);
    }
    expected.records
}

fn difference(
    expected: &BTreeMap<String, (Revision, Hash)>,
    found: &BTreeMap<String, (Revision, Hash)>,
) -> String {
    let keys = expected.keys().chain(found.keys());
    let different = keys
        .filter(|key| expected.get(*key) != found.get(*key))
        .map(|key| {
            let (expected, found) = (expected.get(key), found.get(key));
            format!("{key}: expected {expected:?} by the log, found {found:?}")
        });
    different.take(3).collect::<Vec<_>>().join("; ")
}

async fn check_verified(store: &dyn RegistryStore) -> Result<(), Problem> {
    let report = store.verify().await.map_err(half)?;
    match report.findings.first() {
        None => Ok(()),
        Some(finding) => Err((
            Verdict::Half,
            format!("verify: {}: {}", finding.place, finding.problem),
        )),
    }
}

/// Whether the target of a migration is there: all of the source, or nothing.
async fn check_target(
    backend: &str,
    target: &Path,
    told: Option<Anchor>,
    source: &Head,
) -> Result<bool, Problem> {
    let place = location(backend, target);
    let is_there = place.is_ok_and(|place| place.exists());
    if !is_there {
        return match told {
            None => Ok(false),
            Some(_) => Err((Verdict::Lost, "the migrated store is not there".to_owned())),
        };
    }
    let store = open(backend, target, OpenMode::Open)?;
    let head = store.head().await.map_err(half)?;
    if head != *source || told.is_some_and(|told| told != head.last) {
        let detail = format!(
            "the migrated store ends at {:?}, its source at {:?}",
            head.last, source.last
        );
        return Err((Verdict::Half, detail));
    }
    check_verified(&*store).await?;
    store.close().await.map_err(half)?;
    Ok(true)
}
