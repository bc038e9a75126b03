//! How long watchers wait for a change.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::interrupt;
use crate::load::closed_loop::{greeted, wait_for};
use crate::load::poller::Poller;
use crate::load::{Connection, Dialogue, Heard, Work, now};
use crate::percentiles::{Latencies, Percentiles};

const SILENCE_MAX: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// From the sending of a registration until a watcher has the whole changed record.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) latency: Percentiles,
    /// Registrations that were made.
    pub(crate) changes: u64,
    /// CPU time of the server for each event that it delivered, the registration's share included.
    pub(crate) cpu_us_per_event: f64,
}

/// Makes one registration after the other, each when all watchers were told of the one before and it was acknowledged.
pub(crate) fn watch(
    address: SocketAddr,
    dialogue: &dyn Fn() -> Box<dyn Dialogue>,
    watchers: usize,
    time: Duration,
    next: &mut dyn FnMut() -> u64,
    cpu: &dyn Fn() -> Result<Duration>,
) -> Result<Watched> {
    let mut poller = Poller::new()?;
    let mut all = Vec::with_capacity(watchers + 1);
    for number in 0..=watchers {
        let mut connection = greeted(address, dialogue(), SILENCE_MAX)?;
        if number < watchers {
            connection.begin(Work::Watch)?;
            connection.flush()?;
            let heard = wait_for(&mut connection, SILENCE_MAX).context("begin to watch")?;
            ensure!(
                matches!(heard, Heard::Done { .. }),
                "expected the watch to begin, found {heard:?}"
            );
        }
        poller.add(&connection.stream, number)?;
        all.push(connection);
    }
    let mut latencies = Latencies::new();
    // The first is not counted: it may build what the others find.
    announce(&mut all, &mut poller, next(), &mut Latencies::new())?;
    let (begin, cpu_before) = (now(), cpu()?);
    let mut changes = 0;
    while now().duration_since(begin) < time {
        announce(&mut all, &mut poller, next(), &mut latencies)?;
        changes += 1;
    }
    let used = cpu()?.saturating_sub(cpu_before);
    let latency = latencies.percentiles();
    #[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
    let cpu_us_per_event = used.as_secs_f64() * 1e6 / latency.count.max(1) as f64;
    Ok(Watched {
        latency,
        changes,
        cpu_us_per_event,
    })
}

/// Makes a registration over the last connection, and waits for all the others to be told of it.
fn announce(
    all: &mut [Connection],
    poller: &mut Poller,
    number: u64,
    latencies: &mut Latencies,
) -> Result<()> {
    let writer = all.len() - 1;
    let mut is_told = vec![false; writer];
    let (mut missing, mut is_acknowledged) = (writer, false);
    let mut ready = Vec::new();
    let begun = now();
    all[writer].begin(Work::Announce(number))?;
    all[writer].flush()?;
    while missing > 0 || !is_acknowledged {
        poller.wait(TICK, &mut ready)?;
        interrupt::check()?;
        let silence = now().duration_since(begun);
        ensure!(
            silence < SILENCE_MAX,
            "{missing} of {writer} watchers were not told within {silence:?}"
        );
        for number in &ready {
            let connection = &mut all[*number];
            connection.fill()?;
            while let Some(heard) = connection.next()? {
                match heard {
                    Heard::Changed if *number == writer => bail!("the writer was told of a change"),
                    Heard::Changed => {
                        ensure!(!is_told[*number], "a watcher was told twice");
                        is_told[*number] = true;
                        latencies.note(now().duration_since(begun));
                        missing -= 1;
                    }
                    Heard::Done { .. } => is_acknowledged |= *number == writer,
                    Heard::Nothing => {}
                }
            }
            connection.flush()?;
        }
    }
    Ok(())
}
