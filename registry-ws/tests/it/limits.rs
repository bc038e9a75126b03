//! What is refused, and how.

use std::num::NonZeroU32;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use futures_util::StreamExt as _;
use registry_api::{Access, Authenticator, Token};
use registry_ws::WsConfig;
use serde_json::json;

use crate::client::{Client, Server, entry};

fn status(refused: Result<Client, Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("expected an HTTP answer, found {other:?}"),
        Ok(_) => panic!("expected a refusal"),
    }
}

#[test]
fn malformed_requests_are_refused_with_the_place() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        let cases = [
            ("not json", "expected"),
            (r#"{"id":"7","type":"request"}"#, "action"),
            (r#"{"id":"7","type":"demand","action":"ping"}"#, "type"),
            (
                r#"{"id":"7","type":"request","action":"ping","colour":"red"}"#,
                "colour",
            ),
            (
                r#"{"id":"7","type":"request","action":"get_service","params":{"name":"a","x":1}}"#,
                "x",
            ),
            (
                r#"{"id":"7","type":"request","action":"get_service","params":{"name":[]}}"#,
                "name",
            ),
        ];
        for (text, place) in cases {
            client.socket.send(Message::text(text)).await.unwrap();
            let response = client.receive().await;
            assert_eq!(response["error"]["code"], "BadRequest", "{text}");
            let message = response["error"]["message"].as_str().unwrap();
            assert!(message.contains(place), "{text}: {message}");
        }
        let deep = format!(
            r#"{{"id":"7","type":"request","action":"ping","params":{}}}"#,
            "[".repeat(100_000)
        );
        client.socket.send(Message::text(deep)).await.unwrap();
        assert_eq!(client.receive().await["error"]["code"], "BadRequest");
        assert_eq!(client.refused("fly", json!({})).await, "UnknownAction");
        assert_eq!(
            client.refused("deploy_package", json!({})).await,
            "Unsupported"
        );
        assert_eq!(
            client
                .refused("service_action", json!({ "name": "a" }))
                .await,
            "Unsupported"
        );
        let empty = json!({ "service": { "name": "", "version": "1" } });
        assert_eq!(
            client.refused("register_service", empty).await,
            "BadRequest"
        );
        assert_eq!(
            server.registry.stale_view().revision().0,
            0,
            "nothing was changed"
        );
    });
}

#[test]
fn token_is_required_where_tokens_are_set() {
    smol::block_on(async {
        let tokens = vec![
            Token::new("ops", Access::Write, "s3cret"),
            Token::new("board", Access::Read, "look"),
        ];
        let config = WsConfig {
            authenticator: Authenticator::new(tokens),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        assert_eq!(status(server.connect_with(&[]).await), 401);
        assert_eq!(
            status(
                server
                    .connect_with(&[("authorization", "Bearer guess")])
                    .await
            ),
            401
        );
        let mut ops = server
            .connect_with(&[("authorization", "Bearer s3cret")])
            .await
            .unwrap();
        ops.ask("register_service", json!({ "service": entry("api") }))
            .await;
        let history = ops.ask("service_history", json!({ "name": "api" })).await;
        assert_eq!(history["entries"][0]["actor"], "ops");
        let browser = [("sec-websocket-protocol", "harness.v1, harness.bearer.look")];
        let mut board = server.connect_with(&browser).await.unwrap();
        board.ask("get_service", json!({ "name": "api" })).await;
        assert_eq!(
            board
                .refused("deregister_service", json!({ "name": "api" }))
                .await,
            "Forbidden"
        );
    });
}

#[test]
fn foreign_origins_are_turned_away() {
    smol::block_on(async {
        let config = WsConfig {
            origins: vec!["https://board.example.net".into()],
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        assert_eq!(
            status(
                server
                    .connect_with(&[("origin", "https://evil.example.org")])
                    .await
            ),
            403
        );
        let own = format!("http://{}", server.addr);
        assert!(server.connect_with(&[("origin", &own)]).await.is_ok());
        assert!(
            server
                .connect_with(&[("origin", "https://board.example.net")])
                .await
                .is_ok()
        );
    });
}

#[test]
fn connection_beyond_the_limit_is_answered_503() {
    smol::block_on(async {
        let server = Server::start(WsConfig {
            connections_max: 1,
            ..WsConfig::default()
        })
        .await;
        let mut first = server.connect().await;
        assert_eq!(status(server.connect_with(&[]).await), 503);
        first.ask("ping", json!({})).await;
    });
}

#[test]
fn message_beyond_the_limit_ends_the_connection_with_1009() {
    smol::block_on(async {
        let config = WsConfig {
            message_bytes_max: 1000,
            frame_bytes_max: 1000,
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        let mut client = server.connect().await;
        client
            .socket
            .send(Message::text("x".repeat(1001)))
            .await
            .unwrap();
        match client.socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1009),
            other => panic!("expected a close frame, found {other:?}"),
        }
        server.connect().await.ask("ping", json!({})).await;
    });
}

#[test]
fn close_of_the_client_is_answered_with_its_code() {
    smol::block_on(async {
        let server = Server::start(WsConfig::default()).await;
        let mut client = server.connect().await;
        let close = CloseFrame {
            code: CloseCode::Library(4001),
            reason: "".into(),
        };
        client.socket.close(Some(close.clone())).await.unwrap();
        match client.socket.next().await {
            Some(Ok(Message::Close(Some(answer)))) => assert_eq!(answer, close),
            other => panic!("expected a close frame, found {other:?}"),
        }
        assert!(client.socket.next().await.is_none());
    });
}

#[test]
fn requests_beyond_the_rate_are_refused_and_not_answered() {
    smol::block_on(async {
        let config = WsConfig {
            requests_per_second: NonZeroU32::new(2),
            ..WsConfig::default()
        };
        let mut client = Server::start(config).await.connect().await;
        for _ in 0..20 {
            client.send("ping", json!({})).await;
        }
        let mut refused = 0;
        for _ in 0..20 {
            refused += u32::from(client.receive().await["error"]["code"] == "RateLimited");
        }
        assert!(refused > 0);
    });
}

#[test]
fn subscriptions_beyond_the_limit_are_refused() {
    smol::block_on(async {
        let mut client = Server::start(WsConfig {
            subscriptions_max: 2,
            ..WsConfig::default()
        })
        .await
        .connect()
        .await;
        for _ in 0..3 {
            // A refused one gives its place back.
            let refused = client
                .refused("subscribe", json!({ "events": ["storm"] }))
                .await;
            assert_eq!(refused, "BadRequest");
        }
        for _ in 0..2 {
            client.ask("subscribe", json!({ "events": [] })).await;
        }
        assert_eq!(
            client.refused("subscribe", json!({})).await,
            "LimitExceeded"
        );
        client.ask("unsubscribe", json!({})).await;
        client.ask("subscribe", json!({})).await;
    });
}

#[test]
fn silent_peer_is_cut_off() {
    smol::block_on(async {
        let config = WsConfig {
            ping_interval: std::time::Duration::from_millis(30),
            ..WsConfig::default()
        };
        let server = Server::start(config).await;
        // A stream that was upgraded and then answers nothing, not even a ping.
        let mut raw = async_net::TcpStream::connect(server.addr).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.addr
        );
        futures_lite::AsyncWriteExt::write_all(&mut raw, request.as_bytes())
            .await
            .unwrap();
        let mut heard = Vec::new();
        futures_lite::AsyncReadExt::read_to_end(&mut raw, &mut heard)
            .await
            .unwrap();
        assert!(
            heard.starts_with(b"HTTP/1.1 101"),
            "the end of the stream is the server's"
        );
    });
}
