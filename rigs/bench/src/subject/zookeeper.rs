//! `ZooKeeper`: a node a record, a session a lease, jute over TCP by hand.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::load::{Dialogue, Heard, Work};
use crate::record::{Records, write_name};
use crate::subject::{Subject, missing, version_of};

/// Where Debian keeps it; its manifest names the others that it needs.
const JAR: &str = "/usr/share/java/zookeeper.jar";
const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
const PARENT: &str = "/bench";
const SESSION_MS: u32 = 30_000;

pub(crate) struct ZooKeeper;

impl Subject for ZooKeeper {
    fn name(&self) -> String {
        "zookeeper".into()
    }

    fn missing(&self) -> Option<String> {
        let is_there = Path::new(JAR).is_file();
        let jar = (!is_there).then(|| format!("there is no {JAR}"));
        jar.or_else(|| missing("java", &[]))
    }

    fn version(&self) -> String {
        let mut command = Command::new("java");
        command.args(["-cp", JAR, "org.apache.zookeeper.version.VersionInfoMain"]);
        version_of(command)
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        let file = folder.join("zoo.cfg");
        let settings = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\ntickTime=2000\nmaxClientCnxns=0\n\
             admin.enableServer=false\n",
            folder.join("data").display(),
            address.port()
        );
        fs::write(&file, settings).context("write zoo.cfg")?;
        let mut command = Command::new("java");
        // The memory that its own start script gives.
        command.args(["-Xmx1000m", "-cp", JAR, MAIN]).arg(file);
        Ok(command)
    }

    fn dialogue(&self, _address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(Jute {
            records: Records::new(),
            work: None,
            is_greeted: false,
            left: None,
            bytes: 0,
            request: Vec::new(),
        })
    }
}

/// What is asked, by the number that it has on the wire.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Create = 1,
    Data = 4,
    Children = 8,
    Ping = 11,
    AddWatch = 106,
}

/// Numbers of requests: an event has one of its own, and a ping.
const EVENT: i32 = -1;
const PING: i32 = -2;
const REQUEST: i32 = 1;
const CREATED: u32 = 1;
const RECURSIVE: u32 = 1;
const NODE_EXISTS: i32 = -110;

struct Jute {
    records: Records,
    work: Option<Work>,
    is_greeted: bool,
    /// Of a list, the records still to come; none before their names came.
    left: Option<usize>,
    bytes: usize,
    request: Vec<u8>,
}

impl Jute {
    fn head(&mut self, operation: Operation) {
        let number = match operation {
            Operation::Ping => PING,
            _ => REQUEST,
        };
        self.request.clear();
        self.request.extend_from_slice(&number.to_be_bytes());
        write_number(operation as u32, &mut self.request);
    }

    fn path(&mut self, number: u64) {
        let mut path = format!("{PARENT}/").into_bytes();
        write_name(number, &mut path);
        write_buffer(&path, &mut self.request);
    }

    fn send(&self, out: &mut Vec<u8>) {
        write_buffer(&self.request, out);
    }

    /// The end of a request to create: who may do what, and that the node stays.
    fn send_create(&mut self, data: &[u8], out: &mut Vec<u8>) {
        const ALL: u32 = 31;
        write_buffer(data, &mut self.request);
        write_number(1, &mut self.request);
        write_number(ALL, &mut self.request);
        write_buffer(b"world", &mut self.request);
        write_buffer(b"anyone", &mut self.request);
        write_number(0, &mut self.request);
        self.send(out);
    }

    fn send_read(&mut self, path: &[u8], out: &mut Vec<u8>) {
        self.head(Operation::Data);
        write_buffer(path, &mut self.request);
        self.request.push(0);
        self.send(out);
    }

    fn hear_event(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        let (kind, rest) = number(body)?;
        let (_state, rest) = number(rest)?;
        let (path, _) = buffer(rest)?;
        ensure!(
            kind == CREATED,
            "expected a new node, found an event of kind {kind}"
        );
        // An event has no data.
        self.send_read(path, out);
        Ok(Heard::Nothing)
    }

    fn hear_answer(&mut self, error: i32, body: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        let work = self.work;
        let is_good = error == 0 || error == NODE_EXISTS && work == Some(Work::Prepare);
        ensure!(is_good, "{work:?} was answered with error {error}");
        let bytes = body.len();
        match work {
            Some(Work::List(count)) => return self.hear_listed(count, body, out),
            Some(Work::Lookup(wanted)) => {
                let (data, _) = buffer(body)?;
                let mut record = Vec::with_capacity(data.len());
                self.records.write(wanted, &mut record);
                ensure!(data == record, "expected record {wanted}, found another");
            }
            None => {
                ensure!(!buffer(body)?.0.is_empty(), "a new node has no data");
                return Ok(Heard::Changed);
            }
            _ => {}
        }
        self.work = None;
        Ok(Heard::Done { bytes })
    }

    /// The names first, then the records in turn.
    fn hear_listed(&mut self, count: u64, body: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        self.bytes += body.len();
        let Some(left) = self.left else {
            let (found, mut names) = number(body)?;
            ensure!(
                u64::from(found) == count,
                "expected {count} nodes, found {found}"
            );
            for _ in 0..found {
                let (name, rest) = buffer(names)?;
                let path = [PARENT.as_bytes(), b"/", name].concat();
                self.send_read(&path, out);
                names = rest;
            }
            self.left = Some(usize::try_from(found)?);
            return Ok(Heard::Nothing);
        };
        ensure!(!buffer(body)?.0.is_empty(), "a node has no data");
        if left > 1 {
            self.left = Some(left - 1);
            return Ok(Heard::Nothing);
        }
        self.left = None;
        self.work = None;
        Ok(Heard::Done {
            bytes: std::mem::take(&mut self.bytes),
        })
    }
}

impl Dialogue for Jute {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        let mut request = Vec::new();
        write_number(0, &mut request);
        request.extend_from_slice(&0_u64.to_be_bytes());
        write_number(SESSION_MS, &mut request);
        request.extend_from_slice(&0_u64.to_be_bytes());
        write_buffer(&[0; 16], &mut request);
        request.push(0);
        write_buffer(&request, out);
        true
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        self.work = Some(work);
        match work {
            Work::Prepare => {
                self.head(Operation::Create);
                write_buffer(PARENT.as_bytes(), &mut self.request);
                self.send_create(b"", out);
            }
            Work::Register(number) | Work::Announce(number) => {
                let mut record = Vec::with_capacity(self.records.bytes(number));
                self.records.write(number, &mut record);
                self.head(Operation::Create);
                self.path(number);
                self.send_create(&record, out);
            }
            Work::Lookup(number) => {
                self.head(Operation::Data);
                self.path(number);
                self.request.push(0);
                self.send(out);
            }
            Work::List(_) => {
                self.head(Operation::Children);
                write_buffer(PARENT.as_bytes(), &mut self.request);
                self.request.push(0);
                self.send(out);
            }
            Work::Lease(_) | Work::Beat(_) => {
                self.head(Operation::Ping);
                self.send(out);
            }
            Work::Watch => {
                self.head(Operation::AddWatch);
                write_buffer(PARENT.as_bytes(), &mut self.request);
                write_number(RECURSIVE, &mut self.request);
                self.send(out);
            }
            Work::Beats(_) => bail!("zookeeper renews one session a message"),
        }
        Ok(())
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        let Some(length) = input.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        let Some(message) = input.get(4..4 + length) else {
            return Ok(None);
        };
        let taken = 4 + length;
        if !self.is_greeted {
            let (_version, rest) = number(message)?;
            let (session_ms, _) = number(rest)?;
            ensure!(session_ms > 0, "the server gave no session");
            self.is_greeted = true;
            return Ok(Some((taken, Heard::Done { bytes: 0 })));
        }
        let (request, rest) = number(message)?;
        let rest = rest.get(8..).context("a transaction's number")?;
        let (error, body) = number(rest)?;
        let heard = if request.cast_signed() == EVENT {
            self.hear_event(body, out)?
        } else {
            self.hear_answer(error.cast_signed(), body, out)?
        };
        Ok(Some((taken, heard)))
    }
}

fn write_number(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn write_buffer(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).expect("buffers are smaller than 4 GiB");
    write_number(length, out);
    out.extend_from_slice(bytes);
}

/// A number, and what follows it.
fn number(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>().context("a number")?;
    Ok((u32::from_be_bytes(*number), rest))
}

/// A buffer or a text, and what follows it. One that is not there is empty.
fn buffer(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    if length == u32::MAX {
        return Ok((&[], rest));
    }
    let length = usize::try_from(length)?;
    rest.split_at_checked(length)
        .with_context(|| format!("expected {length} bytes, found {}", rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Box<dyn Dialogue> {
        let mut jute = ZooKeeper.dialogue("127.0.0.1:1".parse().unwrap());
        let session = [&[0, 0, 0, 8, 0, 0, 0, 0][..], &SESSION_MS.to_be_bytes()].concat();
        jute.hear(&session, &mut Vec::new()).unwrap();
        jute
    }

    fn answer(request: i32, error: i32, body: &[u8]) -> Vec<u8> {
        let head = [
            &request.to_be_bytes()[..],
            &[0; 8],
            &error.to_be_bytes(),
            body,
        ]
        .concat();
        let mut answer = Vec::new();
        write_buffer(&head, &mut answer);
        answer
    }

    #[test]
    fn greeting_asks_for_a_session() {
        let mut out = Vec::new();
        assert!(client().greet(&mut out));
        assert_eq!((out.len(), &out[..4]), (49, &[0, 0, 0, 45][..]));
        assert_eq!(out[16..20], [0, 0, 0x75, 0x30]);
    }

    #[test]
    fn read_is_a_path_without_a_watch() {
        let mut out = Vec::new();
        client().begin(Work::Lookup(1), &mut out).unwrap();
        let head = [0, 0, 0, 35, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 22];
        assert_eq!(out[..16], head);
        assert_eq!(out[16..], *b"/bench/bench-000000001\0");
    }

    #[test]
    fn node_that_is_there_is_no_registration() {
        let exists = answer(REQUEST, NODE_EXISTS, &[]);
        let mut jute = client();
        jute.begin(Work::Prepare, &mut Vec::new()).unwrap();
        assert!(jute.hear(&exists, &mut Vec::new()).is_ok());
        jute.begin(Work::Register(1), &mut Vec::new()).unwrap();
        assert!(jute.hear(&exists, &mut Vec::new()).is_err());
    }

    #[test]
    fn event_is_a_change_once_its_data_is_read() {
        let mut jute = client();
        let mut event = [0, 0, 0, 1, 0, 0, 0, 3].to_vec();
        write_buffer(b"/bench/x", &mut event);
        let mut out = Vec::new();
        let heard = jute.hear(&answer(EVENT, 0, &event), &mut out).unwrap();
        assert!(matches!(heard, Some((_, Heard::Nothing))));
        assert!(out.ends_with(b"/bench/x\0"));
        let data = answer(REQUEST, 0, &[0, 0, 0, 1, b'{']);
        let heard = jute.hear(&data, &mut out).unwrap();
        assert!(matches!(heard, Some((_, Heard::Changed))));
    }
}
