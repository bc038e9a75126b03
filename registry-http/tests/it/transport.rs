//! What carries it: TLS, sockets in the file system, and the WebSocket face on the same port.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use registry_http::{BindAddress, Listener, Tls};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::client::{Client, Server};

struct Made {
    certificate: CertificateDer<'static>,
}

/// Writes a new certificate and its key.
fn make_certificate(folder: &Path) -> Made {
    let made = rcgen::generate_simple_self_signed(["registry.test".to_owned()])
        .expect("the set-up of the test works");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("the set-up of the test works");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())
        .expect("the set-up of the test works");
    Made {
        certificate: made.cert.der().clone(),
    }
}

impl Made {
    /// A client that trusts this certificate alone.
    async fn connect(
        &self,
        server: std::net::SocketAddr,
    ) -> std::io::Result<Client<tokio_rustls::client::TlsStream<TcpStream>>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .expect("the set-up of the test works");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the set-up of the test works")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(server).await?;
        let name = ServerName::try_from("registry.test").expect("the set-up of the test works");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        Ok(Client::over(stream))
    }
}

async fn serve_tls(server: &Server, tls: Arc<Tls>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the set-up of the test works");
    let addr = listener.local_addr().expect("the set-up of the test works");
    let http = server.http.clone();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (http, tls) = (http.clone(), Arc::clone(&tls));
            tokio::spawn(async move { http.handle_tls(&tls, stream, peer).await });
        }
    });
    addr
}

#[tokio::test]
async fn tls_serves_requests_and_takes_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let first = make_certificate(folder.path());
    let files = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let tls = Arc::new(Tls::load(&files.0, &files.1).unwrap());
    let server = Server::start().await;
    let addr = serve_tls(&server, Arc::clone(&tls)).await;
    let mut client = first.connect(addr).await.unwrap();
    let body = Some(json!({ "version": "1" }));
    assert_eq!(
        client.ask("PUT", "/v1/services/a", &[], body).await.status,
        201
    );

    assert!(!tls.reload().unwrap(), "nothing has changed");
    std::fs::write(&files.1, "no key").unwrap();
    assert!(tls.reload().is_err());
    assert!(!tls.reload().unwrap(), "the same is not tried again");
    assert!(first.connect(addr).await.is_ok(), "the old pair stays");

    let second = make_certificate(folder.path());
    assert!(tls.reload().unwrap());
    assert!(first.connect(addr).await.is_err());
    assert!(second.connect(addr).await.is_ok());
    let again = client.ask("GET", "/v1/ping", &[], None).await;
    assert_eq!(again.status, 200, "connections outlive their certificate");
}

#[tokio::test]
async fn peer_that_speaks_no_tls_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path());
    let tls = Tls::load(
        &folder.path().join("cert.pem"),
        &folder.path().join("key.pem"),
    );
    let server = Server::start().await;
    let addr = serve_tls(&server, Arc::new(tls.unwrap())).await;
    let mut client = Client::over(TcpStream::connect(addr).await.unwrap());
    client.write("GET /v1/ping HTTP/1.1\r\n\r\n").await;
    let line = client.line().await.unwrap_or_default();
    assert!(!line.starts_with("HTTP"), "{line}");
}

#[test]
fn broken_certificates_are_refused_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let refused = |place: &str| {
        let error = Tls::load(&cert, &key).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    };
    refused("cert.pem");
    make_certificate(folder.path());
    let good = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, "").unwrap();
    refused("cert.pem");
    std::fs::write(&cert, good).unwrap();
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\n???\n-----END PRIVATE KEY-----",
    )
    .unwrap();
    refused("key.pem");
    let other = tempfile::tempdir().unwrap();
    make_certificate(other.path());
    std::fs::copy(other.path().join("key.pem"), &key).unwrap();
    refused("cannot be used");
}

#[tokio::test]
async fn socket_file_serves_its_owner_and_goes_with_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sock");
    let address: BindAddress = format!("unix:{}", path.display()).parse().unwrap();
    let listener = Listener::bind(&address).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = Listener::bind(&address).await.unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    let (asked_whether_it_is_taken, _) = listener.accept().await.unwrap();
    drop(asked_whether_it_is_taken);

    let server = Server::start().await;
    let stream = UnixStream::connect(&path).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    let own = registry_api::Peer::Unix {
        pid: Some(std::process::id()),
        uid: std::fs::metadata(&path)
            .map(|file| std::os::unix::fs::MetadataExt::uid(&file))
            .unwrap(),
    };
    assert_eq!(peer, own);
    let http = server.http.clone();
    tokio::spawn(async move { http.handle(accepted, peer).await });
    let mut client = Client::over(stream);
    assert_eq!(client.ask("GET", "/v1/ping", &[], None).await.status, 200);
    drop(listener);
    assert!(!path.exists());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn stale_socket_is_replaced_and_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sock");
    let address = BindAddress::Unix(path.clone());
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&address).await.unwrap();
    assert!(UnixStream::connect(&path).await.is_ok());
    drop(listener);
    std::fs::write(&path, "precious").unwrap();
    let refused = Listener::bind(&address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn addresses_are_told_apart() {
    let parse = |text: &str| text.parse::<BindAddress>();
    assert_eq!(
        parse("localhost:1"),
        Ok(BindAddress::Tcp("127.0.0.1:1".parse().unwrap()))
    );
    assert_eq!(parse("unix:/a b"), Ok(BindAddress::Unix("/a b".into())));
    for text in ["", "unix:", "everywhere", "127.0.0.1", "/a"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn websocket_opens_on_the_same_port() {
    let server = Server::start().await;
    for path in ["/", "/ws"] {
        let mut client = server.connect().await;
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "harness.v1"),
        ];
        client.send("GET", path, &headers, None).await;
        let (status, answered) = client.head().await;
        assert_eq!(status, 101, "{path}");
        assert_eq!(
            answered["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(answered["sec-websocket-protocol"], "harness.v1");
        assert_eq!(server.http.connections(), 1);
        drop(client);
        while server.http.connections() > 0 {
            tokio::task::yield_now().await;
        }
    }
    let broken = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let refused = server.send("GET", "/ws", &broken, None).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.error().0, "BadRequest");
    let foreign = [("upgrade", "websocket"), ("origin", "https://evil.example")];
    assert_eq!(server.send("GET", "/ws", &foreign, None).await.status, 403);
}

#[tokio::test]
async fn answer_is_whole_where_the_body_was_not_wanted() {
    let server = Server::start().await;
    // Far less than the answer, so that its end has to wait for the client.
    let (client, stream) = tokio::io::duplex(1024);
    let handler = server.http.clone();
    let peer = server.addr;
    tokio::spawn(async move { handler.handle(stream, peer).await });
    let mut client = Client::over(client);
    let head = "GET /openapi.json HTTP/1.1\r\nhost: r\r\ncontent-length: 1000000\r\n\r\n";
    client.write(head).await;
    let answer = client.answer("GET").await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["paths"].is_object());
}
