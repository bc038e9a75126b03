//! What is measured, and how often.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use harness::backends::Backend;

use crate::Failure;

/// The arguments of the program.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Services in the store before anything is measured.
    pub(crate) records: usize,
    /// Registrations that are looked for, in each direction.
    pub(crate) registrations: usize,
    /// How often the owner is killed.
    pub(crate) kills: usize,
    /// Clients of each daemon that write while the owner is killed.
    pub(crate) clients: usize,
    pub(crate) backends: Vec<Backend>,
    /// The program of the daemon; without it the one that was built beside this one.
    pub(crate) daemon: Option<PathBuf>,
}

impl Settings {
    /// Reads the arguments.
    ///
    /// # Errors
    /// A flag that is unknown, a value that makes no sense.
    pub(crate) fn of_arguments() -> Result<Self, Failure> {
        let mut settings = Self {
            records: 100_000,
            registrations: 300,
            kills: 7,
            clients: 4,
            backends: Vec::new(),
            daemon: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments
                .next()
                .ok_or(format!("{flag}: expected a value"))?;
            match flag.as_str() {
                "--records" => settings.records = parse(&flag, &value)?,
                "--registrations" => settings.registrations = parse(&flag, &value)?,
                "--kills" => settings.kills = parse(&flag, &value)?,
                "--clients" => settings.clients = parse(&flag, &value)?,
                "--backend" => settings.backends.push(parse(&flag, &value)?),
                "--daemon" => settings.daemon = Some(value.into()),
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        if settings.backends.is_empty() {
            settings.backends = Backend::ALL.to_vec();
            settings
                .backends
                .retain(|backend| backend.is_built_in() && *backend != Backend::Memory);
        }
        Ok(settings)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            records,
            registrations,
            kills,
            clients,
            ..
        } = self;
        write!(
            f,
            "--records {records} --registrations {registrations} --kills {kills} --clients {clients}"
        )
    }
}

fn parse<T: FromStr<Err: fmt::Display>>(flag: &str, value: &str) -> Result<T, Failure> {
    let parsed = value.parse();
    parsed.map_err(|problem| format!("{flag}: {problem}, found {value:?}").into())
}
