//! PostgreSQL: a table by name, an upsert in a transaction of its own, prepared statements.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::geteuid;

use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name};
use crate::subject::{Subject, missing, program, version_of};

/// Where Debian keeps it, off the PATH.
const FOLDERS: &[&str] = &["/usr/lib/postgresql/15/bin"];
/// It refuses to run as root.
const USER: &str = "postgres";
/// Leases do not outlive a crash elsewhere either, so they are not logged.
const TABLES: &str = "CREATE TABLE IF NOT EXISTS records (name text PRIMARY KEY, record text NOT NULL); \
    CREATE UNLOGGED TABLE IF NOT EXISTS leases (name text PRIMARY KEY, last_seen timestamptz NOT NULL) \
    WITH (fillfactor = 50)";

pub(crate) struct Postgres;

impl Subject for Postgres {
    fn name(&self) -> String {
        "postgres".into()
    }

    fn missing(&self) -> Option<String> {
        missing("postgres", FOLDERS).or_else(|| {
            let is_root = geteuid().is_root();
            let needs = is_root && (program("setpriv", &[]).is_none() || user_id().is_none());
            needs.then(|| {
                "it does not run as root, and there is no setpriv or no user postgres".into()
            })
        })
    }

    fn version(&self) -> String {
        let mut command = tool("postgres");
        command.arg("--version");
        version_of(command)
    }

    fn lay_out(&self, folder: &Path) -> Result<()> {
        if geteuid().is_root() {
            let (user, group) = user_id().context("the user postgres")?;
            chown(folder, Some(user), Some(group)).context("hand the folder to postgres")?;
        }
        let mut command = tool("initdb");
        command.arg("--pgdata").arg(folder.join("data"));
        command.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8"]);
        command.args(["--locale", "C"]).current_dir(folder);
        let output = command.output().context("run initdb")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "initdb failed: {}", said.trim());
        Ok(())
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        let mut command = tool("postgres");
        command
            .arg("-D")
            .arg(folder.join("data"))
            .current_dir(folder);
        command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
        for setting in [
            "unix_socket_directories=",
            "fsync=on",
            "synchronous_commit=on",
            // 100, the default, do not hold 100 watchers.
            "max_connections=200",
            "jit=off",
        ] {
            command.args(["-c", setting]);
        }
        Ok(command)
    }

    fn dialogue(&self, _address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(Wire {
            records: Records::new(),
            work: None,
            is_prepared: [false; 6],
            rows: 0,
            bytes: 0,
            is_done: false,
            is_watching: false,
            record: Vec::new(),
        })
    }
}

/// One of its programs, as a user that it runs as.
fn tool(name: &str) -> Command {
    let file = program(name, FOLDERS).unwrap_or_else(|| name.into());
    if !geteuid().is_root() {
        return Command::new(file);
    }
    let mut command = Command::new("setpriv");
    // What a change of user forgets is set again: it dies with the bench.
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    command.args(["--pdeathsig", "KILL", "--"]).arg(file);
    command
}

/// User and group of `postgres`.
fn user_id() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut columns = line.split(':').skip(2);
    let mut number = || columns.next()?.parse().ok();
    Some((number()?, number()?))
}

#[derive(Debug, Clone, Copy)]
enum Statement {
    Upsert,
    UpsertAndTell,
    Select,
    SelectAll,
    Lease,
    Beat,
}

impl Statement {
    fn text(self) -> &'static str {
        match self {
            Self::Upsert => {
                "INSERT INTO records VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET record = excluded.record"
            }
            Self::UpsertAndTell => {
                "WITH done AS (INSERT INTO records VALUES ($1, $2) ON CONFLICT (name) \
                 DO UPDATE SET record = excluded.record RETURNING name) SELECT pg_notify('changes', name) FROM done"
            }
            Self::Select => "SELECT record FROM records WHERE name = $1",
            Self::SelectAll => "SELECT name, record FROM records",
            Self::Lease => {
                "INSERT INTO leases VALUES ($1, now()) ON CONFLICT (name) DO UPDATE SET last_seen = now()"
            }
            Self::Beat => "UPDATE leases SET last_seen = now() WHERE name = $1",
        }
    }
}

struct Wire {
    records: Records,
    work: Option<Work>,
    is_prepared: [bool; 6],
    /// Of the answer so far.
    rows: u64,
    bytes: usize,
    is_done: bool,
    is_watching: bool,
    record: Vec<u8>,
}

impl Wire {
    /// Sends a statement, which the server prepares at its first use.
    fn execute(&mut self, statement: Statement, parameters: &[&[u8]], out: &mut Vec<u8>) {
        let number = statement as u8;
        let name = [b'a' + number, 0];
        let is_prepared = &mut self.is_prepared[usize::from(number)];
        if !std::mem::replace(is_prepared, true) {
            let text = statement.text().as_bytes();
            write_message(b'P', &[&name, text, &[0, 0, 0]], out);
        }
        let mut bind = vec![0];
        bind.extend_from_slice(&name);
        bind.extend_from_slice(&[0, 0, 0]);
        bind.push(u8::try_from(parameters.len()).expect("they are few"));
        for parameter in parameters {
            bind.extend_from_slice(&four(parameter.len()));
            bind.extend_from_slice(parameter);
        }
        bind.extend_from_slice(&[0, 0]);
        write_message(b'B', &[&bind], out);
        write_message(b'E', &[&[0; 5]], out);
        write_message(b'S', &[], out);
    }

    fn write(&mut self, statement: Statement, number: u64, out: &mut Vec<u8>) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        self.records.write(number, &mut record);
        self.execute(statement, &[&name(number), &record], out);
        self.record = record;
    }

    fn hear_row(&mut self, row: &[u8]) -> Result<()> {
        self.rows += 1;
        self.bytes += row.len();
        if let Some(Work::Lookup(number)) = self.work {
            self.record.clear();
            self.records.write(number, &mut self.record);
            ensure!(
                row.ends_with(&self.record),
                "expected record {number}, found another"
            );
        }
        Ok(())
    }

    fn hear_end(&mut self) -> Result<Heard> {
        let (rows, bytes) = (self.rows, self.bytes);
        let is_done = self.is_done;
        (self.rows, self.bytes, self.is_done) = (0, 0, false);
        let Some(work) = self.work.take() else {
            // The greeting ends so, and the reading of what a watcher was told of.
            if !self.is_watching {
                return Ok(Heard::Done { bytes });
            }
            ensure!(rows == 1, "expected the record told of, found {rows} rows");
            return Ok(Heard::Changed);
        };
        let is_good = match work {
            Work::Lookup(_) | Work::Announce(_) => rows == 1,
            Work::List(count) => rows == count,
            _ => is_done,
        };
        ensure!(is_good, "{work:?} was answered with {rows} rows");
        self.is_watching |= work == Work::Watch;
        Ok(Heard::Done { bytes })
    }
}

impl Dialogue for Wire {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        const VERSION: [u8; 4] = [0, 3, 0, 0];
        let names = b"user\0postgres\0database\0postgres\0\0";
        out.extend_from_slice(&four(8 + names.len()));
        out.extend_from_slice(&VERSION);
        out.extend_from_slice(names);
        true
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        self.work = Some(work);
        match work {
            Work::Prepare => write_message(b'Q', &[TABLES.as_bytes(), &[0]], out),
            Work::Watch => write_message(b'Q', &[b"LISTEN changes\0"], out),
            Work::Register(number) => self.write(Statement::Upsert, number, out),
            Work::Announce(number) => self.write(Statement::UpsertAndTell, number, out),
            Work::Lookup(number) => self.execute(Statement::Select, &[&name(number)], out),
            Work::List(_) => self.execute(Statement::SelectAll, &[], out),
            Work::Lease(number) => self.execute(Statement::Lease, &[&name(number)], out),
            Work::Beat(number) => self.execute(Statement::Beat, &[&name(number)], out),
            Work::Beats(_) => bail!("postgres renews one row a statement here"),
        }
        Ok(())
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        let Some(message) = Message::read(input)? else {
            return Ok(None);
        };
        let payload = message.payload;
        let heard = match message.kind {
            b'D' => {
                self.hear_row(payload)?;
                Heard::Nothing
            }
            b'C' => {
                // An update that found nothing is no heartbeat.
                self.is_done = !payload.ends_with(b" 0\0");
                Heard::Nothing
            }
            b'Z' => self.hear_end()?,
            b'A' => {
                let mut parts = payload[4..].split(|byte| *byte == 0);
                let name = parts.nth(1).context("what a notification says")?;
                self.execute(Statement::Select, &[name], out);
                Heard::Nothing
            }
            b'R' => {
                let is_in = payload == [0; 4];
                ensure!(is_in, "expected to be let in, found {payload:?}");
                Heard::Nothing
            }
            b'E' => bail!(
                "postgres: {}",
                String::from_utf8_lossy(payload).replace('\0', " ")
            ),
            _ => Heard::Nothing,
        };
        Ok(Some((message.bytes, heard)))
    }
}

struct Message<'a> {
    kind: u8,
    payload: &'a [u8],
    bytes: usize,
}

impl<'a> Message<'a> {
    fn read(input: &'a [u8]) -> Result<Option<Self>> {
        let Some([kind, length @ ..]) = input.first_chunk::<5>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        ensure!(
            length >= 4,
            "expected a length of 4 or more, found {length}"
        );
        let payload = input.get(5..=length);
        Ok(payload.map(|payload| Self {
            kind: *kind,
            payload,
            bytes: 1 + length,
        }))
    }
}

fn write_message(kind: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(kind);
    out.extend_from_slice(&four(4 + length));
    for part in parts {
        out.write_all(part).expect("a Vec takes it");
    }
}

fn four(number: usize) -> [u8; 4] {
    let number = u32::try_from(number).expect("messages are smaller than 4 GiB");
    number.to_be_bytes()
}

fn name(number: u64) -> [u8; NAME_BYTES] {
    let mut name = Vec::with_capacity(NAME_BYTES);
    write_name(number, &mut name);
    name.try_into().expect("names have one size")
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: [u8; 6] = [b'Z', 0, 0, 0, 5, b'I'];

    fn client() -> Box<dyn Dialogue> {
        Postgres.dialogue("127.0.0.1:1".parse().unwrap())
    }

    fn hear_all(client: &mut dyn Dialogue, mut input: &[u8]) -> Result<Vec<Heard>> {
        let mut all = Vec::new();
        while let Some((taken, heard)) = client.hear(input, &mut Vec::new())? {
            all.push(heard);
            input = &input[taken..];
        }
        Ok(all)
    }

    fn complete(tag: &str) -> Vec<u8> {
        let mut answer = Vec::new();
        write_message(b'C', &[tag.as_bytes(), &[0]], &mut answer);
        answer.extend_from_slice(&READY);
        answer
    }

    #[test]
    fn statement_is_prepared_once() {
        let mut client = client();
        let mut out = Vec::new();
        client.begin(Work::Beat(1), &mut out).unwrap();
        assert_eq!(out[0], b'P');
        out.clear();
        client.begin(Work::Beat(1), &mut out).unwrap();
        let bind = [
            &[b'B', 0, 0, 0, 32, 0, b'f', 0, 0, 0, 0, 1, 0, 0, 0, 15][..],
            b"bench-000000001",
            &[0, 0],
        ]
        .concat();
        assert_eq!(out[..bind.len()], bind);
        assert_eq!(out[out.len() - 5..], [b'S', 0, 0, 0, 4]);
    }

    #[test]
    fn update_of_nothing_is_no_heartbeat() {
        for (tag, is_good) in [("UPDATE 1", true), ("UPDATE 0", false)] {
            let mut client = client();
            client.begin(Work::Beat(1), &mut Vec::new()).unwrap();
            assert_eq!(hear_all(&mut *client, &complete(tag)).is_ok(), is_good);
        }
    }

    #[test]
    fn error_is_no_answer() {
        let mut error = Vec::new();
        write_message(b'E', &[b"SERROR\0\0"], &mut error);
        let mut client = client();
        client.begin(Work::Register(1), &mut Vec::new()).unwrap();
        assert!(hear_all(&mut *client, &error).is_err());
    }

    #[test]
    fn watcher_reads_what_it_was_told_of() {
        let mut client = client();
        client.begin(Work::Watch, &mut Vec::new()).unwrap();
        hear_all(&mut *client, &complete("LISTEN")).unwrap();
        let mut told = Vec::new();
        write_message(b'A', &[&[0; 4], b"changes\0bench-000000007\0"], &mut told);
        let mut out = Vec::new();
        client.hear(&told, &mut out).unwrap();
        assert!(out.windows(15).any(|part| part == b"bench-000000007"));
        let mut row = Vec::new();
        write_message(b'D', &[b"\0\x01\0\0\0\x01x"], &mut row);
        row.extend_from_slice(&complete("SELECT 1"));
        let heard = hear_all(&mut *client, &row).unwrap();
        assert_eq!(heard.last(), Some(&Heard::Changed));
    }
}
