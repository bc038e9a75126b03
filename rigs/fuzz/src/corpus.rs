//! Inputs that are kept: real ones, and hostile ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One input with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Name of its file.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Where the corpora lie.
pub fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Reads the corpus of a target, in the order of names.
///
/// # Errors
/// The system's, also where there is no folder of that name.
pub fn read_corpus(target: &str) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for file in fs::read_dir(corpus_folder().join(target))? {
        let file = file?;
        cases.push(Case {
            name: file.file_name().to_string_lossy().into_owned(),
            bytes: fs::read(file.path())?,
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// Checks that the corpus of a target has an input under a name. It is written where `HARNESS_CORPUS_NEW` is set.
#[cfg(test)]
pub(crate) fn expect_case(target: &str, name: &str, bytes: &[u8]) {
    let path = corpus_folder().join(target).join(name);
    if std::env::var_os("HARNESS_CORPUS_NEW").is_some() {
        fs::write(&path, bytes).expect("the corpus can be written");
    }
    let found = fs::read(&path).unwrap_or_default();
    let place = path.display();
    assert!(
        found == bytes,
        "{place} is another; set HARNESS_CORPUS_NEW to write it"
    );
}

/// The golden vectors in `docs` of one form, by name without its extension.
#[cfg(test)]
pub(crate) fn read_vectors(extension: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors");
    let mut vectors = Vec::new();
    for file in fs::read_dir(folder).expect("the vectors are there") {
        let path = file.expect("the folder can be listed").path();
        if path.extension().is_some_and(|found| found == extension) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(&path).expect("a vector can be read");
            vectors.push((name.into_owned(), bytes));
        }
    }
    vectors
}

/// The bytes that hexadecimal digits stand for.
#[cfg(test)]
pub(crate) fn from_hex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text
        .iter()
        .filter_map(|digit| char::from(*digit).to_digit(16))
        .map(|digit| u8::try_from(digit).expect("a digit is small"))
        .collect();
    let pairs = digits.chunks(2);
    pairs.map(|pair| pair[0] << 4 | pair[1]).collect()
}
