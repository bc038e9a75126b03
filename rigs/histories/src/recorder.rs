//! Where clients and watchers write down what they did and saw.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::history::{Answer, Call, Operation, Told};

/// A history that is being made.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    tick: AtomicU64,
    operations: Mutex<Vec<Operation>>,
    watchers: Mutex<Vec<Vec<Told>>>,
}

impl Recorder {
    /// Takes the time, carries a call out, and writes down what came of it.
    pub(crate) async fn record(
        &self,
        (client, id): (usize, u64),
        call: Call,
        answer: impl Future<Output = Answer>,
    ) -> Answer {
        let began = self.tick.fetch_add(1, Ordering::SeqCst);
        let answer = answer.await;
        let ended = self.tick.fetch_add(1, Ordering::SeqCst);
        let operation = Operation {
            id,
            client,
            call,
            answer: answer.clone(),
            began,
            ended,
        };
        let mut operations = self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        operations.push(operation);
        answer
    }

    /// Takes down what a watcher was told, from its beginning to its end.
    pub(crate) fn watched(&self, told: Vec<Told>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.push(told);
    }

    pub(crate) fn into_parts(self) -> (Vec<Operation>, Vec<Vec<Told>>) {
        (
            self.operations
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            self.watchers
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
