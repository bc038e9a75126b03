//! The file of a redb store, edited.

use std::sync::LazyLock;

use harness::backends::Backend;

use crate::damaged::Sample;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "redb_store",
    run,
    dictionary: &[],
    engine: Some("redb"),
};

fn run(input: &[u8]) {
    static SAMPLE: LazyLock<Sample> = LazyLock::new(|| Sample::new(Backend::Redb));
    SAMPLE.check(input);
}
