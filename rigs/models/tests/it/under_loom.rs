//! A few threads in every order.

mod watchers {
    use models::under_loom::{check, faults, watching};

    #[test]
    fn one_sees_the_commits_of_two_publishers() {
        check(|| watching::see_every_commit_in_order(2, 1));
    }

    #[test]
    fn two_see_the_commits_of_one_publisher() {
        check(|| watching::see_every_commit_in_order(1, 2));
    }

    #[test]
    fn slow_ones_learn_of_what_they_missed() {
        check(|| watching::learn_of_what_they_missed(2, 1));
    }

    #[test]
    fn two_see_everything_before_the_close() {
        check(|| watching::see_everything_before_the_close(2));
    }

    #[test]
    fn two_see_no_commit_from_before_a_restart() {
        check(|| watching::see_no_commit_from_before_a_restart(1));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn one_that_listens_after_looking_is_found() {
        check(|| faults::listens_after_looking::watching::see_every_commit_in_order(1, 1));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn a_feed_that_wakes_before_publishing_is_found() {
        check(|| faults::wakes_before_publishing::watching::see_every_commit_in_order(1, 1));
    }

    #[test]
    #[should_panic(expected = "a gap")]
    fn a_feed_that_skips_commits_is_found() {
        check(|| faults::skips_what_left_the_memory::watching::learn_of_what_they_missed(1, 1));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn a_feed_that_closes_silently_is_found() {
        check(|| faults::closes_silently::watching::see_everything_before_the_close(1));
    }

    #[test]
    #[should_panic(expected = "a gap")]
    fn a_feed_that_restarts_with_old_commits_is_found() {
        check(|| {
            faults::restarts_with_old_commits::watching::see_no_commit_from_before_a_restart(1);
        });
    }
}

mod publication {
    use models::setting::{Audience, ORDER, Step};
    use models::under_loom::check;
    use models::under_loom::publication::tell_nobody_too_early;

    const CALLERS: Audience = Audience {
        callers: 2,
        watchers: 0,
        readers: 0,
    };
    const WATCHER: Audience = Audience {
        callers: 1,
        watchers: 1,
        readers: 0,
    };
    const READER: Audience = Audience {
        callers: 1,
        watchers: 0,
        readers: 1,
    };

    #[test]
    fn answers_no_caller_too_early() {
        check(|| tell_nobody_too_early(ORDER, CALLERS));
    }

    #[test]
    fn tells_no_watcher_too_early() {
        check(|| tell_nobody_too_early(ORDER, WATCHER));
    }

    #[test]
    fn shows_no_reader_what_is_not_stored() {
        check(|| tell_nobody_too_early(ORDER, READER));
    }

    #[test]
    #[should_panic(expected = "a reply before its view")]
    fn of_a_reply_before_the_view_is_found() {
        let order = [Step::Store, Step::Reply, Step::View, Step::Events];
        check(move || tell_nobody_too_early(order, CALLERS));
    }

    #[test]
    #[should_panic(expected = "an event before its view")]
    fn of_an_event_before_the_view_is_found() {
        let order = [Step::Store, Step::Events, Step::View, Step::Reply];
        check(move || tell_nobody_too_early(order, WATCHER));
    }

    #[test]
    #[should_panic(expected = "a view before its commit")]
    fn of_a_view_before_the_commit_is_found() {
        let order = [Step::View, Step::Store, Step::Reply, Step::Events];
        check(move || tell_nobody_too_early(order, READER));
    }
}

mod reads {
    use models::setting::Readers;
    use models::under_loom::{check, faults, reading};

    const SHARED: Readers = Readers {
        writers: 1,
        informed: 1,
        leavers: 0,
    };
    const LEFT: Readers = Readers {
        writers: 1,
        informed: 0,
        leavers: 1,
    };

    #[test]
    fn see_what_was_acknowledged_before() {
        check(|| reading::see_what_was_acknowledged(SHARED));
    }

    #[test]
    fn pass_where_another_goes_away() {
        check(|| reading::see_what_was_acknowledged(LEFT));
    }

    #[test]
    #[should_panic(expected = "a read missed a commit")]
    fn that_trust_an_earlier_check_are_found() {
        check(|| {
            faults::accepts_a_check_that_began_before::reading::see_what_was_acknowledged(SHARED);
        });
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn that_nobody_wakes_are_found() {
        check(|| faults::ends_a_check_silently::reading::see_what_was_acknowledged(SHARED));
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn stuck_behind_one_that_left_are_found() {
        check(|| faults::keeps_the_turn_of_who_left::reading::see_what_was_acknowledged(LEFT));
    }
}
