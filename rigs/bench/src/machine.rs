//! The machine and the tree that figures are of.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// File system of the folder that the servers write to.
    pub(crate) file_system: String,
    /// Load average of a minute, before.
    pub(crate) load: String,
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) profile: String,
}

impl Machine {
    /// Looks at this one, with the folder that is measured in.
    pub(crate) fn look(folder: &Path) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let meminfo = read("/proc/meminfo");
        let memory: u64 = value(&meminfo, "MemTotal").and_then(number).unwrap_or(0);
        let load = read("/proc/loadavg");
        Self {
            cpu: value(&cpuinfo, "model name")
                .unwrap_or("unknown")
                .to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(folder),
            load: load.split(' ').next().unwrap_or("unknown").to_owned(),
            commit: commit(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            profile: profile(),
        }
    }

    /// As a page says it.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "Measured on {} at commit {}: {} CPUs ({}), {} MiB of memory, Linux {}, {}, {}; load average before: {}.",
            self.date,
            self.commit,
            self.cpus,
            self.cpu,
            self.memory_mib,
            self.kernel,
            self.file_system,
            self.profile,
            self.load
        )
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The value of a line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn number(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

/// Kind and device of the mount that a folder lies on.
fn file_system(folder: &Path) -> String {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = read("/proc/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut columns = line.split(' ');
        let device = columns.next()?;
        let place = columns.next()?;
        let kind = columns.next()?;
        folder
            .starts_with(place)
            .then_some((place.len(), device, kind))
    });
    // The last of the deepest covers the others.
    mounts.max_by_key(|(length, ..)| *length).map_or_else(
        || "unknown file system".to_owned(),
        |(_, device, kind)| format!("{kind} on {device}"),
    )
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let commit = git(&["log", "-1", "--format=%h"]);
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs"]);
    if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    }
}

fn profile() -> String {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let profile = if cfg!(debug_assertions) {
        "not optimised"
    } else {
        "release profile"
    };
    if flags.is_empty() {
        profile.to_owned()
    } else {
        format!("{profile} with `{flags}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nMemTotal:  2048 kB\n";
        assert_eq!(value(text, "model name"), Some("Some CPU"));
        assert_eq!(value(text, "MemTotal").and_then(number), Some(2048));
        assert_eq!(value(text, "model"), None);
    }
}
