//! What no registry on this machine can pass: the disk's own rate, and HTTP with a handler that does nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::findings::{Figure, Findings, Point, Workload};
use crate::interrupt;
use crate::load::{Course, SILENCE_MAX, Work, now};
use crate::session::Plan;
use crate::subject::{Bare, Running};

/// Bytes of an append: a record with its frame.
const APPEND_BYTES: usize = 400;
/// Writers that append at the same time, each to a file of its own.
pub(crate) const WRITERS: [usize; 2] = [1, 16];

/// Measures how often a second appends are synced.
pub(crate) fn disk(plan: &Plan, folder: &Path, findings: &mut Findings) -> Result<()> {
    for writers in WRITERS {
        interrupt::check()?;
        let counted: Result<Vec<u64>> = thread::scope(|scope| {
            let started: Vec<_> = (0..writers)
                .map(|number| {
                    let file = folder.join(format!("{writers}-{number}"));
                    scope.spawn(move || append(&file, plan.time))
                })
                .collect();
            let joined = started.into_iter().map(|writer| {
                let joined = writer.join();
                joined.map_err(|_| anyhow::anyhow!("a writer panicked"))?
            });
            joined.collect()
        });
        let sum: u64 = counted?.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
        let per_second = sum as f64 / plan.time.as_secs_f64();
        findings.points.push(Point {
            workload: Workload::Sync,
            face: String::new(),
            clients: writers,
            figure: Figure::PerSecond(per_second),
        });
    }
    Ok(())
}

fn append(file: &Path, time: Duration) -> Result<u64> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(file)
        .context("make a file to append to")?;
    let begin = now();
    let mut appended = 0;
    while now().duration_since(begin) < time && !interrupt::is_interrupted() {
        file.write_all(&[b'x'; APPEND_BYTES])?;
        file.sync_data().context("sync an append")?;
        appended += 1;
    }
    Ok(appended)
}

/// Measures lookups from a handler that always has the same answer.
pub(crate) fn bare(
    answer_bytes: usize,
    plan: &Plan,
    folder: &Path,
    findings: &mut Findings,
) -> Result<()> {
    let bare = Bare { answer_bytes };
    let running = Running::new(&bare, folder)?;
    for clients in &plan.clients {
        let course = Course {
            clients: *clients,
            depth: 1,
            warm: plan.time / 6,
            time: Some(plan.time),
            silence_max: SILENCE_MAX,
        };
        let mut work = |_| Some(Work::Lookup(1));
        let measured = running.drive("", course, &mut work)?;
        findings.points.push(Point {
            workload: Workload::Lookup,
            face: String::new(),
            clients: *clients,
            figure: Figure::Load(measured),
        });
    }
    Ok(())
}
