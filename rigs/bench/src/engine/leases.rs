//! What leases cost while they stand: their renewals, and the ticks of the driver.
//!
//! Time is moved by hand, a step of 100 ms after the other, so that a minute of leases takes as long as its work. Each step
//! renews the hundredth part that is next, so that every lease is renewed every 10 s.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use futures_lite::future::block_on;
use registry_core::engine::{Context, EngineConfig, Heartbeat, Registry};
use registry_core::model::InstanceSpec;
use registry_core::{Record, Revision, Span, Timestamp};

use super::filled::filled;
use super::steps::Steps;
use super::{cpu, point};
use crate::findings::{Figure, Findings, Workload};
use crate::interrupt;
use crate::session::Plan;

/// How long a lease lasts.
pub(crate) const TTL_SECONDS: u64 = 30;
/// How often each is renewed.
pub(crate) const RENEWAL_SECONDS: u64 = 10;
/// Services that the instances belong to, where there are so many.
const SERVICES: u64 = 1000;
/// Renewals of one batch, as in the other parts.
const BEATS_AT_ONCE: usize = 1000;
/// As the driver's ticks.
const STEP: Duration = Duration::from_millis(100);
/// Steps of a renewal of all.
const STEPS_A_ROUND: usize = 100;
/// What is not counted: until every lease was looked at and set anew after its renewals.
const WARM_ROUNDS: usize = 6;
/// What is counted: a minute, in which the times that instances were last seen are saved once.
const ROUNDS: usize = 6;

/// Measures CPU time of renewals and of ticks.
pub(super) fn measure(plan: &Plan, _folder: &Path, findings: &mut Findings) -> Result<()> {
    let names = Names::of(plan.records);
    let store = filled((0..plan.records).map(|number| Ok(names.instance(number))))?;
    let clock = Arc::new(Steps::default());
    let (registry, driver) = block_on(Registry::open(
        store,
        EngineConfig::default(),
        clock.clone(),
    ))?;
    let driver = thread::spawn(move || driver.run_blocking());
    let course = Course {
        registry: &registry,
        clock: &clock,
        beats: (0..plan.records).map(|number| names.beat(number)).collect(),
    };
    let measured = course.run();
    registry.begin_close();
    let ended = driver.join().map_err(|_| anyhow!("the driver panicked"))?;
    let cost = measured?;
    ended?;
    for (workload, cpu) in [
        (Workload::Renew, cost.renewal),
        (Workload::RenewOne, cost.renewal_one),
        (Workload::Ticks, cost.ticks),
    ] {
        let figure = Figure::Seconds(cpu.as_secs_f64());
        findings.points.push(point(workload, 1, figure));
    }
    Ok(())
}

/// CPU time.
struct Cost {
    /// Of renewing all once.
    renewal: Duration,
    /// The same, one at a time.
    renewal_one: Duration,
    /// Of the driver, in a second.
    ticks: Duration,
}

struct Course<'a> {
    registry: &'a Registry,
    clock: &'a Steps,
    /// One for each lease.
    beats: Vec<Heartbeat<'a>>,
}

impl Course<'_> {
    fn run(&self) -> Result<Cost> {
        self.clock.wait()?;
        for _ in 0..WARM_ROUNDS {
            self.round()?;
        }
        let (process, thread) = (cpu::of_process(), cpu::of_thread());
        let mut renewals = Duration::ZERO;
        for _ in 0..ROUNDS {
            renewals += self.round()?;
        }
        let process = cpu::of_process().saturating_sub(process);
        // What is not of this thread is the driver's.
        let driver = process.saturating_sub(cpu::of_thread().saturating_sub(thread));
        let seconds = STEP.as_secs_f64() * f64::from(u32::try_from(ROUNDS * STEPS_A_ROUND)?);
        let stats = self.registry.stats();
        ensure!(
            stats.leases_expired + stats.leases_suspected == 0,
            "expected all leases to stand, found {stats:?}"
        );
        Ok(Cost {
            renewal: renewals / u32::try_from(ROUNDS)?,
            renewal_one: self.renew_one_by_one()?,
            ticks: driver.div_f64(seconds),
        })
    }

    /// Renews all of them over the time of a round, and answers the CPU time that the renewals took.
    fn round(&self) -> Result<Duration> {
        interrupt::check()?;
        let part = self.beats.len().div_ceil(STEPS_A_ROUND);
        let mut parts = self.beats.chunks(part);
        let mut renewals = Duration::ZERO;
        for _ in 0..STEPS_A_ROUND {
            let begin = cpu::of_thread();
            self.renew(parts.next().unwrap_or_default())?;
            renewals += cpu::of_thread().saturating_sub(begin);
            self.clock.step(STEP)?;
        }
        Ok(renewals)
    }

    fn renew(&self, beats: &[Heartbeat<'_>]) -> Result<()> {
        let context = Context::default();
        for batch in beats.chunks(BEATS_AT_ONCE) {
            let refused = block_on(self.registry.heartbeats(batch, &context))?;
            ensure!(
                refused.is_empty(),
                "expected all leases to be renewed, found {} refused",
                refused.len()
            );
        }
        Ok(())
    }

    fn renew_one_by_one(&self) -> Result<Duration> {
        let begin = cpu::of_thread();
        for beat in &self.beats {
            let view = self.registry.stale_view();
            ensure!(
                self.registry.try_heartbeat(&view, *beat),
                "the lease of {}/{} was not renewed",
                beat.service,
                beat.instance_id
            );
        }
        Ok(cpu::of_thread().saturating_sub(begin))
    }
}

/// Names of services and of the instances of each. Neighbours in a batch are of other services.
struct Names {
    services: Vec<String>,
    instances: Vec<String>,
}

impl Names {
    fn of(count: u64) -> Self {
        let services = SERVICES.min(count);
        Self {
            services: (0..services).map(|it| format!("bench-{it:04}")).collect(),
            instances: (0..count.div_ceil(services))
                .map(|it| format!("instance-{it:06}"))
                .collect(),
        }
    }

    fn beat(&self, number: u64) -> Heartbeat<'_> {
        let number = usize::try_from(number).expect("there are fewer instances than addresses");
        Heartbeat {
            service: &self.services[number % self.services.len()],
            instance_id: &self.instances[number / self.services.len()],
            incarnation: Some(1),
        }
    }

    /// The record of an instance, which the commit of its number begins a lease with.
    fn instance(&self, number: u64) -> Record {
        let beat = self.beat(number);
        let spec = InstanceSpec {
            lease_ttl: Span::from_secs(TTL_SECONDS),
            ..InstanceSpec::new(beat.service, beat.instance_id, "10.0.0.7", 8080)
        };
        let fencing_revision = Revision(number + 1);
        Record::Instance(spec.start(1, fencing_revision, Timestamp::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_instances_share_a_name() {
        let names = Names::of(2500);
        let mut all: Vec<_> = (0..2500)
            .map(|number| names.beat(number))
            .map(|beat| (beat.service, beat.instance_id))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2500);
    }

    #[test]
    fn leases_stand_for_two_minutes_of_steps() {
        let names = Names::of(250);
        let store = filled((0..250).map(|number| Ok(names.instance(number)))).unwrap();
        let clock = Arc::new(Steps::default());
        let opened = Registry::open(store, EngineConfig::default(), clock.clone());
        let (registry, driver) = block_on(opened).unwrap();
        let driver = thread::spawn(move || driver.run_blocking());
        let course = Course {
            registry: &registry,
            clock: &clock,
            beats: (0..250).map(|number| names.beat(number)).collect(),
        };
        let cost = course.run().unwrap();
        assert!(cost.renewal > Duration::ZERO && cost.ticks > Duration::ZERO);
        registry.begin_close();
        driver.join().unwrap().unwrap();
    }
}
