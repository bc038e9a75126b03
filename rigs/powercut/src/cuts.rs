//! Power cuts at random operations, in series on one disk, so that they land inside recoveries, too.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use harness::backends::Backend;

use crate::check::{Check, Checked, Verdict};
use crate::disk::{Image, Model, Operation, Plan, Survival, Volume};
use crate::ledger::Ledger;
use crate::process::Outcome;
use crate::report::{Counts, Finding, Report, Row};
use crate::rig::{Rig, Takeover};
use crate::script::{Scenario, Script};
use crate::worker::{Task, Work};

/// Cuts on one disk before a fresh one is taken.
const SERIES: RangeInclusive<u64> = 8..=20;

/// Operations of a process that recovers.
const RECOVERY: RangeInclusive<u64> = 1..=10;
/// Those, and the first commits after them.
const RECOVERY_AND_COMMITS: RangeInclusive<u64> = 1..=60;
/// Operations of a process that takes a store over: it recovers, and makes its socket.
const TAKEOVER: RangeInclusive<u64> = 1..=20;
/// Those, and the first commits after them.
const TAKEOVER_AND_COMMITS: RangeInclusive<u64> = 1..=160;
/// Replies to the one that takes over before the owner is killed.
const REPLIES: RangeInclusive<usize> = 1..=30;
/// Commands of each client of an owner: it is killed long before.
const OWNER_STEPS: usize = 100_000;

/// The circumstances of a series of cuts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) backend: Backend,
    pub(crate) scenario: Scenario,
    pub(crate) model: Model,
    pub(crate) survival: Survival,
    pub(crate) seed: u64,
}

impl Case {
    fn row(&self) -> Row {
        Row {
            backend: self.backend.to_string(),
            scenario: name(&self.scenario),
            model: name(&self.model),
        }
    }

    fn again(&self, cuts: u64) -> String {
        format!(
            "--backend {} --scenario {} --model {} --survival {} --seed {} --cuts {cuts}",
            self.backend,
            name(&self.scenario),
            name(&self.model),
            name(&self.survival),
            self.seed
        )
    }
}

/// The name of a value on the command line.
pub(crate) fn name<T: clap::ValueEnum>(value: &T) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A disk with a store on it, and what its script comes to where nothing goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) image: Image,
    pub(crate) ledger: Ledger,
    pub(crate) script: Script,
    /// The operations of the script.
    pub(crate) history: Vec<Operation>,
}

/// Starts that were made.
#[derive(Debug, Default)]
pub(crate) struct Starts(BTreeMap<(String, String), Start>);

impl Starts {
    /// The start of a scenario.
    pub(crate) fn of(&mut self, rig: &Rig, backend: Backend, scenario: Scenario) -> Result<&Start> {
        let key = (backend.to_string(), name(&scenario));
        if !self.0.contains_key(&key) {
            let stage = Stage::new(rig, backend);
            let (image, ledger) = stage.prepare(scenario.preparation(backend))?;
            let task = stage.task(scenario);
            let start = stage.rehearse(image, ledger, scenario.script(backend), task)?;
            self.0.insert(key.clone(), start);
        }
        Ok(&self.0[&key])
    }
}

/// A backend on a rig: what workers and checks have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) backend: Backend,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(rig: &'a Rig, backend: Backend) -> Self {
        Self { rig, backend }
    }

    fn path(&self, stem: &str) -> PathBuf {
        let name = format!("{stem}.{}", self.backend.extension());
        self.rig.point().join(name)
    }

    fn task(&self, scenario: Scenario) -> Task {
        match scenario {
            Scenario::Migrate => Task::Migrate {
                to: self.path("migrated"),
            },
            Scenario::Takeover => Task::Share { first_client: 0 },
            _ => Task::Commit,
        }
    }

    pub(crate) fn work(&self, script: &Script, seed: u64, ledger: &Ledger, task: Task) -> Work {
        Work {
            backend: self.backend.to_string(),
            path: self.path("registry"),
            script: script.clone(),
            seed,
            known: ledger.last.revision,
            task,
        }
    }

    /// What must be found after a worker.
    pub(crate) fn check(&self, script: &Script, ledger: &Ledger, outcome: &Outcome) -> Check {
        Check {
            backend: self.backend.to_string(),
            path: self.path("registry"),
            ledger: ledger.clone(),
            shown: outcome.shown.clone(),
            in_flight_max: (script.clients + outcome.refused.len()) as u64,
            migration: None,
        }
    }

    /// A disk after a script that nothing disturbed; without a script it is empty.
    pub(crate) fn prepare(&self, work: Option<(Script, Task)>) -> Result<(Image, Ledger)> {
        let (image, ledger) = (Image::empty(), Ledger::default());
        let Some((script, task)) = work else {
            return Ok((image, ledger));
        };
        let volume = Volume::new(image, Model::Strict, Plan::default());
        let work = self.work(&script, u64::MAX, &ledger, task);
        let (volume, outcome) = self.rig.work(volume, &work)?;
        ensure!(outcome.is_done, "prepare a store: {}", outcome.complaint);
        let image = volume.seen();
        let check = self.check(&script, &ledger, &outcome);
        let checked = self.rig.check(image.clone(), &check)?;
        ensure!(
            checked.verdict == Verdict::Sound,
            "a store that nothing disturbed is not sound: {}",
            checked.detail
        );
        Ok((image, checked.ledger))
    }

    /// Runs a script to its end, and counts its operations.
    pub(crate) fn rehearse(
        &self,
        image: Image,
        ledger: Ledger,
        script: Script,
        task: Task,
    ) -> Result<Start> {
        let volume = Volume::new(image.clone(), Model::Strict, Plan::default());
        let work = self.work(&script, u64::MAX - 1, &ledger, task);
        let (volume, outcome) = self.rig.work(volume, &work)?;
        ensure!(outcome.is_done, "rehearse a script: {}", outcome.complaint);
        Ok(Start {
            image,
            ledger,
            script,
            history: volume.history().to_vec(),
        })
    }
}

/// A disk under a series of cuts.
struct Series<'a> {
    stage: Stage<'a>,
    case: Case,
    start: &'a Start,
    rng: fastrand::Rng,
    image: Image,
    ledger: Ledger,
}

/// What was done up to a cut.
struct Run {
    operation: u64,
    volume: Volume,
    /// What the worker did under which the power was cut, with what those before it told of.
    outcome: Outcome,
    /// What is wrong with a worker.
    failure: Option<String>,
    /// Each may have had a command under way.
    clients: usize,
}

/// One cut and what was left.
struct Cut {
    operation: u64,
    crash: Image,
    checked: Checked,
}

impl<'a> Series<'a> {
    fn new(rig: &'a Rig, case: Case, start: &'a Start) -> Self {
        Self {
            stage: Stage::new(rig, case.backend),
            case,
            start,
            rng: fastrand::Rng::with_seed(case.seed),
            image: start.image.clone(),
            ledger: start.ledger.clone(),
        }
    }

    fn operation(&mut self) -> u64 {
        // A few beyond the end, so that the power goes after the last operation, too.
        let operations = self.start.history.len() as u64;
        self.rng.u64(1..=operations + operations / 20 + 1)
    }

    fn plan(&mut self) -> Plan {
        Plan {
            halt_at: Some(self.operation()),
            ..Plan::default()
        }
    }

    fn work(&mut self) -> Work {
        let task = self.stage.task(self.case.scenario);
        let seed = self.rng.u64(..u64::MAX / 2);
        self.stage
            .work(&self.start.script, seed, &self.ledger, task)
    }

    /// Runs workers until the power is cut, and looks what is left.
    fn cut(&mut self, plan: Plan) -> Result<Cut> {
        let run = match self.case.scenario {
            Scenario::Recover => self.recover(plan)?,
            Scenario::Takeover => self.take_over(plan)?,
            _ => self.work_until(plan)?,
        };
        let crash = run.volume.crash(self.case.survival, &mut self.rng);
        let check = Check {
            in_flight_max: run.clients as u64,
            migration: match self.stage.task(self.case.scenario) {
                Task::Migrate { to } => Some((to, run.outcome.migrated)),
                _ => None,
            },
            ..self
                .stage
                .check(&self.start.script, &self.ledger, &run.outcome)
        };
        let mut checked = self.stage.rig.check(crash.clone(), &check)?;
        if let (Verdict::Sound, Some(failure)) = (checked.verdict, run.failure) {
            checked.verdict = Verdict::Unopenable;
            checked.detail = failure;
        }
        Ok(Cut {
            operation: run.operation,
            crash,
            checked,
        })
    }

    /// One worker, under which the power is cut.
    fn work_until(&mut self, plan: Plan) -> Result<Run> {
        let operation = plan.halt_at.unwrap_or_default();
        let volume = Volume::new(self.image.clone(), self.case.model, plan);
        let (volume, outcome) = self.stage.rig.work(volume, &self.work())?;
        Ok(self.run(operation, volume, outcome))
    }

    fn run(&self, operation: u64, volume: Volume, outcome: Outcome) -> Run {
        Run {
            operation,
            volume,
            failure: outcome.failure(),
            clients: self.start.script.clients,
            outcome,
        }
    }

    /// A worker that is killed, and another one that recovers, under which the power is cut.
    fn recover(&mut self, plan: Plan) -> Result<Run> {
        let mut plan = plan;
        if self.rng.u8(..3) == 0 {
            // The first one is killed while it makes the store.
            self.image = Image::empty();
            self.ledger = Ledger::default();
            plan.halt_at = Some(self.rng.u64(RECOVERY_AND_COMMITS));
        }
        let volume = Volume::new(self.image.clone(), self.case.model, plan.clone());
        let (mut volume, earlier) = self.stage.rig.work(volume, &self.work())?;
        let operation = self.either(RECOVERY, RECOVERY_AND_COMMITS);
        volume.resume(Plan {
            halt_at: Some(operation),
            ..plan
        });
        let (volume, mut outcome) = self.stage.rig.work(volume, &self.work())?;
        outcome.shown.splice(..0, earlier.shown);
        Ok(self.run(operation, volume, outcome))
    }

    /// Two workers on one store: its owner is killed, and the power is cut under the one that takes it over.
    fn take_over(&mut self, plan: Plan) -> Result<Run> {
        let operation = self.either(TAKEOVER, TAKEOVER_AND_COMMITS);
        let (owner, heir) = (self.work(), self.work());
        let clients = self.start.script.clients;
        let takeover = Takeover {
            owner: Work {
                script: Script {
                    steps: OWNER_STEPS,
                    ..owner.script
                },
                ..owner
            },
            heir: Work {
                task: Task::Share {
                    first_client: clients,
                },
                ..heir
            },
            replies: self.rng.usize(REPLIES),
            plan: Plan {
                halt_at: Some(operation),
                ..plan
            },
        };
        let volume = Volume::new(self.image.clone(), self.case.model, Plan::default());
        let (volume, [owner, mut heir]) = self.stage.rig.take_over(volume, takeover)?;
        heir.shown.splice(..0, owner.shown.iter().cloned());
        Ok(Run {
            failure: owner.failure().or_else(|| heir.failure()),
            // Those of the owner were under way at the kill.
            clients: 2 * clients,
            ..self.run(operation, volume, heir)
        })
    }

    fn either(&mut self, one: RangeInclusive<u64>, other: RangeInclusive<u64>) -> u64 {
        let range = if self.rng.bool() { one } else { other };
        self.rng.u64(range)
    }

    /// Goes on with the disk as the cut left it, or with a fresh one where the scenario is over on this one.
    fn go_on(&mut self, cut: Cut) {
        let is_over = match self.case.scenario {
            Scenario::Create => cut.checked.ledger != Ledger::default(),
            Scenario::Migrate => cut.checked.has_migrated,
            _ => false,
        };
        if is_over || cut.checked.verdict != Verdict::Sound {
            self.image = self.start.image.clone();
            self.ledger = self.start.ledger.clone();
        } else {
            self.image = cut.crash;
            self.ledger = cut.checked.ledger;
        }
    }
}

/// Runs one series, of at most so many cuts. Answers how many it had.
pub(crate) fn run_series(
    rig: &Rig,
    starts: &mut Starts,
    case: Case,
    cuts_max: u64,
    report: &mut Report,
) -> Result<u64> {
    let start = starts.of(rig, case.backend, case.scenario)?;
    let mut series = Series::new(rig, case, start);
    let cuts = series.rng.u64(SERIES).min(cuts_max);
    for number in 1..=cuts {
        let plan = series.plan();
        let cut = series.cut(plan)?;
        report.count(&case.row(), cut.checked.verdict);
        if cut.checked.verdict != Verdict::Sound {
            let finding = Finding {
                row: case.row(),
                verdict: cut.checked.verdict,
                detail: cut.checked.detail.clone(),
                place: format!(
                    "operation {}, survival {}, seed {}, cut {number} of the series",
                    cut.operation,
                    name(&case.survival),
                    case.seed
                ),
                again: case.again(number),
                image: None,
            };
            report.find(finding, Some(&cut.crash))?;
        }
        series.go_on(cut);
    }
    Ok(cuts)
}

/// Chooses what happens to a script, by the operations that it has where nothing happens.
pub(crate) type Planning<'a> = dyn Fn(&mut fastrand::Rng, &[Operation]) -> Plan + 'a;

/// Cuts on a disk that lies. Answers how often that was seen.
pub(crate) fn run_lie(
    rig: &Rig,
    starts: &mut Starts,
    case: Case,
    cuts: u64,
    planning: &Planning<'_>,
) -> Result<Counts> {
    let start = starts.of(rig, case.backend, case.scenario)?;
    let mut series = Series::new(rig, case, start);
    let mut counts = Counts::default();
    for _ in 0..cuts {
        let plan = planning(&mut series.rng, &start.history);
        let mut cut = series.cut(plan)?;
        counts.add(cut.checked.verdict);
        // What a lie did to a disk may show later: each begins with a sound one.
        cut.checked.verdict = Verdict::Wrong;
        series.go_on(cut);
    }
    Ok(counts)
}

/// Cuts the power once at each operation of a script of one client.
pub(crate) fn run_positions(
    rig: &Rig,
    cases: impl Fn(u64) -> Case,
    backend: Backend,
    report: &mut Report,
) -> Result<()> {
    let stage = Stage::new(rig, backend);
    let script = Script {
        clients: 1,
        steps: 200,
        ..Scenario::Commit.script(backend)
    };
    let (image, ledger) = stage.prepare(Some((script.clone(), Task::Commit)))?;
    let start = stage.rehearse(image, ledger, script, Task::Commit)?;
    for position in 1..=start.history.len() as u64 {
        let case = Case {
            scenario: Scenario::Commit,
            ..cases(position)
        };
        let row = Row {
            scenario: "every_position".to_owned(),
            ..case.row()
        };
        let mut series = Series::new(rig, case, &start);
        let plan = Plan {
            halt_at: Some(position),
            ..Plan::default()
        };
        let cut = series.cut(plan)?;
        report.count(&row, cut.checked.verdict);
        if cut.checked.verdict != Verdict::Sound {
            let finding = Finding {
                row,
                verdict: cut.checked.verdict,
                detail: cut.checked.detail.clone(),
                place: format!("operation {position}, survival {}", name(&case.survival)),
                again: format!("--backend {backend} --every-position --seed {}", case.seed),
                image: None,
            };
            report.find(finding, Some(&cut.crash))?;
        }
    }
    Ok(())
}
