//! HTTP/1.1 over one connection that is kept, by hand.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::super::http::{Head, find};
use super::super::shown;
use super::{has, tail, write_beats, write_instance};
use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name};

/// A client of harness, or of anything else that answers `GET /v1/services/{name}`.
pub(crate) struct Http {
    records: Records,
    host: String,
    work: Option<Work>,
    body: Vec<u8>,
    /// The request that renews many leases, as it was made the first time.
    batch: Vec<u8>,
    reading: Reading,
    /// A bare handler answers whatever the name with the same bytes.
    expects_name: bool,
}

/// What of an answer comes next.
enum Reading {
    Head,
    /// Pieces of a body of unknown length, with the bytes that came.
    Pieces(usize),
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            records: Records::new(),
            host: address.to_string(),
            work: None,
            body: Vec::new(),
            batch: Vec::new(),
            reading: Reading::Head,
            expects_name: true,
        }
    }

    /// As [`Self::new`], for a server whose answers are all the same.
    pub(crate) fn bare(address: SocketAddr) -> Self {
        Self {
            expects_name: false,
            ..Self::new(address)
        }
    }

    /// Writes the head of a request on a service, and the body before it was made.
    fn send(&self, method: &str, number: u64, rest: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b" /v1/services/");
        write_name(number, out);
        out.extend_from_slice(rest.as_bytes());
        self.end_head(method, out);
    }

    fn send_to(&self, method: &str, path: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(path.as_bytes());
        self.end_head(method, out);
    }

    fn end_head(&self, method: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(self.host.as_bytes());
        if method != "GET" {
            out.extend_from_slice(b"\r\ncontent-type: application/json\r\ncontent-length: ");
            write!(out, "{}", self.body.len()).expect("a Vec takes it");
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&self.body);
    }

    fn hear_whole(&mut self, head: &Head, body: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        let work = self.work.context("an answer that nobody asked for")?;
        let is_good = match work {
            Work::Lookup(number) if self.expects_name => {
                head.status == 200 && body.get(9..9 + NAME_BYTES) == Some(&name(number))
            }
            Work::Register(_) | Work::Announce(_) | Work::Lease(_) => {
                head.status == 201 || head.status == 200 && has(body, br#""changed":true"#)
            }
            Work::Beats(count) => {
                let renewed = format!("{{\"renewed\":{count},");
                head.status == 200 && body.starts_with(renewed.as_bytes())
            }
            _ => head.status == 200,
        };
        ensure!(
            is_good,
            "{work:?} was answered {}: {}",
            head.status,
            shown(body)
        );
        if work == Work::Watch {
            let revision = revision(body).context("a revision to watch from")?;
            self.body.clear();
            self.send_to("GET", &format!("/v1/watch?after={revision}"), out);
            return Ok(Heard::Nothing);
        }
        self.work = None;
        Ok(Heard::Done { bytes: body.len() })
    }

    /// A piece of a body, whose end is an empty piece.
    fn hear_piece(&mut self, input: &[u8], so_far: usize) -> Result<Option<(usize, Heard)>> {
        let Some(line) = find(input, b"\r\n") else {
            return Ok(None);
        };
        let length = std::str::from_utf8(&input[..line])?;
        let length = usize::from_str_radix(length, 16).context("the length of a piece")?;
        let begin = line + 2;
        let Some(piece) = input.get(begin..begin + length + 2) else {
            return Ok(None);
        };
        let piece = &piece[..length];
        let taken = begin + length + 2;
        if self.work.is_none() {
            let is_change = has(piece, b"event: service_registered");
            let heard = if is_change {
                Heard::Changed
            } else {
                Heard::Nothing
            };
            return Ok(Some((taken, heard)));
        }
        if length > 0 {
            self.body.extend_from_slice(tail(piece));
            self.reading = Reading::Pieces(so_far + length);
            return Ok(Some((taken, Heard::Nothing)));
        }
        let Some(Work::List(count)) = self.work.take() else {
            bail!("{:?} was answered in pieces", self.work);
        };
        let records = format!("\"records\":{count}}}");
        let end = tail(&self.body);
        ensure!(
            has(end, b"\"complete\":true") && has(end, records.as_bytes()),
            "expected a list of {count} records, found one that ends with {}",
            shown(end)
        );
        self.reading = Reading::Head;
        Ok(Some((taken, Heard::Done { bytes: so_far })))
    }
}

impl Dialogue for Http {
    fn greet(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        self.work = Some(work);
        self.body.clear();
        match work {
            Work::Prepare | Work::Watch => self.send_to("GET", "/v1/ping", out),
            Work::Register(number) | Work::Announce(number) => {
                self.records.write(number, &mut self.body);
                self.send("PUT", number, "", out);
            }
            Work::Lookup(number) => self.send("GET", number, "", out),
            Work::List(_) => self.send_to("GET", "/v1/snapshot", out),
            Work::Lease(number) => {
                self.body.push(b'{');
                write_instance(&mut self.body);
                self.body.push(b'}');
                self.send("PUT", number, "/instances/i", out);
            }
            Work::Beat(number) => self.send("PUT", number, "/instances/i/heartbeat", out),
            Work::Beats(count) => {
                if self.batch.is_empty() {
                    write_beats(count, &mut self.body);
                    let mut batch = Vec::new();
                    self.send_to("POST", "/v1/heartbeats", &mut batch);
                    self.batch = batch;
                }
                out.extend_from_slice(&self.batch);
            }
        }
        self.body.clear();
        Ok(())
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        if let Reading::Pieces(so_far) = self.reading {
            return self.hear_piece(input, so_far);
        }
        let Some(head) = Head::read(input)? else {
            return Ok(None);
        };
        let Some(length) = head.body_bytes else {
            ensure!(head.status == 200, "expected 200, found {}", head.status);
            self.reading = Reading::Pieces(0);
            if self.work == Some(Work::Watch) {
                self.work = None;
                return Ok(Some((head.bytes, Heard::Done { bytes: 0 })));
            }
            return Ok(Some((head.bytes, Heard::Nothing)));
        };
        let Some(body) = input.get(head.bytes..head.bytes + length) else {
            return Ok(None);
        };
        let told = self.hear_whole(&head, body, out)?;
        Ok(Some((head.bytes + length, told)))
    }
}

fn name(number: u64) -> [u8; NAME_BYTES] {
    let mut name = Vec::with_capacity(NAME_BYTES);
    write_name(number, &mut name);
    name.try_into().expect("names have one size")
}

/// The last revision that an answer tells.
pub(super) fn revision(answer: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(tail(answer)).ok()?;
    let (_, revision) = text.rsplit_once("\"revision\":")?;
    let end = revision.find(|sign: char| !sign.is_ascii_digit())?;
    revision[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> Http {
        Http::new("127.0.0.1:1".parse().unwrap())
    }

    fn answer(status: u16, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn lookup_is_done_with_the_whole_record() {
        let mut http = http();
        let mut out = Vec::new();
        http.begin(Work::Lookup(3), &mut out).unwrap();
        assert_eq!(
            out,
            b"GET /v1/services/bench-000000003 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n"
        );
        let whole = answer(200, r#"{"name":"bench-000000003","version":"1"}"#);
        assert_eq!(http.hear(&whole[..60], &mut out).unwrap(), None);
        let heard = http.hear(&whole, &mut out).unwrap();
        assert_eq!(heard, Some((whole.len(), Heard::Done { bytes: 40 })));
    }

    #[test]
    fn errors_and_other_records_are_no_answers() {
        for wrong in [
            answer(404, r#"{"error":{}}"#),
            answer(200, r#"{"name":"bench-000000004"}"#),
        ] {
            let mut http = http();
            http.begin(Work::Lookup(3), &mut Vec::new()).unwrap();
            assert!(http.hear(&wrong, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn list_in_pieces_must_be_complete() {
        let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for (last, is_good) in [
            ("\"complete\":true,\"records\":2}", true),
            ("\"records\":2}", false),
        ] {
            let pieces = format!("{start}3\r\nabc\r\n{:x}\r\n{last}\r\n0\r\n\r\n", last.len());
            let mut http = http();
            http.begin(Work::List(2), &mut Vec::new()).unwrap();
            let mut input = pieces.as_bytes();
            let outcome = loop {
                match http.hear(input, &mut Vec::new()) {
                    Ok(Some((taken, Heard::Nothing))) => input = &input[taken..],
                    other => break other,
                }
            };
            assert_eq!(outcome.is_ok(), is_good);
        }
    }

    #[test]
    fn revision_is_the_last_one() {
        assert_eq!(
            revision(br#"{"revision":3,"data":{"revision":41}}"#),
            Some(41)
        );
        assert_eq!(revision(b"{}"), None);
    }
}
