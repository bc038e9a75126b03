//! What the environment says about a run.

use std::path::PathBuf;

/// Where the results go, if anywhere.
pub(crate) fn report_path() -> Option<PathBuf> {
    std::env::var_os("HARNESS_CONFORMANCE_REPORT").map(PathBuf::from)
}

/// Number of random histories.
pub(crate) fn histories() -> u32 {
    number("HARNESS_CONFORMANCE_HISTORIES", 48)
}

/// Seed of the random cases.
pub(crate) fn seed() -> u64 {
    number("HARNESS_CONFORMANCE_SEED", 1)
}

fn number<N: std::str::FromStr>(name: &str, default: N) -> N {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}")),
        Err(_) => default,
    }
}
