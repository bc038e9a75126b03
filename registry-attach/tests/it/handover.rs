//! A newer version takes the store over from an older one.

use futures_lite::future::block_on;
use registry_attach::Claim;
use registry_core::{RegistryStore as _, Revision};

use crate::fixture::{apply, place, put, share, version, version_of};

#[test]
fn newer_version_takes_over_without_a_gap() {
    let (_folder, path) = place();
    let old = share(version(&path, "0.1.0", Claim::OwnNewer)).unwrap();
    let bystander = share(version(&path, "0.1.0", Claim::OwnNewer)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut last = Revision::ZERO;
            for number in 0..200 {
                let revision = apply(&old, put("a", &number.to_string())).expect("no call fails");
                assert!(revision > last);
                last = revision;
            }
            last
        });
        let new = share(version(&path, "0.2.0", Claim::OwnNewer)).unwrap();
        let last = writer.join().unwrap();
        assert_eq!(last, Revision(200));
        assert_eq!(version_of(&new, "a").as_deref(), Some("199"));
        assert_eq!(
            apply(&bystander, put("a", "bystander")).unwrap(),
            Revision(201)
        );
        let sharing = block_on(new.sharing()).unwrap();
        assert_eq!(sharing.owner.version, "0.2.0");
        assert_eq!(sharing.attached.len(), 2);
        assert!(block_on(old.verify()).unwrap().is_clean());
    });
}

#[test]
fn older_or_equal_version_attaches() {
    let (_folder, path) = place();
    let owner = share(version(&path, "0.2.0", Claim::OwnNewer)).unwrap();
    let _older = share(version(&path, "0.1.9", Claim::OwnNewer)).unwrap();
    let _equal = share(version(&path, "0.2.0", Claim::OwnNewer)).unwrap();
    let sharing = block_on(owner.sharing()).unwrap();
    assert_eq!(
        (sharing.owner.version.as_str(), sharing.attached.len()),
        ("0.2.0", 2)
    );
}

#[test]
fn newer_version_that_does_not_ask_attaches() {
    let (_folder, path) = place();
    let owner = share(version(&path, "0.1.0", Claim::Own)).unwrap();
    let _tool = share(version(&path, "0.2.0", Claim::Own)).unwrap();
    assert_eq!(block_on(owner.sharing()).unwrap().owner.version, "0.1.0");
}
