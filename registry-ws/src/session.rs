//! What one connection asked for: requests under way, subscriptions.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_lite::future::poll_once;
use futures_util::stream::FuturesUnordered;
use registry_api::{
    Api, Caller, ErrorCode, ErrorInfo, Request, Response, SubscribeParams, Subscription,
    UnsubscribeParams, parse_strict,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::subscriptions::Subscriptions;

/// What a request came to.
#[derive(Debug)]
pub(crate) enum Output {
    /// An answer.
    Response(Response),
    /// An answer after which a subscription begins.
    Subscribed(Response, Box<Subscription>),
    /// A refusal instead of the subscription of that name.
    NotSubscribed(Response, String),
}

type Work = Pin<Box<dyn Future<Output = Output> + Send>>;

/// Requests and subscriptions of one connection.
pub(crate) struct Session {
    /// Shared by the requests under way: each would copy some handles and a name otherwise.
    api: Arc<Api>,
    caller: Arc<Caller>,
    subscriptions_max: usize,
    pub(crate) work: FuturesUnordered<Work>,
    requests_in_flight: usize,
    pub(crate) subscriptions: Subscriptions,
    subscriptions_made: u64,
    is_ending: bool,
}

impl Session {
    pub(crate) fn new(api: Api, caller: Caller, subscriptions_max: usize) -> Self {
        Self {
            api: Arc::new(api),
            caller: Arc::new(caller),
            subscriptions_max,
            work: FuturesUnordered::new(),
            requests_in_flight: 0,
            subscriptions: Subscriptions::default(),
            subscriptions_made: 0,
            is_ending: false,
        }
    }

    pub(crate) fn requests_in_flight(&self) -> usize {
        self.requests_in_flight
    }

    pub(crate) fn refusal(
        &self,
        id: Option<String>,
        code: ErrorCode,
        message: impl Into<String>,
    ) -> Response {
        let revision = self.api.registry().stale_view().revision();
        Response::refusal(id, ErrorInfo::new(code, message, self.api.now()), revision)
    }

    /// Begins a request. Requests are handed to the registry in the order they came; their answers come as they are
    /// ready.
    pub(crate) async fn request(&mut self, request: Request) -> Option<Output> {
        match request.action.as_str() {
            "subscribe" => self.subscribe(request).await,
            "unsubscribe" => Some(Output::Response(self.unsubscribe(&request))),
            _ => self.call(request).await,
        }
    }

    async fn call(&mut self, request: Request) -> Option<Output> {
        let (api, caller) = (Arc::clone(&self.api), Arc::clone(&self.caller));
        let work = async move {
            let Request {
                id, action, params, ..
            } = request;
            let params = params.as_deref().map_or("{}", RawValue::get);
            let response = match api.call(&action, params, &caller).await {
                Ok(answer) => Response::answer(id, answer.data, answer.revision),
                Err(error) => {
                    Response::refusal(Some(id), error, api.registry().stale_view().revision())
                }
            };
            Output::Response(response)
        };
        self.start(Box::pin(work)).await
    }

    /// Polls once at once, so that a write is in the queue before the next request is read.
    async fn start(&mut self, mut work: Work) -> Option<Output> {
        if let Some(output) = poll_once(&mut work).await {
            return Some(output);
        }
        self.requests_in_flight += 1;
        self.work.push(work);
        None
    }

    async fn subscribe(&mut self, request: Request) -> Option<Output> {
        let Request { id, params, .. } = request;
        let params = params.as_deref().map_or("{}", RawValue::get);
        let params: SubscribeParams = match parse_strict(params) {
            Ok(params) => params,
            Err(message) => {
                let message = format!("params: {message}");
                return Some(Output::Response(self.refusal(
                    Some(id),
                    ErrorCode::BadRequest,
                    message,
                )));
            }
        };
        if self.subscriptions.len() >= self.subscriptions_max {
            let message = format!(
                "subscriptions_max is {}, all in use",
                self.subscriptions_max
            );
            return Some(Output::Response(self.refusal(
                Some(id),
                ErrorCode::LimitExceeded,
                message,
            )));
        }
        self.subscriptions_made += 1;
        let name = self.subscriptions_made.to_string();
        self.subscriptions.begin(name.clone());
        let api = Arc::clone(&self.api);
        let work = async move {
            let revision = |api: &Api| api.registry().stale_view().revision();
            let begun = Subscription::begin(&api, name.clone(), params).await;
            let subscription = match begun {
                Ok(subscription) => subscription,
                Err(error) => {
                    let refusal = Response::refusal(Some(id), error, revision(&api));
                    return Output::NotSubscribed(refusal, name);
                }
            };
            let data =
                serde_json::json!({ "subscription": name, "revision": subscription.position() });
            let response = Response::answer(id, json(&data), subscription.position());
            Output::Subscribed(response, Box::new(subscription))
        };
        self.start(Box::pin(work)).await
    }

    fn unsubscribe(&mut self, request: &Request) -> Response {
        let params = request.params.as_deref().map_or("{}", RawValue::get);
        let id = Some(request.id.clone());
        let wanted = match parse_strict(params) {
            Ok(UnsubscribeParams { subscription }) => subscription,
            Err(message) => {
                return self.refusal(id, ErrorCode::BadRequest, format!("params: {message}"));
            }
        };
        let ended: Vec<String> = match wanted {
            None => self.subscriptions.names(),
            Some(name) if self.subscriptions.has(&name) => vec![name],
            Some(name) => {
                let message = format!("there is no subscription {name:?}");
                return self.refusal(id, ErrorCode::NotFound, message);
            }
        };
        for name in &ended {
            self.subscriptions.end(name);
        }
        let revision = self.api.registry().stale_view().revision();
        Response::answer(
            request.id.clone(),
            json(&serde_json::json!({ "ended": ended })),
            revision,
        )
    }

    /// Takes note that a request is answered that was under way.
    pub(crate) fn finish(&mut self) {
        self.requests_in_flight = self.requests_in_flight.saturating_sub(1);
    }

    /// Frees the place of a subscription that did not begin.
    pub(crate) fn forget(&mut self, name: &str) {
        self.subscriptions.end(name);
    }

    /// Ends every subscription, those that are about to begin too. Requests are still answered.
    pub(crate) fn end_subscriptions(&mut self) {
        self.is_ending = true;
        self.subscriptions = Subscriptions::default();
    }

    /// Tells from now on what a subscription tells, unless it was ended while it began.
    pub(crate) fn follow(&mut self, subscription: Box<Subscription>) {
        if !self.is_ending {
            self.subscriptions.follow(subscription);
        }
    }
}

fn json(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).expect("a JSON value has a JSON form")
}
