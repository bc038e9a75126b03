//! What the subscriptions of one connection tell, in turn.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use futures_util::stream::unfold;
use registry_api::{ErrorInfo, EventMessage, Subscription};

/// What one subscription tells. It lives as long as the subscription, so that an event makes no new task.
type Told = Pin<Box<dyn Stream<Item = Result<EventMessage, ErrorInfo>> + Send>>;

/// Subscriptions by name. As a stream it never ends: it answers the next event of any of them, or the failure of one,
/// with its name.
#[derive(Default)]
pub(crate) struct Subscriptions {
    /// In the order they were asked for. They are few: their number has a limit.
    places: Vec<Place>,
    /// The index of the one that is asked first.
    turn: usize,
}

struct Place {
    name: String,
    /// None holds the place of one that is about to begin.
    told: Option<Told>,
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.places.iter().map(|place| place.name.clone()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.places.iter().any(|place| place.name == name)
    }

    /// Holds the place of one that is about to begin.
    pub(crate) fn begin(&mut self, name: String) {
        self.places.push(Place { name, told: None });
    }

    /// Tells from now on what this one tells, where its place is still held.
    pub(crate) fn follow(&mut self, subscription: Box<Subscription>) {
        let mut places = self.places.iter_mut();
        if let Some(place) = places.find(|place| place.name == subscription.id()) {
            place.told = Some(told(subscription));
        }
    }

    /// Ends one, or frees its place.
    pub(crate) fn end(&mut self, name: &str) {
        self.places.retain(|place| place.name != name);
    }
}

impl Stream for Subscriptions {
    type Item = Result<EventMessage, (String, ErrorInfo)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { places, turn } = &mut *self;
        let mut asked = 0;
        while asked < places.len() {
            let at = *turn % places.len();
            let told = places[at].told.as_mut();
            match told.map_or(Poll::Pending, |told| told.as_mut().poll_next(cx)) {
                Poll::Ready(Some(Ok(message))) => {
                    *turn = at + 1;
                    return Poll::Ready(Some(Ok(message)));
                }
                Poll::Ready(Some(Err(error))) => {
                    let failed = (places.remove(at).name, error);
                    return Poll::Ready(Some(Err(failed)));
                }
                Poll::Ready(None) => drop(places.remove(at)),
                Poll::Pending => {
                    *turn = at + 1;
                    asked += 1;
                }
            }
        }
        Poll::Pending
    }
}

fn told(subscription: Box<Subscription>) -> Told {
    let next = |mut subscription: Box<Subscription>| async move {
        let told = subscription.next().await.transpose()?;
        Some((told, subscription))
    };
    Box::pin(unfold(subscription, next))
}
