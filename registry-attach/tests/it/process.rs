//! Another process with the path open: this test binary, started again with a part to play.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use registry_core::Revision;
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{apply, config, put, share};

const PATH: &str = "HARNESS_ATTACH_TEST_PATH";

/// A process that commits without end, and says what was acknowledged.
pub(crate) struct Committer {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Committer {
    pub(crate) fn start(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["--exact", "process::another_process_commits", "--nocapture"])
            .env(PATH, path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary can be started");
        let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Self { child, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next service and revision that were acknowledged to it.
    pub(crate) fn acknowledged(&mut self) -> (String, Revision) {
        loop {
            let mut line = String::new();
            let read = self
                .output
                .read_line(&mut line)
                .expect("its output is text");
            assert!(read > 0, "the other process ended");
            if let Some(said) = said(line.trim_end()) {
                return said;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Kills it as `kill -9` does, and answers the rest of what was acknowledged.
    pub(crate) fn kill(mut self) -> Vec<(String, Revision)> {
        self.child.kill().expect("the process is there");
        let mut rest = String::new();
        self.output
            .read_to_string(&mut rest)
            .expect("its output is text");
        self.child.wait().expect("it was started here");
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(said).collect()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(line: &str) -> Option<(String, Revision)> {
    let (name, revision) = line.strip_prefix("committed ")?.split_once(' ')?;
    Some((name.to_owned(), revision.parse().ok()?))
}

/// The part of the other process; nothing where this process was not started for it.
#[test]
fn another_process_commits() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let store = share(config(Path::new(&path))).expect("the path can be shared");
    let mut output = std::io::stdout();
    for number in 0_u64.. {
        let name = format!("child-{number}");
        let revision = apply(&store, put(&name, "1")).expect("a commit is acknowledged");
        writeln!(output, "committed {name} {revision}").expect("the parent listens");
        output.flush().expect("the parent listens");
    }
}
