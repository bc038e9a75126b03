//! Groups of commits: how large they were, and where others of that size begin and end.

use std::ops::Range;

use registry_core::engine::Distribution;

/// Mean size of the groups that were committed between two looks at the distribution; none where there were none.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
pub(super) fn mean(before: &Distribution, after: &Distribution) -> Option<f64> {
    let count = |it: &Distribution| it.counts.iter().map(|(_, count)| count).sum::<u64>();
    let groups = count(after) - count(before);
    let commands = after.sum - before.sum;
    (groups > 0).then(|| commands as f64 / groups as f64)
}

/// So many commits in groups of a mean size, in order: the sizes of two groups differ by one at most, but for a shorter
/// last one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are far fewer commits than an f64 counts"
)]
pub(super) fn bounds(commits: usize, mean: f64) -> Vec<Range<usize>> {
    let mean = mean.max(1.0);
    let mut bounds = Vec::new();
    let mut begin = 0;
    while begin < commits {
        let ends = ((bounds.len() + 1) as f64 * mean).round() as usize;
        let end = ends.clamp(begin + 1, commits);
        bounds.push(begin..end);
        begin = end;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(counts: &[(u64, u64)], sum: u64) -> Distribution {
        Distribution {
            counts: counts.to_vec(),
            sum,
        }
    }

    #[test]
    fn mean_is_of_the_groups_between_two_looks() {
        let before = distribution(&[(1, 5), (64, 1)], 69);
        let after = distribution(&[(1, 5), (64, 5)], 69 + 130);
        assert_eq!(mean(&before, &after), Some(32.5));
        assert_eq!(mean(&after, &after), None);
    }

    #[test]
    fn groups_have_the_mean_size_and_leave_no_commit_out() {
        let sizes = |commits, mean| -> Vec<usize> {
            let bounds = bounds(commits, mean);
            bounds.iter().map(ExactSizeIterator::len).collect()
        };
        assert_eq!(sizes(10, 2.5), [3, 2, 3, 2]);
        assert_eq!(sizes(3, 1.0), [1, 1, 1]);
        assert_eq!(sizes(3, 64.0), [3]);
        assert_eq!(sizes(2, 0.0), [1, 1]);
        assert!(bounds(0, 8.0).is_empty());
        let bounds = bounds(1000, 31.7);
        assert!(bounds.windows(2).all(|two| two[0].end == two[1].start));
        assert_eq!(bounds.last().map(|last| last.end), Some(1000));
    }
}
