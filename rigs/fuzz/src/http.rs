//! Reads answers of HTTP/1.1, and checks what every one of ours must have.

use std::collections::BTreeMap;
use std::str;

use registry_api::ErrorInfo;
use serde_json::Value;

/// Statuses of a request that was never understood, which hyper answers without a body.
const BARE: [u16; 3] = [400, 414, 431];
/// The status of what this registry does not do: the only fault of a server that an input may bring about.
const UNSUPPORTED: u16 = 501;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Checks that it is no fault of the server, and that a refusal has the error envelope where a body was asked for.
    pub(crate) fn check(&self, has_body: bool) {
        let Self { status, body, .. } = self;
        let text = String::from_utf8_lossy(body);
        assert!(*status < 500 || *status == UNSUPPORTED, "{status}: {text}");
        let is_json =
            self.headers.get("content-type").map(String::as_str) == Some("application/json");
        if is_json && !body.is_empty() {
            let read: Result<Value, _> = serde_json::from_slice(body);
            assert!(read.is_ok(), "{status}: {text}");
        }
        if !has_body || *status < 400 || (body.is_empty() && BARE.contains(status)) {
            return;
        }
        let envelope: Value = serde_json::from_slice(body).expect("an error is JSON");
        let error: ErrorInfo =
            serde_json::from_value(envelope["error"].clone()).expect("an error has its envelope");
        assert_eq!(error.code.http_status(), *status, "{text}");
        assert!(
            !error.message.is_empty() && !error.hint.is_empty(),
            "{text}"
        );
    }
}

/// The first answer of a stream and what follows it; none where it is cut off. Without `has_body` its length is that
/// of a body that was not asked for.
pub(crate) fn take_answer(bytes: &[u8], has_body: bool) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = bytes[..end]
        .iter()
        .copied()
        .map(char::from)
        .collect::<String>();
    let mut lines = head.split("\r\n");
    let first = lines.next()?.strip_prefix("HTTP/1.")?;
    let status = first.get(2..5)?.parse().ok()?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let is_bare = !has_body || status == 304 || status < 200;
    let (body, rest) = match headers.get("content-length") {
        _ if is_bare => (Vec::new(), rest),
        Some(length) => {
            let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
            (body.to_vec(), rest)
        }
        None if headers.contains_key("transfer-encoding") => take_chunks(rest),
        None => (rest.to_vec(), &[][..]),
    };
    let answer = Answer {
        status,
        headers,
        body,
    };
    Some((answer, rest))
}

/// A body in chunks, as far as it came: a stream of events ends with its connection.
fn take_chunks(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = str::from_utf8(&bytes[..end]).expect("the size of a chunk is text");
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk is a number");
        let Some((chunk, rest)) = bytes[end + 2..].split_at_checked(size) else {
            break;
        };
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        if size == 0 {
            return (body, bytes);
        }
    }
    (body, &[])
}
