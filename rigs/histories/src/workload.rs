//! What clients do.

use std::collections::HashMap;

use async_trait::async_trait;
use registry_core::Revision;

use crate::history::{Answer, Call};
use crate::recorder::Recorder;

/// The size of a history, and the seed that makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    /// Operations of all clients together.
    pub(crate) operations: usize,
    /// Keys that they all use.
    pub(crate) keys: usize,
}

/// A client's way to the registry.
#[async_trait]
pub(crate) trait Way: Send {
    /// Carries out a call; the log is to name the operation as its reason.
    async fn call(&mut self, operation: u64, call: &Call) -> Answer;
}

/// Operations of one client are numbered from its own number times this.
const IDS: u64 = 1_000_000_000;

/// Runs one client to its end.
pub(crate) async fn run_client(plan: Plan, client: usize, way: &mut dyn Way, recorder: &Recorder) {
    let first = client as u64 * IDS;
    let mut chooser = Chooser {
        rng: fastrand::Rng::with_seed(plan.seed ^ first.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        keys: plan.keys,
        known: HashMap::new(),
    };
    let count = plan.operations / plan.clients;
    for id in (first..).take(count) {
        let call = chooser.choose(id);
        let answering = way.call(id, &call);
        let answer = recorder.record((client, id), call.clone(), answering).await;
        chooser.learn(&call, &answer);
    }
}

/// Chooses what a client does next, by what it saw.
struct Chooser {
    rng: fastrand::Rng,
    keys: usize,
    /// Where the client last saw each key.
    known: HashMap<String, Revision>,
}

impl Chooser {
    fn choose(&mut self, id: u64) -> Call {
        let key = format!("key-{}", self.rng.usize(..self.keys));
        let known = self.known.get(&key).copied();
        let expect = if self.rng.bool() { known } else { None };
        match self.rng.u8(..100) {
            0..45 => Call::Put {
                key,
                value: id,
                expect,
            },
            45..60 => Call::Delete { key, expect },
            60..95 => Call::Get { key },
            _ => Call::List,
        }
    }

    fn learn(&mut self, call: &Call, answer: &Answer) {
        match (call, answer) {
            (Call::Put { key, .. }, Answer::Written(revision)) => {
                self.known.insert(key.clone(), *revision);
            }
            (Call::Delete { key, .. }, Answer::Written(_)) => {
                self.known.insert(key.clone(), Revision::ZERO);
            }
            (Call::Get { key }, Answer::Read { found, .. }) => {
                let modified = found.map_or(Revision::ZERO, |found| found.modified);
                self.known.insert(key.clone(), modified);
            }
            _ => {}
        }
    }
}
