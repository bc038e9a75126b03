//! A request, carried out by the owner.

use registry_core::Result;

use crate::seat::Seat;
use crate::wire::{Answer, Request};

/// Carries a request out on the owned store.
pub(crate) async fn perform(seat: &Seat, request: Request) -> Result<Answer> {
    let store = &seat.store;
    Ok(match request {
        Request::Head => Answer::Head(store.head().await?),
        Request::Get(key) => Answer::Record(store.get(&key).await?),
        Request::Range(request) => Answer::Range(store.range(request).await?),
        Request::Commit(group) => Answer::Outcomes(store.commit(group).await?),
        Request::Find(id) => Answer::Found(store.find(id).await?),
        Request::Changes(request) => Answer::Changes(store.changes(request).await?),
        Request::Note(note) => {
            store.note(note).await?;
            Answer::Done
        }
        Request::Notes => Answer::Notes(store.notes().await?),
        Request::Compact(through) => {
            store.compact(through).await?;
            Answer::Done
        }
        Request::Restore(page) => {
            store.restore(page).await?;
            Answer::Done
        }
        Request::Verify => Answer::Report(store.verify().await?),
        Request::Sharing => Answer::Sharing(seat.sharing()),
    })
}
