//! One flipped bit in the files of a closed store: it is found, or it changes no answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use futures_lite::future::block_on;
use harness::backends::{Backend, OpenOptions};
use registry_core::{
    Anchor, Hash, LogPages, OpenMode, RecordPages, RegistryStore, Revision, StoreError,
};
use serde::{Deserialize, Serialize};

use crate::check::{Verdict, describe};
use crate::ledger::Ledger;
use crate::report::{Finding, Report, Row, copy_folder};
use crate::rig::{Part, Rig};
use crate::script::{Scenario, Script};
use crate::worker::{Task, Work, location};

/// What is looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Look {
    /// Name of the backend.
    backend: String,
    /// The store.
    path: PathBuf,
    /// Whether nothing may be written.
    is_read_only: bool,
}

/// Everything that a store answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// What is wrong, by the store's own words.
    complaints: Vec<String>,
    head: Option<Anchor>,
    /// Records by key; none where the list was refused.
    records: Option<BTreeMap<String, (Revision, Hash)>>,
    /// Hashes of the log by revision; none where it was refused.
    log: Option<BTreeMap<Revision, Hash>>,
}

impl Seen {
    /// Keeps an answer, or the complaint in its place.
    fn keep<T>(&mut self, answer: Result<T, StoreError>) -> Option<T> {
        answer
            .map_err(|error| self.complaints.push(describe(&error)))
            .ok()
    }
}

/// Plays the part, and prints what was seen.
pub(crate) fn look(look: &Look) -> Result<()> {
    let options = OpenOptions {
        mode: if look.is_read_only {
            OpenMode::ReadOnly
        } else {
            OpenMode::Open
        },
        ..OpenOptions::default()
    };
    let mut answers = Seen::default();
    let opened = location(&look.backend, &look.path)?.open(&options);
    if let Some(store) = answers.keep(opened) {
        block_on(ask(&*store, &mut answers));
    }
    serde_json::to_writer(std::io::stdout(), &answers)?;
    Ok(())
}

async fn ask(store: &dyn RegistryStore, seen: &mut Seen) {
    let head = store.head().await;
    let head = seen.keep(head);
    let records = read_records(store).await;
    seen.records = seen.keep(records);
    if let Some(head) = head {
        seen.head = Some(head.last);
        let mut pages = LogPages::new(store, head.compacted.revision, head.revision());
        let log = read_log(&mut pages).await;
        seen.log = seen.keep(log);
    }
    let report = store.verify().await;
    for finding in seen.keep(report).unwrap_or_default().findings {
        let complaint = format!("verify: {}: {}", finding.place, finding.problem);
        seen.complaints.push(complaint);
    }
    // A store that is damaged may say so at its close, too.
    let closed = store.close().await;
    seen.keep(closed);
}

async fn read_records(
    store: &dyn RegistryStore,
) -> Result<BTreeMap<String, (Revision, Hash)>, StoreError> {
    let mut records = BTreeMap::new();
    let mut pages = RecordPages::new(store);
    while let Some(page) = pages.next().await? {
        for record in page.records {
            let found = (record.modified, *record.image.hash());
            records.insert(record.key().to_string(), found);
        }
    }
    Ok(records)
}

async fn read_log(pages: &mut LogPages<'_>) -> Result<BTreeMap<Revision, Hash>, StoreError> {
    let mut log = BTreeMap::new();
    while let Some(page) = pages.next().await? {
        let entries = page.entries.iter();
        log.extend(entries.map(|entry| (entry.commit.revision, entry.hash)));
    }
    Ok(log)
}

/// A closed store, and what it answers.
struct Subject {
    backend: Backend,
    folder: PathBuf,
    answers: Seen,
    /// Its files with their sizes in bytes.
    files: Vec<(PathBuf, u64)>,
}

/// Flips so many bits, one at a time.
pub(crate) fn run(
    rig: &Rig,
    backend: Backend,
    flips: u64,
    seed: u64,
    report: &mut Report,
) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let subject = prepare(rig, backend, seed)?;
    let row = Row {
        backend: backend.to_string(),
        scenario: "bit_flips".to_owned(),
        model: "real".to_owned(),
    };
    for number in 0..flips {
        let (file, bit) = subject.choose(&mut rng);
        let folder = rig.folder("flipped")?;
        copy_folder(&subject.folder, &folder)?;
        flip(&folder.join(&file), bit)?;
        let is_read_only = rng.u8(..4) == 0;
        let problem = match see(rig, backend, &folder, is_read_only)? {
            Ok(answers) => answers.problem(&subject.answers),
            Err(ending) => Some((Verdict::Unopenable, ending)),
        };
        let verdict = problem.as_ref().map_or(Verdict::Sound, |found| found.0);
        report.count(&row, verdict);
        if let Some((verdict, detail)) = problem {
            let finding = Finding {
                row: row.clone(),
                verdict,
                detail,
                place: format!(
                    "bit {bit} of {}, flip {number}, seed {seed}",
                    file.display()
                ),
                again: format!("--backend {backend} --bit-flips {flips} --seed {seed}"),
                image: None,
            };
            copy_folder(&subject.folder, &folder)?;
            flip(&folder.join(&file), bit)?;
            report.find_in(finding, &folder)?;
        }
    }
    Ok(())
}

fn prepare(rig: &Rig, backend: Backend, seed: u64) -> Result<Subject> {
    let folder = rig.folder("closed")?;
    let ledger = Ledger::default();
    let script = Script {
        steps: 20,
        ..Scenario::Compact.script(backend)
    };
    let work = Work {
        backend: backend.to_string(),
        path: store(&folder, backend),
        script,
        seed,
        known: ledger.last.revision,
        task: Task::Commit,
    };
    let outcome = rig.work_and_kill(&work, |_| false)?;
    ensure!(outcome.is_done, "prepare a store: {}", outcome.complaint);
    let mut files = Vec::new();
    list(&folder, Path::new(""), &mut files)?;
    let copy = rig.folder("flipped")?;
    copy_folder(&folder, &copy)?;
    let answers = see(rig, backend, &copy, false)?;
    let answers = answers.map_err(anyhow::Error::msg)?;
    ensure!(
        answers.complaints.is_empty(),
        "a store that nothing disturbed complains: {:?}",
        answers.complaints
    );
    Ok(Subject {
        backend,
        folder,
        answers,
        files,
    })
}

fn store(folder: &Path, backend: Backend) -> PathBuf {
    folder.join(format!("registry.{}", backend.extension()))
}

fn see(
    rig: &Rig,
    backend: Backend,
    folder: &Path,
    is_read_only: bool,
) -> Result<Result<Seen, String>> {
    let look = Look {
        backend: backend.to_string(),
        path: store(folder, backend),
        is_read_only,
    };
    let (output, ending) = rig.ask(&Part::Look(look))?;
    let seen = serde_json::from_slice(&output);
    Ok(seen.map_err(|_| format!("the process that opens it {ending}")))
}

impl Subject {
    /// A bit of the files, each as likely as any other.
    fn choose(&self, rng: &mut fastrand::Rng) -> (PathBuf, u64) {
        let bytes: u64 = self.files.iter().map(|(_, bytes)| bytes).sum();
        let mut at = rng.u64(..bytes * 8);
        for (file, bytes) in &self.files {
            if at < bytes * 8 {
                return (file.clone(), at);
            }
            at -= bytes * 8;
        }
        unreachable!("the bit is below the sum of the sizes of {}", self.backend)
    }
}

impl Seen {
    /// What is wrong with these answers, where those of the sound store are known.
    fn problem(&self, sound: &Self) -> Option<(Verdict, String)> {
        let is_same_head = self.head.is_none() || self.head == sound.head;
        let is_same_records = self.records.is_none() || self.records == sound.records;
        let is_same_log = self.log.is_none() || self.log == sound.log;
        let complaints = self.complaints.join("; ");
        if !(is_same_head && is_same_records && is_same_log) {
            let detail = format!(
                "answers differ (head {is_same_head}, records {is_same_records}, log {is_same_log}), complaints: {complaints}"
            );
            return Some((Verdict::Wrong, detail));
        }
        None
    }
}

fn flip(path: &Path, bit: u64) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let at = usize::try_from(bit / 8)?;
    let byte = bytes.get_mut(at).context("the bit is in the file")?;
    *byte ^= 1 << (bit % 8);
    Ok(fs::write(path, bytes)?)
}

/// Lists the files below a folder, without lock files: they hold nothing.
fn list(root: &Path, below: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else if path.extension().is_none_or(|it| it != "lock") {
            files.push((path, entry.metadata()?.len()));
        }
    }
    files.sort();
    Ok(())
}
