//! Sends every message back, with the handshake, the limits and the frames of the registry's connections: a test suite
//! of the WebSocket protocol asks for such a server.
//!
//! Prints its address; the one to listen on may be given.
#![expect(clippy::print_stdout, reason = "it prints where it listens")]

use std::net::SocketAddr;

use async_net::{TcpListener, TcpStream};
use async_tungstenite::tungstenite::Message;
use registry_core::{Clock as _, SystemClock};
use registry_ws::{ConnectionEnd, Socket, WsConfig};

/// Largest message, in bytes: the suite sends as much.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1);
    let addr = addr.unwrap_or_else(|| "127.0.0.1:0".to_owned());
    smol::block_on(async {
        let listener = TcpListener::bind(addr).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, peer) = listener.accept().await?;
            smol::spawn(handle(stream, peer)).detach();
        }
    })
}

async fn handle(stream: TcpStream, peer: SocketAddr) {
    if let Err(end) = connection(stream).await {
        eprintln!("{peer}: {end}");
    }
}

async fn connection(stream: TcpStream) -> Result<(), ConnectionEnd> {
    let config = WsConfig {
        frame_bytes_max: MESSAGE_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
        ..WsConfig::default()
    };
    let now = || SystemClock::new().now();
    let (mut socket, _) = Socket::accept(stream, &config, now).await?;
    let ended = echo(&mut socket).await;
    socket.say_goodbye(&ended).await;
    ended
}

async fn echo(socket: &mut Socket<TcpStream>) -> Result<(), ConnectionEnd> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Close(_) => break,
            message @ (Message::Text(_) | Message::Binary(_)) => socket.feed(message).await?,
            _ => {}
        }
        socket.flush().await?;
    }
    Ok(())
}
