//! Runs the table of cases on one backend.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use registry_core::{Capabilities, RegistryStore, Result};

use crate::case::{Case, Failure, Verdict, chain};
use crate::cases::GROUPS;
use crate::process;
use crate::report::{CaseResult, Line, Report};
use crate::settings;
use crate::subject::{Opener, Subject};

/// A case that takes longer hangs; the slowest takes some 20 s on a slow disk.
const CASE_TIME_MAX: Duration = Duration::from_secs(300);

/// Runs every case on the stores that `open` opens in the folder given to it, and ends the process.
///
/// Arguments are those of `cargo test`: a filter, `--list`, `--exact`, `--nocapture`. A case is named
/// `backend::group::case`. The exit code is 0 where nothing failed.
pub fn run<S, F>(backend: &str, open: F) -> !
where
    S: RegistryStore,
    F: Fn(&Path) -> Result<S> + Send + Sync + 'static,
{
    let opener: Opener =
        Arc::new(move |folder| open(folder).map(|store| Arc::new(store) as Arc<dyn RegistryStore>));
    process::run_if_child(&opener);
    let arguments = Arguments::from_args();
    let capabilities = probe(&opener).unwrap_or_else(|failure| {
        panic!("the store cannot be opened in an empty folder: {failure:?}")
    });
    let lines = Arc::new(Mutex::new(Vec::new()));
    let conclusion =
        libtest_mimic::run(&arguments, trials(backend, &opener, &capabilities, &lines));
    if let Some(path) = settings::report_path() {
        let cases = std::mem::take(&mut *lines.lock().expect("no case panics while it reports"));
        let mut report = Report {
            backend: backend.to_owned(),
            cases,
        };
        report
            .write(&path)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
    conclusion.exit()
}

/// Opens a store to see what it can do.
fn probe(opener: &Opener) -> Result<Capabilities, Failure> {
    let subject = Subject::new(Arc::clone(opener))?;
    let store = subject.open()?;
    let capabilities = store.capabilities().clone();
    store.close()?;
    Ok(capabilities)
}

type Lines = Arc<Mutex<Vec<Line>>>;

fn trials(
    backend: &str,
    opener: &Opener,
    capabilities: &Capabilities,
    lines: &Lines,
) -> Vec<Trial> {
    let cases = GROUPS
        .iter()
        .flat_map(|group| group.cases.iter().map(|case| (group.name, *case)));
    cases
        .enumerate()
        .map(|(position, (group, case))| {
            let needs = (case.needs)(capabilities);
            let (opener, lines) = (Arc::clone(opener), Arc::clone(lines));
            let trial =
                Trial::ignorable_test(format!("{backend}::{group}::{}", case.name), move || {
                    let verdict = match needs {
                        Ok(()) => guarded(&opener, case),
                        Err(reason) => Err(Failure::NotApplicable(reason)),
                    };
                    let line = line(position, group, case.name, &verdict);
                    let mut lines = lines.lock().expect("no case panics while it reports");
                    lines.push(line);
                    completion(verdict)
                });
            trial.with_kind(if needs.is_err() { "unsupported" } else { "" })
        })
        .collect()
}

fn line(position: usize, group: &'static str, name: &'static str, verdict: &Verdict) -> Line {
    let (result, reason) = match verdict {
        Ok(()) => (CaseResult::Passed, None),
        Err(Failure::Broken(text)) => (CaseResult::Failed, Some(text.clone())),
        Err(Failure::NotApplicable(reason)) => {
            (CaseResult::Unsupported, Some((*reason).to_owned()))
        }
    };
    Line {
        position,
        group,
        name,
        result,
        reason,
    }
}

fn completion(verdict: Verdict) -> Result<Completion, Failed> {
    match verdict {
        Ok(()) => Ok(Completion::Completed),
        Err(Failure::NotApplicable(reason)) => Ok(Completion::ignored_with(reason)),
        Err(Failure::Broken(text)) => Err(text.into()),
    }
}

/// Runs a case on a thread of its own, so that neither a panic nor a hang takes the run with it.
fn guarded(opener: &Opener, case: Case) -> Verdict {
    let subject = Subject::new(Arc::clone(opener))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(case.name.to_owned())
        .spawn(move || {
            let verdict = catch_unwind(AssertUnwindSafe(|| (case.body)(&subject)));
            // The receiver is gone after the time limit, and then nobody waits for the answer.
            let _ = sender.send(verdict.unwrap_or_else(|panic| Err(panicked(&*panic))));
        })?;
    receiver.recv_timeout(CASE_TIME_MAX).unwrap_or_else(|_| {
        Err(Failure::new(format!(
            "the case did not end within {CASE_TIME_MAX:?}"
        )))
    })
}

/// What a panic said.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Failure::new(text.unwrap_or("a panic without a message"))
}

/// Runs `call` and answers its panic as a failure that names `place`.
pub(crate) fn at<T>(
    place: &dyn std::fmt::Display,
    call: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let answer = catch_unwind(AssertUnwindSafe(call));
    match answer.unwrap_or_else(|panic| Err(panicked(&*panic))) {
        Err(Failure::Broken(text)) => Err(Failure::new(format!("{place}: {text}"))),
        other => other,
    }
}

/// Whether a call was refused, and how, in words for a message.
pub(crate) fn words<T>(answer: &Result<T>) -> String {
    match answer {
        Ok(_) => "an answer".to_owned(),
        Err(error) => chain(error),
    }
}
