//! What `/metrics` tells.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use registry_core::Kind;
use registry_core::engine::{self, Distribution, View};
use registry_ws::WsServer;

use crate::metric::{self, MetricForm, MetricSpec};

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    part: &'static str,
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
    ready: Family<PartLabels, Gauge>,
}

impl Metrics {
    pub(crate) fn new(engine: Engine) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        let latencies = Family::new_with_constructor(Latencies);
        let ready = Family::<PartLabels, Gauge>::default();
        let build = Info::new(vec![
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("HARNESS_COMMIT").unwrap_or("")),
        ]);
        register(&mut registry, metric::REQUESTS, requests.clone());
        register(&mut registry, metric::REQUEST_LATENCY, latencies.clone());
        register(&mut registry, metric::BUILD, build);
        register(&mut registry, metric::READY, ready.clone());
        registry.register_collector(Box::new(engine));
        Self {
            registry,
            requests,
            latencies,
            ready,
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

    /// Notes whether a part of the registry works.
    pub(crate) fn is_ready(&self, part: &'static str, is_ready: bool) {
        let gauge = self.ready.get_or_create(&PartLabels { part });
        gauge.set(is_ready.into());
    }

    /// Everything as OpenMetrics.
    pub(crate) fn open_metrics(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }

    /// Everything in the older form of Prometheus, in which a metric has the name of its series.
    pub(crate) fn plain(&self) -> String {
        let open = self.open_metrics();
        let lines = open.lines().filter(|line| *line != "# EOF");
        lines.map(|line| plain_line(line) + "\n").collect()
    }
}

/// A line of OpenMetrics in the older form.
fn plain_line(line: &str) -> String {
    let mut words = line.splitn(4, ' ');
    let (Some("#"), Some(what), Some(name), Some(rest)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return line.to_owned();
    };
    match metric::METRICS.iter().find(|metric| metric.name == name) {
        Some(found) if found.form == MetricForm::Counter => format!("# {what} {name}_total {rest}"),
        Some(found) if found.form == MetricForm::Info => {
            // That form has no word for it.
            let rest = if what == "TYPE" { "gauge" } else { rest };
            format!("# {what} {name}_info {rest}")
        }
        _ => line.to_owned(),
    }
}

fn register(registry: &mut Registry, spec: MetricSpec, metric: impl Metric) {
    registry.register(spec.name, spec.help, metric);
}

/// Figures of the engine and of the connections, read when they are asked for.
pub(crate) struct Engine {
    pub(crate) registry: engine::Registry,
    pub(crate) ws: WsServer,
    pub(crate) watches: Box<dyn Fn() -> usize + Send + Sync>,
    pub(crate) websockets: Box<dyn Fn() -> usize + Send + Sync>,
    /// When it began, in seconds since 1970.
    pub(crate) begun: i64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Begins a metric; its figures follow.
fn begin<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    spec: MetricSpec,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let form = match spec.form {
        MetricForm::Counter => MetricType::Counter,
        MetricForm::Gauge => MetricType::Gauge,
        MetricForm::Histogram => MetricType::Histogram,
        MetricForm::Info => MetricType::Info,
    };
    encoder.encode_descriptor(spec.name, spec.help, None, form)
}

/// Writes a histogram of the engine, whose whole numbers are so many in one unit of the figure.
fn distribution(
    encoder: &mut DescriptorEncoder<'_>,
    spec: MetricSpec,
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
    begin(encoder, spec)?.encode_histogram::<NoLabelSet>(unit(found.sum), count, &buckets, None)
}

impl Engine {
    fn counters(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.registry.stats();
        for (spec, value) in [
            (metric::COMMITS, stats.commits),
            (metric::GROUPS, stats.groups),
            (metric::REPLANS, stats.replans),
            (metric::RESENDS, stats.resends),
            (metric::STORE_ERRORS, stats.store_errors),
            (metric::HEARTBEATS, stats.heartbeats),
            (metric::LEASES_EXPIRED, stats.leases_expired),
            (metric::LEASES_SUSPECTED, stats.leases_suspected),
            (metric::KEEPERS_ADOPTED, stats.keepers_adopted),
        ] {
            ConstCounter::new(value).encode(begin(encoder, spec)?)?;
        }
        for (spec, value) in [
            (metric::CACHE_HITS, stats.feed_hits),
            (metric::CACHE_MISSES, stats.feed_misses),
        ] {
            let mut family = begin(encoder, spec)?;
            let labels = [("cache", "feed")];
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauges(&self, view: &View, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (stats, census) = (self.registry.stats(), view.census());
        for (spec, value) in [
            (metric::REVISION, gauge(view.revision().0)),
            (metric::LEASES, gauge(census.len())),
            (metric::SUSPECTS, gauge(census.suspects())),
            (metric::WATCHES, gauge(stats.watches)),
            (metric::WATCH_LAG, gauge(stats.watch_lag_max)),
            (metric::CONNECTIONS, gauge(self.ws.connections())),
            (metric::WEBSOCKETS, gauge((self.websockets)())),
            (metric::HTTP_WATCHES, gauge((self.watches)())),
            (metric::START_TIME, self.begun),
        ] {
            ConstGauge::new(value).encode(begin(encoder, spec)?)?;
        }
        let mut family = begin(encoder, metric::RECORDS)?;
        for kind in Kind::ALL {
            let labels = [("kind", kind.as_str())];
            ConstGauge::new(gauge(view.count(kind))).encode(family.encode_family(&labels)?)?;
        }
        let mut family = begin(encoder, metric::INSTANCES)?;
        for (health, intent, count) in census.by_health_and_intent() {
            let labels = [("health", health.as_str()), ("intent", intent.as_str())];
            ConstGauge::new(gauge(count)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        self.counters(encoder)?;
        self.gauges(&self.registry.stale_view(), encoder)?;
        let (group_commands, commit_micros) = (
            self.registry.group_commands(),
            self.registry.commit_micros(),
        );
        distribution(encoder, metric::GROUP_COMMANDS, &group_commands, 1.0)?;
        distribution(encoder, metric::COMMIT_TIME, &commit_micros, 1e6)
    }
}
