//! Panics as answers, wherever they happen.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// What broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught(pub String);

/// A panic, and the file that it began in.
struct Panic {
    file: String,
    text: String,
}

impl Panic {
    /// Whether it began in a crate as the package manager unpacks it.
    fn is_of(&self, engine: &str) -> bool {
        let versioned = |folder: &str| {
            let version = folder.strip_prefix(engine)?.strip_prefix('-')?;
            version.chars().next()
        };
        let mut folders = self.file.split('/');
        folders.any(|folder| versioned(folder).is_some_and(|first| first.is_ascii_digit()))
    }
}

/// Panics since the last input, of every thread, while one is run: the library turns those of an engine into errors,
/// and they are bugs all the same, unless the input is that engine's own file.
static SEEN: Mutex<Option<Vec<Panic>>> = Mutex::new(None);

fn seen() -> MutexGuard<'static, Option<Vec<Panic>>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs something, and answers the first panic of any thread meanwhile. Those of the named engine must be contained,
/// and are passed over then. Callers take turns.
///
/// # Errors
/// The panic, with its place.
pub(crate) fn guard(engine: Option<&str>, run: impl FnOnce()) -> Result<(), Caught> {
    static HOOK: Once = Once::new();
    static TURN: Mutex<()> = Mutex::new(());
    HOOK.call_once(|| {
        let default = take_hook();
        set_hook(Box::new(move |panic| match &mut *seen() {
            Some(seen) => seen.push(Panic {
                file: panic
                    .location()
                    .map_or_else(String::new, |place| place.file().to_owned()),
                text: panic.to_string(),
            }),
            None => default(panic),
        }));
    });
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *seen() = Some(Vec::new());
    let ended = catch_unwind(AssertUnwindSafe(run));
    let mut panics = seen().take().unwrap_or_default();
    if let (Ok(()), Some(engine)) = (&ended, engine) {
        panics.retain(|panic| !panic.is_of(engine));
    }
    match (ended, panics.into_iter().next()) {
        (Ok(()), None) => Ok(()),
        (_, Some(panic)) => Err(Caught(panic.text)),
        (Err(_), None) => Err(Caught("it unwound without a panic".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_is_told_even_where_it_was_contained() {
        assert_eq!(guard(None, || ()), Ok(()));
        let Caught(told) = guard(None, || panic!("first")).unwrap_err();
        assert!(
            told.contains("first") && told.contains("panics.rs"),
            "{told}"
        );
        let contained = guard(None, || drop(catch_unwind(|| panic!("second"))));
        assert!(contained.unwrap_err().0.contains("second"));
    }

    #[test]
    fn engine_is_known_by_its_folder() {
        let began_in = |file: &str| Panic {
            file: file.to_owned(),
            text: String::new(),
        };
        let engine = began_in("/registry/src/index-0a/redb-4.4.0/src/btree.rs");
        assert!(engine.is_of("redb") && !engine.is_of("sled"));
        for ours in ["registry-redb/src/open.rs", "/redb-like/src/lib.rs"] {
            assert!(!began_in(ours).is_of("redb"), "{ours}");
        }
    }
}
