//! Redis: one hash of records, every write synced before it is answered.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name};
use crate::subject::{Subject, missing, version_of};

const PROGRAM: &str = "redis-server";
/// Time that a lease lasts.
const LEASE_SECONDS: &[u8] = b"3600";

pub(crate) struct Redis;

impl Subject for Redis {
    fn name(&self) -> String {
        "redis".into()
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
        let mut command = Command::new(PROGRAM);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.arg("--dir").arg(folder);
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ]);
        Ok(command)
    }

    fn dialogue(&self, _address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(Resp {
            records: Records::new(),
            under_way: VecDeque::new(),
            record: Vec::new(),
            is_watching: false,
        })
    }
}

/// What the next answer belongs to.
enum Expected {
    /// The work goes on with another answer.
    Number,
    /// The last answer of the work.
    Last(Work),
    /// So many records, names included, are still to come; so many bytes came.
    Listed { left: u64, bytes: usize },
}

struct Resp {
    records: Records,
    under_way: VecDeque<Expected>,
    record: Vec<u8>,
    is_watching: bool,
}

impl Resp {
    fn register(&mut self, number: u64, work: Work, out: &mut Vec<u8>) {
        let mut name = Vec::with_capacity(NAME_BYTES);
        write_name(number, &mut name);
        self.record.clear();
        self.records.write(number, &mut self.record);
        write_command(&[b"HSET", b"bench", &name, &self.record], out);
        self.under_way.push_back(Expected::Number);
        write_command(&[b"PUBLISH", b"changes", &self.record], out);
        self.under_way.push_back(Expected::Last(work));
    }

    /// One item of an HGETALL.
    fn hear_listed(&mut self, item: &Item, left: u64, bytes: usize) -> Result<Heard> {
        let left = match item.kind {
            Kind::Array(items) if bytes == 0 => {
                ensure!(items == left, "expected {left} items, found {items}");
                left
            }
            Kind::Bulk(Some(_)) => left - 1,
            _ => bail!("expected a record, found {:?}", item.kind),
        };
        let bytes = bytes + item.bytes;
        if left == 0 {
            return Ok(Heard::Done { bytes });
        }
        self.under_way.push_front(Expected::Listed { left, bytes });
        Ok(Heard::Nothing)
    }

    fn hear_last(&mut self, work: Work, item: &Item) -> Result<Heard> {
        let bytes = match (work, &item.kind) {
            (Work::Lookup(number), Kind::Bulk(Some(record))) => {
                self.record.clear();
                self.records.write(number, &mut self.record);
                ensure!(
                    *record == self.record,
                    "expected record {number}, found another"
                );
                record.len()
            }
            // One that is gone is 0, and no heartbeat.
            (Work::Beat(_), Kind::Number(1))
            | (Work::Register(_) | Work::Announce(_), Kind::Number(_))
            | (Work::Lease(_) | Work::Prepare, Kind::Simple) => 0,
            (work, kind) => bail!("{work:?} was answered {kind:?}"),
        };
        Ok(Heard::Done { bytes })
    }
}

impl Dialogue for Resp {
    fn greet(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        let mut name = Vec::with_capacity(NAME_BYTES);
        match work {
            Work::Prepare => write_command(&[b"PING"], out),
            Work::Register(number) | Work::Announce(number) => {
                self.register(number, work, out);
                return Ok(());
            }
            Work::Lookup(number) => {
                write_name(number, &mut name);
                write_command(&[b"HGET", b"bench", &name], out);
            }
            Work::List(count) => {
                write_command(&[b"HGETALL", b"bench"], out);
                let left = count * 2;
                self.under_way
                    .push_back(Expected::Listed { left, bytes: 0 });
                return Ok(());
            }
            Work::Lease(number) => {
                write_name(number, &mut name);
                write_command(&[b"SET", &name, b"", b"EX", LEASE_SECONDS], out);
            }
            Work::Beat(number) => {
                write_name(number, &mut name);
                write_command(&[b"EXPIRE", &name, LEASE_SECONDS], out);
            }
            Work::Watch => {
                write_command(&[b"SUBSCRIBE", b"changes"], out);
                self.is_watching = true;
                return Ok(());
            }
            Work::Beats(_) => bail!("redis renews one key a command"),
        }
        self.under_way.push_back(Expected::Last(work));
        Ok(())
    }

    fn hear(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        if self.is_watching {
            return hear_message(input);
        }
        let Some(item) = Item::read(input)? else {
            return Ok(None);
        };
        let expected = self.under_way.pop_front();
        let heard = match expected.context("an answer that nobody asked for")? {
            Expected::Number => {
                let is_number = matches!(item.kind, Kind::Number(_));
                ensure!(is_number, "expected a number, found {:?}", item.kind);
                Heard::Nothing
            }
            Expected::Last(work) => self.hear_last(work, &item)?,
            Expected::Listed { left, bytes } => self.hear_listed(&item, left, bytes)?,
        };
        Ok(Some((item.bytes, heard)))
    }
}

/// A message of a channel, or that the subscription began: three items.
fn hear_message(input: &[u8]) -> Result<Option<(usize, Heard)>> {
    let mut taken = 0;
    let mut heard = Heard::Nothing;
    for part in 0..4 {
        let Some(item) = Item::read(&input[taken..])? else {
            return Ok(None);
        };
        taken += item.bytes;
        match (part, item.kind) {
            (1, Kind::Bulk(Some(b"subscribe"))) => heard = Heard::Done { bytes: 0 },
            (1, Kind::Bulk(Some(b"message"))) => heard = Heard::Changed,
            (0, Kind::Array(3)) | (2, Kind::Bulk(_)) | (3, Kind::Bulk(_) | Kind::Number(_)) => {}
            (_, kind) => bail!("expected a message, found {kind:?}"),
        }
    }
    Ok(Some((taken, heard)))
}

/// Appends a command as an array of bulk strings.
fn write_command(words: &[&[u8]], out: &mut Vec<u8>) {
    write!(out, "*{}\r\n", words.len()).expect("a Vec takes it");
    for word in words {
        write!(out, "${}\r\n", word.len()).expect("a Vec takes it");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    Simple,
    Number(i64),
    Bulk(Option<&'a [u8]>),
    /// Its items follow.
    Array(u64),
}

#[derive(Debug, PartialEq, Eq)]
struct Item<'a> {
    kind: Kind<'a>,
    bytes: usize,
}

impl<'a> Item<'a> {
    fn read(input: &'a [u8]) -> Result<Option<Self>> {
        let Some(end) = input.iter().position(|byte| *byte == b'\r') else {
            return Ok(None);
        };
        let line = std::str::from_utf8(&input[1..end])?;
        let bytes = end + 2;
        let kind = match input[0] {
            b'+' => Kind::Simple,
            b':' => Kind::Number(line.parse()?),
            b'*' => Kind::Array(line.parse()?),
            b'$' if line == "-1" => Kind::Bulk(None),
            b'$' => {
                let length: usize = line.parse()?;
                let bulk = input.get(bytes..bytes + length + 2);
                return Ok(bulk.map(|bulk| Self {
                    kind: Kind::Bulk(Some(&bulk[..length])),
                    bytes: bytes + length + 2,
                }));
            }
            _ => bail!("redis answered {}", String::from_utf8_lossy(&input[..end])),
        };
        Ok((input.len() >= bytes).then_some(Self { kind, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_words() {
        let mut out = Vec::new();
        write_command(&[b"HGET", b"bench", b"a"], &mut out);
        assert_eq!(out, b"*3\r\n$4\r\nHGET\r\n$5\r\nbench\r\n$1\r\na\r\n");
    }

    #[test]
    fn items_are_read_once_they_are_whole() {
        let read = |input| {
            Item::read(input)
                .unwrap()
                .map(|item| (item.kind, item.bytes))
        };
        assert_eq!(read(b"+OK\r\n"), Some((Kind::Simple, 5)));
        assert_eq!(read(b":-2\r\n:3"), Some((Kind::Number(-2), 5)));
        assert_eq!(read(b"$3\r\nab"), None);
        assert_eq!(read(b"$2\r\nab\r\n"), Some((Kind::Bulk(Some(b"ab")), 8)));
        assert_eq!(read(b"$-1\r\n"), Some((Kind::Bulk(None), 5)));
        assert!(Item::read(b"-ERR no\r\n").is_err());
    }

    #[test]
    fn lease_that_is_gone_is_no_heartbeat() {
        let mut client = Redis.dialogue("127.0.0.1:1".parse().unwrap());
        let mut out = Vec::new();
        client.begin(Work::Beat(1), &mut out).unwrap();
        assert!(client.hear(b":0\r\n", &mut out).is_err());
        client.begin(Work::Beat(1), &mut out).unwrap();
        let heard = client.hear(b":1\r\n", &mut out).unwrap();
        assert_eq!(heard, Some((4, Heard::Done { bytes: 0 })));
    }

    #[test]
    fn message_is_a_change() {
        let message = b"*3\r\n$7\r\nmessage\r\n$7\r\nchanges\r\n$1\r\nx\r\n";
        let heard = hear_message(message).unwrap();
        assert_eq!(heard, Some((message.len(), Heard::Changed)));
    }
}
