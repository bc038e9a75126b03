//! The files of a sled store, edited.

use std::sync::LazyLock;

use harness::backends::Backend;

use crate::damaged::Sample;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "sled_store",
    run,
    dictionary: &[],
    engine: Some("sled"),
};

fn run(input: &[u8]) {
    static SAMPLE: LazyLock<Sample> = LazyLock::new(|| Sample::new(Backend::Sled));
    SAMPLE.check(input);
}
