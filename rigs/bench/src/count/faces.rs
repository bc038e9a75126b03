//! Cases over a face: a server and its clients on streams in memory, on one thread.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use registry_api::Api;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{MemoryStore, SystemClock};
use registry_http::{HttpConfig, HttpServer};
use registry_ws::{WsConfig, WsServer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::entry;
use super::stores::{SERVICE, SERVICES, instance_id, register, register_instances};

/// Bytes that a stream in memory holds.
const STREAM_BYTES: usize = 64 * 1024;
/// Services in a page of a list.
const PAGE: u64 = SERVICES;
/// Heartbeats in a batch.
const BATCH: u64 = 1000;
/// Watchers of the same services.
const SUBSCRIBERS: u64 = 100;
/// Requests under way on one connection.
const IN_FLIGHT: usize = 64;

/// First byte of a frame that is a whole text.
const TEXT: u8 = 0x81;
/// Added to the second byte of a frame whose payload is masked.
const MASKED: u8 = 0x80;
/// The second byte, where the length follows in 16 bits, and in 64.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A registry in memory behind both faces.
struct Faces {
    registry: Registry,
    http: HttpServer,
}

/// Runs some work on the faces of a registry in memory.
fn on_faces<W>(work: impl FnOnce(Faces) -> W) -> Result<()>
where
    W: Future<Output = Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::new());
        let store = Arc::new(MemoryStore::new());
        let (registry, driver) = Registry::open(store, EngineConfig::default(), clock).await?;
        tokio::spawn(driver.run());
        let ws = WsServer::new(Api::new(registry.clone()), WsConfig::default());
        let http = HttpServer::new(ws, HttpConfig::default());
        work(Faces { registry, http }).await
    })
}

impl Faces {
    fn connect(&self) -> Client {
        let (stream, other) = tokio::io::duplex(STREAM_BYTES);
        let server = self.http.clone();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1024));
        tokio::spawn(async move { server.handle(other, peer).await });
        Client {
            stream,
            read: Vec::new(),
        }
    }
}

/// The least of a client.
struct Client {
    stream: DuplexStream,
    /// What was read beyond the last answer.
    read: Vec<u8>,
}

/// A request for HTTP.
fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: registry\r\n\r\n").into_bytes()
}

/// A request for the WebSocket, as a masked frame.
fn frame(action: &str, params: &serde_json::Value) -> Vec<u8> {
    let request = json!({ "id": "1", "type": "request", "action": action, "params": params });
    let payload = request.to_string().into_bytes();
    let mut frame = vec![TEXT];
    match u16::try_from(payload.len()) {
        Ok(length) if length < u16::from(LENGTH_16) => frame.push(MASKED + length.to_le_bytes()[0]),
        Ok(length) => {
            frame.push(MASKED + LENGTH_16);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(MASKED + LENGTH_64);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    // A mask of zeros leaves the payload as it is.
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    async fn read_more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.read).await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(())
    }

    /// The head of an answer and its body.
    async fn http_answer(&mut self) -> Result<(String, Vec<u8>)> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect())?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(Ok(0), str::parse)?;
        while self.read.len() < length {
            self.read_more().await?;
        }
        Ok((head, self.read.drain(..length).collect()))
    }

    /// Makes the connection a WebSocket.
    async fn upgrade(&mut self) -> Result<()> {
        let request = "GET /ws HTTP/1.1\r\nhost: registry\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.send(request.as_bytes()).await?;
        let (head, _) = self.http_answer().await?;
        ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
        Ok(())
    }

    /// The next message of a server, which masks nothing.
    async fn message(&mut self) -> Result<Vec<u8>> {
        let (header, length) = loop {
            if let Some(found) = frame_length(&self.read) {
                break found;
            }
            self.read_more().await?;
        };
        while self.read.len() < header + length {
            self.read_more().await?;
        }
        let message = self.read[header..header + length].to_vec();
        self.read.drain(..header + length);
        Ok(message)
    }

    /// The next message, which must be an answer.
    async fn answer(&mut self) -> Result<Vec<u8>> {
        let message = self.message().await?;
        let is_answer = contains(&message, br#""data":"#);
        ensure!(is_answer, "{}", String::from_utf8_lossy(&message));
        Ok(message)
    }

    /// Asks for something a number of times, some at a time.
    async fn ask_all<'a>(&mut self, frames: impl Iterator<Item = &'a Vec<u8>>) -> Result<()> {
        let mut under_way = 0;
        for frame in frames {
            if under_way == IN_FLIGHT {
                for _ in 0..under_way {
                    self.answer().await?;
                }
                under_way = 0;
            }
            self.send(frame).await?;
            under_way += 1;
        }
        for _ in 0..under_way {
            self.answer().await?;
        }
        Ok(())
    }
}

/// Bytes of the header of a frame, and of its payload; none where the header is not there in full.
fn frame_length(read: &[u8]) -> Option<(usize, usize)> {
    match *read.get(1)? {
        LENGTH_16 => {
            let length = read.get(2..4)?.try_into().ok()?;
            Some((4, u16::from_be_bytes(length).into()))
        }
        LENGTH_64 => {
            let length = read.get(2..10)?.try_into().ok()?;
            Some((10, usize::try_from(u64::from_be_bytes(length)).ok()?))
        }
        length => Some((2, usize::from(length))),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|found| found == part)
}

pub(super) fn lookup_http(operations: u64) -> Result<()> {
    on_faces(|faces| async move {
        register(&faces.registry, 0..SERVICES).await?;
        let requests: Vec<_> = (0..SERVICES)
            .map(|index| {
                get(&format!(
                    "/v1/services/{}",
                    entry::name(index).replace('/', "%2F")
                ))
            })
            .collect();
        let mut client = faces.connect();
        for request in requests.iter().cycle().take(usize::try_from(operations)?) {
            client.send(request).await?;
            let (head, body) = client.http_answer().await?;
            ensure!(
                head.starts_with("HTTP/1.1 200") && !body.is_empty(),
                "{head}"
            );
        }
        Ok(())
    })
}

pub(super) fn list_http(records: u64) -> Result<()> {
    on_faces(|faces| async move {
        register(&faces.registry, 0..PAGE).await?;
        let request = get(&format!("/v1/services?limit={PAGE}"));
        let mut client = faces.connect();
        for _ in 0..records / PAGE {
            client.send(&request).await?;
            let (head, body) = client.http_answer().await?;
            ensure!(
                head.starts_with("HTTP/1.1 200") && body.len() as u64 > PAGE * 100,
                "{head}"
            );
        }
        Ok(())
    })
}

/// Sets up, and asks for each of these in turn.
async fn ask(faces: &Faces, frames: &[Vec<u8>], operations: u64) -> Result<()> {
    let mut client = faces.connect();
    client.upgrade().await?;
    let frames = frames.iter().cycle().take(usize::try_from(operations)?);
    client.ask_all(frames).await
}

pub(super) fn lookup_websocket(operations: u64) -> Result<()> {
    on_faces(|faces| async move {
        register(&faces.registry, 0..SERVICES).await?;
        let request = |index| frame("get_service", &json!({ "name": entry::name(index) }));
        let requests: Vec<_> = (0..SERVICES).map(request).collect();
        ask(&faces, &requests, operations).await
    })
}

pub(super) fn register_websocket(operations: u64) -> Result<()> {
    on_faces(|faces| async move {
        register(&faces.registry, 0..SERVICES).await?;
        let request = |index| {
            frame(
                "register_service",
                &json!({ "service": entry::service(index % SERVICES, 1 + index / SERVICES) }),
            )
        };
        // Each of them changes the entry that the one before has left.
        let requests: Vec<_> = (0..2 * SERVICES).map(request).collect();
        ask(&faces, &requests, operations).await
    })
}

pub(super) fn heartbeat_websocket(operations: u64) -> Result<()> {
    on_faces(|faces| async move {
        register_instances(&faces.registry).await?;
        let beat = |index| {
            frame(
                "heartbeat",
                &json!({ "service": SERVICE, "instance_id": instance_id(index), "incarnation": 1 }),
            )
        };
        let requests: Vec<_> = (0..SERVICES).map(beat).collect();
        ask(&faces, &requests, operations).await
    })
}

pub(super) fn heartbeats_websocket(operations: u64) -> Result<()> {
    on_faces(|faces| async move {
        register_instances(&faces.registry).await?;
        let beat = |index| json!({ "service": SERVICE, "instance_id": instance_id(index), "incarnation": 1 });
        let beats: Vec<_> = (0..BATCH).map(beat).collect();
        let request = frame("heartbeats", &json!({ "heartbeats": beats }));
        ask(&faces, &[request], operations / BATCH).await
    })
}

pub(super) fn events_websocket(events: u64) -> Result<()> {
    on_faces(|faces| async move {
        let subscribe = frame("subscribe", &json!({ "events": ["service_registered"] }));
        let mut clients = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let mut client = faces.connect();
            client.upgrade().await?;
            client.send(&subscribe).await?;
            client.answer().await?;
            clients.push(client);
        }
        for release in 0..events / SUBSCRIBERS {
            faces.registry.register(entry::service(0, release)).await?;
            for client in &mut clients {
                let event = client.message().await.context("wait for an event")?;
                if !contains(&event, b"service_registered") {
                    bail!(
                        "expected an event, found {}",
                        String::from_utf8_lossy(&event)
                    );
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_frame_is_read_in_its_three_forms() {
        assert_eq!(frame_length(&[0x81, 5]), Some((2, 5)));
        assert_eq!(frame_length(&[0x81, 126, 1, 0]), Some((4, 256)));
        assert_eq!(
            frame_length(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            Some((10, 65536))
        );
        assert_eq!(frame_length(&[0x81, 126, 1]), None);
        assert_eq!(frame_length(&[0x81]), None);
    }
}
