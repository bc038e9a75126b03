//! Several rounds of all subjects, and the measurement in the middle of each.
//!
//! The machine has phases that are longer than a measurement. Subjects that are compared are measured in turn, round by
//! round, so that a phase is nobody's alone.

use anyhow::{Result, ensure};

use crate::findings::{Figure, Findings, Point, keep};
use crate::interrupt;

/// Most rounds of a run.
const ROUNDS_MAX: usize = 100;

/// What was measured so far.
#[derive(Debug)]
pub(crate) struct Rounds {
    part: &'static str,
    /// Those of each subject, in the order in which they were measured first.
    subjects: Vec<Vec<Findings>>,
}

/// The rounds to measure, by number.
///
/// # Errors
/// A number that makes no sense, with the name of its option.
pub(crate) fn numbered(rounds: usize) -> Result<impl Iterator<Item = usize>> {
    ensure!(
        (1..=ROUNDS_MAX).contains(&rounds),
        "--rounds: expected 1 to {ROUNDS_MAX}, found {rounds}"
    );
    Ok((1..=rounds).inspect(move |round| {
        if rounds > 1 {
            eprintln!("round {round} of {rounds}");
        }
    }))
}

impl Rounds {
    pub(crate) fn new(part: &'static str) -> Self {
        Self {
            part,
            subjects: Vec::new(),
        }
    }

    /// Takes what a round found of a subject, and keeps what there is of it now.
    ///
    /// # Errors
    /// A file that cannot be written, and the end of the run: what was cut short is not kept.
    pub(crate) fn add(&mut self, findings: Findings) -> Result<()> {
        interrupt::check()?;
        let known = self
            .subjects
            .iter()
            .position(|all| all[0].subject == findings.subject);
        let at = known.unwrap_or_else(|| {
            self.subjects.push(Vec::new());
            self.subjects.len() - 1
        });
        self.subjects[at].push(findings);
        keep(self.part, &middle(&self.subjects[at]))
    }

    /// What was found of each subject.
    pub(crate) fn middle(&self) -> Vec<Findings> {
        self.subjects.iter().map(|all| middle(all)).collect()
    }
}

/// One subject's findings: of each measurement the one in the middle, the lower one of two, as it was measured.
fn middle(rounds: &[Findings]) -> Findings {
    let mut all = rounds[0].clone();
    all.rounds = rounds.len();
    let mut same: Vec<Vec<&Point>> = Vec::new();
    for round in &rounds[1..] {
        for problem in &round.problems {
            if !all.problems.contains(problem) {
                all.problems.push(problem.clone());
            }
        }
    }
    for point in rounds.iter().flat_map(|round| &round.points) {
        match same.iter_mut().find(|same| same[0].is_as(point)) {
            Some(same) => same.push(point),
            None => same.push(vec![point]),
        }
    }
    let middle = same.into_iter().map(|mut same| {
        same.sort_by(|one, other| decisive(&one.figure).total_cmp(&decisive(&other.figure)));
        same[(same.len() - 1) / 2].clone()
    });
    all.points = middle.collect();
    all
}

/// The number by which figures of one measurement are put in order: the one that ratios are made of.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn decisive(figure: &Figure) -> f64 {
    match figure {
        Figure::Load(measured) => measured.per_second,
        Figure::Watch(watched) => watched.latency.p99_us,
        Figure::Seconds(seconds) => *seconds,
        Figure::Bytes(bytes) => *bytes as f64,
        Figure::PerSecond(rate) => *rate,
        Figure::Committed(committed) => committed.per_second,
        Figure::Replayed(replayed) => replayed.per_second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{Workload, of_test};

    fn round(points: &[(Workload, f64)]) -> Findings {
        let points = points.iter().map(|(workload, rate)| Point {
            workload: *workload,
            face: String::new(),
            clients: 1,
            figure: Figure::PerSecond(*rate),
        });
        of_test("redb", points.collect())
    }

    #[test]
    fn each_measurement_is_the_one_in_the_middle_of_its_own() {
        let rounds = [
            round(&[(Workload::Lookup, 5.0), (Workload::Beat, 1.0)]),
            round(&[(Workload::Lookup, 7.0), (Workload::Beat, 3.0)]),
            round(&[(Workload::Lookup, 6.0), (Workload::Beat, 9.0)]),
        ];
        let found = middle(&rounds);
        assert_eq!(found.rounds, 3);
        assert_eq!(found.rate(Workload::Lookup, "", 1), Some(6.0));
        assert_eq!(found.rate(Workload::Beat, "", 1), Some(3.0));
        assert_eq!(found.points[0].workload, Workload::Lookup);
    }

    #[test]
    fn one_that_failed_in_a_round_is_of_the_others_and_told() {
        let mut failed = round(&[]);
        failed.problems.push("Lookup with 1 clients: no".into());
        let rounds = [
            round(&[(Workload::Lookup, 5.0)]),
            failed,
            round(&[(Workload::Lookup, 6.0)]),
        ];
        let found = middle(&rounds);
        assert_eq!(found.rate(Workload::Lookup, "", 1), Some(5.0));
        assert_eq!(found.problems.len(), 1);
    }

    #[test]
    fn numbers_of_rounds_that_make_no_sense_are_refused() {
        assert_eq!(numbered(3).unwrap().collect::<Vec<_>>(), [1, 2, 3]);
        for rounds in [0, ROUNDS_MAX + 1] {
            let error = numbered(rounds).err().unwrap().to_string();
            assert!(error.contains(&rounds.to_string()), "{error}");
        }
    }
}
