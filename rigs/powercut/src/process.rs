//! A worker's process as its parent sees it: what it tells, and how it ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use registry_core::Anchor;

use crate::told::{Shown, Told};

/// A process that is silent for so long hangs. Generous: it is no measure of speed.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(120);
/// What is read of a process's standard error, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 4 * 1024;

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

/// What a worker did and how it ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) shown: Vec<Shown>,
    /// How many of those were replies; none before the store is open.
    pub(crate) replies: Option<usize>,
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

    fn take(&mut self, told: Told) {
        match told {
            Told::Opened => self.replies = Some(0),
            Told::Shown(shown) => {
                self.shown.push(shown);
                self.replies = self.replies.map(|replies| replies + 1);
            }
            Told::Refused(refusal) => self.refused.push(refusal),
            Told::Broken(promise) => self.broken.push(promise),
            Told::Migrated(head) => self.migrated = Some(head),
            Told::Done => self.is_done = true,
        }
    }
}

/// A worker that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    complaint: File,
    events: Receiver<Event>,
    has_ended: bool,
    outcome: Outcome,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Listens to a worker. Its disk may have the other sender, to tell that it halted.
    pub(crate) fn new(
        mut child: Child,
        complaint: File,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Result<Self> {
        let output = child.stdout.take().context("its output is a pipe")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A killed process may leave half a line.
                if let Ok(told) = serde_json::from_str(&line) {
                    let _ = sender.send(Event::Told(told));
                }
            }
            let _ = sender.send(Event::Ended);
        });
        Ok(Self {
            child,
            complaint,
            events,
            has_ended: false,
            outcome: Outcome::default(),
        })
    }

    /// Takes in what it tells, until that is enough or it ends. It is killed where its disk halts.
    pub(crate) fn follow(&mut self, is_enough: impl Fn(&Outcome) -> bool) -> Result<()> {
        while !self.has_ended && !is_enough(&self.outcome) {
            match self.events.recv_timeout(SILENCE_MAX) {
                Ok(Event::Told(told)) => self.outcome.take(told),
                Ok(Event::Halted) => self.kill()?,
                Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected) => self.has_ended = true,
                Err(RecvTimeoutError::Timeout) => {
                    self.outcome.hangs = true;
                    self.kill()?;
                }
            }
        }
        Ok(())
    }

    /// Whether it ended, as far as it was followed.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether it runs still.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Kills it as `kill -9` does. It may live on for a moment.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.outcome.was_killed = true;
        Ok(self.child.kill()?)
    }

    /// Takes in everything until it ends.
    pub(crate) fn finish(mut self) -> Result<Outcome> {
        self.follow(|_| false)?;
        self.child.wait()?;
        self.outcome.complaint = read_complaint(&mut self.complaint);
        Ok(std::mem::take(&mut self.outcome))
    }
}

/// What an ended process wrote to its standard error, as much as is kept of it.
pub(crate) fn read_complaint(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(COMPLAINT_BYTES_MAX).read_to_end(&mut text));
    match read {
        Ok(_) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) => format!("its standard error cannot be read: {error}"),
    }
}
