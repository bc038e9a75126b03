//! A short run on a mounted disk.

use std::process::Command;

use serde_json::Value;

/// Runs the rig, and answers how it ended and its report; none where nothing can be mounted here.
fn run(options: &[&str]) -> Option<(bool, Value)> {
    let output = Command::new(env!("CARGO_BIN_EXE_powercut"))
        .args(options)
        .arg("--json")
        .output()
        .expect("the rig was built with this test");
    let text = String::from_utf8(output.stdout).expect("the report is text");
    if let Some(reason) = text.strip_prefix("skipped: ") {
        eprintln!("skipped: {}", reason.trim_end());
        return None;
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_str(&text);
    let report = report.unwrap_or_else(|error| panic!("{error}: {text:?}, {complaint}"));
    Some((output.status.success(), report))
}

#[test]
fn redb_survives_twenty_power_cuts() {
    let Some((is_good, report)) = run(&["--backend", "redb", "--cuts", "20"]) else {
        return;
    };
    assert!(is_good, "{report:#}");
    let rows = report["rows"].as_array().unwrap();
    let runs: u64 = rows.iter().map(|row| row["runs"].as_u64().unwrap()).sum();
    assert_eq!(runs, 20, "{report:#}");
}

#[test]
fn bad_settings_are_seen() {
    let Some((is_good, report)) = run(&["--backend", "redb", "--controls"]) else {
        return;
    };
    assert!(is_good, "{report:#}");
    let controls = report["controls"].as_array().unwrap();
    assert_eq!(controls.len(), 2, "{report:#}");
    for control in controls {
        assert!(control["failed"].as_u64().unwrap() > 0, "{control:#}");
    }
}
