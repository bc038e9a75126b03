//! A server's process, with those that it starts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::now;

/// Time that a server has to end when it is asked to.
const STOP_MAX: Duration = Duration::from_secs(60);
/// The kernel tells CPU time in this unit, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);
/// Columns of `/proc/PID/stat` after the name of the program.
const PARENT: usize = 1;
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const CHILDREN_USER_TIME: usize = 13;
const CHILDREN_SYSTEM_TIME: usize = 14;

/// Killed with all that it started when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with what it prints in a file.
    pub(crate) fn start(command: Command, log: &Path) -> Result<Self> {
        let mut command = dying_with_us(command);
        let file = File::create(log).with_context(|| format!("make {}", log.display()))?;
        // A group of its own: what interrupts the bench is not for the server.
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// # Errors
    /// It ended, with the last that it printed.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        bail!("the server ended with {status}: {}", last.join(" / "))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(self.pid(), Signal::TERM).context("ask the server to end")?;
        let begin = now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                now().duration_since(begin) < STOP_MAX,
                "the server did not end within {STOP_MAX:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Resident memory. Of several processes that share some, each page counts once.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let tree = self.tree();
        let (file, field) = if tree.len() > 1 {
            ("smaps_rollup", "Pss:")
        } else {
            ("status", "VmRSS:")
        };
        let mut sum = 0;
        for pid in tree {
            // One that ended meanwhile has none.
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            sum += kibibytes(&text, field) * 1024;
        }
        ensure!(sum > 0, "expected some resident memory, found none");
        Ok(sum)
    }

    /// CPU time so far, of all its threads and processes.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let root = self.child.id();
        let mut ticks = 0;
        for pid in self.tree() {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            ticks += stat(&text, USER_TIME)? + stat(&text, SYSTEM_TIME)?;
            if pid == root {
                ticks += stat(&text, CHILDREN_USER_TIME)? + stat(&text, CHILDREN_SYSTEM_TIME)?;
            }
        }
        Ok(TICK * u32::try_from(ticks).context("CPU time fits")?)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The process and all below it.
    fn tree(&self) -> Vec<u32> {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Ok(parent) = stat(&text, PARENT) {
                let parent = u32::try_from(parent).unwrap_or_default();
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = tree.get(next) {
            tree.extend(children.remove(pid).unwrap_or_default());
            next += 1;
        }
        tree
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // The children first would be noticed by their parent.
        for pid in self.tree() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // One that has ended already is as good.
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = self.child.wait();
    }
}

/// The command, killed by the kernel when the bench itself is killed and cannot do it; where there is no `setpriv`, as
/// it is.
fn dying_with_us(command: Command) -> Command {
    let Some(setpriv) = super::program("setpriv", &[]) else {
        return command;
    };
    let mut wrapped = Command::new(setpriv);
    wrapped.args(["--pdeathsig", "KILL", "--"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

/// A column of `/proc/PID/stat`, counted from the one after the program's name, which may have spaces itself.
fn stat(text: &str, column: usize) -> Result<u64> {
    let (_, columns) = text.rsplit_once(')').context("a program in brackets")?;
    let column = columns.split_whitespace().nth(column);
    Ok(column.context("so many columns")?.parse()?)
}

fn kibibytes(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_follow_a_name_with_spaces() {
        let text = "12 (a ) b) S 7 12 12 0 -1 4194560 1 0 0 0 31 17 2 3 20 0 1 0 5 6 7";
        assert_eq!(stat(text, PARENT).unwrap(), 7);
        assert_eq!(stat(text, USER_TIME).unwrap(), 31);
        assert_eq!(stat(text, CHILDREN_SYSTEM_TIME).unwrap(), 3);
        assert!(stat("12 (a) S 7", USER_TIME).is_err());
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t  512 kB\n", "VmRSS:"), 512);
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS:"), 0);
    }

    #[test]
    fn dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]);
        let process = Process::start(command, &folder.path().join("log")).unwrap();
        let tree = loop {
            let tree = process.tree();
            if tree.len() > 1 {
                break tree;
            }
        };
        drop(process);
        let begin = now();
        // Those that it left behind are collected by another.
        let is_alive = |pid: &u32| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        while tree.iter().any(is_alive) {
            assert!(
                now().duration_since(begin) < Duration::from_secs(10),
                "{tree:?}"
            );
        }
    }
}
