//! The target of the binary's own name: every binary of this package is built from this file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let target = fuzz::find(env!("CARGO_BIN_NAME")).expect("every binary is named after a target");
    if let Err(fuzz::Caught(problem)) = target.check(input) {
        panic!("{problem}");
    }
});
