//! Reads the old service registry's file: entry by entry, in bounded memory, with the place of what is wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use registry_core::legacy::LegacyEntry;
use registry_core::{Image, Record};
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use crate::ServiceEntry;

/// Largest entry with its name, in bytes of the file.
const ENTRY_BYTES_MAX: u64 = 1024 * 1024;
/// Most entries in a file.
const ENTRIES_MAX: usize = 1_000_000;
/// Most warnings that are kept; the rest is of the same kind.
const WARNINGS_MAX: usize = 100;

/// A file that was read and checked whole.
#[derive(Debug, Clone)]
pub struct LegacyFile {
    /// The entries, in the order of the file.
    pub entries: Vec<ServiceEntry>,
    /// Fields that are not known and were left out.
    pub warnings: Vec<Warning>,
}

/// A field that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The entry.
    pub entry: String,
    /// Path of the field within it.
    pub field: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "entry {:?}: unknown field {} is left out",
            self.entry, self.field
        )
    }
}

/// A file that cannot be read, with the place.
#[derive(Debug)]
pub struct LegacyError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 where the file could not be read at all.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The entry, where one had begun.
    pub entry: Option<String>,
    /// Expected and found.
    pub problem: String,
}

impl fmt::Display for LegacyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            column,
            entry,
            problem,
        } = self;
        write!(f, "{}", path.display())?;
        if *line > 0 {
            write!(f, ":{line}:{column}")?;
        }
        match entry {
            Some(entry) => write!(f, ": entry {entry:?}: {problem}"),
            None => write!(f, ": {problem}"),
        }
    }
}

impl std::error::Error for LegacyError {}

impl LegacyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LegacyError`] for the first thing that is wrong; nothing is answered then.
    pub fn read(path: &Path) -> Result<Self, LegacyError> {
        let unreadable = |error: &io::Error| LegacyError {
            path: path.to_path_buf(),
            line: 0,
            column: 0,
            entry: None,
            problem: format!("cannot be read: {error}"),
        };
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        if file
            .metadata()
            .map_err(|error| unreadable(&error))?
            .is_dir()
        {
            return Err(unreadable(&io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let budget = Rc::new(Cell::new(ENTRY_BYTES_MAX));
        let reader = BufReader::with_capacity(
            4096,
            Budgeted {
                inner: file,
                budget: Rc::clone(&budget),
            },
        );
        let mut deserializer = serde_json::Deserializer::from_reader(reader);
        let state = RefCell::new(State::default());
        let read = deserializer.deserialize_map(Entries {
            budget: &budget,
            state: &state,
        });
        let read = read.and_then(|()| {
            budget.set(ENTRY_BYTES_MAX);
            deserializer.end()
        });
        let State {
            entries,
            warnings,
            current,
            ..
        } = state.into_inner();
        match read {
            Ok(()) => Ok(Self { entries, warnings }),
            Err(error) => Err(LegacyError {
                path: path.to_path_buf(),
                line: error.line(),
                column: error.column(),
                entry: current,
                problem: without_place(&error),
            }),
        }
    }
}

/// The message without the place, which is told apart.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// A reader that gives out at most so many bytes before the budget is renewed.
struct Budgeted<R> {
    inner: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.get() == 0 {
            let problem =
                format!("expected an entry of at most {ENTRY_BYTES_MAX} bytes, found a larger one");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let read = self.inner.read(buffer)?;
        self.budget
            .set(self.budget.get().saturating_sub(read as u64));
        Ok(read)
    }
}

#[derive(Default)]
struct State {
    entries: Vec<ServiceEntry>,
    names: BTreeSet<String>,
    warnings: Vec<Warning>,
    current: Option<String>,
}

struct Entries<'a> {
    budget: &'a Cell<u64>,
    state: &'a RefCell<State>,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from service name to entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.state.borrow_mut().current = Some(key.chars().take(300).collect());
            self.budget.set(ENTRY_BYTES_MAX);
            let entry = map.next_value_seed(Entry {
                name: &key,
                state: self.state,
            })?;
            let state = &mut *self.state.borrow_mut();
            if !state.names.insert(key) {
                return Err(A::Error::custom(
                    "expected each name once, found it a second time",
                ));
            }
            if state.entries.len() == ENTRIES_MAX {
                return Err(A::Error::custom(format_args!(
                    "expected at most {ENTRIES_MAX} entries, found more"
                )));
            }
            state.entries.push(entry);
            state.current = None;
        }
        Ok(())
    }
}

struct Entry<'a> {
    name: &'a str,
    state: &'a RefCell<State>,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ServiceEntry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ServiceEntry, D::Error> {
        let mut note_unknown = |path: serde_ignored::Path<'_>| {
            let warnings = &mut self.state.borrow_mut().warnings;
            if warnings.len() < WARNINGS_MAX {
                warnings.push(Warning {
                    entry: self.name.to_owned(),
                    field: path.to_string(),
                });
            }
        };
        let tolerant = serde_ignored::Deserializer::new(deserializer, &mut note_unknown);
        let legacy = LegacyEntry::deserialize(tolerant)?;
        if legacy.name != self.name {
            let found: String = legacy.name.chars().take(300).collect();
            return Err(D::Error::custom(format_args!(
                "expected the name to be its key, found {found:?}"
            )));
        }
        let entry = ServiceEntry::from(legacy);
        let image = Image::new(Record::Service(entry.clone()));
        image.map_err(D::Error::custom)?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<LegacyFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        std::fs::write(&path, text).unwrap();
        LegacyFile::read(&path).map_err(|error| {
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "")
        })
    }

    fn entry(name: &str, more: &str) -> String {
        format!(
            r#"{{"name":"{name}","version":"1","execution":{{"SystemdService":{{"unit_name":"u"}}}},
            "location":"Local","state":"Running"{more}}}"#
        )
    }

    #[test]
    fn unknown_fields_are_warned_of() {
        let text = format!(r#"{{"a":{}}}"#, entry("a", r#","colour":{"deep":[1]}"#));
        let file = read(text.as_bytes()).unwrap();
        assert_eq!(file.entries[0].name, "a");
        assert_eq!(
            file.warnings,
            [Warning {
                entry: "a".into(),
                field: "colour".into()
            }]
        );
    }

    #[test]
    fn bad_entries_are_told_with_line_column_and_name() {
        let error =
            read(format!("{{\n\"a\":{},\n\"b\":{}}}", entry("a", ""), entry("c", "")).as_bytes())
                .unwrap_err();
        assert!(error.starts_with("/registry.json:5:"), "{error}");
        assert!(
            error.contains(r#"entry "b""#) && error.contains(r#"found "c""#),
            "{error}"
        );
        let error = read(br#"{"a":{"name":"a","version":7}}"#).unwrap_err();
        assert!(
            error.starts_with("/registry.json:1:") && error.contains("entry \"a\": invalid type"),
            "{error}"
        );
    }

    #[test]
    fn doubled_names_are_refused() {
        let text = format!(r#"{{"a":{},"a":{}}}"#, entry("a", ""), entry("a", ""));
        assert!(read(text.as_bytes()).unwrap_err().contains("a second time"));
    }

    #[test]
    fn hostile_files_are_refused() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let deep_unknown = format!(
            r#"{{"a":{}}}"#,
            entry(
                "a",
                &format!(
                    r#","x":{}1{}"#,
                    "[".repeat(2_000_000),
                    "]".repeat(2_000_000)
                )
            )
        );
        let long = format!(
            r#"{{"a":{}}}"#,
            entry("a", &format!(r#","x":"{}""#, "y".repeat(10_000_000)))
        );
        let long_name = format!(r#"{{"{}":1}}"#, "y".repeat(10_000_000));
        let cases: [&[u8]; 11] = [
            b"",
            b"[]",
            b"null",
            b"{",
            br#"{"a":"#,
            b"{\"a\xff\":1}",
            br#"{"a":{}} x"#,
            deep.as_bytes(),
            deep_unknown.as_bytes(),
            long.as_bytes(),
            long_name.as_bytes(),
        ];
        for text in cases {
            let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
            assert!(read(text).is_err(), "{shown}");
        }
        assert!(LegacyFile::read(Path::new("/")).is_err());
    }
}
