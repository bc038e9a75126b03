//! The binary: daemon and command line.

mod cli;

use std::process::ExitCode;

/// A commit allocates some hundred times, on one thread, and frees on others.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
