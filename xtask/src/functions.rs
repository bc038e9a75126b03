//! Long functions: there are none over the limit but those that are listed with their length, which may only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::root;

/// Most lines of a function.
const LINES_MAX: usize = 70;
/// Functions that were longer when the limit was set.
const LISTED: &[(&str, usize)] = &[];

/// Adds functions that are too long.
pub(crate) fn check(problems: &mut Vec<String>) -> Result<()> {
    let listed: BTreeMap<&str, usize> = LISTED.iter().copied().collect();
    for file in rust_files(&root())? {
        let text = fs::read_to_string(&file)?;
        let shown = file
            .strip_prefix(root())
            .unwrap_or(&file)
            .display()
            .to_string();
        for (name, line, lines) in functions(&text) {
            let allowed = listed
                .get(format!("{shown}:{name}").as_str())
                .copied()
                .unwrap_or(LINES_MAX);
            if lines > allowed {
                problems.push(format!(
                    "{shown}:{line}: {name} has {lines} lines, more than {allowed}"
                ));
            }
        }
    }
    Ok(())
}

/// Rust files below a folder, without those that are built.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Name, first line and number of lines of each function: from its head to the brace at the head's indentation.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indentation = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indentation));
        if let Some(length) = lines[at..].iter().position(|line| *line == end) {
            found.push((name, at + 1, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    Some(
        name.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_head_to_brace() {
        let text = "impl A {\n    pub(crate) async fn b(\n        c: u8,\n    ) {\n        d();\n    }\n}\n\nfn e() {\n}\n";
        let found = functions(text);
        assert_eq!(found, [("b".to_owned(), 2, 5), ("e".to_owned(), 9, 2)]);
    }
}
