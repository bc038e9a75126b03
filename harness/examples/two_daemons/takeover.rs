//! How soon the other daemon serves once the owner is killed under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::client::{ClientError, Connection};
use smol::Task;

use crate::Failure;
use crate::pair::{Pair, connect, name, register};
use crate::settings::Settings;

/// How long clients write before the owner is killed.
const LOAD: Duration = Duration::from_secs(1);
/// Pause after a refused write.
const PAUSE: Duration = Duration::from_millis(1);

/// What followed a kill.
pub(crate) struct Takeover {
    /// From the kill to the other's first acknowledgement of a write that was sent after the owner was gone.
    pub(crate) took: Duration,
    /// Writes that were refused before.
    pub(crate) refusals: usize,
}

/// Kills the owner again and again, and starts another daemon in its place each time.
///
/// # Errors
/// A connection that ends with a daemon that lives, a daemon that does not start.
pub(crate) fn measure(pair: &mut Pair, settings: &Settings) -> Result<Vec<Takeover>, Failure> {
    let mut takeovers = Vec::with_capacity(settings.kills);
    for _ in 0..settings.kills {
        takeovers.push(smol::block_on(kill_once(pair, settings))?);
        pair.join()?;
    }
    Ok(takeovers)
}

async fn kill_once(pair: &mut Pair, settings: &Settings) -> Result<Takeover, Failure> {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut probe = connect(pair.other().url()).await?;
    let mut writing = Vec::new();
    for daemon in [pair.owner(), pair.other()] {
        for _ in 0..settings.clients {
            let connection = connect(daemon.url()).await?;
            let seed = writing.len() as u64;
            writing.push(load(connection, settings.records, seed, &is_over));
        }
    }
    smol::Timer::after(LOAD).await;
    let killed = Instant::now();
    pair.kill_owner();
    let refusals = write_until_taken(&mut probe).await?;
    let took = killed.elapsed();
    is_over.store(true, Ordering::Relaxed);
    for task in writing {
        task.await;
    }
    Ok(Takeover { took, refusals })
}

/// Writes one service after the other until told to stop, or the daemon is gone.
fn load(
    mut connection: Connection,
    records: usize,
    seed: u64,
    is_over: &Arc<AtomicBool>,
) -> Task<()> {
    let is_over = Arc::clone(is_over);
    smol::spawn(async move {
        let mut rng = fastrand::Rng::with_seed(seed);
        while !is_over.load(Ordering::Relaxed) {
            let name = name(rng.usize(..records.max(1)));
            match register(&mut connection, &name, rng.u64(..)).await {
                Ok(()) => {}
                Err(ClientError::Refused(_)) => drop(smol::Timer::after(PAUSE).await),
                Err(_) => return,
            }
        }
    })
}

/// Writes until a write is acknowledged, and answers how many were refused.
async fn write_until_taken(probe: &mut Connection) -> Result<usize, Failure> {
    let mut refusals = 0;
    loop {
        match register(probe, "probe", refusals as u64).await {
            Ok(()) => return Ok(refusals),
            Err(ClientError::Refused(_)) => {
                refusals += 1;
                smol::Timer::after(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
