//! Registers services from many connections for some seconds, and prints how many commits and flushes that made.
//!
//! ```sh
//! harness daemon start --registry-path /var/tmp/load.redb &
//! cargo run --release -p harness --example load -- ws://127.0.0.1:9402/ws 64 5
//! ```

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::{Duration, Instant};

use async_net::TcpStream;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, client_async};
use futures_lite::StreamExt as _;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connect(url: &str) -> Result<WebSocketStream<TcpStream>, Failure> {
    let addr = url.trim_start_matches("ws://").trim_end_matches("/ws");
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(client_async(url, stream).await?.0)
}

async fn ask(
    socket: &mut WebSocketStream<TcpStream>,
    action: &str,
    params: Value,
) -> Result<Value, Failure> {
    let request = json!({ "id": "1", "type": "request", "action": action, "params": params });
    socket.send(Message::text(request.to_string())).await?;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let mut answer: Value = serde_json::from_str(&text)?;
            if answer["error"].is_object() {
                return Err(answer["error"].to_string().into());
            }
            return Ok(answer["data"].take());
        }
    }
    Err("the daemon closed the connection".into())
}

/// An entry of the size that real ones have, some 400 bytes.
fn entry(client: usize, index: u64) -> Value {
    let name = format!("load-{client}-{index}");
    json!({
        "name": name,
        "version": format!("1.{index}.0"),
        "execution": { "docker_container": {
            "container_id": "4f6b2c0f8d1e",
            "image": format!("registry.example.net/load/{name}:1.{index}.0"),
        } },
        "endpoints": [
            { "name": "http", "address": "10.1.2.3:8080", "protocol": "http" },
            { "name": "metrics", "address": "10.1.2.3:9090", "protocol": "http" },
        ],
        "depends_on": ["collector", "database", "queue"],
    })
}

async fn register(url: String, client: usize, end: Instant) -> Result<Vec<Duration>, Failure> {
    let mut socket = connect(&url).await?;
    let mut latencies = Vec::new();
    for index in 0.. {
        let begin = Instant::now();
        if begin >= end {
            break;
        }
        ask(
            &mut socket,
            "register_service",
            json!({ "service": entry(client, index) }),
        )
        .await?;
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

/// How many a second, rounded down.
fn rate(count: usize, elapsed: Duration) -> u128 {
    count as u128 * 1000 / elapsed.as_millis().max(1)
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let url = args
        .next()
        .unwrap_or_else(|| "ws://127.0.0.1:9402/ws".to_owned());
    let clients: usize = args.next().map_or(Ok(64), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(5), |text| text.parse())?;
    smol::block_on(async {
        let mut socket = connect(&url).await?;
        let before = ask(&mut socket, "registry_info", json!({})).await?;
        let begin = Instant::now();
        let end = begin + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..clients)
            .map(|client| smol::spawn(register(url.clone(), client, end)))
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await?);
        }
        let elapsed = begin.elapsed();
        let after = ask(&mut socket, "registry_info", json!({})).await?;
        let counted = |field: &str| {
            let read = |info: &Value| info["stats"][field].as_u64().unwrap_or_default();
            read(&after) - read(&before)
        };
        latencies.sort_unstable();
        let at = |share: usize| {
            latencies
                .get(latencies.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        println!(
            "backend={} durability={} clients={clients} commits={} flushes={} per_second={} p50={:?} p99={:?}",
            after["backend"].as_str().unwrap_or("-"),
            after["durability"],
            counted("commits"),
            counted("groups"),
            rate(latencies.len(), elapsed),
            at(50),
            at(99),
        );
        Ok(())
    })
}
