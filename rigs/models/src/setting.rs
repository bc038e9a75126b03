//! Who takes part in a scenario, and in what order the driver goes about it.

/// What the driver does with a group.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// The store has it for good.
    Store,
    /// The view shows it.
    View,
    /// Who sent it gets the reply.
    Reply,
    /// The watches get it.
    Events,
}

/// The engine's order.
pub const ORDER: [Step; 4] = [Step::Store, Step::View, Step::Reply, Step::Events];

/// Who looks on while the driver commits.
#[derive(Debug, Clone, Copy)]
pub struct Audience {
    /// Commands, one to a group, whose callers read when they get the reply.
    pub callers: u64,
    /// Watchers that read at every event.
    pub watchers: usize,
    /// Readers that compare what they read with the store.
    pub readers: usize,
}

/// Who goes through the barrier.
#[derive(Debug, Clone, Copy)]
pub struct Readers {
    /// Those that commit elsewhere and read what they committed here.
    pub writers: u64,
    /// Those that know the head from elsewhere.
    pub informed: usize,
    /// Those that go away while they check.
    pub leavers: usize,
}
