//! How much is checked.

/// Finds every planted fault, and takes seconds.
const BOUND: usize = 3;
const SCHEDULES: usize = 2000;

/// Times that loom takes the turn from a thread that could go on.
pub(crate) fn preemptions() -> usize {
    asked_for("MODELS_BOUND").unwrap_or(BOUND)
}

/// Random orders that shuttle tries.
pub(crate) fn schedules() -> usize {
    asked_for("MODELS_SCHEDULES").unwrap_or(SCHEDULES)
}

fn asked_for(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}
