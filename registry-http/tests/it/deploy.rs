//! The files for operators ask for what there is.

use std::collections::BTreeSet;
use std::path::Path;

use registry_http::{METRICS, MetricSpec};
use serde_json::Value;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(path).expect("the file is there")
}

/// Names in a query. Every metric has an underscore, and nothing else outside of braces but two functions.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let mut bare = String::new();
    let (mut is_quoted, mut depth) = (false, 0);
    for c in query.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            '{' | '[' if !is_quoted => depth += 1,
            '}' | ']' if !is_quoted => depth -= 1,
            _ if is_quoted || depth > 0 => {}
            c => bare.push(c),
        }
    }
    bare.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| {
            word.contains('_') && *word != "histogram_quantile" && *word != "label_values"
        })
        .map(str::to_owned)
        .collect()
}

fn check(file: &str, queries: &[String]) {
    let known: BTreeSet<String> = METRICS.iter().flat_map(MetricSpec::series).collect();
    let mut found = BTreeSet::new();
    for query in queries {
        let metrics = metrics_of(query);
        // Prometheus' own.
        let asks_up = query.trim_start().starts_with("up{");
        assert!(!metrics.is_empty() || asks_up, "{file}: {query}");
        assert!(metrics.is_subset(&known), "{file}: {query}: {metrics:?}");
        found.extend(metrics);
    }
    assert!(found.len() > 5, "{file}: {found:?}");
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let file = "deploy/prometheus/alerts.yml";
    let text = read(file);
    let mut queries: Vec<String> = Vec::new();
    for block in text.split("expr:").skip(1) {
        // A query goes on until the next key of its rule.
        let lines = block.lines().take_while(|line| {
            let ends = ["for:", "labels:", "annotations:"];
            !ends.iter().any(|key| line.trim_start().starts_with(key))
        });
        queries.push(lines.collect::<Vec<_>>().join(" "));
    }
    assert_eq!(queries.len(), text.matches("- alert:").count());
    check(file, &queries);
}

#[test]
fn dashboard_asks_for_metrics_that_there_are() {
    let file = "deploy/grafana/harness.json";
    let dashboard: Value = serde_json::from_str(&read(file)).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| {
        let query = target["expr"].as_str().expect("a target has a query");
        query.to_owned()
    });
    check(file, &queries.collect::<Vec<_>>());
}
