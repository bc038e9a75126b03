//! One target against many inputs.

use std::path::PathBuf;
use std::time::Duration;

use registry_core::{Clock as _, SystemClock};

use crate::finding::Finding;
use crate::mutate::Mutator;
use crate::panics::Caught;
use crate::target::Target;
use crate::watchdog::Watchdog;

/// One target, and how long and with what it is run.
#[derive(Debug)]
pub struct Campaign {
    /// The target.
    pub target: &'static Target,
    /// Where inputs begin.
    pub corpus: Vec<Vec<u8>>,
    /// The same seed makes the same inputs.
    pub seed: u64,
    /// How long; none is without an end.
    pub time: Option<Duration>,
    /// Where each input is written before it is run, so that one that ends the process is known.
    pub journal: Option<PathBuf>,
}

/// What a campaign came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Inputs that were run.
    pub executions: u64,
    /// The first input that broke a promise.
    pub finding: Option<Finding>,
}

impl Campaign {
    /// Runs the corpus and then what is made of it, up to the first finding.
    ///
    /// # Errors
    /// The system's, where the journal cannot be written.
    pub fn run(&self) -> std::io::Result<Tally> {
        let clock = SystemClock::new();
        let watchdog = Watchdog::start();
        let mut mutator = Mutator::new(self.seed, &self.corpus, self.target.dictionary);
        let mut tally = Tally::default();
        let known = self.corpus.iter().cloned();
        let mut inputs = known.chain(std::iter::repeat_with(|| mutator.next()));
        while self.time.is_none_or(|time| clock.monotonic() < time) {
            let input = inputs.next().expect("the mutator has no end");
            if let Some(journal) = &self.journal {
                std::fs::write(journal, &input)?;
            }
            tally.executions += 1;
            tally.finding = self.execute(&watchdog, input);
            if tally.finding.is_some() {
                break;
            }
        }
        Ok(tally)
    }

    fn execute(&self, watchdog: &Watchdog, input: Vec<u8>) -> Option<Finding> {
        let name = self.target.name;
        let ended = watchdog.watch(name, &input, || self.target.check(&input));
        ended.err().map(|Caught(problem)| Finding {
            target: name,
            input,
            problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FRAGILE: Target = Target {
        name: "fragile",
        run: |input| assert!(!input.contains(&b'!'), "an exclamation"),
        dictionary: &["!"],
        engine: None,
    };

    #[test]
    fn broken_promise_is_found_with_its_input() {
        let campaign = Campaign {
            target: &FRAGILE,
            corpus: vec![b"calm".to_vec()],
            seed: 1,
            time: None,
            journal: None,
        };
        let finding = campaign.run().unwrap().finding.unwrap();
        assert!(finding.input.contains(&b'!'));
        assert!(finding.problem.contains("an exclamation"));
    }
}
