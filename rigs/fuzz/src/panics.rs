//! Panics as answers, wherever they happen.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// What broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught(pub String);

/// Panics since the last input, of every thread, while one is run: the library turns those of an engine into errors,
/// and they are bugs all the same.
static SEEN: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn seen() -> MutexGuard<'static, Option<Vec<String>>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs something, and answers the first panic of any thread meanwhile. Callers take turns.
///
/// # Errors
/// The panic, with its place.
pub fn guard(run: impl FnOnce()) -> Result<(), Caught> {
    static HOOK: Once = Once::new();
    static TURN: Mutex<()> = Mutex::new(());
    HOOK.call_once(|| {
        let default = take_hook();
        set_hook(Box::new(move |panic| match &mut *seen() {
            Some(seen) => seen.push(panic.to_string()),
            None => default(panic),
        }));
    });
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *seen() = Some(Vec::new());
    let ended = catch_unwind(AssertUnwindSafe(run));
    let first = seen().take().into_iter().flatten().next();
    match (ended, first) {
        (Ok(()), None) => Ok(()),
        (_, Some(panic)) => Err(Caught(panic)),
        (Err(_), None) => Err(Caught("it unwound without a panic".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_is_told_even_where_it_was_contained() {
        assert_eq!(guard(|| ()), Ok(()));
        let Caught(told) = guard(|| panic!("first")).unwrap_err();
        assert!(
            told.contains("first") && told.contains("panics.rs"),
            "{told}"
        );
        let contained = guard(|| drop(catch_unwind(|| panic!("second"))));
        assert!(contained.unwrap_err().0.contains("second"));
    }
}
