//! What a disk keeps, by model and survival.

use std::ffi::OsStr;

use super::{Fault, Image, Inode, Kind, Lie, Model, Plan, ROOT, Refusal, Survival, Volume};

/// Seeds that a random outcome is looked at with.
const SEEDS: u64 = 300;

fn volume(model: Model) -> Volume {
    Volume::new(Image::empty(), model, Plan::default())
}

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

fn file(volume: &mut Volume, called: &str) -> Inode {
    let made = volume.create(ROOT, name(called), Kind::File, 0o600);
    made.expect("nothing has that name")
}

fn write(volume: &mut Volume, inode: Inode, offset: u64, bytes: &[u8]) {
    let written = volume.write(inode, offset, bytes);
    assert_eq!(written, Ok(bytes.len()));
}

/// What is found of a file after a cut: none where its name is gone.
fn found(volume: &Volume, called: &str, survival: Survival, seed: u64) -> Option<Vec<u8>> {
    let image = volume.crash(survival, &mut fastrand::Rng::with_seed(seed));
    let inode = image.lookup(ROOT, name(called)).ok()?;
    Some(image.bytes(inode).expect("it is a file").to_vec())
}

fn dropped(volume: &Volume, called: &str) -> Option<Vec<u8>> {
    found(volume, called, Survival::Drop, 0)
}

/// Everything that is found with some seed, without repetition.
fn all_found(volume: &Volume, called: &str, survival: Survival) -> Vec<Option<Vec<u8>>> {
    let mut all: Vec<_> = (0..SEEDS)
        .map(|seed| found(volume, called, survival, seed))
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn unsynced_bytes_and_names_are_dropped() {
    for model in [Model::Ext4, Model::Strict, Model::Sfr] {
        let mut disk = volume(model);
        let a = file(&mut disk, "a");
        write(&mut disk, a, 0, b"one");
        assert_eq!(dropped(&disk, "a"), None, "{model:?}");
    }
}

#[test]
fn sync_of_any_file_commits_names_on_ext4_alone() {
    for (model, is_there) in [
        (Model::Ext4, true),
        (Model::Strict, false),
        (Model::Sfr, true),
    ] {
        let mut disk = volume(model);
        file(&mut disk, "a");
        let b = file(&mut disk, "b");
        disk.sync(b).unwrap();
        assert_eq!(dropped(&disk, "a").is_some(), is_there, "{model:?}");
        assert_eq!(dropped(&disk, "b").is_some(), is_there, "{model:?}");
    }
}

#[test]
fn strict_names_last_once_their_folder_is_synced() {
    let mut disk = volume(Model::Strict);
    let a = file(&mut disk, "a");
    write(&mut disk, a, 0, b"one");
    disk.sync(a).unwrap();
    disk.sync(ROOT).unwrap();
    assert_eq!(dropped(&disk, "a"), Some(b"one".to_vec()));
    disk.rename((ROOT, name("a")), (ROOT, name("b"))).unwrap();
    assert_eq!(dropped(&disk, "a"), Some(b"one".to_vec()));
    disk.sync(ROOT).unwrap();
    assert_eq!(dropped(&disk, "a"), None);
    assert_eq!(dropped(&disk, "b"), Some(b"one".to_vec()));
}

#[test]
fn a_moved_name_lasts_with_its_new_folder() {
    let mut disk = volume(Model::Strict);
    let folder = disk.create(ROOT, name("folder"), Kind::Folder, 0o700);
    let folder = folder.unwrap();
    disk.create(folder, name("new"), Kind::File, 0o600).unwrap();
    disk.rename((folder, name("new")), (ROOT, name("a")))
        .unwrap();
    disk.sync(ROOT).unwrap();
    // The name that it had before must not come back.
    disk.sync(folder).unwrap();
    let image = disk.crash(Survival::Drop, &mut fastrand::Rng::with_seed(0));
    assert!(image.lookup(ROOT, name("a")).is_ok());
    let folder = image.lookup(ROOT, name("folder")).unwrap();
    assert_eq!(image.lookup(folder, name("new")), Err(Refusal::NotFound));
}

#[test]
fn sync_of_one_file_leaves_the_bytes_of_another() {
    for model in [Model::Ext4, Model::Strict] {
        let mut disk = volume(model);
        let (a, b) = (file(&mut disk, "a"), file(&mut disk, "b"));
        disk.sync(ROOT).unwrap();
        write(&mut disk, a, 0, b"one");
        disk.sync(b).unwrap();
        assert_eq!(dropped(&disk, "a"), Some(Vec::new()), "{model:?}");
    }
}

#[test]
fn sfr_keeps_bytes_and_loses_growth() {
    let mut disk = volume(Model::Sfr);
    let a = file(&mut disk, "a");
    write(&mut disk, a, 0, b"one");
    disk.sync(a).unwrap();
    write(&mut disk, a, 0, b"twotwo");
    assert_eq!(dropped(&disk, "a"), Some(b"two".to_vec()));
    disk.sync(a).unwrap();
    assert_eq!(dropped(&disk, "a"), Some(b"twotwo".to_vec()));
}

#[test]
fn prefix_finds_every_moment_and_nothing_else() {
    let mut disk = volume(Model::Ext4);
    let a = file(&mut disk, "a");
    disk.sync(a).unwrap();
    write(&mut disk, a, 0, b"a");
    write(&mut disk, a, 1, b"b");
    write(&mut disk, a, 0, b"c");
    let expected = [&b""[..], b"a", b"ab", b"cb"].map(|bytes| Some(bytes.to_vec()));
    assert_eq!(all_found(&disk, "a", Survival::Prefix), expected);
}

#[test]
fn random_pages_are_of_moments_of_their_own() {
    let mut disk = volume(Model::Ext4);
    let a = file(&mut disk, "a");
    disk.sync(a).unwrap();
    write(&mut disk, a, 0, &[1; 8192]);
    write(&mut disk, a, 0, &[2; 4096]);
    let all = all_found(&disk, "a", Survival::Random);
    let has = |first: u8, second: u8| {
        let is =
            |bytes: &Vec<u8>| bytes.len() == 8192 && (bytes[0], bytes[8191]) == (first, second);
        all.iter().flatten().any(is)
    };
    // The second page without the first is what a prefix never is.
    for (first, second) in [(0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        assert!(has(first, second), "{first} {second}");
    }
    // A sector of the second write without the first one of the same page.
    let torn = |bytes: &Vec<u8>| bytes.len() == 8192 && bytes[..512] != bytes[512..1024];
    assert!(all.iter().flatten().any(torn));
}

#[test]
fn no_later_write_survives_an_earlier_one_to_its_page() {
    let mut disk = volume(Model::Strict);
    let a = file(&mut disk, "a");
    disk.sync(a).unwrap();
    disk.sync(ROOT).unwrap();
    write(&mut disk, a, 0, b"a");
    write(&mut disk, a, 1, b"b");
    for found in all_found(&disk, "a", Survival::Random).iter().flatten() {
        assert!(found != &[0, b'b'], "the second byte without the first");
    }
}

#[test]
fn a_cut_of_a_file_shows_no_old_bytes_behind_it() {
    let mut disk = volume(Model::Strict);
    let a = file(&mut disk, "a");
    write(&mut disk, a, 0, &[1; 4096]);
    disk.sync(a).unwrap();
    disk.sync(ROOT).unwrap();
    disk.resize(a, 0).unwrap();
    write(&mut disk, a, 100, &[2; 100]);
    for found in all_found(&disk, "a", Survival::Random).iter().flatten() {
        let is_old = found == &[1; 4096];
        assert!(is_old || !found.contains(&1), "{found:?}");
    }
}

#[test]
fn ext4_commits_the_cut_of_a_file_with_any_sync() {
    let mut disk = volume(Model::Ext4);
    let (a, b) = (file(&mut disk, "a"), file(&mut disk, "b"));
    write(&mut disk, a, 0, b"one");
    disk.sync(a).unwrap();
    disk.resize(a, 1).unwrap();
    write(&mut disk, a, 1, b"x");
    disk.sync(b).unwrap();
    assert_eq!(dropped(&disk, "a"), Some(b"o".to_vec()));
    disk.sync(a).unwrap();
    assert_eq!(dropped(&disk, "a"), Some(b"ox".to_vec()));
}

#[test]
fn everything_is_over_at_the_halt() {
    let plan = Plan {
        halt_at: Some(3),
        ..Plan::default()
    };
    let mut disk = Volume::new(Image::empty(), Model::Ext4, plan);
    let a = file(&mut disk, "a");
    write(&mut disk, a, 0, b"one");
    assert_eq!(disk.sync(a), Err(Refusal::Io));
    assert!(disk.is_halted());
    assert_eq!(disk.write(a, 0, b"two"), Err(Refusal::Io));
    assert!(disk.live().is_err());
    assert_eq!(dropped(&disk, "a"), None);
    disk.resume(Plan::default());
    assert_eq!(disk.live().unwrap().bytes(a), Ok(&b"one"[..]));
}

#[test]
fn pages_of_a_failed_sync_are_lost_until_written_again() {
    let plan = Plan {
        fault: Some((3, Fault::Io)),
        ..Plan::default()
    };
    let mut disk = Volume::new(Image::empty(), Model::Ext4, plan);
    let a = file(&mut disk, "a");
    write(&mut disk, a, 0, &[1; 8192]);
    assert_eq!(disk.sync(a), Err(Refusal::Io));
    disk.sync(a).unwrap();
    assert_eq!(dropped(&disk, "a"), Some(Vec::new()));
    write(&mut disk, a, 0, &[2]);
    disk.sync(a).unwrap();
    let found = dropped(&disk, "a").unwrap();
    assert_eq!((found.len(), found[0], found[4095]), (4096, 2, 1));
}

#[test]
fn faults_fail_one_operation_as_they_say() {
    for (fault, expected) in [
        (Fault::Io, Err(Refusal::Io)),
        (Fault::NoSpace, Err(Refusal::NoSpace)),
        (Fault::Short, Ok(2)),
    ] {
        let plan = Plan {
            fault: Some((2, fault)),
            ..Plan::default()
        };
        let mut disk = Volume::new(Image::empty(), Model::Ext4, plan);
        let a = file(&mut disk, "a");
        assert_eq!(disk.write(a, 0, b"abc"), expected, "{fault:?}");
        assert_eq!(disk.write(a, 0, b"abc"), Ok(3), "{fault:?}");
    }
}

#[test]
fn a_lie_is_answered_like_a_sync() {
    for lie in [Lie::Swallow(1), Lie::IgnoreFiles("a"), Lie::IgnoreFolders] {
        let plan = Plan {
            lie: Some(lie.clone()),
            ..Plan::default()
        };
        let mut disk = Volume::new(Image::empty(), Model::Strict, plan);
        let a = file(&mut disk, "a");
        write(&mut disk, a, 0, b"one");
        disk.sync(a).unwrap();
        disk.sync(ROOT).unwrap();
        assert_ne!(dropped(&disk, "a"), Some(b"one".to_vec()), "{lie:?}");
    }
}

#[test]
fn a_socket_is_a_name_that_moves_and_lasts() {
    let mut disk = volume(Model::Strict);
    let socket = disk.create(ROOT, name("a~"), Kind::Socket, 0o600).unwrap();
    disk.rename((ROOT, name("a~")), (ROOT, name("a"))).unwrap();
    disk.sync(ROOT).unwrap();
    let image = disk.crash(Survival::Drop, &mut fastrand::Rng::with_seed(0));
    assert_eq!(image.lookup(ROOT, name("a")), Ok(socket));
    assert_eq!(image.kind(socket), Ok(Kind::Socket));
    assert_eq!(image.bytes(socket), Err(Refusal::IsASocket));
    disk.remove(ROOT, name("a"), Kind::File).unwrap();
}

#[test]
fn a_kept_disk_is_without_its_sockets() {
    let mut disk = volume(Model::Strict);
    disk.create(ROOT, name("a"), Kind::Socket, 0o600).unwrap();
    let b = file(&mut disk, "b");
    write(&mut disk, b, 0, b"one");
    let folder = tempfile::tempdir().unwrap();
    disk.seen().export(folder.path()).unwrap();
    assert!(!folder.path().join("a").exists());
    assert_eq!(std::fs::read(folder.path().join("b")).unwrap(), b"one");
}
