//! Pages of lists, rendered once for all who ask for the same.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use registry_core::Revision;
use registry_core::model::Name;

/// Bytes of pages of one form that are kept: ten thousand services of the usual size.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a page without a filter shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageOf {
    pub(crate) revision: Revision,
    /// The times of reports move without a revision.
    pub(crate) confirmations: u64,
    pub(crate) after: Option<Name>,
    pub(crate) limit: Option<usize>,
}

/// The pages that were rendered last, in one form, a cheap clone each. The oldest leaves where there are too many bytes.
#[derive(Debug)]
pub(crate) struct Pages<R>(Mutex<Kept<R>>);

#[derive(Debug)]
struct Kept<R> {
    pages: VecDeque<Page<R>>,
    bytes: usize,
}

#[derive(Debug)]
struct Page<R> {
    of: PageOf,
    rendered: R,
    bytes: usize,
}

impl<R> Default for Pages<R> {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            pages: VecDeque::new(),
            bytes: 0,
        }))
    }
}

impl<R: Clone> Pages<R> {
    fn kept(&self) -> MutexGuard<'_, Kept<R>> {
        // Whatever a panic leaves of it is a set of pages.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, of: &PageOf) -> Option<R> {
        let kept = self.kept();
        let found = kept.pages.iter().find(|page| page.of == *of);
        found.map(|page| page.rendered.clone())
    }

    /// Keeps a page, which takes so many bytes.
    pub(crate) fn keep(&self, of: PageOf, rendered: R, bytes: usize) {
        let mut kept = self.kept();
        if kept.pages.iter().any(|page| page.of == of) {
            return;
        }
        kept.bytes += bytes;
        kept.pages.push_back(Page {
            of,
            rendered,
            bytes,
        });
        while kept.bytes > BYTES_MAX
            && let Some(oldest) = kept.pages.pop_front()
        {
            kept.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(confirmations: u64) -> PageOf {
        PageOf {
            revision: Revision(1),
            confirmations,
            after: None,
            limit: None,
        }
    }

    #[test]
    fn a_page_is_found_until_what_it_shows_changes() {
        let pages = Pages::default();
        pages.keep(page(0), "xxx", 3);
        assert_eq!(pages.find(&page(0)), Some("xxx"));
        assert!(pages.find(&page(1)).is_none());
    }

    #[test]
    fn the_oldest_pages_leave_a_full_set() {
        let pages = Pages::default();
        for number in 0..4 {
            pages.keep(page(number), (), BYTES_MAX / 3 + 1);
        }
        let found: Vec<_> = (0..4)
            .filter(|number| pages.find(&page(*number)).is_some())
            .collect();
        assert_eq!(found, [2, 3]);
    }
}
