//! A server that is up, with its folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::interrupt;
use crate::load::{Dialogue, Work, ask, now};
use crate::subject::{Process, Subject, free_address};

/// Time that a server has to be ready.
const READY_MAX: Duration = Duration::from_secs(90);
/// A server that is not up yet may take a connection and never answer it.
const PROBE_MAX: Duration = Duration::from_secs(1);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) struct Running<'a> {
    pub(crate) subject: &'a dyn Subject,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl<'a> Running<'a> {
    /// Lays a new folder out, and starts the server on it.
    pub(crate) fn new(subject: &'a dyn Subject, folder: &Path) -> Result<Self> {
        subject.lay_out(folder)?;
        Ok(Self::start(subject, folder, Work::Prepare)?.0)
    }

    /// Starts the server, and waits until it has done that work. Answers how long that took.
    pub(crate) fn start(
        subject: &'a dyn Subject,
        folder: &Path,
        probe: Work,
    ) -> Result<(Self, Duration)> {
        let address = free_address()?;
        let command = subject.command(folder, address)?;
        let begin = now();
        let process = Process::start(command, &folder.join("printed"))?;
        let mut running = Self {
            subject,
            process,
            address,
            folder: folder.to_owned(),
        };
        loop {
            let asked = ask(address, &|| subject.dialogue(address), &[probe], PROBE_MAX);
            let elapsed = now().duration_since(begin);
            let Err(error) = asked else {
                return Ok((running, elapsed));
            };
            interrupt::check()?;
            running.process.check()?;
            if elapsed > READY_MAX {
                return Err(error).with_context(|| format!("not ready within {READY_MAX:?}"));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Ends it in order, and starts it again.
    pub(crate) fn restart(self, probe: Work) -> Result<(Self, Duration)> {
        self.process.stop()?;
        Self::start(self.subject, &self.folder, probe)
    }

    /// Kills it, and starts it again.
    pub(crate) fn start_after_kill(self, probe: Work) -> Result<(Self, Duration)> {
        drop(self.process);
        Self::start(self.subject, &self.folder, probe)
    }

    /// Its protocols: the first, and others.
    pub(crate) fn faces(&self) -> Vec<&'static str> {
        let mut faces = vec![""];
        faces.extend(self.subject.others());
        faces
    }

    pub(crate) fn dialogue(&self, face: &str) -> Box<dyn Dialogue> {
        if face.is_empty() {
            self.subject.dialogue(self.address)
        } else {
            self.subject.other(face, self.address)
        }
    }

    /// # Errors
    /// It ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        interrupt::check()?;
        if let Err(ended) = self.process.check() {
            bail!("{ended:#}");
        }
        Ok(())
    }
}
