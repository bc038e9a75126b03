//! The daemon with a certificate: HTTP and WebSocket over TLS, and another certificate while it runs.

#![expect(clippy::disallowed_methods, reason = "a wait has an end")]

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::{self, Message, WebSocket};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::fixture::{Daemon, harness, text};

/// The name in the certificates.
const NAME: &str = "registry.test";
/// Time after which a test fails instead of waiting on.
const PATIENCE: Duration = Duration::from_secs(30);

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    config: PathBuf,
}

impl Files {
    fn in_folder(folder: &Path) -> Self {
        let files = Self {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            config: folder.join("config.toml"),
        };
        let (certificate, key) = (text(&files.certificate), text(&files.key));
        let config = format!(
            "tls_cert = {certificate:?}\ntls_key = {key:?}\ntls_reload_interval = \"20ms\"\n"
        );
        std::fs::write(&files.config, config).expect("the folder is ours");
        files
    }

    /// Writes a new pair, and answers its certificate.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("it is made");
        std::fs::write(&self.key, made.signing_key.serialize_pem()).expect("the folder is ours");
        std::fs::write(&self.certificate, made.cert.pem()).expect("the folder is ours");
        made.cert.der().clone()
    }
}

fn start(files: &Files) -> (Daemon, String) {
    let args = ["--config", text(&files.config), "--registry-backend"];
    let daemon = Daemon::start(&[&args[..], &["memory"]].concat());
    let address = daemon.url.strip_prefix("wss://").expect("it speaks TLS");
    let address = address.trim_end_matches("/ws").to_owned();
    (daemon, address)
}

/// A connection that trusts one certificate alone; none where that is not the daemon's.
fn connect(address: &str, trusted: &CertificateDer<'static>) -> Option<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).expect("it is a name");
    let mut tls = ClientConnection::new(Arc::new(config), name).expect("the settings are legal");
    let mut socket = TcpStream::connect(address).expect("the daemon listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out is legal");
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).ok()?;
    }
    Some(StreamOwned::new(tls, socket))
}

fn open(address: &str, trusted: &CertificateDer<'static>) -> WebSocket<Stream> {
    let stream = connect(address, trusted).expect("the certificate is trusted");
    let opened = tungstenite::client(format!("wss://{address}/ws"), stream);
    opened.expect("the handshake succeeds").0
}

fn request(socket: &mut WebSocket<Stream>, action: &str, params: &Value) -> Value {
    let request = json!({ "id": "1", "type": "request", "action": action, "params": params });
    let sent = socket.send(Message::text(request.to_string()));
    sent.expect("the connection is open");
    loop {
        if let Message::Text(text) = socket.read().expect("the connection is open") {
            return serde_json::from_str(&text).expect("messages are JSON");
        }
    }
}

/// Whether curl, which trusts the certificate in the file, is answered with this status.
fn curl(files: &Files, address: &str, path: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
        .arg(&files.certificate)
        .args(["--resolve", &format!("{NAME}:{port}:{host}")])
        .arg(format!("https://{NAME}:{port}{path}"))
        .output()
        .expect("there is a curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn both_faces_are_served_over_tls_with_the_certificate_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path());
    let first = files.renew();
    let (daemon, address) = start(&files);
    assert_eq!(curl(&files, &address, "/readyz"), "200");
    let mut socket = open(&address, &first);
    let params = json!({ "service": { "name": "api", "version": "1" } });
    let answer = request(&mut socket, "register_service", &params);
    assert_eq!(answer["data"]["revision"], 1, "{answer}");
    assert_eq!(curl(&files, &address, "/v1/services/api"), "200");

    let second = files.renew();
    let begun = Instant::now();
    let mut renewed = loop {
        if let Some(stream) = connect(&address, &second) {
            break tungstenite::client(format!("wss://{address}/ws"), stream)
                .unwrap()
                .0;
        }
        assert!(begun.elapsed() < PATIENCE, "the certificate stays");
    };
    assert!(connect(&address, &first).is_none(), "the old one is gone");
    assert_eq!(curl(&files, &address, "/v1/services/api"), "200");
    for socket in [&mut socket, &mut renewed] {
        let answer = request(socket, "get_service", &json!({ "name": "api" }));
        assert_eq!(answer["data"]["version"], "1", "{answer}");
    }

    std::fs::write(&files.key, "no key").unwrap();
    assert!(
        connect(&address, &second).is_some(),
        "a broken pair is none"
    );
    assert!(daemon.terminate().success());
}

#[test]
fn doctor_says_that_it_does_not_ask_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path());
    files.renew();
    let (_daemon, address) = start(&files);
    let config = text(&files.config);
    let args = [
        "doctor", "--config", config, "--bind", &address, "-o", "json",
    ];
    let output = harness(&args).output().expect("the binary runs");
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let port = checks.iter().find(|check| check["name"] == "port").unwrap();
    assert_eq!(port["status"], "warn", "{port}");
    assert!(port["fix"].as_str().unwrap().contains("https://"), "{port}");
}
