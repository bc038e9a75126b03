//! The file of an SQLite store and its journal, edited.

use std::sync::LazyLock;

use harness::backends::Backend;

use crate::damaged::Sample;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "sqlite_store",
    run,
    dictionary: &[],
    engine: None,
};

fn run(input: &[u8]) {
    static SAMPLE: LazyLock<Sample> = LazyLock::new(|| Sample::new(Backend::Sqlite));
    SAMPLE.check(input);
}
