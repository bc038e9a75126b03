//! The folder that everything happens in, and the processes that are started there.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::{Context as _, Result};
use registry_core::Anchor;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::check::{Check, Checked, Verdict};
use crate::disk::{Image, Model, Plan, Volume};
use crate::flips::Look;
use crate::mount::{self, Mounted};
use crate::told::{Shown, Told};
use crate::worker::Work;

/// How the folders of runs begin.
const FOLDER_PREFIX: &str = "powercut-run-";
/// Held as long as a run lives.
const LOCK: &str = "lock";
/// A process that is silent for so long hangs. Generous: it is no measure of speed.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// What a process of the rig is to do. It reads this from its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Work(Work),
    Check(Check),
    Look(Look),
}

/// The first argument of a process that plays a part.
pub(crate) const PART_ARGUMENT: &str = "part";

/// What the parent waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// A line of the worker.
    Told(Told),
    /// The worker's output ended.
    Ended,
    /// The operation came at which everything ends.
    Halted,
}

/// When a worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    /// When its disk halts.
    Halt,
    /// After so many replies.
    Shown(usize),
}

/// What a worker did and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) shown: Vec<Shown>,
    pub(crate) refused: Vec<String>,
    pub(crate) broken: Vec<String>,
    pub(crate) migrated: Option<Anchor>,
    pub(crate) is_done: bool,
    pub(crate) was_killed: bool,
    pub(crate) hangs: bool,
    /// What it wrote to its standard error.
    pub(crate) complaint: String,
}

impl Outcome {
    /// What is wrong where the worker ended before it was done and nobody killed it.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.hangs {
            return Some(format!("the worker hangs: {}", self.complaint));
        }
        let has_failed = !self.is_done && !self.was_killed;
        has_failed.then(|| format!("the worker failed: {}", self.complaint))
    }
}

/// A folder with a place to mount at.
#[derive(Debug)]
pub(crate) struct Rig {
    folder: TempDir,
    program: PathBuf,
    // Held while the folder is in use.
    _lock: File,
}

impl Rig {
    /// Makes the folder, and clears away what killed runs left.
    pub(crate) fn new() -> Result<Self> {
        clear_leftovers(&std::env::temp_dir());
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir()?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        fs::create_dir(folder.path().join("mount"))?;
        Ok(Self {
            folder,
            program: std::env::current_exe()?,
            _lock: lock,
        })
    }

    /// A folder of the real disk.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Where volumes are mounted.
    pub(crate) fn point(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Runs a worker on a volume until it is done or the volume halts, and kills it then.
    pub(crate) fn work(&self, volume: Volume, work: &Work) -> Result<(Volume, Outcome)> {
        let (events, waiting) = mpsc::channel();
        let mounted = Mounted::new(volume, &self.point(), Some(events.clone()))?;
        let outcome = self.run(work, (events, &waiting), Kill::Halt);
        Ok((mounted.unmount()?, outcome?))
    }

    /// Runs a worker on a real folder and kills it.
    pub(crate) fn work_and_kill(&self, work: &Work, kill: Kill) -> Result<Outcome> {
        let (events, waiting) = mpsc::channel();
        self.run(work, (events, &waiting), kill)
    }

    fn run(
        &self,
        work: &Work,
        (events, waiting): (Sender<Event>, &Receiver<Event>),
        kill: Kill,
    ) -> Result<Outcome> {
        let mut child = self.start(&Part::Work(work.clone()))?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A killed process may leave half a line.
                if let Ok(told) = serde_json::from_str(&line) {
                    let _ = events.send(Event::Told(told));
                }
            }
            let _ = events.send(Event::Ended);
        });
        let mut outcome = Outcome::default();
        loop {
            let must_die = match waiting.recv_timeout(SILENCE_MAX) {
                Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Event::Halted) => true,
                Ok(Event::Told(told)) => {
                    outcome.take(told);
                    matches!(kill, Kill::Shown(most) if outcome.shown.len() >= most)
                }
                Err(RecvTimeoutError::Timeout) => {
                    outcome.hangs = true;
                    true
                }
            };
            if must_die {
                outcome.was_killed = true;
                child.kill()?;
            }
        }
        child.wait()?;
        reader.join().expect("the reader does not panic");
        outcome.complaint = self.complaint();
        Ok(outcome)
    }

    /// Looks in a fresh process at what is left on a disk. The disk itself stays as it is.
    pub(crate) fn check(&self, image: Image, check: &Check) -> Result<Checked> {
        let volume = Volume::new(image, Model::Strict, Plan::default());
        let mounted = Mounted::new(volume, &self.point(), None)?;
        let checked = self.check_folder(check);
        mounted.unmount()?;
        checked
    }

    /// Looks in a fresh process at what is left in a folder.
    pub(crate) fn check_folder(&self, check: &Check) -> Result<Checked> {
        let (output, ended) = self.ask(&Part::Check(check.clone()))?;
        Ok(serde_json::from_slice(&output).unwrap_or_else(|_| {
            let detail = format!("the check {ended}: {}", self.complaint());
            Checked::failed(Verdict::Unopenable, detail)
        }))
    }

    /// Runs a process to its end, and answers what it printed and how it ended.
    pub(crate) fn ask(&self, part: &Part) -> Result<(Vec<u8>, String)> {
        let mut child = self.start(part)?;
        let mut output = child.stdout.take().context("its output is a pipe")?;
        let (sender, waiting) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut answer = Vec::new();
            // What is missing shows when it is parsed.
            let _ = std::io::Read::read_to_end(&mut output, &mut answer);
            let _ = sender.send(());
            answer
        });
        let hangs = waiting.recv_timeout(SILENCE_MAX).is_err();
        if hangs {
            child.kill()?;
        }
        let status = child.wait()?;
        let answer = reader.join().expect("the reader does not panic");
        Ok((answer, ending(hangs, status)))
    }

    fn start(&self, part: &Part) -> Result<Child> {
        let mut child = Command::new(&self.program)
            .arg(PART_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.folder.path().join("stderr"))?)
            .spawn()
            .context("start a process of the rig")?;
        let mut input = child.stdin.take().context("its input is a pipe")?;
        input.write_all(&serde_json::to_vec(part)?)?;
        Ok(child)
    }

    fn complaint(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
        text.trim().chars().take(2000).collect()
    }
}

impl Outcome {
    fn take(&mut self, told: Told) {
        match told {
            Told::Opened(_) => {}
            Told::Shown(shown) => self.shown.push(shown),
            Told::Refused(refusal) => self.refused.push(refusal),
            Told::Broken(promise) => self.broken.push(promise),
            Told::Migrated(head) => self.migrated = Some(head),
            Told::Done => self.is_done = true,
        }
    }
}

fn ending(hangs: bool, status: ExitStatus) -> String {
    if hangs {
        return "hangs".to_owned();
    }
    format!("ended with {status}")
}

/// Unmounts and removes the folders of runs that were killed.
fn clear_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_free = || File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if name.starts_with(FOLDER_PREFIX) && is_free() {
            // Nothing is mounted there where the run ended between two cuts.
            let _ = mount::unmount(&folder.join("mount"));
            let _ = fs::remove_dir_all(&folder);
        }
    }
}
