//! Requests of HTTP: a line with method and target, headers, an empty line, and a body, with the framing put right.
//!
//! No answer is a fault of the server; a refusal has its envelope; one that is refused, or only reads, leaves the
//! registry as it was.

use std::net::SocketAddr;

use registry_http::HttpServer;
use registry_ws::WsServer;

use super::http_connection::{CLIENT, http_limits};
use super::ws_frames::limits;
use crate::face::{Bench, converse};
use crate::http::take_answer;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http_request",
    run,
    dictionary: &[
        "GET /v1/",
        "PUT /v1/services/",
        "PATCH /v1/services/api",
        "/instances/api-1",
        "/heartbeat",
        "/health",
        "/policy",
        "/v1/watch",
        "/v1/snapshot",
        "?limit=",
        "&cursor=",
        "?wait=",
        "&after=",
        "content-type: application/json\n",
        "if-match: \"1\"\n",
        "if-none-match: *\n",
        "idempotency-key: k\n",
        "x-registry-reason: r\n",
        "accept: text/event-stream\n",
        "last-event-id: 1\n",
        "x-request-id: x\n",
        "{\"version\":\"1\"}",
        "%00",
        "%ff",
        "%2F",
        "\\u0000",
        "18446744073709551616",
    ],
    engine: None,
};

fn run(input: &[u8]) {
    let request = framed(input);
    let (is_head, is_get) = (input.starts_with(b"HEAD "), input.starts_with(b"GET "));
    Bench::with(async |bench| {
        let server = HttpServer::new(WsServer::new(bench.api.clone(), limits()), http_limits());
        let peer = SocketAddr::from(CLIENT);
        let before = bench.head().await;
        let heard = converse(&request, |stream| server.handle(stream, peer)).await;
        let after = bench.head().await;
        let Some((answer, _)) = take_answer(&heard, !is_head) else {
            return assert!(heard.is_empty(), "half an answer");
        };
        answer.check(!is_head);
        let must_not_change = is_head || is_get || answer.status >= 300;
        assert!(
            !must_not_change || before == after,
            "{} changed something",
            answer.status
        );
        bench.check_alive().await;
    });
}

/// The input as a request of one connection: what says how long the body is, and that nothing follows, is ours.
fn framed(input: &[u8]) -> Vec<u8> {
    let head_end = input.windows(2).position(|window| window == b"\n\n");
    let (head, body) = match head_end {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (input, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut request = [
        first,
        b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n",
    ]
    .concat();
    request.extend(format!("content-length: {}\r\n", body.len()).into_bytes());
    for line in lines.filter(|line| !is_framing(line)) {
        request.extend_from_slice(line);
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request.extend_from_slice(body);
    request
}

fn is_framing(line: &[u8]) -> bool {
    let framing = [
        &b"content-length"[..],
        b"transfer-encoding",
        b"host",
        b"connection",
    ];
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    framing
        .iter()
        .any(|known| name.trim_ascii().eq_ignore_ascii_case(known))
}
