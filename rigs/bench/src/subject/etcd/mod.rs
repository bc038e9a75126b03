//! etcd over gRPC: a put, a range, a stream of keep-alives, a watch.

mod http2;
mod messages;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use self::http2::{Frame, Kind, Stream};
use self::messages::{Field, bytes_field, fields, number_field};
use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name};
use crate::subject::{Subject, free_address, missing, version_of};

const PROGRAM: &str = "etcd";
/// All names begin with it, and no name with the second.
const PREFIX: &[u8] = b"bench-";
const PREFIX_END: &[u8] = b"bench.";
const LEASE_SECONDS: u64 = 3600;

pub(crate) struct Etcd;

impl Subject for Etcd {
    fn name(&self) -> String {
        "etcd".into()
    }

    fn missing(&self) -> Option<String> {
        missing(PROGRAM, &[])
    }

    fn version(&self) -> String {
        let mut command = Command::new(PROGRAM);
        command.arg("--version");
        version_of(command)
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        let clients = format!("http://{address}");
        // Its address for other members, which there are none of, is taken anew at each start.
        let members = format!("http://{}", free_address()?);
        let mut command = Command::new(PROGRAM);
        command.arg("--data-dir").arg(folder.join("data"));
        command.args(["--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &members]);
        command.args(["--initial-advertise-peer-urls", &members]);
        command.args(["--initial-cluster", &format!("default={members}")]);
        command.args(["--logger", "zap", "--log-level", "error"]);
        Ok(command)
    }

    fn dialogue(&self, address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(Grpc {
            host: address.to_string(),
            records: Records::new(),
            work: None,
            stream: Stream::first(),
            is_streaming: false,
            message: Vec::new(),
            request: Vec::new(),
            consumed: 0,
        })
    }
}

struct Grpc {
    host: String,
    records: Records,
    work: Option<Work>,
    stream: Stream,
    /// A stream of keep-alives or a watch is open, and its messages are answers by themselves.
    is_streaming: bool,
    /// What came of the answer so far, with its five bytes of frame.
    message: Vec<u8>,
    request: Vec<u8>,
    /// Received since the server was last given room to send.
    consumed: usize,
}

impl Grpc {
    fn key(&mut self, number: u64) {
        let mut name = Vec::with_capacity(NAME_BYTES);
        write_name(number, &mut name);
        bytes_field(1, &name, &mut self.request);
    }

    fn call(&mut self, method: &str, out: &mut Vec<u8>) {
        self.stream = self.stream.next();
        self.stream.open(&self.host, method, out);
        self.stream.send(&self.request, true, out);
    }

    /// Sends on the stream of that method, which is opened where there is none.
    fn stream(&mut self, method: &str, out: &mut Vec<u8>) {
        if !self.is_streaming {
            self.stream = self.stream.next();
            self.stream.open(&self.host, method, out);
            self.is_streaming = true;
        }
        self.stream.send(&self.request, false, out);
    }

    fn hear_data(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<Heard> {
        self.consumed += frame.payload.len();
        if self.consumed >= http2::ROOM_BYTES / 2 {
            http2::give_room(self.consumed, out);
            self.consumed = 0;
        }
        self.message.extend_from_slice(frame.payload);
        if self.is_streaming && is_whole(&self.message)? {
            return self.hear_message();
        }
        Ok(Heard::Nothing)
    }

    fn hear_message(&mut self) -> Result<Heard> {
        ensure!(
            is_whole(&self.message)?,
            "a call ended with {} bytes of an answer",
            self.message.len()
        );
        let message = std::mem::take(&mut self.message);
        let heard = self.judge(&message[5..]);
        self.message = message;
        self.message.clear();
        heard
    }

    fn judge(&mut self, message: &[u8]) -> Result<Heard> {
        let Some(work) = self.work.take() else {
            let is_change = fields(message)?.iter().any(|field| field.number == 11);
            ensure!(is_change, "a watch was told of nothing");
            return Ok(Heard::Changed);
        };
        let bytes = message.len();
        let of = |number, field: &Field| field.number == number;
        let fields = fields(message)?;
        let number = |wanted| {
            fields
                .iter()
                .find(|field| of(wanted, field))
                .map(|field| field.value)
        };
        let is_good = match work {
            Work::Lookup(wanted) => {
                let found = fields.iter().find(|field| of(2, field));
                found.is_some_and(|found| found.bytes.len() > self.records.bytes(wanted))
            }
            Work::List(count) => number(4) == Some(count),
            Work::Beat(lease) => number(2) == Some(lease + 1) && number(3) > Some(0),
            Work::Lease(lease) => number(2) == Some(lease + 1),
            Work::Watch => number(3) == Some(1),
            _ => true,
        };
        ensure!(
            is_good,
            "{work:?} was answered with {bytes} bytes that say otherwise"
        );
        Ok(Heard::Done { bytes })
    }
}

impl Dialogue for Grpc {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        http2::greet(out);
        false
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        self.request.clear();
        self.work = Some(work);
        match work {
            Work::Prepare => {
                bytes_field(1, b"ready", &mut self.request);
                self.call("KV/Range", out);
            }
            Work::Register(number) | Work::Announce(number) => {
                self.key(number);
                let mut record = Vec::with_capacity(self.records.bytes(number));
                self.records.write(number, &mut record);
                bytes_field(2, &record, &mut self.request);
                self.call("KV/Put", out);
            }
            Work::Lookup(number) => {
                self.key(number);
                self.call("KV/Range", out);
            }
            Work::List(_) => {
                bytes_field(1, PREFIX, &mut self.request);
                bytes_field(2, PREFIX_END, &mut self.request);
                self.call("KV/Range", out);
            }
            Work::Lease(number) => {
                number_field(1, LEASE_SECONDS, &mut self.request);
                number_field(2, number + 1, &mut self.request);
                self.call("Lease/LeaseGrant", out);
            }
            Work::Beat(number) => {
                number_field(1, number + 1, &mut self.request);
                self.stream("Lease/LeaseKeepAlive", out);
            }
            Work::Watch => {
                let mut create = Vec::new();
                bytes_field(1, PREFIX, &mut create);
                bytes_field(2, PREFIX_END, &mut create);
                bytes_field(1, &create, &mut self.request);
                self.stream("Watch/Watch", out);
            }
            Work::Beats(_) => bail!("etcd renews one lease a message"),
        }
        Ok(())
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        let Some(frame) = Frame::read(input) else {
            return Ok(None);
        };
        let heard = match frame.kind {
            Kind::Data => self.hear_data(&frame, out)?,
            Kind::Headers if frame.is_last => {
                ensure!(!self.is_streaming, "the server ended a stream");
                // An error has no message before its trailers.
                self.hear_message()?
            }
            Kind::Settings if !frame.is_acknowledgement => {
                http2::acknowledge_settings(out);
                Heard::Nothing
            }
            Kind::Ping if !frame.is_acknowledgement => {
                http2::acknowledge_ping(frame.payload, out);
                Heard::Nothing
            }
            Kind::Reset | Kind::GoAway => bail!(
                "the server ended a stream: {}",
                String::from_utf8_lossy(frame.payload)
            ),
            _ => Heard::Nothing,
        };
        Ok(Some((frame.bytes, heard)))
    }
}

/// Whether a message has come to its end.
fn is_whole(message: &[u8]) -> Result<bool> {
    let Some(head) = message.first_chunk::<5>() else {
        return Ok(false);
    };
    ensure!(head[0] == 0, "expected no compression, found {}", head[0]);
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).context("a length")?;
    ensure!(
        message.len() <= 5 + length,
        "expected one message at a time, found more"
    );
    Ok(message.len() == 5 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: u8, message: &[u8]) -> Vec<u8> {
        let length = u8::try_from(message.len()).unwrap();
        let mut frame = vec![0, 0, length + 5, 0, 0, 0, 0, 0, stream, 0, 0, 0, 0, length];
        frame.extend_from_slice(message);
        frame
    }

    const TRAILERS: [u8; 9] = [0, 0, 0, 1, 5, 0, 0, 0, 1];

    fn hear_all(client: &mut dyn Dialogue, mut input: &[u8]) -> Result<Vec<Heard>> {
        let mut all = Vec::new();
        while let Some((taken, heard)) = client.hear(input, &mut Vec::new())? {
            all.push(heard);
            input = &input[taken..];
        }
        Ok(all)
    }

    fn client() -> Box<dyn Dialogue> {
        Etcd.dialogue("127.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn call_is_done_with_its_trailers() {
        let mut client = client();
        client.begin(Work::Register(1), &mut Vec::new()).unwrap();
        let answer = [data(1, &[0x0a, 0]), TRAILERS.to_vec()].concat();
        let heard = hear_all(&mut *client, &answer).unwrap();
        assert_eq!(heard, [Heard::Nothing, Heard::Done { bytes: 2 }]);
    }

    #[test]
    fn call_without_message_failed() {
        let mut client = client();
        client.begin(Work::Register(1), &mut Vec::new()).unwrap();
        assert!(hear_all(&mut *client, &TRAILERS).is_err());
    }

    #[test]
    fn list_must_have_the_count() {
        for (count, is_good) in [(3, true), (4, false)] {
            let mut client = client();
            client.begin(Work::List(count), &mut Vec::new()).unwrap();
            let answer = [data(1, &[0x20, 3]), TRAILERS.to_vec()].concat();
            assert_eq!(hear_all(&mut *client, &answer).is_ok(), is_good);
        }
    }

    #[test]
    fn lease_without_time_left_is_lost() {
        let mut client = client();
        client.begin(Work::Beat(6), &mut Vec::new()).unwrap();
        let kept = data(1, &[0x10, 7, 0x18, 60]);
        let lost = data(1, &[0x10, 7]);
        assert_eq!(
            hear_all(&mut *client, &kept).unwrap(),
            [Heard::Done { bytes: 4 }]
        );
        client.begin(Work::Beat(6), &mut Vec::new()).unwrap();
        assert!(hear_all(&mut *client, &lost).is_err());
    }
}
