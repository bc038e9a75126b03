//! The minute's tour of the README, word by word.

use std::process::{Command, Stdio};

use crate::fixture::Daemon;

/// The commands of the block after the heading, as they stand there.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))
        .expect("there is a README");
    let tour = readme
        .split("<!-- tour -->")
        .nth(1)
        .expect("the tour is marked");
    let block = tour
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("it has a block");
    block
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn tour_of_the_readme_runs() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let folder = tempfile::tempdir().unwrap();
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_harness"))
        .parent()
        .unwrap()
        .to_path_buf();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let commands = commands();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let output = Command::new("sh")
            .args(["-ec", &command])
            .env("PATH", &path)
            .env("HARNESS_URL", &daemon.url)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {stderr}");
    }
}
