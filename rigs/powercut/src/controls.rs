//! Settings that are known to be bad: a rig that finds nothing wrong with them sees nothing.
//!
//! No user of a backend can choose them. The disk plays them: it answers a sync that it does not do.

use anyhow::Result;
use harness::backends::Backend;

use crate::cuts::{Case, Planning, Starts, run_lie};
use crate::disk::{Lie, Model, Operation, Plan, Survival};
use crate::report::{Control, Report};
use crate::rig::Rig;
use crate::script::Scenario;

/// Cuts for each control.
const CUTS: u64 = 30;
/// Operations between a sync that is swallowed and the cut: enough for the reply.
const CUT_AFTER: std::ops::RangeInclusive<u64> = 2..=8;

/// The control that is a backend's own.
struct Setting {
    name: &'static str,
    lie: Lie,
    scenario: Scenario,
    model: Model,
}

fn setting(backend: Backend) -> Option<Setting> {
    let files = |name, part| Setting {
        name,
        lie: Lie::IgnoreFiles(part),
        scenario: Scenario::Commit,
        model: Model::Ext4,
    };
    match backend {
        Backend::Json => Some(files("the log is not synced", "log-")),
        Backend::Sled => Some(files("flush alone, without a sync of sled's file", "db")),
        Backend::Sqlite => Some(files("synchronous=NORMAL", "-wal")),
        Backend::Redb => Some(Setting {
            name: "the folder is not synced",
            lie: Lie::IgnoreFolders,
            scenario: Scenario::Create,
            model: Model::Strict,
        }),
        Backend::Memory => None,
    }
}

/// Runs the controls of a backend.
pub(crate) fn run(
    rig: &Rig,
    starts: &mut Starts,
    backend: Backend,
    seed: u64,
    report: &mut Report,
) -> Result<()> {
    let case = |scenario, model| Case {
        backend,
        scenario,
        model,
        survival: Survival::Drop,
        seed,
    };
    let mut run_one = |name: &str, case: Case, plan: &Planning<'_>| {
        let counts = run_lie(rig, starts, case, CUTS, plan)?;
        report.control(Control {
            backend: backend.to_string(),
            setting: name.to_owned(),
            runs: counts.runs,
            failed: counts.failed(),
        });
        anyhow::Ok(())
    };
    if let Some(setting) = setting(backend) {
        let case = case(setting.scenario, setting.model);
        let lie = setting.lie;
        let plan = move |rng: &mut fastrand::Rng, history: &[Operation]| Plan {
            halt_at: Some(rng.u64(1..=history.len() as u64)),
            lie: Some(lie.clone()),
            ..Plan::default()
        };
        run_one(setting.name, case, &plan)?;
    }
    let case = case(Scenario::Commit, Model::Ext4);
    run_one("one sync is swallowed", case, &swallow)
}

/// Swallows a sync, and cuts soon after it.
fn swallow(rng: &mut fastrand::Rng, history: &[Operation]) -> Plan {
    let operations = history.iter().zip(1..);
    let syncs: Vec<u64> = operations
        .filter(|(operation, _)| **operation == Operation::Sync)
        .map(|(_, number)| number)
        .collect();
    let sync = rng.usize(..syncs.len());
    Plan {
        halt_at: Some(syncs[sync] + rng.u64(CUT_AFTER)),
        lie: Some(Lie::Swallow(sync as u64 + 1)),
        ..Plan::default()
    }
}
