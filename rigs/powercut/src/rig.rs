//! The folder that everything happens in, and the processes that are started there.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::check::{Check, Checked, Verdict};
use crate::disk::{Image, Model, Plan, Volume};
use crate::flips::Look;
use crate::mount::{self, Mounted};
use crate::process::{Event, Outcome, Process, SILENCE_MAX, read_complaint};
use crate::worker::Work;

/// How the folders of runs begin.
const FOLDER_PREFIX: &str = "powercut-run-";
/// Held as long as a run lives.
const LOCK: &str = "lock";
/// Where volumes are mounted.
const MOUNT: &str = "mount";

/// What a process of the rig is to do. It reads this from its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Work(Work),
    Check(Check),
    Look(Look),
    /// Clears the folder of a run away. The input ends with the run, and the part is played then.
    Clear(PathBuf),
}

/// The first argument of a process that plays a part.
pub(crate) const PART_ARGUMENT: &str = "part";

/// An owner of a store that is killed, and who takes the store over from it.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) owner: Work,
    pub(crate) heir: Work,
    /// The owner is killed after so many replies to the heir.
    pub(crate) replies: usize,
    /// What becomes of the operations from the kill on.
    pub(crate) plan: Plan,
}

/// A folder with a place to mount at.
#[derive(Debug)]
pub(crate) struct Rig {
    folder: TempDir,
    program: PathBuf,
    // Held while the folder is in use.
    _lock: File,
    // Waits for the end of this process, however it ends.
    _cleaner: Child,
}

impl Rig {
    /// Makes the folder, and clears away what killed runs left.
    pub(crate) fn new() -> Result<Self> {
        clear_leftovers(&std::env::temp_dir());
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir()?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        fs::create_dir(folder.path().join(MOUNT))?;
        let program = std::env::current_exe()?;
        Ok(Self {
            _lock: lock,
            _cleaner: start_cleaner(&program, folder.path())?,
            folder,
            program,
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
        self.folder.path().join(MOUNT)
    }

    /// Runs a worker on a volume until it is done or the volume halts, and kills it then.
    pub(crate) fn work(&self, volume: Volume, work: &Work) -> Result<(Volume, Outcome)> {
        let events = mpsc::channel();
        let mounted = Mounted::new(volume, &self.point(), Some(events.0.clone()))?;
        let outcome = self.start_worker(work, events).and_then(Process::finish);
        Ok((mounted.unmount()?, outcome?))
    }

    /// Runs a worker on a real folder, and kills it once it told of enough.
    pub(crate) fn work_and_kill(
        &self,
        work: &Work,
        is_enough: impl Fn(&Outcome) -> bool,
    ) -> Result<Outcome> {
        let mut worker = self.start_worker(work, mpsc::channel())?;
        worker.follow(is_enough)?;
        if !worker.has_ended() {
            worker.kill()?;
        }
        worker.finish()
    }

    /// Runs two workers on the store of a volume, kills its owner, and the other one where the volume halts. Answers
    /// what the owner did, and what the other one did.
    pub(crate) fn take_over(
        &self,
        volume: Volume,
        takeover: Takeover,
    ) -> Result<(Volume, [Outcome; 2])> {
        let events = mpsc::channel();
        let mounted = Mounted::new(volume, &self.point(), Some(events.0.clone()))?;
        let outcomes = self.take_over_on(&mounted, takeover, events);
        Ok((mounted.unmount()?, outcomes?))
    }

    fn take_over_on(
        &self,
        mounted: &Mounted,
        takeover: Takeover,
        events: (Sender<Event>, Receiver<Event>),
    ) -> Result<[Outcome; 2]> {
        let mut owner = self.start_worker(&takeover.owner, mpsc::channel())?;
        owner.follow(|owner| owner.replies.is_some())?;
        let mut heir = self.start_worker(&takeover.heir, events)?;
        heir.follow(|heir| heir.replies >= Some(takeover.replies))?;
        // The disk stands still between the kill and the count: what comes after was under way.
        mounted.with_volume(|volume| {
            volume.resume(takeover.plan);
            // One that ended by itself did not do its part.
            if owner.is_alive()? {
                owner.kill()?;
            }
            anyhow::Ok(())
        })?;
        let heir = heir.finish()?;
        Ok([owner.finish()?, heir])
    }

    fn start_worker(
        &self,
        work: &Work,
        events: (Sender<Event>, Receiver<Event>),
    ) -> Result<Process> {
        let (child, complaint) = self.start(&Part::Work(work.clone()))?;
        Process::new(child, complaint, events)
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
            let detail = format!("the check {ended}");
            Checked::failed(Verdict::Unopenable, detail)
        }))
    }

    /// Runs a process to its end, and answers what it printed and how it ended, with its complaint.
    pub(crate) fn ask(&self, part: &Part) -> Result<(Vec<u8>, String)> {
        let (mut child, mut complaint) = self.start(part)?;
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
        let complaint = read_complaint(&mut complaint);
        Ok((answer, format!("{}: {complaint}", ending(hangs, status))))
    }

    /// Starts a process, and answers it with its standard error.
    fn start(&self, part: &Part) -> Result<(Child, File)> {
        let complaint = tempfile::tempfile_in(self.folder.path())?;
        let mut child = Command::new(&self.program)
            .arg(PART_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaint.try_clone()?)
            .spawn()
            .context("start a process of the rig")?;
        let mut input = child.stdin.take().context("its input is a pipe")?;
        input.write_all(&serde_json::to_vec(part)?)?;
        Ok((child, complaint))
    }
}

fn ending(hangs: bool, status: ExitStatus) -> String {
    if hangs {
        return "hangs".to_owned();
    }
    format!("ended with {status}")
}

/// Clears the folders of ended runs away, which nobody else did.
fn clear_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_free = || File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if name.starts_with(FOLDER_PREFIX) && is_free() {
            clear(&folder);
        }
    }
}

/// Unmounts what a run left mounted, and removes its folder.
pub(crate) fn clear(folder: &Path) {
    // Nothing is mounted there where the run ended between two cuts, and nothing is there where it ended well.
    let _ = mount::unmount(&folder.join(MOUNT));
    let _ = fs::remove_dir_all(folder);
}

/// Starts a process that clears a folder away once this one has ended.
fn start_cleaner(program: &Path, folder: &Path) -> Result<Child> {
    let mut child = Command::new(program)
        .arg(PART_ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // What a terminal interrupts is the run, not this.
        .process_group(0)
        .spawn()
        .context("start the process that clears away")?;
    let input = child.stdin.as_mut().context("its input is a pipe")?;
    input.write_all(&serde_json::to_vec(&Part::Clear(folder.to_path_buf()))?)?;
    Ok(child)
}
