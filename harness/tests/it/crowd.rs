//! Many connections that do nothing or next to nothing, and floods of nonsense: what a proper client notices of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use futures_lite::future::block_on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::fixture::{Client, Daemon};
use crate::http::address;

/// Connections that open and say nothing more.
const IDLE: usize = 1000;
/// Connections that are in the middle of something for ever.
const SLOW: usize = 100;
/// Messages that are none.
const MALFORMED: usize = 20_000;
/// Messages after which the daemon has all the memory that it needs for such.
const WARM_UP: usize = 2000;
/// Most that the resident memory may grow after that, in KiB: pages that the allocator keeps, and nothing for each of
/// the other 18,000 messages, whose texts have 20 MiB and more.
const GROWTH_KIB_MAX: u64 = 8 * 1024;
/// Time after which a test fails instead of waiting on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has as many files open as this process may: each connection is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("a process may use up to its hard limit");
    let needed = (IDLE + SLOW + 100) as u64;
    assert!(
        raised.current.is_none_or(|files| files >= needed),
        "{needed} connections are more files than this process may open"
    );
}

fn connect(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(address(daemon)).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out is legal");
    stream
}

/// What is answered to these bytes, until the daemon ends the connection.
fn told(mut stream: TcpStream, asked: &[u8]) -> String {
    // A peer that had enough may end it before it has heard everything.
    drop(stream.write_all(asked));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// As [`told`], to who says that nothing more comes.
fn told_all(mut stream: TcpStream, asked: &[u8]) -> String {
    drop(stream.write_all(asked));
    drop(stream.shutdown(Shutdown::Write));
    told(stream, &[])
}

fn get(daemon: &Daemon, path: &str) -> String {
    let asked = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    told(connect(daemon), asked.as_bytes())
}

/// The value of a metric without labels.
fn metric(daemon: &Daemon, name: &str) -> u64 {
    let metrics = get(daemon, "/metrics");
    let found = metrics.lines().find_map(|line| line.strip_prefix(name));
    let value = found.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Opens a WebSocket, and begins a frame of many bytes.
fn begin_frame(daemon: &Daemon) -> TcpStream {
    let mut stream = connect(daemon);
    let head = "GET /ws HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it is open");
        answer.extend(byte);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // A text of 64,000 bytes, and its mask.
    stream
        .write_all(&[0x81, 0xfe, 0xfa, 0x00, 0, 0, 0, 0])
        .expect("it is open");
    stream
}

#[test]
fn new_client_is_answered_among_idle_and_slow_ones() {
    raise_file_limit();
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let mut idle: Vec<Client> = block_on(async {
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            idle.push(Client::connect(&daemon.url).await);
        }
        idle
    });
    let mut slow: Vec<_> = (0..SLOW).map(|_| begin_frame(&daemon)).collect();
    while metric(&daemon, "registry_websockets ") < (IDLE + SLOW) as u64 {
        std::thread::yield_now();
    }
    for _ in 0..10 {
        for stream in &mut slow {
            stream.write_all(b" ").expect("the daemon waits for more");
        }
        let mut client = block_on(Client::connect(&daemon.url));
        let answer = block_on(client.request("ping", json!({}))).expect("it is answered");
        assert!(answer["error"].is_null(), "{answer}");
        let answer = get(&daemon, "/v1/ping");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for client in [0, IDLE / 2, IDLE - 1] {
        let answer = block_on(idle[client].request("ping", json!({})));
        assert!(answer.is_some(), "who was idle is served, too");
    }
}

/// Texts that are no request, each different from the others of its kind.
fn malformed(index: usize) -> Message {
    let nested =
        |open: &str, close: &str| format!("{}1{}", open.repeat(30_000), close.repeat(30_000));
    let filler = "x".repeat(index % 4096);
    match index % 16 {
        0 => Message::text(format!("no JSON {filler}")),
        1 => Message::text(String::new()),
        2 => Message::text(format!("[{index}]")),
        3 => Message::text("null"),
        4 => Message::text(nested("[", "]")),
        5 => Message::text(format!(
            r#"{{"id":"1","type":"request","action":"ping","params":{}}}"#,
            nested(r#"{"a":"#, "}")
        )),
        6 => Message::text(format!(
            r#"{{"id":"{}","type":"request","action":"ping","params":{{}}}}"#,
            "i".repeat(100_000)
        )),
        7 => Message::text(r#"{"id":7,"type":"request","action":"ping"}"#),
        8 => Message::text(r#"{"id":"1","type":["request"],"action":"ping","params":{}}"#),
        9 => Message::text(format!(
            r#"{{"id":"1","type":"request","action":"act-{index}-{filler}","params":{{}}}}"#
        )),
        10 => Message::text(format!(
            r#"{{"id":"1","type":"request","action":"get_service","params":{{"name":{index}}}}}"#
        )),
        11 => Message::text(format!(
            r#"{{"id":"1","type":"request","action":"register_service","params":{{"service":{{"name":"a","version":"1","f{index}":"{filler}"}}}}}}"#
        )),
        12 => Message::text(format!(
            r#"{{"id":"{index}","type":"event","event":"ping"}}"#
        )),
        13 => Message::text(
            r#"{"id":"1","type":"request","action":"unsubscribe","params":{"subscription_id":"nobody"}}"#,
        ),
        14 => Message::text("\u{feff}{\"id\":\"1\""),
        _ => Message::binary(filler.into_bytes()),
    }
}

/// Bytes that are no HTTP, or a request that makes no sense.
fn garbage(index: usize) -> Vec<u8> {
    let path = "a".repeat(index % 4096);
    match index % 6 {
        0 => vec![0; 100 + index % 1000],
        1 => format!("{path}\r\n\r\n").into_bytes(),
        2 => format!("GET /{path}%zz HTTP/1.1\r\n\r\n").into_bytes(),
        3 => format!("GET / HTTP/9.9\r\nhost: {path}\r\n\r\n").into_bytes(),
        4 => format!(
            "PUT /v1/services/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{path}",
            path.len()
        )
        .into_bytes(),
        _ => b"POST /v1/heartbeats HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    }
}

/// Sends malformed messages with these numbers, one in ten of them over HTTP, and hears what is said to each.
fn flood(daemon: &Daemon, numbers: std::ops::Range<usize>) {
    let mut client = block_on(Client::connect(&daemon.url));
    for index in numbers {
        if index % 10 == 0 {
            let answer = told_all(connect(daemon), &garbage(index / 10));
            assert!(!answer.starts_with("HTTP/1.1 2"), "{index}: {answer}");
            assert!(!answer.starts_with("HTTP/1.1 5"), "{index}: {answer}");
            continue;
        }
        let answer: Option<Value> = block_on(async {
            client.send_message(malformed(index)).await?;
            client.receive().await
        });
        match answer {
            Some(answer) => assert!(answer["error"].is_object(), "{index}: {answer}"),
            // It was ended, which is an answer, too.
            None => client = block_on(Client::connect(&daemon.url)),
        }
    }
}

/// Resident memory in KiB.
fn resident_kib(daemon: &Daemon) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the system tells the resident memory")
}

#[test]
fn malformed_messages_leave_the_daemon_up_and_its_memory_flat() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let mut witness = block_on(Client::connect(&daemon.url));
    flood(&daemon, 0..WARM_UP);
    let before = resident_kib(&daemon);
    for first in (WARM_UP..MALFORMED).step_by(WARM_UP) {
        flood(&daemon, first..MALFORMED.min(first + WARM_UP));
        // Who says nothing for long is cut off, and the flood takes as long as the machine lets it.
        let pong = block_on(witness.request("ping", json!({}))).expect("it is answered");
        assert!(pong["data"].is_object(), "{pong}");
    }
    let after = resident_kib(&daemon);
    println!("resident memory: {before} KiB, then {after} KiB");
    assert!(
        after <= before + GROWTH_KIB_MAX,
        "expected at most {GROWTH_KIB_MAX} KiB more than {before} KiB, found {after} KiB"
    );
    let service = json!({ "name": "a", "version": "1" });
    let params = json!({ "service": service });
    let answer = block_on(witness.request("register_service", params)).expect("it is answered");
    assert_eq!(
        answer["data"]["revision"], 1,
        "nothing of it was taken: {answer}"
    );
    assert!(get(&daemon, "/v1/services/a").starts_with("HTTP/1.1 200"));
    assert!(daemon.terminate().success());
}
