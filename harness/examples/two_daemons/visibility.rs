//! How soon a registration with one daemon is told by the other.

use std::thread;
use std::time::{Duration, Instant};

use harness::client::Connection;
use serde_json::json;

use crate::Failure;
use crate::pair::{connect, register};

/// Longest pause between two registrations: they come while the daemons are busy and while they idle.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Registers new services with one daemon and watches the other. Answers the time from each acknowledgement to the event,
/// zero where the event came first.
///
/// # Errors
/// A registration that is refused, a connection that ends.
pub(crate) fn measure(
    writer: &str,
    watcher: &str,
    prefix: &str,
    registrations: usize,
) -> Result<Vec<Duration>, Failure> {
    let watching = smol::block_on(subscribe(watcher, prefix))?;
    let told = thread::spawn(move || smol::block_on(watch(watching, registrations)));
    let acknowledged = smol::block_on(write(writer, prefix, registrations))?;
    let told = told.join().map_err(|_| "the watcher panicked")??;
    let delays = acknowledged.into_iter().zip(told);
    Ok(delays
        .map(|(acknowledged, told)| told.saturating_duration_since(acknowledged))
        .collect())
}

/// Subscribes to what comes after this moment.
async fn subscribe(url: &str, prefix: &str) -> Result<Connection, Failure> {
    let mut connection = connect(url).await?;
    let info = connection.call("registry_info", &json!({})).await?;
    let params = json!({ "resume_after": info["revision"], "filter": { "prefix": prefix } });
    connection.call("subscribe", &params).await?;
    Ok(connection)
}

/// When each event came, in the order of the log.
async fn watch(mut connection: Connection, count: usize) -> Result<Vec<Instant>, Failure> {
    let mut told = Vec::with_capacity(count);
    while told.len() < count {
        let event = connection.event().await?;
        let now = Instant::now();
        if event.is_lagged() {
            return Err("the watcher was too slow".into());
        }
        told.push(now);
    }
    Ok(told)
}

/// When each registration was acknowledged, one after the other.
async fn write(url: &str, prefix: &str, count: usize) -> Result<Vec<Instant>, Failure> {
    let mut connection = connect(url).await?;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut acknowledged = Vec::with_capacity(count);
    for number in 0..count {
        register(&mut connection, &format!("{prefix} {number}"), 0).await?;
        acknowledged.push(Instant::now());
        smol::Timer::after(PAUSE_MAX.mul_f64(rng.f64())).await;
    }
    Ok(acknowledged)
}
