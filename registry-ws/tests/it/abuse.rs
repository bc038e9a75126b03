//! Peers that are slow, broken or hostile, and what others notice of them.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use async_net::TcpStream;
use async_tungstenite::tungstenite::Message;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};
use futures_util::StreamExt as _;
use registry_core::engine::EngineConfig;
use registry_core::model::{ServiceEntry, ServiceState};
use registry_ws::WsConfig;
use serde_json::{Value, json};

use crate::client::{Client, Server, entry};

/// Runs a test that must come to an end.
fn run(test: impl Future<Output = ()>) {
    let timeout = async {
        async_io::Timer::after(Duration::from_secs(60)).await;
        panic!("the test hangs");
    };
    smol::block_on(future::or(test, timeout));
}

/// First bytes and payloads of frames.
type Frames<'a> = &'a [(u8, &'a [u8])];

/// A connection whose frames are made by hand.
struct Raw(TcpStream);

impl Raw {
    async fn connect(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.addr)
            .await
            .expect("the connection is open");
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.addr
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the connection is open");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream
                .read_exact(&mut byte)
                .await
                .expect("the connection is open");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));
        Self(stream)
    }

    /// Sends a frame with a mask of zeros; the first byte is as it is on the wire.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        if let Ok(len @ ..126) = u8::try_from(payload.len()) {
            frame.push(0x80 | len);
        } else {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        // The server may have ended the connection in the middle of it.
        drop(self.0.write_all(&frame).await);
    }

    /// The next frame that is no ping: its first byte and its payload.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 2];
            self.0
                .read_exact(&mut head)
                .await
                .expect("the connection is open");
            let len = match head[1] {
                126 => {
                    let mut len = [0; 2];
                    self.0
                        .read_exact(&mut len)
                        .await
                        .expect("the connection is open");
                    usize::from(u16::from_be_bytes(len))
                }
                len => usize::from(len),
            };
            let mut payload = vec![0; len];
            self.0
                .read_exact(&mut payload)
                .await
                .expect("the connection is open");
            if head[0] != 0x89 {
                return (head[0], payload);
            }
        }
    }

    /// The code with which the server closes.
    async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.receive().await;
        assert_eq!(first, 0x88, "expected a close frame");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// What a stream has until its end, be it orderly or not.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        heard.extend(&part[..read]);
    }
    heard
}

async fn expect_served(server: &Server) {
    server.connect().await.ask("ping", json!({})).await;
}

async fn fail(server: &Server, name: &str, reason: String) {
    let failed = ServiceState::Failed { reason };
    server
        .registry
        .set_state(name, failed)
        .await
        .expect("memory takes it");
}

/// Commits that are together larger than what the system keeps for a connection.
async fn flood(server: &Server, commits: usize) {
    for number in 0..commits {
        fail(server, "api", format!("{number:04000}")).await;
    }
}

/// Reads to the end of the connection or of the subscription: revisions of events, and where to resume.
async fn drain(client: &mut Client) -> (Vec<u64>, Option<u64>) {
    let mut revisions = Vec::new();
    while let Some(Ok(message)) = client.socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).expect("messages are JSON");
        if event["event"] == "lagged" {
            return (revisions, event["data"]["resume_after"].as_u64());
        }
        assert_eq!(event["complete"], true);
        revisions.push(
            event["data"]["revision"]
                .as_u64()
                .expect("events have revisions"),
        );
    }
    (revisions, None)
}

/// A client that follows, and has heard of revision 2.
async fn follower(server: &Server) -> Client {
    server
        .registry
        .register(ServiceEntry::new("api", "1"))
        .await
        .expect("memory takes it");
    let mut client = server.connect().await;
    client.ask("subscribe", json!({})).await;
    assert_eq!(client.event().await.0, "registry_loaded");
    fail(server, "api", "first".into()).await;
    assert_eq!(client.event().await.1["revision"], 2);
    client
}

/// Resumes on a fresh connection, and expects every commit after the revision exactly once.
async fn expect_resumed(server: &Server, after: u64) {
    let head = server
        .registry
        .view()
        .await
        .expect("memory takes it")
        .revision()
        .0;
    let mut client = server.connect().await;
    client
        .ask("subscribe", json!({ "resume_after": after }))
        .await;
    for revision in after + 1..=head {
        assert_eq!(client.event().await.1["revision"], revision);
    }
}

#[test]
fn slow_reader_is_told_where_to_resume_and_costs_others_nothing() {
    run(async {
        let engine = EngineConfig {
            feed_commits_max: 64,
            ..EngineConfig::default()
        };
        let server = Server::start_with(WsConfig::default(), engine).await;
        let mut slow = follower(&server).await;
        let mut other = server.connect().await;
        flood(&server, 3000).await;
        let service = other.ask("get_service", json!({ "name": "api" })).await;
        assert_eq!(service["revision"], 3002);
        let (revisions, resume_after) = drain(&mut slow).await;
        // None at all where the feed ran past it before it sent one.
        let last = revisions.last().copied().unwrap_or(2);
        assert_eq!(revisions, (3..=last).collect::<Vec<_>>());
        assert_eq!(resume_after, Some(last));
        assert!(last < 3002);
        expect_resumed(&server, last).await;
        // The connection itself goes on.
        slow.ask("ping", json!({})).await;
    });
}

#[test]
fn reader_that_takes_nothing_is_cut_off_and_can_resume() {
    run(async {
        let config = WsConfig {
            write_timeout: Duration::from_millis(100),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let mut slow = follower(&server).await;
        flood(&server, 3000).await;
        while server.ws.connections() > 0 {
            async_io::Timer::after(Duration::from_millis(5)).await;
        }
        let (revisions, resume_after) = drain(&mut slow).await;
        assert_eq!(resume_after, None);
        let last = *revisions.last().unwrap();
        assert_eq!(revisions, (3..=last).collect::<Vec<_>>());
        expect_resumed(&server, last).await;
    });
}

#[test]
fn half_a_handshake_is_cut_off() {
    run(async {
        let config = WsConfig {
            handshake_timeout: Duration::from_millis(50),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        for part in ["", "GET /ws HTTP/1.1\r\nhost: a\r\nupg"] {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            stream.write_all(part.as_bytes()).await.unwrap();
            assert_eq!(rest(stream).await, b"");
        }
    });
}

#[test]
fn handshake_does_not_hold_up_the_end() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(b"GET /ws").await.unwrap();
        while server.ws.connections() == 0 {
            future::yield_now().await;
        }
        server.ws.begin_close();
        assert_eq!(rest(stream).await, b"");
    });
}

#[test]
fn garbage_instead_of_a_handshake_ends_the_connection() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        let garbage: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let endless_header = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(1_000_000));
        let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100_000));
        let cases = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            garbage,
            endless_header.into_bytes(),
            many_headers.into_bytes(),
            b"POST /ws HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
            b"GET /ws HTTP/1.0\r\n\r\n".to_vec(),
        ];
        for case in cases {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            drop(stream.write_all(&case).await);
            let heard = rest(stream).await;
            assert!(!heard.starts_with(b"HTTP/1.1 101"));
        }
        expect_served(&server).await;
    });
}

#[test]
fn binary_frames_are_refused_and_the_connection_goes_on() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        let request = br#"{"id":"1","type":"request","action":"ping"}"#;
        client
            .socket
            .send(Message::binary(request.to_vec()))
            .await
            .unwrap();
        let response = client.receive().await;
        assert_eq!(response["error"]["code"], "BadRequest");
        assert_eq!(response["id"], Value::Null);
        client.ask("ping", json!({})).await;
    });
}

#[test]
fn broken_frames_end_the_connection_with_their_code() {
    run(async {
        let config = WsConfig {
            message_bytes_max: 1000,
            frame_bytes_max: 1000,
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let text = 0x81;
        let (first_part, next_part, last_part) = (0x01, 0x00, 0x80);
        let invalid = b"\"\xff\xfe\"".as_slice();
        let (part, whole) = (vec![b'x'; 600], vec![b'x'; 8_000_000]);
        let cases: [(Frames<'_>, u16); 6] = [
            (&[(text, invalid)], 1007),
            (&[(first_part, b"\"\xc3"), (last_part, b"(\"")], 1007),
            (&[(first_part, &part), (next_part, &part)], 1009),
            (&[(text, &whole)], 1009),
            (&[(0x83, b"")], 1002),
            (&[(last_part, b"x")], 1002),
        ];
        for (frames, code) in cases {
            let mut raw = Raw::connect(&server).await;
            for (first, payload) in frames {
                raw.send(*first, payload).await;
            }
            assert_eq!(raw.close_code().await, code);
        }
        let mut raw = Raw::connect(&server).await;
        raw.0
            .write_all(&[text, 0xff, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        assert_eq!(
            raw.close_code().await,
            1009,
            "a length that nobody has memory for"
        );
        let mut raw = Raw::connect(&server).await;
        raw.send(first_part, br#"{"id":"1","type":"request","#)
            .await;
        raw.send(last_part, br#""action":"ping"}"#).await;
        assert_eq!(raw.receive().await.0, text, "parts of one message are fine");
        expect_served(&server).await;
    });
}

#[test]
fn pings_without_reading_pile_up_nothing() {
    run(async {
        let config = WsConfig {
            write_timeout: Duration::from_millis(100),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let mut raw = Raw::connect(&server).await;
        let pings = [[0x89, 0xe4, 0, 0, 0, 0].as_slice(), &[7; 100]]
            .concat()
            .repeat(1000);
        // Until the server has enough of it.
        while raw.0.write_all(&pings).await.is_ok() {}
        expect_served(&server).await;
    });
}

#[test]
fn idle_connections_are_in_nobodys_way() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        let mut idle = Vec::new();
        for _ in 0..300 {
            idle.push(server.connect().await);
        }
        assert_eq!(server.ws.connections(), 300);
        let mut client = server.connect().await;
        for index in 0..100 {
            client
                .ask(
                    "register_service",
                    json!({ "service": entry(&format!("s{index}")) }),
                )
                .await;
        }
        idle.last_mut().unwrap().ask("ping", json!({})).await;
    });
}

/// Whether each message is the answer to a ping.
async fn are_pongs(client: &mut Client, count: usize) -> Vec<bool> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(client.receive().await["data"].get("time").is_some());
    }
    found
}

#[test]
fn requests_beyond_the_places_are_not_read_until_one_is_free() {
    run(async {
        let config = WsConfig {
            requests_in_flight_max: 4,
            // It must not be taken for silent while nothing of it is read.
            ping_interval: Duration::from_millis(200),
            ..WsConfig::default()
        };
        let (server, driver) = Server::start_undriven(config, EngineConfig::default()).await;
        let (mut full, mut other) = (server.connect().await, server.connect().await);
        for index in 0..4 {
            full.send(
                "register_service",
                json!({ "service": entry(&format!("s{index}")) }),
            )
            .await;
        }
        full.send("ping", json!({})).await;
        for index in 0..3 {
            other
                .send(
                    "register_service",
                    json!({ "service": entry(&format!("t{index}")) }),
                )
                .await;
        }
        other.send("ping", json!({})).await;
        assert_eq!(
            are_pongs(&mut other, 1).await,
            [true],
            "a place was left for it"
        );
        drop(other);
        for _ in 0..3 {
            let found = full.socket.next().await;
            assert!(matches!(found, Some(Ok(Message::Ping(_)))), "{found:?}");
        }
        smol::spawn(driver.run()).detach();
        let answers = are_pongs(&mut full, 5).await;
        assert!(!answers[0], "the fifth was not read while four waited");
        assert_eq!(answers.iter().filter(|is_pong| **is_pong).count(), 1);
    });
}

#[test]
fn unsubscribe_ends_what_is_queued() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        for index in 0..3000 {
            let service = ServiceEntry::new(format!("s{index}"), "1");
            server.registry.register(service).await.unwrap();
        }
        let mut client = server.connect().await;
        client.send("subscribe", json!({ "resume_after": 0 })).await;
        let answer = client.receive().await;
        assert_eq!(answer["data"]["subscription"], "1");
        let id = client.send("unsubscribe", json!({})).await;
        let mut events = 0;
        loop {
            let message = client.receive().await;
            if message["id"] == id.as_str() {
                assert_eq!(message["data"]["ended"], json!(["1"]));
                break;
            }
            events += 1;
        }
        assert!(events < 3000, "a request is read between events");
        let id = client.send("ping", json!({})).await;
        assert_eq!(client.receive().await["id"], id.as_str());
    });
}

#[test]
fn refused_subscriptions_take_no_place() {
    run(async {
        let config = WsConfig {
            subscriptions_max: 1,
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let mut client = server.connect().await;
        for _ in 0..3 {
            let refused = client
                .refused("subscribe", json!({ "events": ["eclipse"] }))
                .await;
            assert_eq!(refused, "BadRequest");
        }
        client.ask("subscribe", json!({})).await;
    });
}

#[test]
fn closing_face_answers_what_was_asked_and_says_1001() {
    run(async {
        let (server, driver) =
            Server::start_undriven(WsConfig::default(), EngineConfig::default()).await;
        let (mut client, mut idle) = (server.connect().await, server.connect().await);
        idle.ask("subscribe", json!({})).await;
        for index in 0..3 {
            client
                .send(
                    "register_service",
                    json!({ "service": entry(&format!("s{index}")) }),
                )
                .await;
        }
        client.send("ping", json!({})).await;
        assert_eq!(are_pongs(&mut client, 1).await, [true]);
        server.ws.begin_close();
        assert_eq!(idle.event().await.0, "registry_loaded");
        expect_close(&mut idle, 1001).await;
        smol::spawn(driver.run()).detach();
        for _ in 0..3 {
            assert_eq!(client.receive().await["data"]["changed"], true);
        }
        expect_close(&mut client, 1001).await;
    });
}

async fn expect_close(client: &mut Client, code: u16) {
    loop {
        match client.socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(u16::from(frame.code), code);
                return;
            }
            Some(Ok(_)) => {}
            other => panic!("expected a close frame, found {other:?}"),
        }
    }
}

#[test]
fn busy_subscription_does_not_hold_up_the_end() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = follower(&server).await;
        flood(&server, 3000).await;
        server.ws.begin_close();
        let mut events = 0;
        loop {
            match client.socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    assert_eq!(u16::from(frame.code), 1001);
                    break;
                }
                Some(Ok(_)) => events += 1,
                other => panic!("expected a close frame, found {other:?}"),
            }
        }
        assert!(events < 3000);
    });
}

#[test]
fn filter_is_told_what_leaves_and_what_enters() {
    run(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        let register =
            |name: &str, version: &str| json!({ "service": { "name": name, "version": version } });
        client
            .ask("register_service", register("pay-in", "1"))
            .await;
        let filters = [json!({ "prefix": "pay-" }), json!({ "version": "1" })];
        for filter in filters {
            let events = json!([
                "service_registered",
                "service_deregistered",
                "service_state_changed"
            ]);
            client
                .ask("subscribe", json!({ "filter": filter, "events": events }))
                .await;
        }
        // Revisions 2 to 7: a service under another name, then a version that leaves the filter and comes back.
        client
            .ask("deregister_service", json!({ "name": "pay-in" }))
            .await;
        client
            .ask("register_service", register("ship-in", "1"))
            .await;
        let update =
            |version: &str| json!({ "name": "ship-in", "changes": { "version": version } });
        client.ask("update_service", update("2")).await;
        client.ask("update_service", update("3")).await;
        let running = json!({ "name": "ship-in", "state": "running" });
        client.ask("set_service_state", running).await;
        client.ask("update_service", update("1")).await;
        let mut told = BTreeSet::new();
        for _ in 0..5 {
            let event = client.next_event().await;
            let text = |field: &Value| field.as_str().unwrap().to_owned();
            told.insert((
                text(&event["subscription"]),
                event["data"]["revision"].as_u64().unwrap(),
                text(&event["event"]),
            ));
        }
        let expected = [
            ("1", 2, "service_deregistered"),
            ("2", 2, "service_deregistered"),
            ("2", 3, "service_registered"),
            ("2", 4, "service_registered"),
            ("2", 7, "service_registered"),
        ];
        let expected = expected.map(|(subscription, revision, event)| {
            (subscription.to_owned(), revision, event.to_owned())
        });
        assert_eq!(told, BTreeSet::from(expected));
        let id = client.send("ping", json!({})).await;
        assert_eq!(client.receive().await["id"], id.as_str());
    });
}

#[test]
fn resumption_from_the_beginning_reads_the_log_and_then_the_feed() {
    run(async {
        let engine = EngineConfig {
            feed_commits_max: 64,
            ..EngineConfig::default()
        };
        let server = Server::start_with(WsConfig::default(), engine).await;
        for index in 0..700 {
            let service = ServiceEntry::new(format!("s{index}"), "1");
            server.registry.register(service).await.unwrap();
        }
        let mut client = server.connect().await;
        client.ask("subscribe", json!({ "resume_after": 0 })).await;
        for revision in 1..=800 {
            if revision > 700 {
                let service = ServiceEntry::new(format!("s{revision}"), "1");
                server.registry.register(service).await.unwrap();
            }
            assert_eq!(client.event().await.1["revision"], revision);
        }
    });
}

#[test]
fn snapshot_of_many_pages_and_the_events_after_it_fit_together() {
    run(async {
        let config = WsConfig {
            // Smaller than one page.
            queued_bytes_max: 1024,
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        for index in 0..1100 {
            let service = ServiceEntry::new(format!("s{index:04}"), "1");
            server.registry.register(service).await.unwrap();
        }
        let registry = server.registry.clone();
        let writing = smol::spawn(async move {
            for index in 0..400 {
                let service = ServiceEntry::new(format!("t{index:04}"), "1");
                registry.register(service).await.unwrap();
                let gone = format!("s{index:04}");
                registry.deregister(&gone).await.unwrap();
            }
        });
        let mut client = server.connect().await;
        client.ask("subscribe", json!({})).await;
        let mut names = Vec::new();
        let loaded = loop {
            let (event, page) = client.event().await;
            assert_eq!(event, "registry_loaded");
            let services = page["services"].as_array().unwrap();
            names.extend(
                services
                    .iter()
                    .map(|service| service["name"].as_str().unwrap().to_owned()),
            );
            if page["complete"] == true {
                break page["revision"].as_u64().unwrap();
            }
        };
        assert!(names.is_sorted());
        let mut state: BTreeSet<_> = names.iter().cloned().collect();
        assert_eq!(state.len(), names.len());
        writing.await;
        for revision in loaded + 1..=1900 {
            let (event, data) = client.event().await;
            assert_eq!(data["revision"], revision);
            let name = data["service"].as_str().unwrap_or_else(|| panic!("{data}"));
            if event == "service_registered" {
                assert!(state.insert(name.to_owned()));
            } else {
                assert!(state.remove(name));
            }
        }
        let view = server.registry.view().await.unwrap();
        let stored: Vec<_> = view
            .services_after(None)
            .map(|service| service.name().as_str().to_owned())
            .collect();
        assert_eq!(state.into_iter().collect::<Vec<_>>(), stored);
    });
}
