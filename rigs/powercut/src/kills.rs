//! kill -9 on a real folder: everything that was acknowledged is there, whatever the process was doing.

use anyhow::Result;
use harness::backends::Backend;

use crate::check::{Check, Verdict};
use crate::ledger::Ledger;
use crate::report::{Finding, Report, Row};
use crate::rig::Rig;
use crate::script::{Scenario, Script};
use crate::worker::{Task, Work};

/// Kills on one store before a fresh one is made.
const SERIES: u64 = 15;

/// Kills a worker so many times.
pub(crate) fn run(
    rig: &Rig,
    backend: Backend,
    kills: u64,
    seed: u64,
    report: &mut Report,
) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let script = Script {
        steps: 40,
        ..Scenario::Commit.script(backend)
    };
    let row = Row {
        backend: backend.to_string(),
        scenario: "kills".to_owned(),
        model: "real".to_owned(),
    };
    let mut ledger = Ledger::default();
    let mut folder = rig.folder("kills")?;
    for number in 0..kills {
        if number % SERIES == 0 {
            folder = rig.folder("kills")?;
            ledger = Ledger::default();
        }
        let path = folder.join(format!("registry.{}", backend.extension()));
        let work = Work {
            backend: backend.to_string(),
            path: path.clone(),
            script: script.clone(),
            seed: rng.u64(..),
            known: ledger.last.revision,
            task: Task::Commit,
        };
        let most = rng.usize(1..=script.clients * script.steps);
        let outcome = rig.work_and_kill(&work, |told| told.shown.len() >= most)?;
        let failure = outcome.failure();
        let check = Check {
            backend: backend.to_string(),
            path,
            ledger: ledger.clone(),
            shown: outcome.shown,
            in_flight_max: script.clients as u64,
            migration: None,
        };
        let mut checked = rig.check_folder(&check)?;
        if let (Verdict::Sound, Some(failure)) = (checked.verdict, failure) {
            checked.verdict = Verdict::Unopenable;
            checked.detail = failure;
        }
        report.count(&row, checked.verdict);
        ledger = checked.ledger;
        if checked.verdict != Verdict::Sound {
            let finding = Finding {
                row: row.clone(),
                verdict: checked.verdict,
                detail: checked.detail,
                place: format!("kill {number} after {most} replies, seed {seed}"),
                again: format!("--backend {backend} --kills {kills} --seed {seed}"),
                image: None,
            };
            report.find_in(finding, &folder)?;
            folder = rig.folder("kills")?;
            ledger = Ledger::default();
        }
    }
    Ok(())
}
