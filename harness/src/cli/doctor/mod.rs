//! `harness doctor`: what would keep a daemon from running well here, each with evidence and a fix.
//!
//! Nothing of a store is written and none is made. A store that another process holds is read through that process.

mod check;
mod clock;
mod disk;
mod modes;
mod port;
mod store;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use harness::backends::Backend;
use harness::settings::Settings;
use harness::store::Location;
use serde_json::{Value, json};

use self::check::{Check, Status};
use super::config::{Flags, Layered};
use super::daemon;
use super::exit::{self, Usage};
use super::output::{self, Format};

/// What is looked at.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// A store, as a path or backend:path, instead of the one that the settings name.
    #[arg(long, value_name = "PATH", conflicts_with = "registry_path")]
    path: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// Makes every check, prints them, and answers the exit code.
pub(crate) async fn run(args: &DoctorArgs, format: Format) -> Result<ExitCode> {
    let named = args.path.as_deref().map(str::parse::<Location>);
    let named = named.transpose().map_err(Usage)?;
    let (configuration, settings) = read_settings(&args.flags);
    let mut checks = vec![configuration];
    let is_named = named.is_some();
    let location = named.or_else(|| settings.as_ref().and_then(|it| daemon::place(it).ok()));
    match location {
        Some(location) if location.backend != Backend::Memory => {
            let (looked, last_commit) = store::look(&location, is_named).await;
            checks.extend(looked);
            checks.extend(disk::look(&location).await?);
            checks.push(clock::look(last_commit));
            checks.push(modes::look(&location));
        }
        Some(_) => {
            checks.push(Check::skipped("store", "it is kept in memory alone"));
            checks.push(clock::look(None));
        }
        None => {
            let why = "the configuration does not say where it is";
            checks.push(Check::skipped("store", why));
            checks.push(clock::look(None));
        }
    }
    checks.push(match &settings {
        Some(settings) => port::look(settings).await,
        None => Check::skipped("port", "the configuration does not say which"),
    });
    print(&checks, format)?;
    let has_failed = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if has_failed {
        exit::unfit()
    } else {
        ExitCode::SUCCESS
    })
}

/// The settings that a daemon would run with; none where it would refuse them.
fn read_settings(flags: &Flags) -> (Check, Option<Settings>) {
    let read = Layered::read(flags).and_then(|Layered { settings, .. }| {
        settings.check()?;
        daemon::listen_addresses(&settings, &settings.ws()?)?;
        daemon::place(&settings)?;
        Ok(settings)
    });
    let fix = "correct the key; `harness config show --origin` tells where each value is from";
    match read {
        Ok(settings) => {
            let bind = settings.bind.join(", ");
            let evidence = format!("every setting makes sense; bind {bind}");
            (Check::ok("configuration", evidence), Some(settings))
        }
        Err(error) => {
            let evidence = exit::describe(&error);
            (Check::fail("configuration", evidence, fix), None)
        }
    }
}

fn print(checks: &[Check], format: Format) -> Result<()> {
    if format != Format::Table {
        let rows: Vec<Value> = checks.iter().map(|check| json!(check)).collect();
        return output::print_list(format, &rows, &[]);
    }
    for Check {
        name,
        status,
        evidence,
        fix,
    } in checks
    {
        let evidence = output::text(&json!(evidence));
        output::print_line(&format!("{:<8} {name:<14} {evidence}", status.as_str()))?;
        if let Some(fix) = fix {
            output::print_line(&format!("{:<8} {:<14} fix: {fix}", "", ""))?;
        }
    }
    Ok(())
}
