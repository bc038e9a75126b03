//! Pages of lists, rendered once for all who ask for the same.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use registry_core::Revision;
use registry_core::model::Name;

use crate::told::SharedJson;

/// Bytes of pages that are kept: ten thousand services of the usual size.
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

/// The pages that were rendered last. The oldest leaves where there are too many bytes.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    pages: VecDeque<(PageOf, SharedJson)>,
    bytes: usize,
}

impl Pages {
    pub(crate) fn find(&self, page: &PageOf) -> Option<SharedJson> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pages = kept.pages.iter();
        let found = pages.find(|(known, _)| known == page);
        found.map(|(_, rendered)| rendered.clone())
    }

    pub(crate) fn keep(&self, page: PageOf, rendered: SharedJson) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.pages.iter().any(|(known, _)| *known == page) {
            return;
        }
        kept.bytes += rendered.get().len();
        kept.pages.push_back((page, rendered));
        while kept.bytes > BYTES_MAX
            && let Some((_, oldest)) = kept.pages.pop_front()
        {
            kept.bytes -= oldest.get().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    fn page(confirmations: u64) -> PageOf {
        PageOf {
            revision: Revision(1),
            confirmations,
            after: None,
            limit: None,
        }
    }

    fn rendered(bytes: usize) -> SharedJson {
        to_raw_value(&"x".repeat(bytes)).unwrap().into()
    }

    #[test]
    fn a_page_is_found_until_what_it_shows_changes() {
        let pages = Pages::default();
        pages.keep(page(0), rendered(3));
        assert_eq!(pages.find(&page(0)).unwrap().get(), "\"xxx\"");
        assert!(pages.find(&page(1)).is_none());
    }

    #[test]
    fn the_oldest_pages_leave_a_full_set() {
        let pages = Pages::default();
        for number in 0..4 {
            pages.keep(page(number), rendered(BYTES_MAX / 3));
        }
        let found: Vec<_> = (0..4)
            .filter(|number| pages.find(&page(*number)).is_some())
            .collect();
        assert_eq!(found, [2, 3]);
    }
}
