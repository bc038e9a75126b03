//! WebSocket frames: what a client sends after the handshake, against the server's connection.
//!
//! The connection ends, whatever comes; what it sends is whole frames in the order that the protocol allows, and each
//! text in them is a message.

use std::str;

use registry_ws::{Admission, WsConfig, WsServer};
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::ws_messages::DICTIONARY;
use crate::face::{Bench, converse};
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "ws_frames",
    run,
    dictionary: DICTIONARY,
    engine: None,
};

/// Limits that inputs can reach.
pub(crate) fn limits() -> WsConfig {
    WsConfig {
        frame_bytes_max: 4096,
        message_bytes_max: 8192,
        requests_in_flight_max: 4,
        subscriptions_max: 2,
        queued_bytes_max: 4096,
        ..WsConfig::default()
    }
}

fn run(input: &[u8]) {
    Bench::with(async |bench| {
        let server = WsServer::new(bench.api.clone(), limits());
        let heard = converse(input, |stream| upgraded(&server, bench, stream)).await;
        check_frames(&heard);
        assert_eq!(server.connections(), 0, "a place was not given back");
        bench.check_alive().await;
    });
}

async fn upgraded(server: &WsServer, bench: &Bench, stream: DuplexStream) {
    #[expect(
        clippy::default_trait_access,
        reason = "the type is of a crate that is not needed otherwise"
    )]
    let admission = Admission {
        caller: bench.caller(),
        headers: Default::default(),
    };
    let place = server.place().expect("nobody else is connected");
    let peer: std::net::SocketAddr = ([127, 0, 0, 1], 9).into();
    let handler = server.upgraded(stream.compat(), Vec::new(), peer, place, admission);
    // How it ends is the input's affair; that it ends is ours.
    drop(handler.handle().await);
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Checks frames of a server that never splits a message: final, unmasked, no extension, nothing after a close.
pub(crate) fn check_frames(mut bytes: &[u8]) {
    while let Some((opcode, payload, rest)) = take_frame(bytes) {
        match opcode {
            TEXT => check_message(payload),
            CLOSE => {
                check_close(payload);
                return assert!(rest.is_empty(), "something after a close frame");
            }
            PING | PONG => assert!(payload.len() <= 125, "a large control frame"),
            other => panic!("a frame of type {other}"),
        }
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
}

fn take_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert_eq!(first & 0xf0, 0x80, "not final, or with an extension");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, rest) = match second {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = u64::from_be_bytes(*length);
            (
                usize::try_from(length).expect("a length that fits memory"),
                rest,
            )
        }
        length => (usize::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((first & 0x0f, payload, rest))
}

fn check_message(payload: &[u8]) {
    let message: Value = serde_json::from_slice(payload).expect("a message is JSON");
    match message["type"].as_str() {
        Some("response") => {
            let has_one = message["data"].is_null() != message["error"].is_null();
            assert!(has_one && message["revision"].is_u64(), "{message}");
            let code = &message["error"]["code"];
            assert!(code != "Internal" && code != "StoreDamaged", "{message}");
        }
        Some("event") => assert!(message["data"]["revision"].is_u64(), "{message}"),
        _ => panic!("neither a response nor an event: {message}"),
    }
}

fn check_close(payload: &[u8]) {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return assert!(payload.is_empty(), "half a close code");
    };
    let code = u16::from_be_bytes(*code);
    assert!((1000..5000).contains(&code), "close code {code}");
    assert!(
        ![1004, 1005, 1006, 1015].contains(&code),
        "close code {code}"
    );
    assert!(str::from_utf8(reason).is_ok(), "a reason that is no text");
}
