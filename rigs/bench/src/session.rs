//! Everything that is measured of one subject.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::findings::{Figure, Findings, Point, SMALL, Workload};
use crate::interrupt;
use crate::load::{Course, Measured, SILENCE_MAX, Work, drive, watch};
use crate::subject::{Running, Subject};

/// Leases that are renewed in turn.
const LEASES: u64 = 1000;
/// Clients that write what is needed beforehand.
const LOADERS: usize = 64;
/// Clients that list: enough to keep two cores busy, few enough for the memory of their answers.
pub(crate) const LISTERS: usize = 4;
/// Clients that renew many leases with a message.
pub(crate) const BATCHERS: usize = 4;
/// Lookups under way on one connection.
pub(crate) const PIPELINED: usize = 64;
/// Watchers at a time.
pub(crate) const WATCHERS: [usize; 2] = [1, 100];

/// How long and with whom.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) time: Duration,
    pub(crate) clients: Vec<usize>,
    /// Of the larger data set.
    pub(crate) records: u64,
    /// What is measured; all of it where none is named.
    topics: Vec<Topic>,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    Registration,
    Lookup,
    List,
    Heartbeat,
    Watch,
    Start,
    Memory,
}

impl Topic {
    /// Of what a session measures.
    fn of(workload: Workload) -> Option<Self> {
        Some(match workload {
            Workload::Register => Self::Registration,
            Workload::Lookup | Workload::LookupPipelined => Self::Lookup,
            Workload::List => Self::List,
            Workload::Beat | Workload::BeatBatched => Self::Heartbeat,
            Workload::Watch => Self::Watch,
            Workload::StartClean | Workload::StartKilled => Self::Start,
            Workload::MemorySmall | Workload::MemoryLarge => Self::Memory,
            _ => return None,
        })
    }
}

impl Plan {
    /// Of measurements of so many seconds.
    ///
    /// # Errors
    /// A number that makes no sense, with the name of its option.
    pub(crate) fn new(seconds: f64, clients: Vec<usize>, records: u64) -> Result<Self> {
        ensure!(
            seconds > 0.0 && seconds <= 600.0,
            "--seconds: expected more than 0 and at most 600, found {seconds}"
        );
        ensure!(
            clients.iter().all(|clients| (1..=1000).contains(clients)),
            "--clients: expected 1 to 1000, found {clients:?}"
        );
        ensure!(
            (1..=10_000_000).contains(&records),
            "--records: expected 1 to 10,000,000, found {records}"
        );
        Ok(Self {
            time: Duration::from_secs_f64(seconds),
            clients,
            records,
            topics: Vec::new(),
        })
    }

    /// Some of it alone; all of it where none is named.
    pub(crate) fn only(self, topics: Vec<Topic>) -> Self {
        Self { topics, ..self }
    }

    fn wants(&self, topic: Topic) -> bool {
        self.topics.is_empty() || self.topics.contains(&topic)
    }
}

/// One subject on the way.
pub(crate) struct Session<'a> {
    plan: &'a Plan,
    findings: &'a mut Findings,
    running: Running<'a>,
    /// The next record that is not there yet.
    next: u64,
}

/// Measures all of a subject in that folder. What fails is noted, and the rest goes on.
pub(crate) fn measure(
    subject: &dyn Subject,
    plan: &Plan,
    folder: &Path,
    findings: &mut Findings,
) -> Result<()> {
    let (small, large) = (folder.join("small"), folder.join("large"));
    std::fs::create_dir_all(&small)?;
    std::fs::create_dir_all(&large)?;
    let mut session = Session {
        running: Running::new(subject, &small)?,
        plan,
        findings,
        next: 0,
    };
    session.load(SMALL)?;
    session.note(Workload::MemorySmall, "", 1, memory)?;
    if let Some(program) = subject.program() {
        session.note(Workload::Program, "", 1, |_| {
            let file = std::fs::metadata(&program)?;
            Ok(Figure::Bytes(file.len()))
        })?;
    }
    session.read()?;
    session.write()?;
    if plan.wants(Topic::Heartbeat) {
        session.renew()?;
    }
    drop(session);
    if !plan.wants(Topic::Start) && !plan.wants(Topic::Memory) {
        return Ok(());
    }
    let mut session = Session {
        running: Running::new(subject, &large)?,
        plan,
        findings,
        next: 0,
    };
    session.load(plan.records)?;
    session.note(Workload::MemoryLarge, "", 1, memory)?;
    if plan.wants(Topic::Start) {
        session.start_again()?;
    }
    Ok(())
}

fn memory(session: &mut Session) -> Result<Figure> {
    session.running.process.memory_bytes().map(Figure::Bytes)
}

impl Session<'_> {
    /// Registers records until there are so many.
    fn load(&mut self, records: u64) -> Result<()> {
        let next = &mut self.next;
        let mut work = |_| {
            let number = *next;
            *next += 1;
            (number < records).then_some(Work::Register(number))
        };
        self.running
            .drive("", once(LOADERS), &mut work)
            .context("load")?;
        self.next = records;
        Ok(())
    }

    /// Takes a measurement that is wanted. One that fails is noted, unless that is the end of the server or of the run.
    fn note(
        &mut self,
        workload: Workload,
        face: &str,
        clients: usize,
        measure: impl FnOnce(&mut Self) -> Result<Figure>,
    ) -> Result<()> {
        interrupt::check()?;
        if Topic::of(workload).is_some_and(|topic| !self.plan.wants(topic)) {
            return Ok(());
        }
        match measure(self) {
            Ok(figure) => self.findings.points.push(Point {
                workload,
                face: face.to_owned(),
                clients,
                figure,
            }),
            Err(error) => {
                self.running.check()?;
                let problem = format!("{workload:?} {face} with {clients} clients: {error:#}");
                eprintln!("  {problem}");
                self.findings.problems.push(problem);
            }
        }
        Ok(())
    }

    fn course(&self, clients: usize, depth: usize) -> Course {
        Course {
            clients,
            depth,
            warm: self.plan.time / 6,
            time: Some(self.plan.time),
            silence_max: SILENCE_MAX,
        }
    }

    /// Lookups and lists, while there are as many records as were loaded.
    fn read(&mut self) -> Result<()> {
        for face in self.running.faces() {
            for clients in self.plan.clients.clone() {
                self.note(Workload::Lookup, face, clients, |session| {
                    session.look_up(face, clients, 1)
                })?;
            }
            self.note(Workload::List, face, LISTERS, |session| {
                let course = session.course(LISTERS, 1);
                let mut work = |_| Some(Work::List(SMALL));
                session
                    .running
                    .drive(face, course, &mut work)
                    .map(Figure::Load)
            })?;
        }
        if self.running.subject.beats_at_once().is_some() {
            self.note(Workload::LookupPipelined, "", 1, |session| {
                session.look_up("", 1, PIPELINED)
            })?;
        }
        Ok(())
    }

    fn look_up(&mut self, face: &str, clients: usize, depth: usize) -> Result<Figure> {
        /// Has no factor in common with the number of records, so that all are asked for.
        const STRIDE: u64 = 7919;
        let mut number = 0;
        let mut work = |_| {
            number = (number + STRIDE) % SMALL;
            Some(Work::Lookup(number))
        };
        let course = self.course(clients, depth);
        let measured = self.running.drive(face, course, &mut work);
        measured.map(Figure::Load)
    }

    /// Changes that are watched, and registrations.
    fn write(&mut self) -> Result<()> {
        if self.running.subject.tells_of_new_names() {
            self.watch_all()?;
        }
        for face in self.running.faces() {
            for clients in self.plan.clients.clone() {
                self.note(Workload::Register, face, clients, |session| {
                    let course = session.course(clients, 1);
                    let next = &mut session.next;
                    let mut work = |_| {
                        *next += 1;
                        Some(Work::Register(*next))
                    };
                    session
                        .running
                        .drive(face, course, &mut work)
                        .map(Figure::Load)
                })?;
            }
        }
        Ok(())
    }

    fn watch_all(&mut self) -> Result<()> {
        for face in self.running.faces() {
            for watchers in WATCHERS {
                self.note(Workload::Watch, face, watchers, |session| {
                    session.watch(face, watchers)
                })?;
            }
        }
        Ok(())
    }

    fn watch(&mut self, face: &str, watchers: usize) -> Result<Figure> {
        let running = &self.running;
        let next = &mut self.next;
        let mut number = || {
            *next += 1;
            *next
        };
        let watched = watch(
            running.address,
            &|| running.dialogue(face),
            watchers,
            self.plan.time,
            &mut number,
            &|| running.process.cpu(),
        );
        watched.map(Figure::Watch)
    }

    /// Heartbeats.
    fn renew(&mut self) -> Result<()> {
        let mut leases = (0..LEASES).map(Work::Lease);
        let made = self
            .running
            .drive("", once(LOADERS), &mut |_| leases.next());
        made.context("make leases")?;
        for face in self.running.faces() {
            for clients in self.plan.clients.clone() {
                self.note(Workload::Beat, face, clients, |session| {
                    let mut number = 0;
                    let mut work = |_| {
                        number = (number + 1) % LEASES;
                        Some(Work::Beat(number))
                    };
                    let course = session.course(clients, 1);
                    session
                        .running
                        .drive(face, course, &mut work)
                        .map(Figure::Load)
                })?;
            }
            if let Some(count) = self.running.subject.beats_at_once() {
                self.note(Workload::BeatBatched, face, BATCHERS, |session| {
                    let course = session.course(BATCHERS, 1);
                    let mut work = |_| Some(Work::Beats(count));
                    let measured = session.running.drive(face, course, &mut work)?;
                    #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
                    let per_second = measured.per_second * count as f64;
                    Ok(Figure::PerSecond(per_second))
                })?;
            }
        }
        Ok(())
    }

    /// How long it takes until a record is answered, after an end in order and after a kill.
    fn start_again(self) -> Result<()> {
        let probe = Work::Lookup(self.plan.records - 1);
        let (running, clean) = self.running.restart(probe).context("start again")?;
        let (_running, killed) = running
            .start_after_kill(probe)
            .context("start after a kill")?;
        for (workload, time) in [
            (Workload::StartClean, clean),
            (Workload::StartKilled, killed),
        ] {
            self.findings.points.push(Point {
                workload,
                face: String::new(),
                clients: 1,
                figure: Figure::Seconds(time.as_secs_f64()),
            });
        }
        Ok(())
    }
}

impl Running<'_> {
    pub(crate) fn drive(
        &self,
        face: &str,
        course: Course,
        work: &mut dyn FnMut(usize) -> Option<Work>,
    ) -> Result<Measured> {
        drive(self.address, &|| self.dialogue(face), course, work)
    }
}

fn once(clients: usize) -> Course {
    Course {
        clients,
        depth: 1,
        warm: Duration::ZERO,
        time: None,
        silence_max: SILENCE_MAX,
    }
}
