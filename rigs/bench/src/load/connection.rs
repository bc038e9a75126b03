//! A socket with a dialogue.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::load::{Dialogue, Heard, Work};

/// Read at once; a list of 10,000 records is some megabytes.
const READ_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One client.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    dialogue: Box<dyn Dialogue>,
    input: Vec<u8>,
    /// Bytes of `input` that are filled, and those of them that the dialogue took.
    filled: usize,
    taken: usize,
    output: Vec<u8>,
    /// Bytes received since the connection began.
    pub(crate) received: u64,
}

impl Connection {
    /// Connects, without a greeting. What is not sent at once is sent by [`Self::flush`].
    pub(crate) fn open(address: SocketAddr, dialogue: Box<dyn Dialogue>) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            dialogue,
            input: vec![0; READ_BYTES],
            filled: 0,
            taken: 0,
            output: Vec::new(),
            received: 0,
        })
    }

    /// Sends the greeting, and says whether it is answered.
    pub(crate) fn greet(&mut self) -> Result<bool> {
        let is_answered = self.dialogue.greet(&mut self.output);
        self.flush()?;
        Ok(is_answered)
    }

    pub(crate) fn begin(&mut self, work: Work) -> Result<()> {
        self.dialogue.begin(work, &mut self.output)
    }

    /// Sends what the socket takes, and says whether something is left.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.write(&self.output[sent..]) {
                Ok(0) => bail!("the server takes nothing more"),
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("send"),
            }
        }
        self.output.drain(..sent);
        Ok(!self.output.is_empty())
    }

    /// Receives once. False where nothing has come.
    pub(crate) fn fill(&mut self) -> Result<bool> {
        self.make_room();
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(bytes) => {
                self.filled += bytes;
                self.received += bytes as u64;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error).context("receive"),
        }
    }

    /// What the next bytes meant; none where more have to come.
    pub(crate) fn next(&mut self) -> Result<Option<Heard>> {
        if self.taken == self.filled {
            return Ok(None);
        }
        let input = &self.input[self.taken..self.filled];
        let Some((bytes, heard)) = self.dialogue.hear(input, &mut self.output)? else {
            return Ok(None);
        };
        self.taken += bytes;
        Ok(Some(heard))
    }

    fn make_room(&mut self) {
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
        } else if self.taken > 0 && self.input.len() - self.filled < READ_BYTES {
            self.input.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        if self.input.len() - self.filled < READ_BYTES / 2 {
            self.input.resize(self.input.len() * 2, 0);
        }
    }
}
