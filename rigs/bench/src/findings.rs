//! What was measured, kept in files so that a page can be made of a run that was interrupted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::engine::{Committed, Replayed};
use crate::load::{Measured, Watched};
use crate::machine::Machine;

/// Records of the smaller data set.
pub(crate) const SMALL: u64 = 10_000;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Workload {
    Register,
    Lookup,
    /// Many under way on one connection.
    LookupPipelined,
    Beat,
    /// Many renewed by a message.
    BeatBatched,
    List,
    Watch,
    StartClean,
    StartKilled,
    MemorySmall,
    MemoryLarge,
    /// The program's file.
    Program,
    /// Appends to a file, each synced.
    Sync,
    /// Registrations without a socket.
    Commit,
    /// What a backend wrote for these, by its engine alone.
    Replay,
    /// Lookups without a socket, each of the view as it is then.
    Get,
    /// Lookups in one view.
    ViewGet,
    /// All leases once, in batches: CPU time.
    Renew,
    /// All leases once, one at a time: CPU time.
    RenewOne,
    /// What the driver does about leases in a second: CPU time.
    Ticks,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    Load(Measured),
    Watch(Watched),
    Seconds(f64),
    Bytes(u64),
    PerSecond(f64),
    Committed(Committed),
    Replayed(Replayed),
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) workload: Workload,
    /// The protocol, where it is not the subject's first.
    pub(crate) face: String,
    pub(crate) clients: usize,
    pub(crate) figure: Figure,
}

impl Point {
    /// Whether the other is of the same measurement.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let of = |point: &Self| (point.workload, point.clients);
        of(self) == of(other) && self.face == other.face
    }
}

/// All of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) subject: String,
    pub(crate) version: String,
    pub(crate) machine: Machine,
    /// Records of the larger data set.
    pub(crate) records: u64,
    pub(crate) seconds: f64,
    /// How often all of it was measured.
    pub(crate) rounds: usize,
    /// Why it was not measured.
    pub(crate) skipped: Option<String>,
    pub(crate) problems: Vec<String>,
    pub(crate) points: Vec<Point>,
}

impl Findings {
    pub(crate) fn find(&self, workload: Workload, face: &str, clients: usize) -> Option<&Figure> {
        let point = self.points.iter().find(|point| {
            point.workload == workload && point.face == face && point.clients == clients
        });
        point.map(|point| &point.figure)
    }

    /// A rate, where that was measured.
    pub(crate) fn rate(&self, workload: Workload, face: &str, clients: usize) -> Option<f64> {
        match self.find(workload, face, clients)? {
            Figure::Load(measured) => Some(measured.per_second),
            Figure::PerSecond(rate) => Some(*rate),
            _ => None,
        }
    }

    /// A size, in bytes.
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
    pub(crate) fn bytes(&self, workload: Workload) -> Option<f64> {
        match self.find(workload, "", 1)? {
            Figure::Bytes(bytes) => Some(*bytes as f64),
            _ => None,
        }
    }

    /// Bytes of memory for each record between the smaller and the larger data set.
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
    pub(crate) fn growth(&self) -> Option<f64> {
        let grown = self.bytes(Workload::MemoryLarge)? - self.bytes(Workload::MemorySmall)?;
        let records = self.records.checked_sub(SMALL).filter(|more| *more > 0)?;
        Some(grown / records as f64)
    }
}

/// Writes what is known of a subject.
pub(crate) fn keep(part: &str, findings: &Findings) -> Result<()> {
    let folder = folder(part);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let file = folder.join(format!("{}.json", findings.subject.replace(' ', "-")));
    let text = serde_json::to_vec_pretty(findings)?;
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))
}

/// What was kept of a part, by the names of subjects.
pub(crate) fn kept(part: &str) -> Result<Vec<Findings>> {
    let Ok(entries) = fs::read_dir(folder(part)) else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for entry in entries {
        let file = entry?.path();
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let read: Findings = serde_json::from_slice(&text).with_context(|| {
            format!(
                "read {}; remove it if it is of an older bench",
                file.display()
            )
        })?;
        all.push(read);
    }
    all.sort_by(|one, other| one.subject.cmp(&other.subject));
    Ok(all)
}

fn folder(part: &str) -> PathBuf {
    Path::new("target/bench").join(part)
}

/// Findings of a subject that was never measured.
#[cfg(test)]
pub(crate) fn of_test(subject: &str, points: Vec<Point>) -> Findings {
    Findings {
        subject: subject.to_owned(),
        version: String::new(),
        machine: Machine::default(),
        records: 1_000_000,
        seconds: 3.0,
        rounds: 1,
        skipped: None,
        problems: Vec::new(),
        points,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(records: u64, memory: &[(Workload, u64)]) -> Findings {
        let points = memory.iter().map(|(workload, bytes)| Point {
            workload: *workload,
            face: String::new(),
            clients: 1,
            figure: Figure::Bytes(*bytes),
        });
        Findings {
            records,
            ..of_test("", points.collect())
        }
    }

    #[test]
    fn growth_is_of_the_records_between_the_two_sizes() {
        let memory = [
            (Workload::MemorySmall, 5_000_000),
            (Workload::MemoryLarge, 95_000_000),
        ];
        assert_eq!(findings(100_000, &memory).growth(), Some(1000.0));
        assert_eq!(findings(SMALL, &memory).growth(), None);
        assert_eq!(findings(100_000, &memory[..1]).growth(), None);
    }
}
