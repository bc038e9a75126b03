//! The WebSocket of harness: text frames with one JSON object each, by hand.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::super::shown;
use super::http::revision;
use super::{BEATS_AT_ONCE, tail, write_beats, write_instance};
use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name, write_number};

/// Records of a page.
const PAGE: u64 = 1000;

pub(crate) struct WebSocket {
    host: String,
    records: Records,
    is_open: bool,
    /// The work under way that is more than one request, and the pages and bytes of it that came.
    listing: Option<u64>,
    pages: u64,
    listed: usize,
    is_subscribing: bool,
    text: Vec<u8>,
    /// The message that renews many leases, as it was made the first time.
    batch: Vec<u8>,
}

impl WebSocket {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            host: address.to_string(),
            records: Records::new(),
            is_open: false,
            listing: None,
            pages: 0,
            listed: 0,
            is_subscribing: false,
            text: Vec::new(),
            batch: Vec::new(),
        }
    }

    fn action(&mut self, number: u64, action: &str) {
        self.text.clear();
        self.text.extend_from_slice(br#"{"id":""#);
        write_number(number, &mut self.text);
        self.text
            .extend_from_slice(br#"","type":"request","action":""#);
        self.text.extend_from_slice(action.as_bytes());
        self.text.extend_from_slice(br#"","params":"#);
    }

    fn send(&mut self, out: &mut Vec<u8>) {
        self.text.push(b'}');
        write_frame(TEXT, &self.text, out);
    }

    fn send_page(&mut self, cursor: &[u8], out: &mut Vec<u8>) {
        self.action(0, "list_services");
        write!(self.text, "{{\"limit\":{PAGE}").expect("a Vec takes it");
        if !cursor.is_empty() {
            self.text.extend_from_slice(br#","cursor":""#);
            self.text.extend_from_slice(cursor);
            self.text.push(b'"');
        }
        self.text.push(b'}');
        self.send(out);
    }

    fn hear_text(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        const EVENT: &[u8] = br#"{"type":"event","event":""#;
        const GOOD: &[u8] = br#"","type":"response","data":{"#;
        const NAME: &[u8] = br#""name":""#;
        if let Some(event) = text.strip_prefix(EVENT) {
            let is_change = event.starts_with(b"service_registered\"");
            ensure!(is_change, "expected a registration, found {}", shown(text));
            return Ok(Heard::Changed);
        }
        let id = text.get(7..16);
        let data = text.get(16..).and_then(|rest| rest.strip_prefix(GOOD));
        let (Some(id), Some(data)) = (id, data) else {
            bail!("expected an answer with data, found {}", shown(text));
        };
        // An answer to a lookup begins with the name, whose number is that of the request.
        if let Some(name) = data.strip_prefix(NAME) {
            let number = name.get(NAME_BYTES - id.len()..NAME_BYTES);
            ensure!(number == Some(id), "another record: {}", shown(text));
        }
        if let Some(count) = self.listing {
            return self.hear_page(count, text, out);
        }
        if self.is_subscribing {
            self.is_subscribing = false;
            let revision = revision(text).context("a revision to watch from")?;
            self.action(0, "subscribe");
            write!(
                self.text,
                "{{\"events\":[\"service_registered\"],\"resume_after\":{revision}}}"
            )?;
            self.send(out);
            return Ok(Heard::Nothing);
        }
        if let Some(beats) = data.strip_prefix(br#""renewed":"#) {
            let renewed = format!("{BEATS_AT_ONCE},\"refused\":[]");
            let is_whole = beats.starts_with(renewed.as_bytes());
            ensure!(is_whole, "some leases were lost: {}", shown(text));
        }
        Ok(Heard::Done { bytes: text.len() })
    }

    fn hear_page(&mut self, count: u64, text: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        const CURSOR: &[u8] = br#""next_cursor":""#;
        self.pages += 1;
        self.listed += text.len();
        let end = tail(text);
        let at = end.windows(CURSOR.len()).rposition(|part| part == CURSOR);
        if let Some(at) = at {
            let cursor = &end[at + CURSOR.len()..];
            let length = cursor.iter().position(|byte| *byte == b'"');
            let cursor = cursor[..length.context("the end of a cursor")?].to_vec();
            self.send_page(&cursor, out);
            return Ok(Heard::Nothing);
        }
        let pages = count.div_ceil(PAGE);
        ensure!(
            self.pages == pages,
            "expected {pages} pages, found {}",
            self.pages
        );
        self.listing = None;
        Ok(Heard::Done { bytes: self.listed })
    }
}

impl Dialogue for WebSocket {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        write!(
            out,
            "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.host
        )
        .expect("a Vec takes it");
        true
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        match work {
            Work::Prepare | Work::Watch => {
                self.is_subscribing = work == Work::Watch;
                self.action(0, "ping");
                self.text.extend_from_slice(b"{}");
            }
            Work::Register(number) | Work::Announce(number) => {
                self.action(number, "register_service");
                self.text.extend_from_slice(br#"{"service":"#);
                self.records.write(number, &mut self.text);
                self.text.push(b'}');
            }
            Work::Lookup(number) => {
                self.action(number, "get_service");
                self.text.extend_from_slice(br#"{"name":""#);
                write_name(number, &mut self.text);
                self.text.extend_from_slice(b"\"}");
            }
            Work::List(count) => {
                self.listing = Some(count);
                (self.pages, self.listed) = (0, 0);
                self.send_page(b"", out);
                return Ok(());
            }
            Work::Lease(number) => {
                self.action(number, "register_instance");
                self.text
                    .extend_from_slice(br#"{"instance":{"instance_id":"i","service":""#);
                write_name(number, &mut self.text);
                self.text.extend_from_slice(b"\",");
                write_instance(&mut self.text);
                self.text.extend_from_slice(b"}}");
            }
            Work::Beat(number) => {
                self.action(number, "heartbeat");
                self.text
                    .extend_from_slice(br#"{"instance_id":"i","service":""#);
                write_name(number, &mut self.text);
                self.text.extend_from_slice(b"\"}");
            }
            Work::Beats(count) => {
                if self.batch.is_empty() {
                    self.action(0, "heartbeats");
                    write_beats(count, &mut self.text);
                    let mut batch = Vec::new();
                    self.send(&mut batch);
                    self.batch = batch;
                }
                out.extend_from_slice(&self.batch);
                return Ok(());
            }
        }
        self.send(out);
        Ok(())
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        if !self.is_open {
            let end = input.windows(4).position(|part| part == b"\r\n\r\n");
            let Some(end) = end else { return Ok(None) };
            let is_upgraded = input.starts_with(b"HTTP/1.1 101 ");
            ensure!(is_upgraded, "expected an upgrade, found {}", shown(input));
            self.is_open = true;
            return Ok(Some((end + 4, Heard::Done { bytes: 0 })));
        }
        let Some(frame) = Frame::read(input)? else {
            return Ok(None);
        };
        let heard = match frame.kind {
            TEXT => self.hear_text(frame.payload, out)?,
            PING => {
                write_frame(PONG, frame.payload, out);
                Heard::Nothing
            }
            kind => bail!("expected text, found a frame of kind {kind}"),
        };
        Ok(Some((frame.bytes, heard)))
    }
}

const TEXT: u8 = 1;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;

struct Frame<'a> {
    kind: u8,
    payload: &'a [u8],
    /// Bytes of it all.
    bytes: usize,
}

impl<'a> Frame<'a> {
    fn read(input: &'a [u8]) -> Result<Option<Self>> {
        let [first, second, ..] = *input else {
            return Ok(None);
        };
        ensure!(first & LAST != 0, "expected whole messages, found a part");
        let (head, length) = match second {
            126 => (4, input.get(2..4).map(number)),
            127 => (10, input.get(2..10).map(number)),
            length => (2, Some(length.into())),
        };
        let Some(length) = length else {
            return Ok(None);
        };
        let bytes = head + length;
        let payload = input.get(head..bytes);
        Ok(payload.map(|payload| Self {
            kind: first & 0xf,
            payload,
            bytes,
        }))
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Appends a frame. Its mask is zero, which masks as the protocol asks and costs nothing.
fn write_frame(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    /// Lengths that say that the length follows, in two bytes or in eight.
    const TWO_BYTES: u8 = 0x7e;
    const EIGHT_BYTES: u8 = 0x7f;
    out.push(LAST | kind);
    if let Ok(short @ 0..=125) = u8::try_from(payload.len()) {
        out.push(MASKED | short);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        out.push(MASKED | TWO_BYTES);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(MASKED | EIGHT_BYTES);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::super::has;
    use super::*;

    fn open() -> WebSocket {
        let mut socket = WebSocket::new("127.0.0.1:1".parse().unwrap());
        socket.is_open = true;
        socket
    }

    fn framed(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    #[test]
    fn frames_have_the_length_that_fits() {
        for (length, head) in [(3, 2), (300, 4), (70_000, 10)] {
            let mut out = Vec::new();
            write_frame(TEXT, &vec![b'a'; length], &mut out);
            assert_eq!(out.len(), head + 4 + length);
        }
        let mut out = Vec::new();
        write_frame(TEXT, b"hey", &mut out);
        assert_eq!(out, [0x81, 0x83, 0, 0, 0, 0, b'h', b'e', b'y']);
    }

    #[test]
    fn lookup_takes_only_the_record_asked_for() {
        let good = framed(
            r#"{"id":"000000005","type":"response","data":{"name":"bench-000000005"},"revision":1}"#,
        );
        let other = framed(
            r#"{"id":"000000005","type":"response","data":{"name":"bench-000000006"},"revision":1}"#,
        );
        let error = framed(r#"{"id":"000000005","type":"response","error":{},"revision":1}"#);
        let mut socket = open();
        let heard = socket.hear(&good, &mut Vec::new()).unwrap();
        assert!(matches!(heard, Some((_, Heard::Done { .. }))));
        assert_eq!(socket.hear(&good[..20], &mut Vec::new()).unwrap(), None);
        assert!(socket.hear(&other, &mut Vec::new()).is_err());
        assert!(socket.hear(&error, &mut Vec::new()).is_err());
    }

    #[test]
    fn list_goes_on_with_the_cursor() {
        let mut socket = open();
        socket.begin(Work::List(1500), &mut Vec::new()).unwrap();
        let first = framed(
            r#"{"id":"000000000","type":"response","data":{"services":[],"next_cursor":"abc"},"revision":1}"#,
        );
        let last =
            framed(r#"{"id":"000000000","type":"response","data":{"services":[]},"revision":1}"#);
        let mut out = Vec::new();
        let heard = socket.hear(&first, &mut out).unwrap();
        assert_eq!(heard, Some((first.len(), Heard::Nothing)));
        assert!(has(&out, br#""cursor":"abc""#));
        let heard = socket.hear(&last, &mut out).unwrap();
        assert!(matches!(heard, Some((_, Heard::Done { .. }))));
    }

    #[test]
    fn ping_is_answered() {
        let mut out = Vec::new();
        let heard = open().hear(&[0x89, 1, b'x'], &mut out).unwrap();
        assert_eq!(heard, Some((3, Heard::Nothing)));
        assert_eq!(out, [0x8a, 0x81, 0, 0, 0, 0, b'x']);
    }
}
