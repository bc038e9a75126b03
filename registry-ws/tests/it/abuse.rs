//! Peers that are slow, silent, or send what they should not.

use std::time::Duration;

use async_net::TcpStream;
use async_tungstenite::tungstenite::Message;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};
use futures_util::StreamExt as _;
use registry_core::engine::EngineConfig;
use registry_ws::WsConfig;
use serde_json::json;

use crate::client::{Client, Server, entry};

/// A WebSocket over a raw stream, for what a library would not send.
async fn upgraded(server: &Server) -> TcpStream {
    let mut raw = TcpStream::connect(server.addr)
        .await
        .expect("the server listens");
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.addr
    );
    raw.write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        raw.read_exact(&mut byte).await.expect("the server answers");
        head.push(byte[0]);
    }
    raw
}

/// A masked frame with the mask zero, so that the payload stands as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("test frames are short");
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

async fn close_code(raw: &mut TcpStream) -> u16 {
    let mut heard = Vec::new();
    raw.read_to_end(&mut heard)
        .await
        .expect("the stream ends in order");
    let at = heard
        .iter()
        .position(|byte| *byte == 0x88)
        .expect("there is a close frame");
    u16::from_be_bytes([heard[at + 2], heard[at + 3]])
}

/// Registers until a reader that takes nothing must have fallen out of a feed of a few commits.
async fn flood(client: &mut Client, count: usize) {
    for index in 0..count {
        let mut service = entry(&format!("s{index:04}"));
        service["version"] = json!("v".repeat(200));
        client
            .ask("register_service", json!({ "service": service }))
            .await;
    }
}

#[test]
fn slow_reader_is_told_and_resumes_without_gap_or_double() {
    smol::block_on(async {
        let engine = EngineConfig {
            feed_commits_max: 4,
            ..EngineConfig::default()
        };
        let server = Server::start_with(WsConfig::default(), engine).await;
        let (mut slow, mut writer) = (server.connect().await, server.connect().await);
        slow.ask("subscribe", json!({ "events": ["service_registered"] }))
            .await;
        // Enough to fill every buffer on the way while the reader takes nothing.
        flood(&mut writer, 9000).await;
        let mut last = 0;
        let resume_after = loop {
            let (name, data) = slow.event().await;
            if name == "lagged" {
                break data["resume_after"].as_u64().unwrap();
            }
            assert_eq!(data["revision"].as_u64(), Some(last + 1));
            last += 1;
        };
        assert_eq!(resume_after, last, "it resumes where it was");
        let params = json!({ "events": ["service_registered"], "resume_after": resume_after });
        slow.ask("subscribe", params).await;
        for revision in last + 1..=9000 {
            assert_eq!(slow.event().await.1["revision"].as_u64(), Some(revision));
        }
    });
}

#[test]
fn reader_that_takes_nothing_is_cut_off() {
    smol::block_on(async {
        let config = WsConfig {
            write_timeout: Duration::from_millis(300),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let (mut stuck, mut writer) = (server.connect().await, server.connect().await);
        stuck.ask("subscribe", json!({})).await;
        flood(&mut writer, 200).await;
        for _ in 0..400 {
            stuck.send("list_services", json!({})).await;
        }
        while server.face.connections() > 1 {
            writer.ask("ping", json!({})).await;
        }
        // What was on the way can still be read, and then the connection is over.
        while let Some(Ok(_)) = stuck.socket.next().await {}
        writer.ask("ping", json!({})).await;
    });
}

#[test]
fn half_a_handshake_is_cut_off() {
    smol::block_on(async {
        let config = WsConfig {
            handshake_timeout: Duration::from_millis(50),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let mut raw = TcpStream::connect(server.addr).await.unwrap();
        raw.write_all(b"GET /ws HTTP/1.1\r\nhost:").await.unwrap();
        assert_eq!(raw.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    });
}

#[test]
fn bytes_that_are_no_http_end_the_connection() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        for garbage in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello tls"[..],
            b"\0\0\0\0\0\0\r\n\r\n",
        ] {
            let mut raw = TcpStream::connect(server.addr).await.unwrap();
            raw.write_all(garbage).await.unwrap();
            raw.write_all(b"\r\n\r\n").await.ok();
            // A reset is as good an end as a close.
            drop(raw.read_to_end(&mut Vec::new()).await);
        }
        server.connect().await.ask("ping", json!({})).await;
    });
}

#[test]
fn text_that_is_no_utf_8_ends_the_connection_with_1007() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut raw = upgraded(&server).await;
        raw.write_all(&frame(0x81, b"\xff\xfe")).await.unwrap();
        assert_eq!(close_code(&mut raw).await, 1007);
    });
}

#[test]
fn unmasked_frame_ends_the_connection_with_1002() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut raw = upgraded(&server).await;
        raw.write_all(b"\x81\x02hi").await.unwrap();
        assert_eq!(close_code(&mut raw).await, 1002);
    });
}

#[test]
fn fragments_beyond_the_limit_end_the_connection_with_1009() {
    smol::block_on(async {
        let config = WsConfig {
            message_bytes_max: 1024,
            frame_bytes_max: 1024,
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let mut raw = upgraded(&server).await;
        raw.write_all(&frame(0x01, &[b'x'; 120])).await.unwrap();
        for _ in 0..9 {
            raw.write_all(&frame(0x00, &[b'x'; 120])).await.ok();
        }
        assert_eq!(close_code(&mut raw).await, 1009);
    });
}

#[test]
fn binary_frames_are_refused_and_the_connection_goes_on() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig::default()).await.connect().await;
        client
            .socket
            .send(Message::binary(vec![1, 2, 3]))
            .await
            .unwrap();
        assert_eq!(client.receive().await["error"]["code"], "BadRequest");
        client.ask("ping", json!({})).await;
    });
}

#[test]
fn many_idle_connections_cost_a_working_one_nothing() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut idle = Vec::new();
        for _ in 0..300 {
            idle.push(server.connect().await);
        }
        let mut working = server.connect().await;
        flood(&mut working, 50).await;
        for client in &mut idle {
            client.ask("ping", json!({})).await;
        }
    });
}

#[test]
fn snapshot_of_many_pages_and_what_follows_have_no_gap() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let (mut watcher, mut writer) = (server.connect().await, server.connect().await);
        flood(&mut writer, 1200).await;
        watcher.send("subscribe", json!({})).await;
        let writing = async {
            for index in 0..300 {
                let service = entry(&format!("new{index:04}"));
                writer
                    .ask("register_service", json!({ "service": service }))
                    .await;
            }
        };
        let reading = async {
            assert!(watcher.receive().await["data"]["subscription"].is_string());
            let (mut services, mut loaded_at) = (0, 0);
            loop {
                let (name, data) = watcher.event().await;
                if name == "registry_loaded" {
                    services += data["services"].as_array().unwrap().len() as u64;
                    loaded_at = data["revision"].as_u64().unwrap();
                    assert_eq!(
                        data["complete"] == true,
                        services == loaded_at,
                        "one service a commit"
                    );
                } else {
                    assert_eq!(data["revision"].as_u64(), Some(loaded_at + 1));
                    loaded_at += 1;
                }
                if loaded_at == 1500 {
                    break;
                }
            }
        };
        future::zip(writing, reading).await;
    });
}
