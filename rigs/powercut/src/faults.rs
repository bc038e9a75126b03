//! One operation that fails, at each position of a script: writes are refused from then on or the error was an honest
//! one, reads go on, and what was acknowledged is there when the store is opened again.

use anyhow::Result;
use harness::backends::Backend;

use crate::check::{Checked, Verdict};
use crate::cuts::{Stage, Start, name};
use crate::disk::{Fault, Image, Model, Operation, Plan, Survival, Volume};
use crate::process::Outcome;
use crate::report::{Finding, Report, Row};
use crate::rig::Rig;
use crate::script::{Scenario, Script};
use crate::worker::Task;

/// Commands of the script.
const STEPS: usize = 10;

/// Of a longer run of operations of one kind, as when sled fills a new file, some are tried for all.
const RUN_WHOLE_MAX: usize = 64;
/// Operations at either end of a longer run that are tried, and the step between.
const RUN_ENDS: usize = 16;
const RUN_STEP: usize = 128;

/// Fails each operation of two scripts once in each way: one on an empty disk, one on a store. See [`positions`].
pub(crate) fn run(rig: &Rig, backend: Backend, seed: u64, report: &mut Report) -> Result<()> {
    let stage = Stage::new(rig, backend);
    let script = Script {
        clients: 1,
        steps: STEPS,
        ..Scenario::Commit.script(backend)
    };
    for preparation in [None, Some((script.clone(), Task::Commit))] {
        let (image, ledger) = stage.prepare(preparation)?;
        let start = stage.rehearse(image, ledger, script.clone(), Task::Commit)?;
        for position in positions(&start.history) {
            for fault in faults_of(start.history[position]) {
                let trial = Trial {
                    stage,
                    start: &start,
                    position: position as u64 + 1,
                    fault: *fault,
                    seed,
                };
                trial.run(report)?;
            }
        }
    }
    Ok(())
}

/// Which operations are made to fail, from 0: every one, but of a long run of one kind those at its ends and some between.
fn positions(history: &[Operation]) -> Vec<usize> {
    let mut positions = Vec::new();
    let mut begin = 0;
    for run in history.chunk_by(|one, next| one == next) {
        let is_tried = |place: &usize| {
            let from_end = run.len() - 1 - place;
            run.len() <= RUN_WHOLE_MAX
                || place.min(&from_end) < &RUN_ENDS
                || place.is_multiple_of(RUN_STEP)
        };
        positions.extend((0..run.len()).filter(is_tried).map(|place| begin + place));
        begin += run.len();
    }
    positions
}

/// The ways in which an operation can fail.
fn faults_of(operation: Operation) -> &'static [Fault] {
    match operation {
        Operation::Write => &[Fault::Io, Fault::NoSpace, Fault::Short],
        Operation::Metadata | Operation::Sync => &[Fault::Io, Fault::NoSpace],
    }
}

struct Trial<'a> {
    stage: Stage<'a>,
    start: &'a Start,
    position: u64,
    fault: Fault,
    seed: u64,
}

impl Trial<'_> {
    fn run(&self, report: &mut Report) -> Result<()> {
        let plan = Plan {
            fault: Some((self.position, self.fault)),
            ..Plan::default()
        };
        let Start {
            image,
            ledger,
            script,
            ..
        } = self.start;
        let volume = Volume::new(image.clone(), Model::Ext4, plan);
        let work = self.stage.work(script, self.seed, ledger, Task::Insist);
        let (volume, outcome) = self.stage.rig.work(volume, &work)?;
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let disks = [
            ("opened again", volume.seen()),
            ("after a power cut", volume.crash(Survival::Drop, &mut rng)),
        ];
        let broken = broken(&outcome);
        for (when, image) in disks {
            let check = self.stage.check(script, ledger, &outcome);
            let mut checked = self.stage.rig.check(image.clone(), &check)?;
            if let (Verdict::Sound, Some(broken)) = (checked.verdict, &broken) {
                checked = Checked::failed(Verdict::Wrong, broken.clone());
            }
            self.conclude(when, &checked, &image, report)?;
        }
        self.go_on(volume, outcome, report)
    }

    /// Opens the store again without a restart of the system, commits on, and cuts the power.
    fn go_on(&self, mut volume: Volume, earlier: Outcome, report: &mut Report) -> Result<()> {
        let Start { ledger, script, .. } = self.start;
        volume.resume(Plan::default());
        let seed = self.seed.wrapping_add(1);
        let work = self.stage.work(script, seed, ledger, Task::Commit);
        let (volume, mut outcome) = self.stage.rig.work(volume, &work)?;
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let image = volume.crash(Survival::Drop, &mut rng);
        let failure = outcome.failure();
        outcome.shown.splice(..0, earlier.shown);
        outcome.refused = earlier.refused;
        let check = self.stage.check(script, ledger, &outcome);
        let mut checked = self.stage.rig.check(image.clone(), &check)?;
        if let (Verdict::Sound, Some(failure)) = (checked.verdict, failure) {
            checked = Checked::failed(Verdict::Unopenable, failure);
        }
        self.conclude(
            "opened again, and after a power cut later on",
            &checked,
            &image,
            report,
        )
    }

    fn conclude(
        &self,
        when: &str,
        checked: &Checked,
        image: &Image,
        report: &mut Report,
    ) -> Result<()> {
        let row = Row {
            backend: self.stage.backend.to_string(),
            scenario: "faults".to_owned(),
            model: name(&Model::Ext4),
        };
        report.count(&row, checked.verdict);
        if checked.verdict == Verdict::Sound {
            return Ok(());
        }
        let (fault, position) = (self.fault, self.position);
        let operation = self.start.history[usize::try_from(position - 1)?];
        let finding = Finding {
            row,
            verdict: checked.verdict,
            detail: checked.detail.clone(),
            place: format!("{fault:?} at operation {position} ({operation:?}), {when}"),
            again: format!(
                "--backend {} --faults --seed {}",
                self.stage.backend, self.seed
            ),
            image: None,
        };
        report.find(finding, Some(image))
    }
}

/// What the worker itself saw go wrong.
fn broken(outcome: &Outcome) -> Option<String> {
    let broken = outcome.broken.first().cloned();
    broken.or_else(|| outcome.failure())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_tried_but_those_within_a_long_run() {
        let mut history = vec![Operation::Metadata; 3];
        history.extend([Operation::Write; 300]);
        history.extend([Operation::Sync; RUN_WHOLE_MAX]);
        let ends = (0..3)
            .chain(3..19)
            .chain([3 + 128, 3 + 256])
            .chain(287..303);
        let expected: Vec<usize> = ends.chain(303..303 + RUN_WHOLE_MAX).collect();
        assert_eq!(positions(&history), expected);
    }
}
