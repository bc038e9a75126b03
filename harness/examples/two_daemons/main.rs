//! Two daemons on one path, measured: how soon a change of one is told by the other, and how soon the other serves once
//! the owner is killed under load.
//!
//! ```sh
//! cargo build --release -p harness
//! cargo run --release -p harness --example two_daemons -- [--records 100000] [--registrations 300] [--kills 7]
//!     [--clients 4] [--backend redb] [--daemon target/release/harness]
//! ```
//!
//! Without `--backend` every backend that persists is measured. Stores lie in the folder for temporary files (`TMPDIR`).

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

mod machine;
mod pair;
mod settings;
mod takeover;
mod visibility;

use std::process::ExitCode;
use std::time::Duration;

use crate::pair::Pair;
use crate::settings::Settings;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match Settings::of_arguments().and_then(|settings| run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("two_daemons: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<(), Failure> {
    println!("{}", machine::describe());
    println!("{settings}\n");
    println!("| backend | measured | times | p50 | p99 | max | beside |");
    println!("|---|---|---|---|---|---|---|");
    for backend in &settings.backends {
        let mut pair = Pair::start(*backend, settings)?;
        let (owner, attached) = (pair.owner().url(), pair.other().url());
        for (what, writer, watcher) in [
            ("owner to attached", owner, attached),
            ("attached to owner", attached, owner),
        ] {
            let seen = visibility::measure(writer, watcher, what, settings.registrations)?;
            let early = seen.iter().filter(|delay| delay.is_zero()).count();
            let beside = format!("{early} told before the acknowledgement");
            print_row(backend.as_str(), what, seen, &beside);
        }
        let takeovers = takeover::measure(&mut pair, settings)?;
        let refusals: usize = takeovers.iter().map(|takeover| takeover.refusals).sum();
        let took = takeovers.iter().map(|takeover| takeover.took).collect();
        let beside = format!("{refusals} writes refused meanwhile");
        print_row(backend.as_str(), "kill to the other's write", took, &beside);
    }
    Ok(())
}

fn print_row(backend: &str, what: &str, mut times: Vec<Duration>, beside: &str) {
    times.sort_unstable();
    let at = |percent: usize| {
        let last = times.len().saturating_sub(1);
        let time = times.get(last * percent / 100).copied().unwrap_or_default();
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    };
    let (count, p50, p99, max) = (times.len(), at(50), at(99), at(100));
    println!("| {backend} | {what} | {count} | {p50} | {p99} | {max} | {beside} |");
}
