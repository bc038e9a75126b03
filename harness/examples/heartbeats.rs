//! Heartbeats at scale, with the CPU time that they take.
//!
//! `cargo run --release -p harness --example heartbeats -- [--leases 1000000] [--rate 100000] [--seconds 20] [--batch 1000]`
//!
//! First in process: so many leases are kept alive at so many heartbeats a second, while the driver looks after them.
//! Then over one WebSocket on the loopback, in batches, as fast as they are answered; client and daemon share the
//! machine.

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded")]

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_tungstenite::client_async;
use async_tungstenite::tungstenite::Message;
use futures_lite::{StreamExt as _, future};
use harness::WsServer;
use registry_core::engine::{Context, EngineConfig, Heartbeat, Registry};
use registry_core::model::InstanceSpec;
use registry_core::{MemoryStore, Span, SystemClock};
use rustix::time::{ClockId, clock_gettime};
use smol::net::TcpStream;

/// Services that the instances belong to.
const SERVICES: usize = 1000;
/// Registrations under way at a time.
const REGISTRATIONS: usize = 4096;
/// Batches under way at a time.
const BATCHES: usize = 8;

type Failure = Box<dyn std::error::Error>;

struct Settings {
    leases: usize,
    rate: usize,
    seconds: u64,
    batch: usize,
}

fn main() -> ExitCode {
    let run = settings().and_then(|settings| smol::block_on(run(&settings)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("heartbeats: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn settings() -> Result<Settings, Failure> {
    let mut settings = Settings {
        leases: 1_000_000,
        rate: 100_000,
        seconds: 20,
        batch: 1000,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args
            .next()
            .ok_or_else(|| format!("{flag}: expected a number"))?;
        let number: usize = value
            .parse()
            .map_err(|_| format!("{flag}: expected a number, found {value:?}"))?;
        match flag.as_str() {
            "--leases" => settings.leases = number,
            "--rate" => settings.rate = number,
            "--seconds" => settings.seconds = number as u64,
            "--batch" => settings.batch = number,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    Ok(settings)
}

async fn run(settings: &Settings) -> Result<(), Failure> {
    let (registry, driver) = Registry::open(
        Arc::new(MemoryStore::new()),
        EngineConfig::default(),
        Arc::new(SystemClock::new()),
    )
    .await?;
    let driver = std::thread::spawn(|| driver.run_blocking());
    let names: Vec<(String, String)> = (0..settings.leases)
        .map(|number| {
            (
                format!("service-{:04}", number % SERVICES),
                format!("instance-{number:07}"),
            )
        })
        .collect();
    let span = Span::from_secs((settings.leases / settings.rate.max(1)) as u64 * 3 + 10);
    register(&registry, &names, span).await?;
    in_process(&registry, &names, settings)?;
    over_websocket(&registry, &names, settings).await?;
    registry.begin_close();
    drop(registry);
    driver.join().map_err(|_| "the driver panicked")??;
    Ok(())
}

async fn register(
    registry: &Registry,
    names: &[(String, String)],
    ttl: Span,
) -> Result<(), Failure> {
    let begun = Instant::now();
    for some in names.chunks(REGISTRATIONS) {
        let mut under_way = VecDeque::new();
        for (service, id) in some {
            let spec = InstanceSpec {
                lease_ttl: ttl,
                ..InstanceSpec::new(service, id, "10.0.0.7", 80)
            };
            let mut registering =
                Box::pin(registry.register_instance(spec, None, Context::default()));
            if future::poll_once(&mut registering).await.is_none() {
                under_way.push_back(registering);
            }
        }
        for registering in under_way {
            registering.await?;
        }
    }
    println!(
        "{} leases registered in {:.1} s",
        names.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn tell(what: &str, beats: usize, wall: Duration, cpu: Duration) {
    let (seconds, used) = (wall.as_secs_f64(), cpu.as_secs_f64());
    println!(
        "{what}: {beats} heartbeats in {seconds:.2} s, {:.0} a second; CPU {used:.2} s, {:.2} cores, {:.0} ns a heartbeat",
        beats as f64 / seconds,
        used / seconds,
        used * 1e9 / beats as f64,
    );
}

/// Beats for all in turn, at the rate asked for.
fn in_process(
    registry: &Registry,
    names: &[(String, String)],
    settings: &Settings,
) -> Result<(), Failure> {
    let (begun, cpu_begun) = (Instant::now(), cpu());
    let mut beats = 0;
    let mut all = names.iter().cycle();
    while begun.elapsed() < Duration::from_secs(settings.seconds) {
        let millis = usize::try_from(begun.elapsed().as_millis())?;
        let due = millis * settings.rate / 1000;
        let view = registry.stale_view();
        for (service, instance_id) in all.by_ref().take(due - beats) {
            let beat = Heartbeat {
                service,
                instance_id,
                incarnation: Some(1),
            };
            if !registry.try_heartbeat(&view, beat) {
                return Err(format!("the lease of {instance_id} was lost").into());
            }
        }
        beats = due;
        std::thread::sleep(Duration::from_millis(1));
    }
    tell(
        "in process",
        beats,
        begun.elapsed(),
        cpu().saturating_sub(cpu_begun),
    );
    let stats = registry.stats();
    println!(
        "in process: {} leases expired, {} held back",
        stats.leases_expired, stats.leases_suspected
    );
    Ok(())
}

async fn over_websocket(
    registry: &Registry,
    names: &[(String, String)],
    settings: &Settings,
) -> Result<(), Failure> {
    let server = WsServer::new(
        registry_api::Api::new(registry.clone()),
        harness::WsConfig::default(),
    );
    let listener = server.listen("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let serving = std::thread::spawn(move || {
        smol::block_on(async move { listener.next().await.handle().await })
    });
    let messages: Vec<Message> = names
        .chunks(settings.batch)
        .take(64)
        .map(|some| Message::text(request(some)))
        .collect();
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = client_async(format!("ws://{addr}/ws"), stream).await?;
    let (begun, cpu_begun) = (Instant::now(), cpu());
    let (mut sent, mut answered) = (0, 0);
    let mut all = messages.iter().cycle();
    while begun.elapsed() < Duration::from_secs(settings.seconds) || answered < sent {
        let goes_on = begun.elapsed() < Duration::from_secs(settings.seconds);
        while goes_on && sent - answered < BATCHES {
            socket
                .send(all.next().ok_or("there are no leases")?.clone())
                .await?;
            sent += 1;
        }
        let answer = socket.next().await.ok_or("the connection ended")??;
        if !answer
            .to_text()?
            .contains(&format!("\"renewed\":{}", settings.batch))
        {
            return Err(format!("unexpected answer {answer}").into());
        }
        answered += 1;
    }
    tell(
        "over one WebSocket",
        answered * settings.batch,
        begun.elapsed(),
        cpu().saturating_sub(cpu_begun),
    );
    socket.close(None).await?;
    drop(socket);
    drop(serving.join());
    Ok(())
}

fn request(some: &[(String, String)]) -> String {
    let beats: Vec<_> = some
        .iter()
        .map(|(service, instance_id)| serde_json::json!({ "service": service, "instance_id": instance_id, "incarnation": 1 }))
        .collect();
    serde_json::json!({ "id": "beats", "type": "request", "action": "heartbeats", "params": { "heartbeats": beats } }).to_string()
}
