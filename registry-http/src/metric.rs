//! The table of metrics: the names of `/metrics`, of its documentation, and of what alerts and dashboards may ask.

/// What the figures of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricForm {
    /// It only grows; its series ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts up to bounds; its series end in `_bucket`, `_sum` and `_count`.
    Histogram,
    /// One, with what is to be known in labels; its series ends in `_info`.
    Info,
}

impl MetricForm {
    /// The word that the text forms have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    /// What its series end in.
    pub fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total"],
            Self::Gauge => &[""],
            Self::Histogram => &["_bucket", "_sum", "_count"],
            Self::Info => &["_info"],
        }
    }
}

/// A metric: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricSpec {
    /// Its name without what its series end in. Units last.
    pub name: &'static str,
    /// What its figures are.
    pub form: MetricForm,
    /// Names of its labels. Each has a bounded number of values.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

impl MetricSpec {
    /// Names of its series, as a query has them.
    pub fn series(&self) -> impl Iterator<Item = String> {
        let suffixes = self.form.suffixes().iter();
        suffixes.map(|suffix| format!("{}{suffix}", self.name))
    }
}

macro_rules! metrics {
    ($($constant:ident: $form:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $constant: MetricSpec = MetricSpec {
            name: $name,
            form: MetricForm::$form,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric.
        pub const METRICS: &[MetricSpec] = &[$($constant),*];
    };
}

metrics! {
    REQUESTS: Counter "requests" ["route", "method", "status"]
        "HTTP requests answered";
    REQUEST_LATENCY: Histogram "request_latency_seconds" ["route"]
        "Time from the head of a request to the head of its answer";
    BUILD: Info "harness_build" ["version", "commit"]
        "What runs here";
    READY: Gauge "registry_ready" ["part"]
        "Whether reads and writes are answered, 1 or 0";
    COMMITS: Counter "registry_commits" []
        "Transactions committed";
    GROUPS: Counter "registry_groups" []
        "Groups committed, one durable flush each";
    REPLANS: Counter "registry_replans" []
        "Commands planned again because another process committed first";
    RESENDS: Counter "registry_resends" []
        "Groups sent again because their outcome was unknown";
    STORE_ERRORS: Counter "registry_store_errors" []
        "Failures of the store that the engine met";
    HEARTBEATS: Counter "registry_heartbeats" []
        "Leases renewed";
    LEASES_EXPIRED: Counter "registry_leases_expired" []
        "Leases that lapsed and were ended";
    LEASES_SUSPECTED: Counter "registry_leases_suspected" []
        "Leases that lapsed and were held back";
    KEEPERS_ADOPTED: Counter "registry_keepers_adopted" []
        "Keepers whose leases were adopted";
    CACHE_HITS: Counter "registry_cache_hits" ["cache"]
        "Reads that the memory answered; of the feed, batches of commits that a watch took";
    CACHE_MISSES: Counter "registry_cache_misses" ["cache"]
        "Reads that went to the store; of the feed, batches of commits that a watch read from the log";
    REVISION: Gauge "registry_revision" []
        "The last commit that readers see";
    RECORDS: Gauge "registry_records" ["kind"]
        "Records in the view by kind";
    LEASES: Gauge "registry_leases" []
        "Instances that have a lease";
    INSTANCES: Gauge "registry_instances" ["health", "intent"]
        "Instances that have a lease, by health and intent";
    SUSPECTS: Gauge "registry_suspects" []
        "Instances whose lease lapsed and that mass-expiry protection holds back";
    WATCHES: Gauge "registry_watches" []
        "Watches that are open, those over WebSocket and HTTP and those of the process itself";
    WATCH_LAG: Gauge "registry_watch_lag_revisions" []
        "Commits that the watch that is farthest behind has not answered yet";
    CONNECTIONS: Gauge "registry_connections" []
        "Connections that are open, WebSockets among them";
    WEBSOCKETS: Gauge "registry_websockets" []
        "Connections that are WebSockets";
    HTTP_WATCHES: Gauge "registry_http_watches" []
        "Watches over HTTP that are open";
    START_TIME: Gauge "registry_start_time_seconds" []
        "When this daemon began, in seconds since 1970";
    GROUP_COMMANDS: Histogram "registry_group_commands" []
        "Commands in each group that was committed";
    COMMIT_TIME: Histogram "registry_commit_seconds" []
        "Time that the store took to make a group durable";
}
