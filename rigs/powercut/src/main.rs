//! The power-loss rig: cuts the power under every backend, and looks in a fresh process at what is left.
//!
//! One binary with three parts: the parent mounts a disk that keeps written and synced apart, a worker commits on it
//! and tells of each reply, a check opens what is left. See `README.md`.

mod check;
mod controls;
mod cuts;
mod disk;
mod faults;
mod flips;
mod kills;
mod ledger;
mod mount;
mod options;
mod process;
mod report;
mod rig;
mod script;
mod told;
mod worker;

use std::process::ExitCode;

use anyhow::Result;

use crate::rig::{PART_ARGUMENT, Part};

fn main() -> ExitCode {
    let is_part = std::env::args().nth(1).as_deref() == Some(PART_ARGUMENT);
    let done = if is_part {
        play().map(|()| true)
    } else {
        options::run()
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("powercut: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the parent says on the standard input.
fn play() -> Result<()> {
    match serde_json::from_reader(std::io::stdin())? {
        Part::Work(work) => worker::run(&work),
        Part::Check(check) => check::run(&check),
        Part::Look(look) => flips::look(&look),
        Part::Clear(folder) => {
            rig::clear(&folder);
            Ok(())
        }
    }
}
