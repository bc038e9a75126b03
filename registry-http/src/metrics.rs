//! What `/metrics` tells.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use registry_core::engine::{self, Distribution, View};
use registry_ws::WsServer;

/// Upper bounds of the latency histogram, in seconds: from a lookup in memory to a long poll.
const LATENCY_SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Debug, Clone, Default)]
struct Latencies;

impl MetricConstructor<Histogram> for Latencies {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LATENCY_SECONDS)
    }
}

/// What the face counts, and what it asks the engine for when it is scraped.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latencies: Family<RouteLabels, Histogram, Latencies>,
}

impl Metrics {
    pub(crate) fn new(engine: Engine) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        let latencies = Family::new_with_constructor(Latencies);
        registry.register("requests", "HTTP requests answered", requests.clone());
        registry.register(
            "request_latency_seconds",
            "Time from the head of a request to the head of its answer",
            latencies.clone(),
        );
        let build = Info::new(vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("HARNESS_COMMIT").unwrap_or("")),
        ]);
        registry.register("harness_build", "What runs here", build);
        registry.register_collector(Box::new(engine));
        Self {
            registry,
            requests,
            latencies,
        }
    }

    /// Counts an answer. The route is a template, so that there are only so many series.
    pub(crate) fn answered(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        latency: Duration,
    ) {
        let labels = RequestLabels {
            route,
            method,
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.latencies
            .get_or_create(&RouteLabels { route })
            .observe(latency.as_secs_f64());
    }

    /// Everything as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}

/// Figures of the engine and of the connections, read when they are asked for.
pub(crate) struct Engine {
    pub(crate) registry: engine::Registry,
    pub(crate) ws: WsServer,
    pub(crate) watches: Box<dyn Fn() -> usize + Send + Sync>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Writes a histogram of the engine, whose whole numbers are so many in one unit of the figure.
fn distribution(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    found: &Distribution,
    per_unit: f64,
) -> Result<(), fmt::Error> {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let unit = |value: u64| value as f64 / per_unit;
    let buckets: Vec<_> = found
        .counts
        .iter()
        .map(|(bound, count)| match bound {
            &u64::MAX => (f64::INFINITY, *count),
            bound => (unit(*bound), *count),
        })
        .collect();
    let count = found.counts.iter().map(|(_, count)| count).sum();
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(unit(found.sum), count, &buckets, None)
}

/// Name, help and value.
type Figure<T> = (&'static str, &'static str, T);

impl Engine {
    fn counters(&self) -> [Figure<u64>; 9] {
        let stats = self.registry.stats();
        [
            ("registry_commits", "Transactions committed", stats.commits),
            (
                "registry_groups",
                "Groups committed, one durable flush each",
                stats.groups,
            ),
            (
                "registry_replans",
                "Commands planned again because another process committed first",
                stats.replans,
            ),
            (
                "registry_resends",
                "Groups sent again because their outcome was unknown",
                stats.resends,
            ),
            (
                "registry_store_errors",
                "Commits that the store refused or failed",
                stats.store_errors,
            ),
            ("registry_heartbeats", "Leases renewed", stats.heartbeats),
            (
                "registry_leases_expired",
                "Leases that lapsed and were ended",
                stats.leases_expired,
            ),
            (
                "registry_leases_suspected",
                "Leases that lapsed and were held back",
                stats.leases_suspected,
            ),
            (
                "registry_keepers_adopted",
                "Keepers whose leases were adopted",
                stats.keepers_adopted,
            ),
        ]
    }

    fn gauges(&self, view: &View) -> [Figure<i64>; 4] {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let leases = view.services_with_instances().map(|(_, leased)| leased);
        [
            (
                "registry_leases",
                "Instances that have a lease",
                gauge(leases.sum()),
            ),
            (
                "registry_revision",
                "The last commit that readers see",
                i64::try_from(view.revision().0).unwrap_or(i64::MAX),
            ),
            (
                "registry_connections",
                "Connections that are open, WebSockets among them",
                gauge(self.ws.connections()),
            ),
            (
                "registry_http_watches",
                "Watches over HTTP that are open",
                gauge((self.watches)()),
            ),
        ]
    }
}

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, value) in self.counters() {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let view = self.registry.stale_view();
        for (name, help, value) in self.gauges(&view) {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        distribution(
            &mut encoder,
            "registry_group_commands",
            "Commands in each group that was committed",
            &self.registry.group_commands(),
            1.0,
        )?;
        distribution(
            &mut encoder,
            "registry_commit_seconds",
            "Time that the store took to make a group durable",
            &self.registry.commit_micros(),
            1e6,
        )?;
        let records = ConstGauge::new(0_i64);
        let mut family = encoder.encode_descriptor(
            "registry_records",
            "Records in the view by kind",
            None,
            records.metric_type(),
        )?;
        for (kind, count) in view.tally().counts.iter() {
            let labels = [("kind", kind.as_str())];
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
