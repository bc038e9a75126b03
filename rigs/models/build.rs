//! Plants one fault at a time in the engine's files, and writes the modules that run the scenarios over them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// A fault: an edit of a file of the engine, and the scenarios that must find it.
struct Fault {
    name: &'static str,
    file: &'static str,
    scenarios: &'static str,
    /// What is in the file once, and what takes its place.
    edits: &'static [(&'static str, &'static str)],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "listens_after_looking",
        file: "feed",
        scenarios: "watching",
        edits: &[
            ("            listener!(self.moved => moved);\n", ""),
            (
                "moved.await;",
                "listener!(self.moved => moved);\nmoved.await;",
            ),
        ],
    },
    Fault {
        name: "wakes_before_publishing",
        file: "feed",
        scenarios: "watching",
        edits: &[
            (
                "let mut ring = self.ring();\n        for",
                "self.moved.notify(usize::MAX);\nlet mut ring = self.ring();\nfor",
            ),
            (
                "        self.moved.notify(usize::MAX);\n    }\n\n    /// Forgets",
                "    }\n\n    /// Forgets",
            ),
        ],
    },
    Fault {
        name: "skips_what_left_the_memory",
        file: "feed",
        scenarios: "watching",
        edits: &[(".checked_sub(first)", ".checked_sub(first).or(Some(0))")],
    },
    Fault {
        name: "closes_silently",
        file: "feed",
        scenarios: "watching",
        edits: &[(
            "is_closed = true;\n        self.moved.notify(usize::MAX);",
            "is_closed = true;",
        )],
    },
    Fault {
        name: "restarts_with_old_commits",
        file: "feed",
        scenarios: "watching",
        edits: &[("        ring.commits.clear();\n", "")],
    },
    Fault {
        name: "accepts_a_check_that_began_before",
        file: "barrier",
        scenarios: "reading",
        edits: &[("self.state().started + 1", "self.state().succeeded + 1")],
    },
    Fault {
        name: "ends_a_check_silently",
        file: "barrier",
        scenarios: "reading",
        edits: &[("self.barrier.finished.notify(usize::MAX);", "")],
    },
    Fault {
        name: "keeps_the_turn_of_who_left",
        file: "barrier",
        scenarios: "reading",
        edits: &[(
            "state.is_running = false;",
            "state.is_running = !self.has_succeeded;",
        )],
    },
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    let mut modules = String::new();
    for fault in FAULTS {
        let engine = here.join("../../registry-core/src/engine");
        let original = engine.join(fault.file).with_extension("rs");
        println!("cargo::rerun-if-changed={}", original.display());
        let planted = out.join(fault.name).with_extension("rs");
        fs::write(&planted, plant(fault, &original)).expect("cargo made the folder");
        let scenarios = here.join("src/scenarios").join(fault.scenarios);
        let scenarios = scenarios.with_extension("rs");
        modules.push_str(&module(fault, literal(&planted), literal(&scenarios)));
    }
    fs::write(out.join("faults.rs"), modules).expect("cargo made the folder");
}

/// The file with the fault. An edit that has lost its place is an error, or the fault would silently be none.
fn plant(fault: &Fault, original: &Path) -> String {
    let mut text = fs::read_to_string(original).expect("it is a file of the engine");
    for (from, to) in fault.edits {
        let places = text.matches(from).count();
        assert_eq!(
            places, 1,
            "{}: {from:?} must be once in {}.rs",
            fault.name, fault.file
        );
        text = text.replacen(from, to, 1);
    }
    text
}

/// The path for a path attribute.
fn literal(path: &Path) -> &str {
    path.to_str().expect("rustc was given the path as text")
}

fn module(fault: &Fault, planted: &str, scenarios: &str) -> String {
    let (name, file, model) = (fault.name, fault.file, fault.scenarios);
    format!(
        "/// `{file}.rs` with a fault.
pub mod {name} {{
    use super::super::sync;
    #[allow(unused_imports, reason = \"not every file is configured\")]
    use crate::config;
    #[path = {planted:?}]
    mod {file};
    #[path = {scenarios:?}]
    pub mod {model};
}}
"
    )
}
