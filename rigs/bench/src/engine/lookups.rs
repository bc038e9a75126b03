//! Lookups by threads of the same process, out of a store in memory: what they find is always in the view, whatever the
//! backend.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use futures_lite::future::block_on;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{Record, SystemClock};

use super::commits::per_second;
use super::entries::entry;
use super::filled::filled;
use crate::findings::{Figure, Findings, Point, SMALL, Workload};
use crate::interrupt;
use crate::load::now;
use crate::record::{NAME_BYTES, Records, write_name};
use crate::session::Plan;

/// Sets of services, as points name them.
pub(crate) const FACES: [&str; 2] = ["small", "large"];
/// Numbers of threads that look up at the same time.
pub(crate) const THREADS: [usize; 2] = [1, 2];
/// Lookups between two looks at the clock.
const LOOKUPS_AT_ONCE: usize = 1024;
/// Has no factor in common with the numbers of services that are usual, and takes neighbours far from each other.
const STRIDE: u64 = 7919;

/// Services in each set of a run with so many records.
pub(crate) fn sizes(records: u64) -> [u64; 2] {
    [SMALL.min(records), records]
}

/// Measures lookups by both calls in each set, with each number of threads.
pub(super) fn measure(plan: &Plan, _folder: &Path, findings: &mut Findings) -> Result<()> {
    for (face, services) in FACES.into_iter().zip(sizes(plan.records)) {
        let records = Records::new();
        let store =
            filled((0..services).map(|number| Ok(Record::Service(entry(&records, number)?))))?;
        let clock = Arc::new(SystemClock::new());
        // It has nothing to drive: nobody registers.
        let (registry, _driver) = block_on(Registry::open(store, EngineConfig::default(), clock))?;
        let names = Names::of(services);
        for threads in THREADS {
            for workload in [Workload::Get, Workload::ViewGet] {
                interrupt::check()?;
                let rate = rate(&registry, &names, workload, threads, plan.time)?;
                findings.points.push(Point {
                    workload,
                    face: face.to_owned(),
                    clients: threads,
                    figure: Figure::PerSecond(rate),
                });
            }
        }
    }
    Ok(())
}

/// Sum of the rates of threads that begin together, each at another name.
fn rate(
    registry: &Registry,
    names: &Names,
    workload: Workload,
    threads: usize,
    time: Duration,
) -> Result<f64> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|number| {
                let barrier = &barrier;
                let begin = number * names.count / threads;
                scope.spawn(move || {
                    barrier.wait();
                    block_on(look_up(registry, names.beginning_at(begin), workload, time))
                })
            })
            .collect();
        let rates = started
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        rates.sum()
    })
}

/// Looks names up for a time, after a sixth of it that is not counted.
async fn look_up<'n>(
    registry: &Registry,
    mut names: impl Iterator<Item = &'n str>,
    workload: Workload,
    time: Duration,
) -> Result<f64> {
    let view = registry.stale_view();
    let mut begin = now();
    let mut end = begin + time / 6;
    let mut count = 0;
    let mut is_warm = false;
    loop {
        for name in names.by_ref().take(LOOKUPS_AT_ONCE) {
            let is_there = if workload == Workload::Get {
                black_box(registry.get(name).await?).is_some()
            } else {
                black_box(view.get(name)).is_some()
            };
            ensure!(is_there, "expected the service {name}, found none");
        }
        count += LOOKUPS_AT_ONCE as u64;
        let time_now = now();
        if time_now < end {
            continue;
        }
        if is_warm {
            return Ok(per_second(count, time_now - begin));
        }
        interrupt::check()?;
        (is_warm, count) = (true, 0);
        (begin, end) = (time_now, time_now + time);
    }
}

/// Names in the order in which they are asked for, side by side, so that reading them costs little.
struct Names {
    text: String,
    count: usize,
}

impl Names {
    fn of(services: u64) -> Self {
        let mut bytes = Vec::new();
        let mut number = 0;
        for _ in 0..services {
            write_name(number, &mut bytes);
            number = (number + STRIDE) % services;
        }
        Self {
            count: bytes.len() / NAME_BYTES,
            text: String::from_utf8(bytes).expect("names are ASCII"),
        }
    }

    /// All of them again and again, from one on.
    fn beginning_at(&self, begin: usize) -> impl Iterator<Item = &str> {
        let order = (begin..self.count).chain(0..begin).cycle();
        order.map(|place| &self.text[place * NAME_BYTES..][..NAME_BYTES])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_asked_for_once_a_round() {
        let names = Names::of(1000);
        let round: BTreeSet<&str> = names.beginning_at(500).take(1000).collect();
        assert_eq!(round.len(), 1000);
        assert_eq!(names.beginning_at(500).nth(500), Some("bench-000000000"));
        assert_eq!(names.beginning_at(0).nth(1), Some("bench-000000919"));
    }

    #[test]
    fn small_set_is_no_larger_than_the_large_one() {
        assert_eq!(sizes(1_000_000), [10_000, 1_000_000]);
        assert_eq!(sizes(500), [500, 500]);
    }
}
