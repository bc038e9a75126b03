//! The bytes of a connection, against the HTTP face with the WebSocket face on it.
//!
//! The connection ends, whatever comes; the first answer is no fault of the server, and a refusal has its envelope.

use std::net::SocketAddr;

use registry_http::{HttpConfig, HttpServer};
use registry_ws::WsServer;

use super::ws_frames::{check_frames, limits};
use crate::face::{Bench, converse};
use crate::http::take_answer;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http_connection",
    run,
    dictionary: &[
        "GET /v1/services HTTP/1.1\r\nhost: a\r\n\r\n",
        "PUT /v1/services/a HTTP/1.1\r\n",
        "HEAD /healthz HTTP/1.1\r\n",
        "content-length: ",
        "transfer-encoding: chunked\r\n",
        "expect: 100-continue\r\n",
        "connection: close\r\n",
        "upgrade: websocket\r\n",
        "content-type: application/json\r\n",
        "idempotency-key: k\r\n",
        "if-match: \"1\"\r\n",
        "if-none-match: *\r\n",
        "0\r\n\r\n",
        "\r\n\r\n",
        "%00",
        "%2F",
        "//",
        "/../",
    ],
    engine: None,
};

/// Limits that inputs can reach.
pub(crate) fn http_limits() -> HttpConfig {
    HttpConfig {
        body_bytes_max: 8192,
        header_bytes_max: 8192,
        requests_per_second: None,
        ..HttpConfig::default()
    }
}

/// Where the client seems to be.
pub(crate) const CLIENT: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

fn run(input: &[u8]) {
    Bench::with(async |bench| {
        let server = HttpServer::new(WsServer::new(bench.api.clone(), limits()), http_limits());
        let peer = SocketAddr::from(CLIENT);
        let heard = converse(input, |stream| server.handle(stream, peer)).await;
        // Empty lines before a request are nothing.
        let is_head = input.trim_ascii_start().starts_with(b"HEAD ");
        check(&heard, !is_head);
        assert_eq!(server.connections(), 0, "a place was not given back");
        assert_eq!(server.watches(), 0, "a watch was not given back");
        bench.check_alive().await;
    });
}

fn check(heard: &[u8], has_body: bool) {
    let Some((answer, rest)) = take_answer(heard, has_body) else {
        return assert!(heard.is_empty(), "half an answer");
    };
    answer.check(has_body);
    if answer.status == 101 {
        check_frames(rest);
    }
}
