//! The benches that every backend runs: `registry_conformance::bench::run("redb", open)`.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use registry_core::limits::{CHANGES_PAGE_MAX, GROUP_TRANSACTIONS_MAX, RANGE_PAGE_MAX};
use registry_core::{RegistryStore, Result, Revision, Transaction};

use crate::case::Failure;
use crate::fixture::put;
use crate::handle::Handle;
use crate::subject::{Opener, Subject};

/// Records in the store that is read.
const RECORDS: usize = 10_000;
/// Records in the stores that are opened.
const OPENED_RECORDS: [usize; 2] = [10_000, 100_000];
const GROUP_SIZES: [usize; 3] = [1, 64, 1024];

/// Measures the stores that `open` opens in the folder given to it. Arguments are those of `cargo bench`.
///
/// Entries are services of some 400 bytes with every field filled. Means are for trends; percentiles are measured
/// elsewhere.
pub fn run<S, F>(backend: &str, open: F)
where
    S: RegistryStore,
    F: Fn(&Path) -> Result<S> + Send + Sync + 'static,
{
    let opener: Opener =
        Arc::new(move |folder| open(folder).map(|store| Arc::new(store) as Arc<dyn RegistryStore>));
    let mut criterion = Criterion::default().configure_from_args();
    if let Err(failure) = measure(&mut criterion, backend, &opener) {
        panic!("the store failed: {failure:?}");
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, backend: &str, opener: &Opener) -> Result<(), Failure> {
    let subject = Subject::new(Arc::clone(opener))?;
    let store = subject.open()?;
    fill(&store, RECORDS)?;
    measure_reads(criterion, backend, &store);
    let is_persistent = store.capabilities().is_persistent;
    store.close()?;
    drop(store);
    if is_persistent {
        measure_open(criterion, backend, opener)?;
    }
    measure_commits(criterion, backend, opener)
}

fn name(index: usize) -> String {
    format!("team-{:02}/service-{index:05}", index % 40)
}

fn fill(store: &Handle, records: usize) -> Result<(), Failure> {
    let transactions: Vec<Transaction> = (0..records).map(|i| put(&name(i), "1.4.2")).collect();
    for group in transactions.chunks(GROUP_TRANSACTIONS_MAX) {
        for outcome in store.commit(group.to_vec())? {
            outcome?;
        }
    }
    Ok(())
}

fn measure_reads(criterion: &mut Criterion, backend: &str, store: &Handle) {
    let mut group = criterion.benchmark_group(format!("{backend}/read"));
    let mut index = 0;
    group.throughput(Throughput::Elements(1));
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            // A step without a common divisor visits all of them, far from each other.
            index = (index + 7919) % RECORDS;
            let record = store.get(&name(index)).expect("the store answers");
            assert!(black_box(record).is_some());
        });
    });
    group.throughput(Throughput::Elements(RANGE_PAGE_MAX as u64));
    group.bench_function("range_page", |bencher| {
        bencher.iter(|| {
            store
                .range(None, RANGE_PAGE_MAX)
                .expect("the store answers")
        });
    });
    group.throughput(Throughput::Elements(CHANGES_PAGE_MAX as u64));
    group.bench_function("changes_page", |bencher| {
        bencher.iter(|| {
            store
                .changes(Revision::ZERO, CHANGES_PAGE_MAX)
                .expect("the store answers")
        });
    });
    group.finish();
}

/// The time until a store answers with every record: after a close, and as a kill leaves it.
fn measure_open(criterion: &mut Criterion, backend: &str, opener: &Opener) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("{backend}/open"));
    group.sample_size(10);
    for records in OPENED_RECORDS {
        let (subject, killed) = (Subject::new(Arc::clone(opener))?, tempfile::tempdir()?);
        let store = subject.open()?;
        fill(&store, records)?;
        subject.copy_to(killed.path())?;
        store.close()?;
        drop(store);
        let killed = Subject::at(killed, Arc::clone(opener));
        for (end, left) in [("close", &subject), ("kill", &killed)] {
            group.bench_function(format!("{records}_records_after_{end}"), |bencher| {
                let copy = || copy_of(left).expect("the store is copied");
                bencher.iter_batched(
                    copy,
                    |copy| open_all(copy, records),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
    Ok(())
}

fn copy_of(subject: &Subject) -> Result<Subject, Failure> {
    let copy = subject.another()?;
    subject.copy_to(copy.folder())?;
    Ok(copy)
}

/// Opens a store and reads it. What is answered is closed and removed out of the time that is taken.
fn open_all(subject: Subject, records: usize) -> (Handle, Subject) {
    let store = subject.open().expect("the store opens");
    let found = store.records().expect("the store answers").len();
    assert_eq!(found, records);
    (store, subject)
}

fn measure_commits(
    criterion: &mut Criterion,
    backend: &str,
    opener: &Opener,
) -> Result<(), Failure> {
    let mut group = criterion.benchmark_group(format!("{backend}/commit"));
    group.sample_size(10);
    for size in GROUP_SIZES {
        let subject = Subject::new(Arc::clone(opener))?;
        let store = subject.open()?;
        let mut round = 0;
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("group_of_{size}"), |bencher| {
            let transactions = || {
                round += 1;
                (0..size)
                    .map(|i| put(&name(i), &format!("1.4.{round}")))
                    .collect::<Vec<_>>()
            };
            let commit = |transactions| store.commit(transactions).expect("the store commits");
            bencher.iter_batched(transactions, commit, BatchSize::PerIteration);
        });
        store.close()?;
    }
    group.finish();
    Ok(())
}
