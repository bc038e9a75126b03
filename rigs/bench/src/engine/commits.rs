//! Registrations by callers in the same process: the registry through its driver.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use futures_util::stream::FuturesUnordered;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{RegistryStore, SystemClock};
use serde::{Deserialize, Serialize};

use super::entries::Stock;
use super::{cpu, groups};
use crate::interrupt;
use crate::load::now;
use crate::percentiles::{Latencies, Percentiles};

/// Entries at hand while the rate is not known.
const WARM_ENTRIES: usize = 1000;
/// Most entries that are made before the time is taken: some 700 MB. A store that takes more of them in the time is
/// measured for a shorter one.
const ENTRIES_MAX: f64 = 500_000.0;
/// What is made beside what the rate asks for.
const ENTRIES_SPARE: f64 = 2.0;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) per_second: f64,
    /// Mean size of a group.
    pub(crate) group_commands: f64,
    /// CPU time of the whole process for each, callers included.
    pub(crate) cpu_us: f64,
    pub(crate) latency: Percentiles,
}

/// Has callers register new services for a time over a store, which is closed then. A sixth of the time before it is not
/// counted.
///
/// # Errors
/// The first registration that is refused, or a store that does not open or close.
pub(super) fn measure(
    store: Arc<dyn RegistryStore>,
    callers: usize,
    time: Duration,
) -> Result<Committed> {
    let clock = Arc::new(SystemClock::new());
    let (registry, driver) = block_on(Registry::open(store, EngineConfig::default(), clock))?;
    let driver = thread::spawn(move || driver.run_blocking());
    let committed = block_on(call(&registry, callers, time));
    registry.begin_close();
    let ended = driver.join().map_err(|_| anyhow!("the driver panicked"))?;
    let committed = committed?;
    ended.context("close the store")?;
    Ok(committed)
}

async fn call(registry: &Registry, callers: usize, time: Duration) -> Result<Committed> {
    let stock = RefCell::new(Stock::new());
    let mut warm = Vec::new();
    let spent = |warm: &[Pass]| warm.iter().map(|pass| pass.took).sum::<Duration>();
    while spent(&warm) < time / 6 {
        stock.borrow_mut().fill(WARM_ENTRIES)?;
        let rest = (time / 6).saturating_sub(spent(&warm));
        warm.push(pass(registry, callers, &stock, rest).await?);
    }
    let done: u64 = warm.iter().map(|pass| pass.latency.count).sum();
    let rate = per_second(done, spent(&warm));
    stock.borrow_mut().fill(entries_for(rate, time))?;
    let groups_before = registry.group_commands();
    let cpu_before = cpu::of_process();
    let Pass { latency, took } = pass(registry, callers, &stock, time).await?;
    let cpu = cpu::of_process().saturating_sub(cpu_before);
    let group_commands = groups::mean(&groups_before, &registry.group_commands());
    Ok(Committed {
        per_second: per_second(latency.count, took),
        group_commands: group_commands.context("not one group was committed")?,
        cpu_us: cpu::micros_each(cpu, latency.count),
        latency,
    })
}

/// How many entries a measurement needs at hand.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is bounded"
)]
fn entries_for(rate: f64, time: Duration) -> usize {
    let wanted = rate * time.as_secs_f64() * ENTRIES_SPARE;
    wanted.min(ENTRIES_MAX).ceil() as usize
}

/// A rate.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
pub(super) fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

struct Pass {
    latency: Percentiles,
    took: Duration,
}

/// Has all callers register until the time is over or there is no entry left. They share one thread.
async fn pass(
    registry: &Registry,
    callers: usize,
    stock: &RefCell<Stock>,
    time: Duration,
) -> Result<Pass> {
    let latencies = RefCell::new(Latencies::new());
    let begin = now();
    let mut all: FuturesUnordered<_> = (0..callers)
        .map(|_| register(registry, stock, &latencies, begin + time))
        .collect();
    while let Some(done) = all.next().await {
        done?;
    }
    let took = now() - begin;
    drop(all);
    let latency = latencies.into_inner().percentiles();
    Ok(Pass { latency, took })
}

/// One caller: its next registration begins when it has the answer.
async fn register(
    registry: &Registry,
    stock: &RefCell<Stock>,
    latencies: &RefCell<Latencies>,
    end: Instant,
) -> Result<()> {
    loop {
        let entry = stock.borrow_mut().take();
        let Some(entry) = entry else {
            return Ok(());
        };
        let begun = now();
        registry.register(entry).await?;
        let time = now();
        latencies.borrow_mut().note(time - begun);
        interrupt::check()?;
        if time >= end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use registry_core::MemoryStore;

    use super::*;

    #[test]
    fn entries_follow_the_rate_up_to_a_bound() {
        let second = Duration::from_secs(1);
        assert_eq!(entries_for(10_000.0, second), 20_000);
        assert_eq!(entries_for(10_000_000.0, second), 500_000);
    }

    #[test]
    fn groups_are_no_larger_than_there_are_callers() {
        let store = Arc::new(MemoryStore::new());
        let committed = measure(store, 4, Duration::from_millis(12)).unwrap();
        assert!(committed.latency.count > 0);
        assert!((1.0..=4.0).contains(&committed.group_commands));
        assert!(committed.per_second > 0.0 && committed.cpu_us > 0.0);
    }
}
