//! Opens many idle and slow connections to a daemon, and prints how long a new client waits for its first answer.
//!
//! ```sh
//! harness daemon start --registry-path /var/tmp/crowd.redb &
//! cargo run --release -p harness --example crowd -- 127.0.0.1:9402 1000 100 500
//! ```
//!
//! The numbers are those of idle WebSockets, of slow connections and of samples. Half of the slow ones send the head of
//! a request, the others a frame of a WebSocket, all a byte a second.

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::{Duration, Instant};

use async_net::TcpStream;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, client_async};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smol::Timer;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Time between two bytes of a slow connection.
const PACE: Duration = Duration::from_secs(1);
/// A text of 64,000 bytes and its mask; the bytes follow.
const FRAME: [u8; 8] = [0x81, 0xfe, 0xfa, 0x00, 0, 0, 0, 0];
const PING: &str = r#"{"id":"1","type":"request","action":"ping","params":{}}"#;

async fn open(addr: &str) -> Result<WebSocketStream<TcpStream>, Failure> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(client_async(format!("ws://{addr}/ws"), stream).await?.0)
}

/// Sends a byte at a time, for ever; begins anew where the daemon ends it.
async fn send_slowly(addr: String, is_websocket: bool) -> Result<(), Failure> {
    loop {
        let mut stream = if is_websocket {
            let mut stream = open(&addr).await?.into_inner();
            stream.write_all(&FRAME).await?;
            stream
        } else {
            let mut stream = TcpStream::connect(&addr).await?;
            stream
                .write_all(b"GET /v1/ping HTTP/1.1\r\nx-slow: ")
                .await?;
            stream
        };
        while stream.write_all(b"x").await.is_ok() {
            Timer::after(PACE).await;
        }
    }
}

/// The first answer over a new WebSocket, from the connection on.
async fn ask_websocket(addr: &str) -> Result<(), Failure> {
    let mut socket = open(addr).await?;
    socket.send(Message::text(PING)).await?;
    while let Some(message) = socket.next().await {
        if message?.is_text() {
            return Ok(());
        }
    }
    Err("the daemon closed the connection".into())
}

/// The first answer over HTTP, from the connection on.
async fn ask_http(addr: &str) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /v1/ping HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&answer).into())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what}: median {:?}, p99 {:?}, max {:?} of {} samples",
        at(50),
        at(99),
        at(100),
        times.len()
    );
}

async fn sample(addr: &str, samples: usize, when: &str) -> Result<(), Failure> {
    let (mut websocket, mut http) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        let begin = Instant::now();
        ask_websocket(addr).await?;
        websocket.push(begin.elapsed());
        let begin = Instant::now();
        ask_http(addr).await?;
        http.push(begin.elapsed());
    }
    print(&format!("{when}, WebSocket"), websocket);
    print(&format!("{when}, HTTP"), http);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:9402".to_owned());
    let idle: usize = args.next().map_or(Ok(1000), |text| text.parse())?;
    let slow: usize = args.next().map_or(Ok(100), |text| text.parse())?;
    let samples: usize = args.next().map_or(Ok(500), |text| text.parse())?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    smol::block_on(async {
        sample(&addr, samples.max(1), "alone").await?;
        let mut crowd = Vec::new();
        for _ in 0..idle {
            crowd.push(open(&addr).await?);
        }
        let slow: Vec<_> = (0..slow)
            .map(|index| smol::spawn(send_slowly(addr.clone(), index % 2 == 0)))
            .collect();
        // Until all of them are in the middle of something.
        Timer::after(PACE * 2).await;
        let when = format!("beside {} idle and {} slow ones", crowd.len(), slow.len());
        sample(&addr, samples.max(1), &when).await
    })
}
