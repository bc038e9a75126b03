//! Every input of the corpora, against its target.

use std::collections::BTreeSet;
use std::process::ExitCode;

use fuzz::{Case, Caught, TARGETS, Target, corpus_folder, read_corpus};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("every_target_has_a_corpus", check_folders),
        Trial::test("every_target_is_one_of_libfuzzer", check_binaries),
    ];
    for target in TARGETS {
        let cases = read_corpus(target.name).unwrap_or_default();
        trials.extend(cases.into_iter().map(|case| replay(target, case)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn replay(target: &'static Target, case: Case) -> Trial {
    let name = format!("{}::{}", target.name, case.name);
    Trial::test(name, move || {
        target
            .check(&case.bytes)
            .map_err(|Caught(problem)| Failed::from(problem))
    })
}

fn check_folders() -> Result<(), Failed> {
    let mut folders = BTreeSet::new();
    for folder in std::fs::read_dir(corpus_folder())? {
        folders.insert(folder?.file_name().to_string_lossy().into_owned());
    }
    let names = TARGETS.iter().map(|target| target.name.to_owned());
    let expected: BTreeSet<String> = names.collect();
    if folders == expected {
        return Ok(());
    }
    Err(format!("expected folders {expected:?}, found {folders:?}").into())
}

fn check_binaries() -> Result<(), Failed> {
    let manifest = corpus_folder().with_file_name("fuzz").join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest)?;
    for target in TARGETS {
        let binary = format!("[[bin]]\nname = \"{}\"\n", target.name);
        if !manifest.contains(&binary) {
            return Err(format!("fuzz/Cargo.toml has no {binary}").into());
        }
    }
    Ok(())
}
