//! Debian's Prometheus with the configuration in `deploy`: it scrapes a daemon and discovers what is registered there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{Daemon, text};
use crate::http::{address, shell};

/// Time after which a test fails instead of waiting on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether both programs are here; where they must be, a test fails without them.
fn is_installed() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let is_installed = has("prometheus") && has("promtool");
    if !is_installed {
        let required = std::env::var_os("HARNESS_TEST_PROMETHEUS");
        assert!(required.is_none(), "there is no prometheus or no promtool");
        eprintln!("skipped: there is no prometheus or no promtool here; CI has both");
    }
    is_installed
}

fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/prometheus")
        .join(file)
}

/// Runs promtool, which must find no fault.
fn promtool(args: &str) {
    let (succeeded, printed) = shell(&format!("promtool {args}"));
    assert!(succeeded, "{args}: {printed}");
}

/// A Prometheus on a free port. Killed when it is dropped.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    fn start(config: &Path, data: &Path) -> Self {
        let mut child = Command::new("prometheus")
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(["--config.file", text(config)])
            .args(["--storage.tsdb.path", text(data)])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus runs");
        let mut log = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let address = log
            .by_ref()
            .map(|line| line.expect("the log is UTF-8"))
            .find_map(|line| {
                let rest = line.split_once(r#"msg="Listening on" address="#)?.1;
                Some(rest.trim().to_owned())
            })
            .expect("it says where it listens");
        // It must not wait for somebody to read its log.
        thread::spawn(move || log.for_each(drop));
        Self { child, address }
    }

    /// What it answers to a query of its API; null until it answers.
    fn ask(&self, path: &str) -> Value {
        let (_, printed) = shell(&format!("curl -s 'http://{}/api/v1/{path}'", self.address));
        serde_json::from_str(&printed).unwrap_or_default()
    }

    /// Asks until the answer is as wanted.
    #[expect(clippy::disallowed_methods, reason = "a wait has an end")]
    fn wait<T>(&self, path: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let found = self.ask(path);
            if let Some(wanted) = wanted(&found["data"]) {
                return wanted;
            }
            assert!(begun.elapsed() < PATIENCE, "{path}: {found:#}");
            thread::yield_now();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The configuration, for a daemon elsewhere and with less patience.
fn config_for(daemon: &str, folder: &Path) -> PathBuf {
    let config = std::fs::read_to_string(deployed("prometheus.yml")).expect("it is there");
    let config = config.replace("127.0.0.1:9402", daemon).replace("5s", "1s");
    assert!(config.contains(daemon));
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, config).expect("the folder is ours");
    std::fs::copy(deployed("alerts.yml"), folder.join("alerts.yml")).expect("the folder is ours");
    path
}

/// Registers an instance of `api` that is scraped where the daemon is.
fn register(daemon: &str, id: &str, tags: &str) {
    let (host, port) = daemon.rsplit_once(':').expect("an address has a port");
    let put = format!(
        r#"curl -sf -X PUT http://{daemon}/v1/services/api/instances/{id} -H 'content-type: application/json' \
           -d '{{"address": "{host}", "port": {port}, "zone": "a", "region": "north", "version": "7", "tags": {tags}, "metadata": {{"metrics.path": "/metrics"}}}}'"#
    );
    let (succeeded, printed) = shell(&put);
    assert!(succeeded, "{printed}");
}

fn texts(labels: &Value) -> BTreeMap<&str, &str> {
    let labels = labels.as_object().into_iter().flatten();
    labels
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect()
}

#[test]
fn promtool_finds_no_fault() {
    if !is_installed() {
        return;
    }
    promtool(&format!("check rules {}", text(&deployed("alerts.yml"))));
    promtool(&format!(
        "check config {}",
        text(&deployed("prometheus.yml"))
    ));
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    register(address(&daemon), "api-1", "[]");
    let metrics = format!("curl -sf http://{}/metrics", address(&daemon));
    let (succeeded, printed) = shell(&format!("{metrics} | promtool check metrics"));
    assert!(succeeded && printed.is_empty(), "{printed}");
}

#[test]
fn prometheus_scrapes_the_daemon_and_discovers_its_instances() {
    if !is_installed() {
        return;
    }
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let daemon = address(&daemon);
    register(daemon, "api-1", r#"["metrics", "blue"]"#);
    register(daemon, "api-2", "[]");
    let folder = tempfile::tempdir().unwrap();
    let config = config_for(daemon, folder.path());
    let prometheus = Prometheus::start(&config, &folder.path().join("data"));

    let target_of = |data: &Value, job: &str| {
        let targets = data["activeTargets"].as_array()?;
        let mut of_job = targets.iter().filter(|it| it["labels"]["job"] == job);
        let target = of_job.next()?.clone();
        assert!(of_job.next().is_none(), "only one is tagged: {data:#}");
        (target["health"] == "up").then_some(target)
    };
    let path = "targets?state=active";
    let own = prometheus.wait(path, |data| target_of(data, "harness"));
    assert_eq!(own["labels"]["instance"], daemon);
    let found = prometheus.wait(path, |data| target_of(data, "services"));
    let labels = texts(&found["labels"]);
    for (name, value) in [
        ("service", "api"),
        ("instance", "api-1"),
        ("zone", "a"),
        ("region", "north"),
        ("version", "7"),
    ] {
        assert_eq!(labels.get(name), Some(&value), "{labels:?}");
    }
    let discovered = texts(&found["discoveredLabels"]);
    for (name, value) in [
        ("__address__", daemon),
        ("__meta_harness_service", "api"),
        ("__meta_harness_health", "unknown"),
        ("__meta_harness_tags", ",metrics,blue,"),
        ("__meta_harness_metadata_metrics_path", "/metrics"),
    ] {
        assert_eq!(discovered.get(name), Some(&value), "{discovered:?}");
    }

    let leases = prometheus.wait(
        "query?query=registry_leases%7Bjob%3D%22harness%22%7D",
        |data| {
            let value = data["result"].as_array()?.first()?["value"][1].as_str()?;
            Some(value.to_owned())
        },
    );
    assert_eq!(leases, "2");
    let rules = prometheus.ask("rules");
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 10, "the alerts are loaded");
}
