//! What the engine's files carry, without what they never look at.

pub(crate) mod log {
    use std::sync::Arc;

    use crate::record::Image;
    use crate::revision::Revision;

    #[derive(Debug)]
    pub(crate) struct Commit {
        pub(crate) revision: Revision,
        pub(crate) changes: Vec<Change>,
    }

    #[derive(Debug)]
    pub(crate) struct Change {
        pub(crate) before: Option<Arc<Image>>,
        pub(crate) after: Option<Arc<Image>>,
    }
}

pub(crate) mod record {
    #[derive(Debug)]
    pub(crate) struct Image;

    impl Image {
        pub(crate) fn body_bytes(&self) -> usize {
            size_of_val(self)
        }
    }
}

pub(crate) mod revision {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Revision(pub(crate) u64);

    impl Revision {
        pub(crate) const ZERO: Self = Self(0);

        pub(crate) fn next(self) -> Self {
            Self(self.0 + 1)
        }
    }
}
