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

#[cfg(test)]
mod tests {
    use futures_lite::StreamExt as _;
    use futures_lite::future::{block_on, poll_once};
    use futures_lite::stream::{iter, pending};
    use registry_api::ErrorCode;
    use registry_core::Timestamp;

    use super::*;

    fn event(subscription: &str) -> EventMessage {
        let text = format!(
            r#"{{"type":"event","event":"x","subscription":"{subscription}","complete":true,"data":1}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn failure() -> ErrorInfo {
        ErrorInfo::new(ErrorCode::Internal, "the disk", Timestamp::default())
    }

    fn following(told: [(&str, Told); 2]) -> Subscriptions {
        let places = told.into_iter().map(|(name, told)| Place {
            name: name.to_owned(),
            told: Some(told),
        });
        Subscriptions {
            places: places.collect(),
            turn: 0,
        }
    }

    /// Who tells until nobody has anything to tell: a name, or a name and a failure.
    fn order(subscriptions: &mut Subscriptions) -> Vec<String> {
        let mut order = Vec::new();
        while let Some(Some(told)) = block_on(poll_once(subscriptions.next())) {
            order.push(match told {
                Ok(message) => message.subscription,
                Err((name, error)) => format!("{name}: {}", error.message),
            });
        }
        order
    }

    #[test]
    fn those_with_much_to_tell_take_turns() {
        let much = |name| -> Told { Box::pin(iter(vec![Ok(event(name)); 3]).chain(pending())) };
        let mut subscriptions = following([("a", much("a")), ("b", much("b"))]);
        assert_eq!(order(&mut subscriptions), ["a", "b", "a", "b", "a", "b"]);
        assert_eq!(subscriptions.names(), ["a", "b"]);
    }

    #[test]
    fn one_that_ends_or_fails_leaves_the_other() {
        let ending: Told = Box::pin(iter([Ok(event("a"))]));
        let failing: Told = Box::pin(iter([Ok(event("b")), Err(failure()), Ok(event("b"))]));
        let mut subscriptions = following([("a", ending), ("b", failing)]);
        assert_eq!(order(&mut subscriptions), ["a", "b", "b: the disk"]);
        assert!(subscriptions.names().is_empty());
    }

    #[test]
    fn place_of_one_that_was_ended_meanwhile_is_not_taken() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.begin("a".to_owned());
        assert!(subscriptions.has("a"));
        subscriptions.end("a");
        assert_eq!(subscriptions.len(), 0);
        assert!(order(&mut subscriptions).is_empty());
    }
}
