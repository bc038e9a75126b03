//! Measures how soon a subscriber hears of a process that was killed and that a lease was bound to.
//!
//! ```sh
//! harness daemon start --registry-path /var/tmp/death.redb --bind 127.0.0.1:9402 --bind unix:/tmp/h.sock &
//! cargo run --release -p harness --example death -- /tmp/h.sock ws://127.0.0.1:9402/ws 200
//! ```

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_net::TcpStream;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, client_async};
use futures_lite::{StreamExt as _, future};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// The argument that makes this program the process that is killed.
const BOUND: &str = "--bound";

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [mode, socket, id] if mode == BOUND => live(socket, id),
        [socket, url, kills] => future::block_on(measure(socket, url, kills.parse()?)),
        _ => Err("expected SOCKET URL KILLS".into()),
    }
}

/// Registers an instance whose lease is bound to this process, and lives until it is killed.
fn live(socket: &str, id: &str) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket)?;
    let body = r#"{"address": "10.0.0.7", "port": 80, "lease_ttl": "1h"}"#;
    let length = body.len();
    write!(
        stream,
        "PUT /v1/services/mortal/instances/{id}?bind=process HTTP/1.1\r\nhost: registry\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    println!("{answer}");
    // Until it is killed, or who started it is gone.
    let _ = std::io::stdin().read(&mut [0])?;
    Ok(())
}

fn start(socket: &str, id: &str) -> Result<Child, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([BOUND, socket, id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut answer = String::new();
    let stdout = child.stdout.take().ok_or("its output is piped")?;
    BufReader::new(stdout).read_line(&mut answer)?;
    if !answer.contains(" 201") {
        return Err(format!("the registration was answered {answer}").into());
    }
    Ok(child)
}

async fn measure(socket: &str, url: &str, kills: usize) -> Result<(), Failure> {
    let addr = url.trim_start_matches("ws://").trim_end_matches("/ws");
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut watching, _) = client_async(url, stream).await?;
    let params = json!({ "events": ["instance_expired"] });
    let request = json!({ "id": "1", "type": "request", "action": "subscribe", "params": params });
    watching.send(Message::text(request.to_string())).await?;
    let run = std::process::id();
    let mut took = Vec::with_capacity(kills);
    for number in 0..kills {
        let id = format!("{run}-{number}");
        let mut child = start(socket, &id)?;
        let killed = Instant::now();
        child.kill()?;
        hear_of(&mut watching, &id).await?;
        took.push(killed.elapsed());
        child.wait()?;
    }
    took.sort();
    let at = |percent: usize| -> Duration { took[(kills - 1) * percent / 100] };
    println!(
        "{kills} kills: heard of after p50 {:?}, p99 {:?}, at most {:?}",
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}

async fn hear_of(watching: &mut WebSocketStream<TcpStream>, id: &str) -> Result<(), Failure> {
    while let Some(message) = watching.next().await {
        if let Message::Text(text) = message? {
            let event: Value = serde_json::from_str(&text)?;
            if event["data"]["instance_id"] == id {
                return Ok(());
            }
        }
    }
    Err("the daemon closed the connection".into())
}
