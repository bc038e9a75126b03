//! A server on a free port, and a client that shows everything of an answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use registry_api::Api;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{ManualClock, MemoryStore};
use registry_http::{HttpConfig, HttpServer};
use registry_ws::{WsConfig, WsServer};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite,
    AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};

/// A registry in memory behind both faces.
pub(crate) struct Server {
    pub(crate) http: HttpServer,
    pub(crate) addr: SocketAddr,
    pub(crate) registry: Registry,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(WsConfig::default(), HttpConfig::default()).await
    }

    pub(crate) async fn with(ws: WsConfig, http: HttpConfig) -> Self {
        Self::of_engine(EngineConfig::default(), ws, http).await
    }

    pub(crate) async fn of_engine(engine: EngineConfig, ws: WsConfig, http: HttpConfig) -> Self {
        let clock = Arc::new(ManualClock::at(
            "2026-01-02T03:04:05Z".parse().expect("a time"),
        ));
        let opened = Registry::open(Arc::new(MemoryStore::new()), engine, clock).await;
        let (registry, driver) = opened.expect("memory opens");
        tokio::spawn(driver.run());
        let http = HttpServer::new(WsServer::new(Api::new(registry.clone()), ws), http);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let server = http.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.handle(stream, peer).await });
            }
        });
        Self {
            http,
            addr,
            registry,
        }
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::over(TcpStream::connect(self.addr).await.expect("it listens"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], Some(body)).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        self.connect().await.ask(method, path, headers, body).await
    }

    /// Registers services of these names, one revision each.
    pub(crate) async fn register(&self, names: &[&str]) {
        for name in names {
            let path = format!("/v1/services/{name}");
            let answer = self.put(&path, json!({ "version": "1" })).await;
            assert_eq!(answer.status, 201, "{name}");
        }
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// Code and message of the error, whose envelope is checked.
    pub(crate) fn error(&self) -> (String, String) {
        let body = self.json();
        let error = &body["error"];
        for field in ["code", "message", "hint", "ts", "request_id"] {
            assert!(error[field].is_string(), "{field}: {body}");
        }
        assert!(error["retryable"].is_boolean(), "{body}");
        assert_eq!(error["request_id"], self.header("x-request-id"));
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        (text("code"), text("message"))
    }
}

/// A connection.
pub(crate) struct Client<S> {
    pub(crate) stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        self.send(method, path, headers, body).await;
        self.answer(method).await
    }

    /// Sends a request without waiting.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            text.push_str("host: registry.test\r\n");
        }
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").expect("a String takes everything");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        if !body.is_empty() {
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                text.push_str("content-type: application/json\r\n");
            }
            write!(text, "content-length: {}\r\n", body.len()).expect("a String takes everything");
        }
        text.push_str("\r\n");
        text.push_str(&body);
        self.write(&text).await;
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream
            .get_mut()
            .write_all(text.as_bytes())
            .await
            .expect("the connection is open");
        self.stream
            .get_mut()
            .flush()
            .await
            .expect("the connection is open");
    }

    /// The next line without its end; none where the connection ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        line(&mut self.stream).await
    }

    /// Status and headers of the next answer.
    pub(crate) async fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let status = self.line().await.expect("the connection is open");
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status in {status:?}"));
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await.expect("the head has an end");
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return (status, headers);
            };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }

    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let (status, headers) = self.head().await;
        let is_chunked = headers
            .get("transfer-encoding")
            .is_some_and(|encoding| encoding == "chunked");
        let mut body = Vec::new();
        if is_chunked {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else if let Some(length) = headers.get("content-length")
            && method != "HEAD"
        {
            body.resize(length.parse().expect("a number"), 0);
            self.stream
                .read_exact(&mut body)
                .await
                .expect("the whole body");
        }
        Answer {
            status,
            headers,
            body,
        }
    }

    /// The next chunk of a chunked body; none after the last.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = self.line().await?;
        let length = usize::from_str_radix(&length, 16).expect("a length");
        let mut chunk = vec![0; length];
        self.stream
            .read_exact(&mut chunk)
            .await
            .expect("the whole chunk");
        self.line().await;
        (length > 0).then_some(chunk)
    }
}

async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// One server-sent event.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct SentEvent {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A stream of server-sent events.
pub(crate) struct Events<S> {
    client: Client<S>,
    text: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Events<S> {
    /// Opens a stream.
    pub(crate) async fn open(mut client: Client<S>, path: &str, headers: &[(&str, &str)]) -> Self {
        client.send("GET", path, headers, None).await;
        let (status, headers) = client.head().await;
        assert_eq!(status, 200);
        assert_eq!(headers["content-type"], "text/event-stream");
        Self {
            client,
            text: String::new(),
        }
    }

    /// The next event, comments and such without data aside; none after the end.
    pub(crate) async fn next(&mut self) -> Option<SentEvent> {
        loop {
            let block = self.block().await?;
            let mut event = SentEvent::default();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => event.id = Some(id.to_owned()),
                    Some(("event", name)) => name.clone_into(&mut event.event),
                    Some(("data", data)) => event.data = serde_json::from_str(data).expect("JSON"),
                    _ => {}
                }
            }
            if !event.event.is_empty() {
                return Some(event);
            }
        }
    }

    /// The next block of lines.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = self.client.chunk().await?;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }
}
