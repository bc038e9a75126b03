//! Clients that each have a fixed number of requests under way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::interrupt;
use crate::load::poller::Poller;
use crate::load::{Connection, Dialogue, Heard, Work, now};
use crate::percentiles::{Latencies, Percentiles};

/// Longest wait for any answer at all.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Time between two looks at whether the run was interrupted.
const TICK: Duration = Duration::from_millis(100);

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) clients: usize,
    /// Requests of each client under way.
    pub(crate) depth: usize,
    /// Not counted: connections and caches get warm.
    pub(crate) warm: Duration,
    /// None goes on until there is no more work.
    pub(crate) time: Option<Duration>,
    /// Longest wait for any answer at all.
    pub(crate) silence_max: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Received on the wire, of everything.
    pub(crate) bytes_per_second: f64,
    /// Payload of an answer.
    pub(crate) answer_bytes: usize,
    pub(crate) latency: Percentiles,
}

struct Client {
    connection: Connection,
    begun: VecDeque<Instant>,
    wants_room: bool,
}

struct Clients<'a> {
    all: Vec<Client>,
    poller: Poller,
    work: &'a mut dyn FnMut(usize) -> Option<Work>,
    under_way: usize,
}

/// Counted so far.
struct Count {
    from: Instant,
    latencies: Latencies,
    answer_bytes: usize,
}

/// Drives clients through work, which is asked for by the client's number until there is none.
pub(crate) fn drive(
    address: SocketAddr,
    dialogue: &dyn Fn() -> Box<dyn Dialogue>,
    course: Course,
    work: &mut dyn FnMut(usize) -> Option<Work>,
) -> Result<Measured> {
    let mut clients = Clients::connect(address, dialogue, course, work)?;
    let begin = now();
    let mut count = Count {
        from: begin + course.warm,
        latencies: Latencies::new(),
        answer_bytes: 0,
    };
    let end = course.time.map(|time| begin + course.warm + time);
    let mut received_before = 0;
    let mut is_warm = false;
    for number in 0..clients.all.len() {
        for _ in 0..course.depth {
            clients.begin(number)?;
        }
        clients.flush(number)?;
    }
    let mut ready = Vec::new();
    let mut last_heard = begin;
    while clients.under_way > 0 {
        clients.poller.wait(TICK, &mut ready)?;
        interrupt::check()?;
        let time = now();
        if end.is_some_and(|end| time >= end) {
            break;
        }
        if !is_warm && time >= count.from {
            (is_warm, received_before) = (true, clients.received());
        }
        if ready.is_empty() {
            let silence = time.duration_since(last_heard);
            ensure!(silence < course.silence_max, "no answer within {silence:?}");
            continue;
        }
        last_heard = time;
        for number in &ready {
            clients.hear(*number, &mut count)?;
        }
    }
    let elapsed = now().saturating_duration_since(count.from).as_secs_f64();
    measured(&count, clients.received() - received_before, elapsed)
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn measured(count: &Count, received: u64, seconds: f64) -> Result<Measured> {
    let latency = count.latencies.percentiles();
    ensure!(latency.count > 0, "not one answer within {seconds:.1} s");
    Ok(Measured {
        per_second: latency.count as f64 / seconds,
        bytes_per_second: received as f64 / seconds,
        answer_bytes: count.answer_bytes,
        latency,
    })
}

/// Has one piece of work after the other done over one connection.
pub(crate) fn ask(
    address: SocketAddr,
    dialogue: &dyn Fn() -> Box<dyn Dialogue>,
    work: &[Work],
    silence_max: Duration,
) -> Result<()> {
    let mut work = work.iter().copied();
    let course = Course {
        clients: 1,
        depth: 1,
        warm: Duration::ZERO,
        time: None,
        silence_max,
    };
    drive(address, dialogue, course, &mut |_| work.next()).map(drop)
}

impl<'a> Clients<'a> {
    fn connect(
        address: SocketAddr,
        dialogue: &dyn Fn() -> Box<dyn Dialogue>,
        course: Course,
        work: &'a mut dyn FnMut(usize) -> Option<Work>,
    ) -> Result<Self> {
        let mut clients = Self {
            all: Vec::with_capacity(course.clients),
            poller: Poller::new()?,
            work,
            under_way: 0,
        };
        for number in 0..course.clients {
            let connection = greeted(address, dialogue(), course.silence_max)?;
            clients.poller.add(&connection.stream, number)?;
            clients.all.push(Client {
                connection,
                begun: VecDeque::new(),
                wants_room: false,
            });
        }
        Ok(clients)
    }

    fn begin(&mut self, number: usize) -> Result<()> {
        let Some(work) = (self.work)(number) else {
            return Ok(());
        };
        let client = &mut self.all[number];
        client.connection.begin(work)?;
        client.begun.push_back(now());
        self.under_way += 1;
        Ok(())
    }

    fn flush(&mut self, number: usize) -> Result<()> {
        let client = &mut self.all[number];
        let is_left = client.connection.flush()?;
        if is_left != client.wants_room {
            client.wants_room = is_left;
            self.poller
                .want_room(&client.connection.stream, number, is_left)?;
        }
        Ok(())
    }

    /// Takes in what came, and begins as much work as was done.
    fn hear(&mut self, number: usize, count: &mut Count) -> Result<()> {
        self.all[number].connection.fill()?;
        while let Some(heard) = self.all[number].connection.next()? {
            let Heard::Done { bytes } = heard else {
                continue;
            };
            // Answers of a connection come in order, but for those of one that has several under way and a server
            // that answers as it likes: there a latency may be told of the neighbour.
            let begun = self.all[number].begun.pop_front();
            let begun = begun.context("an answer that nobody asked for")?;
            self.under_way -= 1;
            let time = now();
            if time >= count.from {
                count.latencies.note(time - begun);
                count.answer_bytes = bytes;
            }
            self.begin(number)?;
        }
        self.flush(number)
    }

    fn received(&self) -> u64 {
        let received = self.all.iter().map(|client| client.connection.received);
        received.sum()
    }
}

/// A connection whose greeting was answered.
pub(crate) fn greeted(
    address: SocketAddr,
    dialogue: Box<dyn Dialogue>,
    silence_max: Duration,
) -> Result<Connection> {
    let mut connection = Connection::open(address, dialogue)?;
    if connection.greet()? {
        let heard = wait_for(&mut connection, silence_max).context("greet")?;
        ensure!(
            matches!(heard, Heard::Done { .. }),
            "expected an answer to the greeting, found {heard:?}"
        );
    }
    Ok(connection)
}

/// Waits for something that means something.
pub(crate) fn wait_for(connection: &mut Connection, silence_max: Duration) -> Result<Heard> {
    let mut poller = Poller::new()?;
    poller.add(&connection.stream, 0)?;
    let mut ready = Vec::new();
    let begin = now();
    while now().duration_since(begin) < silence_max {
        while let Some(heard) = connection.next()? {
            if heard != Heard::Nothing {
                return Ok(heard);
            }
        }
        connection.flush()?;
        poller.wait(TICK, &mut ready)?;
        interrupt::check()?;
        connection.fill()?;
    }
    bail!("no answer within {silence_max:?}")
}
