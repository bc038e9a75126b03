//! r-nacos over its HTTP interface: a configuration for each record, an instance for each lease.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::http::Head;
use crate::load::{Dialogue, Heard, Work};
use crate::record::{NAME_BYTES, Records, write_name};
use crate::subject::{Subject, free_address, missing, shown, version_of};

const PROGRAM: &str = "rnacos";
const CONFIGURATIONS: &str = "/nacos/v1/cs/configs";
const INSTANCES: &str = "/nacos/v1/ns/instance";
/// All records are in this group, and nothing else is.
const GROUP: &str = "bench";

pub(crate) struct Nacos;

impl Subject for Nacos {
    fn name(&self) -> String {
        "r-nacos".into()
    }

    fn missing(&self) -> Option<String> {
        missing(PROGRAM, &[])
    }

    // A listener names each record that it listens to.
    fn tells_of_new_names(&self) -> bool {
        false
    }

    fn version(&self) -> String {
        let mut command = Command::new(PROGRAM);
        command.arg("--version");
        version_of(command)
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        // Its ports for gRPC, which its own members use, are taken anew at each start.
        let members = free_address()?;
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder);
        for (name, value) in [
            ("RNACOS_DATA_DIR", folder.join("data").display().to_string()),
            ("RNACOS_HTTP_PORT", address.port().to_string()),
            ("RNACOS_GRPC_PORT", members.port().to_string()),
            ("RNACOS_RAFT_NODE_ADDR", members.to_string()),
            ("RNACOS_SDK_HOST", "127.0.0.1".to_owned()),
            ("RNACOS_HTTP_CONSOLE_PORT", "0".to_owned()),
            ("RUST_LOG", "error".to_owned()),
        ] {
            command.env(name, value);
        }
        Ok(command)
    }

    fn dialogue(&self, address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(Http {
            host: address.to_string(),
            records: Records::new(),
            work: None,
            body: Vec::new(),
        })
    }
}

struct Http {
    host: String,
    records: Records,
    work: Option<Work>,
    body: Vec<u8>,
}

impl Http {
    fn send(&self, method: &str, path: &str, out: &mut Vec<u8>) {
        let Self { host, body, .. } = self;
        write!(out, "{method} {path} HTTP/1.1\r\nhost: {host}\r\n").expect("a Vec takes it");
        if method != "GET" {
            let length = body.len();
            let form = "application/x-www-form-urlencoded";
            write!(out, "content-type: {form}\r\ncontent-length: {length}\r\n")
                .expect("a Vec takes it");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }

    fn is_good(&mut self, work: Work, status: u16, body: &[u8]) -> bool {
        let is_expected = match work {
            Work::Lookup(number) => {
                self.body.clear();
                self.records.write(number, &mut self.body);
                body == self.body
            }
            Work::List(count) => body.starts_with(format!("{{\"totalCount\":{count},").as_bytes()),
            Work::Lease(_) => body == b"ok",
            Work::Beat(_) => body.windows(12).any(|part| part == b"\"code\":10200"),
            Work::Register(_) | Work::Announce(_) | Work::Prepare => body == b"true",
            Work::Beats(_) | Work::Watch => false,
        };
        status == 200 && is_expected
    }
}

impl Dialogue for Http {
    fn greet(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()> {
        self.body.clear();
        self.work = Some(work);
        let instance = |number| {
            let name = name_of(number);
            format!("serviceName={name}&ip=10.1.2.3&port=8080&ephemeral=true")
        };
        match work {
            Work::Prepare => {
                self.body
                    .extend_from_slice(b"dataId=ready&group=other&content=1");
                self.send("POST", CONFIGURATIONS, out);
            }
            Work::Register(number) | Work::Announce(number) => {
                let name = name_of(number);
                write!(self.body, "dataId={name}&group={GROUP}&content=")?;
                // It has no sign that a form must escape.
                self.records.write(number, &mut self.body);
                self.send("POST", CONFIGURATIONS, out);
            }
            Work::Lookup(number) => {
                let name = name_of(number);
                let path = format!("{CONFIGURATIONS}?dataId={name}&group={GROUP}");
                self.send("GET", &path, out);
            }
            Work::List(count) => {
                let page = format!("search=accurate&group={GROUP}&pageNo=1&pageSize={count}");
                self.send("GET", &format!("{CONFIGURATIONS}?{page}"), out);
            }
            Work::Lease(number) => {
                self.body.extend_from_slice(instance(number).as_bytes());
                self.send("POST", INSTANCES, out);
            }
            Work::Beat(number) => {
                self.body.extend_from_slice(instance(number).as_bytes());
                self.send("PUT", &format!("{INSTANCES}/beat"), out);
            }
            Work::Beats(_) => bail!("r-nacos renews one instance a request"),
            Work::Watch => bail!("a listener of r-nacos names each record that it listens to"),
        }
        Ok(())
    }

    fn hear(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>> {
        let Some(head) = Head::read(input)? else {
            return Ok(None);
        };
        let length = head.body_bytes.context("a content-length")?;
        let Some(body) = input.get(head.bytes..head.bytes + length) else {
            return Ok(None);
        };
        let work = self
            .work
            .take()
            .context("an answer that nobody asked for")?;
        ensure!(
            self.is_good(work, head.status, body),
            "{work:?} was answered {}: {}",
            head.status,
            shown(body)
        );
        Ok(Some((head.bytes + length, Heard::Done { bytes: length })))
    }
}

fn name_of(number: u64) -> String {
    let mut name = Vec::with_capacity(NAME_BYTES);
    write_name(number, &mut name);
    String::from_utf8(name).expect("names are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Box<dyn Dialogue> {
        Nacos.dialogue("127.0.0.1:1".parse().unwrap())
    }

    fn hear(work: Work, status: u16, body: &[u8]) -> Result<Option<(usize, Heard)>> {
        let mut client = client();
        client.begin(work, &mut Vec::new())?;
        let mut answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        client.hear(&answer, &mut Vec::new())
    }

    #[test]
    fn registration_is_a_form() {
        let mut out = Vec::new();
        client().begin(Work::Register(3), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /nacos/v1/cs/configs HTTP/1.1\r\n"));
        assert!(body.starts_with("dataId=bench-000000003&group=bench&content={\"name\":"));
        let length = format!("content-length: {}", body.len());
        assert!(head.ends_with(&length), "{head}");
        let (_, content) = body.split_once("&content=").unwrap();
        assert!(!content.contains(['&', '%', '+']));
    }

    #[test]
    fn what_is_not_the_record_is_no_answer() {
        let mut record = Vec::new();
        Records::new().write(3, &mut record);
        assert!(hear(Work::Lookup(3), 200, &record).is_ok());
        assert!(hear(Work::Lookup(4), 200, &record).is_err());
        assert!(hear(Work::Lookup(3), 404, b"config data not exist").is_err());
        assert!(hear(Work::List(2), 200, b"{\"totalCount\":1,\"pageItems\":[]}").is_err());
        assert!(hear(Work::Beat(2), 200, b"{\"code\":20404}").is_err());
    }

    #[test]
    fn watches_are_refused() {
        assert!(client().begin(Work::Watch, &mut Vec::new()).is_err());
    }
}
