//! Whoever connects and is no opener.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use futures_lite::future::block_on;
use registry_core::Revision;

use crate::fixture::{apply, config, place, put, share};

/// Sends bytes to the owner's socket, and answers what came back until it closed the connection.
fn send(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("the owner listens");
    // The owner may have closed the connection before it took everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn framed(content: &str) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("it is short");
    [&length.to_le_bytes()[..], content.as_bytes()].concat()
}

fn hello(protocol: u32) -> Vec<u8> {
    framed(&format!(
        r#"{{"magic":"harness-attach","protocol":{protocol},"peer":{{"pid":1,"version":"0.1.0"}},"claim":"own"}}"#
    ))
}

#[test]
fn nonsense_ends_its_connection_alone() {
    let (_folder, path) = place();
    let owner = share(config(&path)).unwrap();
    let attached = share(config(&path)).unwrap();
    let socket = block_on(owner.sharing()).unwrap().socket.unwrap();
    let nonsense: [Vec<u8>; 6] = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        framed("{}"),
        framed(r#"{"magic":"other","protocol":1,"peer":{"pid":1,"version":"0"},"claim":"own"}"#),
        [
            hello(1),
            framed(r#"{"ask":{"id":1,"request":{"get":{"service":""}}}}"#),
        ]
        .concat(),
        [hello(1), framed(&"[".repeat(4000))].concat(),
    ];
    for bytes in nonsense {
        send(&socket, &bytes);
        assert!(apply(&attached, put("a", "1")).unwrap() > Revision::ZERO);
    }
}

#[test]
fn other_protocol_is_refused_by_name() {
    let (_folder, path) = place();
    let owner = share(config(&path)).unwrap();
    let socket = block_on(owner.sharing()).unwrap().socket.unwrap();
    let answer = send(&socket, &hello(2));
    assert!(answer.contains("expected protocol 1, found 2"), "{answer}");
    assert!(send(&socket, &hello(1)).contains("attached"));
}
