//! The request that opens a WebSocket, with what follows it, against the server's connection.
//!
//! The connection ends, whatever comes; the answer is one of HTTP, and frames follow it only where it is 101.

use registry_ws::WsServer;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::ws_frames::{check_frames, limits};
use crate::face::{Bench, converse};
use crate::http::{Answer, take_answer};
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "ws_handshake",
    run,
    dictionary: &[
        "GET /ws HTTP/1.1\r\n",
        "host: localhost\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "sec-websocket-version: 13\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "sec-websocket-protocol: harness.v1\r\n",
        "sec-websocket-extensions: permessage-deflate\r\n",
        "origin: https://evil.example.org\r\n",
        "authorization: Bearer x\r\n",
        "\r\n",
        "\r\n\r\n",
    ],
    engine: None,
};

fn run(input: &[u8]) {
    Bench::with(async |bench| {
        let server = WsServer::new(bench.api.clone(), limits());
        let peer: std::net::SocketAddr = ([127, 0, 0, 1], 9).into();
        let heard = converse(input, |stream| {
            server.accept(stream.compat(), peer).handle()
        })
        .await;
        check(&heard);
        assert_eq!(server.connections(), 0, "a place was not given back");
        bench.check_alive().await;
    });
}

fn check(heard: &[u8]) {
    if heard.is_empty() {
        return;
    }
    let (Answer { status, .. }, rest) = take_answer(heard, true).expect("an answer of HTTP");
    if status == 101 {
        check_frames(rest);
    } else {
        assert!((400..500).contains(&status), "status {status}");
        assert!(rest.is_empty(), "something after a refusal");
    }
}
