//! Views for the tests of the parts.

use crate::engine::view::View;
use crate::log::{Change, Commit};
use crate::model::KeeperEntry;
use crate::record::{Image, Record};
use crate::time::Timestamp;
use crate::transaction::{Cause, TransactionId};

/// A view of these records, each of a commit of its own.
pub(super) fn view(records: Vec<Record>) -> View {
    let mut view = View::default();
    for record in records {
        let image = Image::new(record).unwrap();
        let revision = view.revision().next();
        view.apply(&Commit {
            revision,
            id: TransactionId::fresh(),
            cause: Cause {
                actor: "test".to_owned(),
                action: "put".into(),
                reason: None,
                time: Timestamp::default(),
            }
            .into(),
            changes: vec![Change {
                key: image.key().clone(),
                before: None,
                after: Some(image),
            }],
        });
    }
    view
}

/// A keeper whose leases another one adopted.
pub(super) fn adopted(id: &str, adopted_by: &str) -> Record {
    Record::Keeper(KeeperEntry {
        id: id.to_owned(),
        adopted_by: adopted_by.to_owned(),
    })
}
