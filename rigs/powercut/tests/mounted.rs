//! A short run on a mounted disk.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

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

#[test]
fn stores_survive_power_cuts_after_takeovers() {
    for backend in ["json", "redb", "sled", "sqlite"] {
        let options = [
            "--backend",
            backend,
            "--scenario",
            "takeover",
            "--cuts",
            "4",
        ];
        let Some((is_good, report)) = run(&options) else {
            return;
        };
        assert!(is_good, "{report:#}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_mounted() {
    let parent = tempfile::tempdir().unwrap();
    let mut rig = Command::new(env!("CARGO_BIN_EXE_powercut"))
        .args(["--backend", "redb", "--cuts", "1000000"])
        .env("TMPDIR", parent.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if wait_for_mount(&mut rig, parent.path()) {
        rig.kill().unwrap();
    } else {
        eprintln!("skipped: nothing was mounted");
    }
    // The process that clears away has it, too: it ends where both have ended.
    let mut rest = String::new();
    let errors = rig.stderr.as_mut().expect("it is a pipe");
    errors.read_to_string(&mut rest).unwrap();
    rig.wait().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "{rest}");
    assert!(!is_mounted_below(parent.path()));
}

/// Waits until a run has mounted a disk. Answers false where it ends before.
fn wait_for_mount(rig: &mut Child, parent: &Path) -> bool {
    while rig.try_wait().expect("it was started here").is_none() {
        if is_mounted_below(parent) {
            return true;
        }
        thread::yield_now();
    }
    false
}

fn is_mounted_below(parent: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let parent = parent.to_str().expect("the folder's name is text");
    mounts.contains(parent)
}
