//! Other processes: the test binary starts itself again, with a part to play.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use registry_core::Revision;

use crate::case::{Failure, Verdict, chain};
use crate::fixture::put;
use crate::handle::Handle;
use crate::subject::Opener;

const PART: &str = "HARNESS_CONFORMANCE_PART";
const FOLDER: &str = "HARNESS_CONFORMANCE_FOLDER";

/// What another process does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Opens it, says so, and holds it until its input ends.
    Hold,
    /// Opens it and commits without end, saying each revision that was acknowledged.
    Commit,
}

impl Part {
    const ALL: [Self; 2] = [Self::Hold, Self::Commit];

    fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Commit => "commit",
        }
    }
}

/// The name of the n-th service that [`Part::Commit`] puts. A few names, so that most commits change a record.
pub(crate) fn service(revision: Revision) -> String {
    format!("service-{}", revision.0 % 50)
}

/// Another process with the store open. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one on the store in a folder.
    pub(crate) fn start(part: Part, folder: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(PART, part.name())
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("its output is a pipe");
        Ok(Self {
            input: child.stdin.take(),
            output: BufReader::new(output),
            child,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next revision that it says.
    pub(crate) fn acknowledged(&mut self) -> Result<Revision, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim_end()
            .parse()
            .map_err(|_| Failure::new(format!("the other process ended, it said {line:?}")))
    }

    /// Kills it as `kill -9` does, and answers the last whole revision that it said, if any.
    pub(crate) fn kill(mut self) -> Result<Option<Revision>, Failure> {
        self.child.kill()?;
        let mut rest = String::new();
        self.output.read_to_string(&mut rest)?;
        self.child.wait()?;
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole.lines().last().and_then(|line| line.parse().ok()))
    }

    /// Lets it end in peace.
    pub(crate) fn end(mut self) -> Verdict {
        drop(self.input.take());
        let status = self.child.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the other process ended with {status}"
        )))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the part of another process, where this process was started for one.
pub(crate) fn run_if_child(opener: &Opener) {
    let Ok(name) = std::env::var(PART) else {
        return;
    };
    let part = Part::ALL.into_iter().find(|part| part.name() == name);
    let folder = std::env::var_os(FOLDER);
    let (Some(part), Some(folder)) = (part, folder) else {
        panic!("{PART} and {FOLDER} are for the suite itself");
    };
    let code = match play(part, opener, Path::new(&folder)) {
        Ok(()) => 0,
        Err(failure) => {
            // Nobody to tell where stderr is closed.
            let _ = writeln!(std::io::stderr(), "{failure:?}");
            1
        }
    };
    std::process::exit(code)
}

fn play(part: Part, opener: &Opener, folder: &Path) -> Verdict {
    let store = Handle::new(opener(folder)?);
    let mut output = std::io::stdout();
    let mut say = |revision: Revision| {
        writeln!(output, "{revision}")?;
        output.flush()
    };
    match part {
        Part::Hold => {
            say(store.revision()?)?;
            std::io::stdin().read_to_end(&mut Vec::new())?;
            store.close()?;
            Ok(())
        }
        Part::Commit => loop {
            let next = store.revision()?.next();
            let revision = store.apply(put(&service(next), &next.to_string()))?;
            say(revision).map_err(|error| Failure::new(chain(&error)))?;
        },
    }
}
