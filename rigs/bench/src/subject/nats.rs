//! NATS `JetStream`'s key-value buckets, in its text protocol by hand.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name};
use crate::subject::{Subject, missing, program, version_of};

/// Where Debian keeps it, off the PATH of some users.
const FOLDERS: &[&str] = &["/usr/sbin"];
const BUCKET: &str = r#"{"name":"KV_bench","subjects":["$KV.bench.>"],"max_msgs_per_subject":1,"storage":"file","discard":"new","allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true}"#;
/// Leases need not be kept longer than their holders wait to renew them.
const LEASES: &str = r#"{"name":"KV_leases","subjects":["$KV.leases.>"],"max_msgs_per_subject":1,"storage":"memory","max_age":3600000000000}"#;

pub(crate) struct Nats;

impl Subject for Nats {
    fn name(&self) -> String {
        "nats".into()
    }

    fn missing(&self) -> Option<String> {
        missing("nats-server", FOLDERS)
    }

    fn version(&self) -> String {
        let mut command = server();
        command.arg("--version");
        version_of(command)
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        let mut command = server();
        command.args(["-js", "-a", "127.0.0.1", "-p", &address.port().to_string()]);
        command.arg("-sd").arg(folder.join("data"));
        Ok(command)
    }

    fn dialogue(&self, _address: SocketAddr) -> Box<dyn Dialogue> {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        Box::new(Text {
            inbox: format!("_INBOX.bench{number}"),
            records: Records::new(),
            work: None,
            answers_left: 0,
            is_greeted: false,
            consumers: 0,
            listed: 0,
            bytes: 0,
        })
    }
}

fn server() -> Command {
    Command::new(program("nats-server", FOLDERS).unwrap_or_else(|| "nats-server".into()))
}

/// Subscription of answers; those of consumers have higher numbers.
const ANSWERS: u64 = 1;

struct Text {
    inbox: String,
    records: Records,
    work: Option<Work>,
    /// Until the work is done.
    answers_left: usize,
    is_greeted: bool,
    /// Made so far; each has a subscription of its own.
    consumers: u64,
    listed: u64,
    bytes: usize,
}

impl Text {
    fn request(&mut self, subject: &str, payload: &[u8], out: &mut Vec<u8>) {
        let (inbox, length) = (&self.inbox, payload.len());
        write!(out, "PUB {subject} {inbox}.a {length}\r\n").expect("a Vec takes it");
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
        self.answers_left += 1;
    }

    /// Has the messages of the bucket sent: the last of each subject, or those from now on.
    fn consume(&mut self, policy: &str, out: &mut Vec<u8>) {
        self.consumers += 1;
        let (inbox, number) = (&self.inbox, self.consumers);
        let subscription = ANSWERS + number;
        write!(out, "SUB {inbox}.c{number} {subscription}\r\n").expect("a Vec takes it");
        let name = self.consumer();
        let settings = format!(
            r#"{{"stream_name":"KV_bench","config":{{"name":"{name}","deliver_subject":"{inbox}.c{number}","deliver_policy":"{policy}","filter_subject":"$KV.bench.>","ack_policy":"none","mem_storage":true,"num_replicas":1}}}}"#
        );
        let subject = format!("$JS.API.CONSUMER.CREATE.KV_bench.{name}.$KV.bench.>");
        self.request(&subject, settings.as_bytes(), out);
    }

    fn consumer(&self) -> String {
        format!("{}c{}", self.inbox.replace('.', ""), self.consumers)
    }

    fn hear_message(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<Heard> {
        if message.subscription != ANSWERS {
            return self.hear_consumed(message, out);
        }
        let work = self.work.context("an answer that nobody asked for")?;
        let is_error = |text: &[u8]| text.windows(8).any(|part| part == b"\"error\":");
        let is_status = message.head.starts_with(b"NATS/1.0 ");
        let shown = || String::from_utf8_lossy(message.payload).into_owned();
        ensure!(
            !is_status,
            "{work:?} was answered {}",
            String::from_utf8_lossy(message.head)
        );
        if let Work::Lookup(number) = work {
            let mut record = Vec::with_capacity(message.payload.len());
            self.records.write(number, &mut record);
            ensure!(
                message.payload == record,
                "expected record {number}, found another"
            );
        } else {
            ensure!(
                !is_error(message.payload),
                "{work:?} was answered {}",
                shown()
            );
        }
        self.answers_left -= 1;
        if self.answers_left > 0 || matches!(work, Work::List(_)) {
            return Ok(Heard::Nothing);
        }
        self.work = None;
        Ok(Heard::Done {
            bytes: message.payload.len(),
        })
    }

    /// A record that a consumer was sent: one of a list, or a change.
    fn hear_consumed(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<Heard> {
        let Some(Work::List(count)) = self.work else {
            return Ok(Heard::Changed);
        };
        self.listed += 1;
        self.bytes += message.payload.len();
        if self.listed < count {
            return Ok(Heard::Nothing);
        }
        let subscription = ANSWERS + self.consumers;
        let name = self.consumer();
        write!(
            out,
            "UNSUB {subscription}\r\nPUB $JS.API.CONSUMER.DELETE.KV_bench.{name} 0\r\n\r\n"
        )?;
        self.listed = 0;
        self.work = None;
        Ok(Heard::Done {
            bytes: std::mem::take(&mut self.bytes),
        })
    }
}

impl Dialogue for Text {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        let inbox = &self.inbox;
        write!(
            out,
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
             \"protocol\":1}}\r\nSUB {inbox}.a {ANSWERS}\r\nPING\r\n"
        )
        .expect("a Vec takes it");
        true
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        self.work = Some(work);
        self.answers_left = 0;
        match work {
            Work::Prepare => {
                self.request("$JS.API.STREAM.CREATE.KV_bench", BUCKET.as_bytes(), out);
                self.request("$JS.API.STREAM.CREATE.KV_leases", LEASES.as_bytes(), out);
            }
            Work::Register(number) | Work::Announce(number) => {
                let mut record = Vec::with_capacity(self.records.bytes(number));
                self.records.write(number, &mut record);
                self.request(&key("$KV.bench.", number), &record, out);
            }
            Work::Lookup(number) => {
                let subject = key("$JS.API.DIRECT.GET.KV_bench.$KV.bench.", number);
                self.request(&subject, b"", out);
            }
            Work::List(_) => self.consume("last_per_subject", out),
            Work::Lease(number) | Work::Beat(number) => {
                self.request(&key("$KV.leases.", number), b"1", out);
            }
            Work::Watch => self.consume("new", out),
            Work::Beats(_) => bail!("nats renews one key a message"),
        }
        Ok(())
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        let Some(end) = input.iter().position(|byte| *byte == b'\r') else {
            return Ok(None);
        };
        let line = std::str::from_utf8(&input[..end])?;
        let begin = end + 2;
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let heard = match verb {
            "MSG" | "HMSG" => {
                let Some((taken, message)) = Message::read(verb, rest, input, begin)? else {
                    return Ok(None);
                };
                let heard = self.hear_message(&message, out)?;
                return Ok(Some((taken, heard)));
            }
            "PONG" if !std::mem::replace(&mut self.is_greeted, true) => Heard::Done { bytes: 0 },
            "PING" => {
                out.extend_from_slice(b"PONG\r\n");
                Heard::Nothing
            }
            "INFO" | "PONG" | "+OK" => Heard::Nothing,
            _ => bail!("nats said {line}"),
        };
        Ok((input.len() >= begin).then_some((begin, heard)))
    }
}

fn key(prefix: &str, number: u64) -> String {
    let mut name = Vec::with_capacity(NAME_BYTES);
    write_name(number, &mut name);
    format!("{prefix}{}", String::from_utf8_lossy(&name))
}

#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    subscription: u64,
    head: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message whose line has that rest; its bytes begin at that place.
    fn read(
        verb: &str,
        rest: &str,
        input: &'a [u8],
        begin: usize,
    ) -> Result<Option<(usize, Self)>> {
        let words: Vec<&str> = rest.split(' ').collect();
        let subscription = words.get(1).context("a subscription")?.parse()?;
        let length: usize = words.last().context("a length")?.parse()?;
        let head_bytes = if verb == "HMSG" {
            words[words.len() - 2].parse()?
        } else {
            0
        };
        let Some(bytes) = input.get(begin..begin + length + 2) else {
            return Ok(None);
        };
        let (head, payload) = bytes[..length]
            .split_at_checked(head_bytes)
            .context("a head that is part of the message")?;
        let message = Self {
            subscription,
            head,
            payload,
        };
        Ok(Some((begin + length + 2, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Box<dyn Dialogue> {
        Nats.dialogue("127.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn greeting_is_answered_by_a_pong() {
        let mut client = client();
        let info = b"INFO {}\r\n";
        let heard = client.hear(info, &mut Vec::new()).unwrap();
        assert_eq!(heard, Some((9, Heard::Nothing)));
        let heard = client.hear(b"PONG\r\n", &mut Vec::new()).unwrap();
        assert_eq!(heard, Some((6, Heard::Done { bytes: 0 })));
    }

    #[test]
    fn refused_publish_is_no_registration() {
        for (answer, is_good) in [
            (
                &b"MSG a 1 29\r\n{\"stream\":\"KV_bench\",\"seq\":7}\r\n"[..],
                true,
            ),
            (b"MSG a 1 12\r\n{\"error\":{}}\r\n", false),
            (b"HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", false),
        ] {
            let mut client = client();
            client.begin(Work::Register(1), &mut Vec::new()).unwrap();
            assert_eq!(client.hear(&answer[..14], &mut Vec::new()).ok(), Some(None));
            let heard = client.hear(answer, &mut Vec::new());
            assert_eq!(heard.is_ok(), is_good, "{heard:?}");
        }
    }

    #[test]
    fn lookup_has_the_record_behind_its_head() {
        let mut record = Vec::new();
        Records::new().write(2, &mut record);
        let before = b"NATS/1.0\r\nNats-Sequence: 1\r\n\r\n";
        let mut answer = format!(
            "HMSG a 1 {} {}\r\n",
            before.len(),
            before.len() + record.len()
        )
        .into_bytes();
        answer.extend_from_slice(before);
        answer.extend_from_slice(&record);
        answer.extend_from_slice(b"\r\n");
        let mut client = client();
        client.begin(Work::Lookup(2), &mut Vec::new()).unwrap();
        let heard = client.hear(&answer, &mut Vec::new()).unwrap();
        assert_eq!(
            heard,
            Some((
                answer.len(),
                Heard::Done {
                    bytes: record.len()
                }
            ))
        );
        client.begin(Work::Lookup(3), &mut Vec::new()).unwrap();
        assert!(client.hear(&answer, &mut Vec::new()).is_err());
    }
}
