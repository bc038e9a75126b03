//! More threads in random orders.

use models::setting::{Audience, ORDER, Readers, Step};
use models::under_shuttle::publication::tell_nobody_too_early;
use models::under_shuttle::{check, faults, reading, watching};

const PUBLISHERS: u64 = 3;
const WATCHERS: usize = 4;
const AUDIENCE: Audience = Audience {
    callers: 3,
    watchers: 4,
    readers: 2,
};
const READERS: Readers = Readers {
    writers: 3,
    informed: 2,
    leavers: 2,
};

#[test]
fn many_watchers_see_every_commit() {
    check(|| watching::see_every_commit_in_order(PUBLISHERS, WATCHERS));
}

#[test]
fn slow_watchers_learn_of_what_they_missed() {
    check(|| watching::learn_of_what_they_missed(PUBLISHERS, WATCHERS));
}

#[test]
fn many_watchers_see_everything_before_the_close() {
    check(|| watching::see_everything_before_the_close(WATCHERS));
}

#[test]
fn many_watchers_see_no_commit_from_before_a_restart() {
    check(|| watching::see_no_commit_from_before_a_restart(WATCHERS / 2));
}

#[test]
fn publication_tells_nobody_too_early() {
    check(|| tell_nobody_too_early(ORDER, AUDIENCE));
}

#[test]
fn many_reads_see_what_was_acknowledged() {
    check(|| reading::see_what_was_acknowledged(READERS));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_found() {
    check(|| {
        faults::listens_after_looking::watching::see_every_commit_in_order(PUBLISHERS, WATCHERS);
    });
}

#[test]
#[should_panic(expected = "an event before its view")]
fn an_event_before_its_view_is_found() {
    let order = [Step::Store, Step::Events, Step::View, Step::Reply];
    check(move || tell_nobody_too_early(order, AUDIENCE));
}

#[test]
#[should_panic(expected = "a read missed a commit")]
fn a_read_that_trusts_an_earlier_check_is_found() {
    check(|| {
        faults::accepts_a_check_that_began_before::reading::see_what_was_acknowledged(READERS);
    });
}
