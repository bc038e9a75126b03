//! The binary: daemon and command line.

mod cli;

use std::process::ExitCode;

/// A commit allocates much on one thread, and frees it on others.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
