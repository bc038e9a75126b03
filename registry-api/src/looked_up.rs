//! Services that were looked up, rendered once for all who look them up until they change.

use std::sync::{Arc, Weak};

use registry_core::Timestamp;
use registry_core::engine::Service;

use crate::event::raw;
use crate::places::Places;
use crate::shown::ShownService;
use crate::told::SharedJson;

/// Services that are kept rendered.
const PLACES: usize = 32 * 1024;
/// Bytes of a text that is kept, so that the texts of all places take at most 32 MiB.
const TEXT_BYTES_MAX: usize = 1024;
/// 2^64 by the golden ratio: multiplied with it, addresses that differ in few bits differ in the upper ones.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// What was looked up last at each place. A service has two: with one, a quarter of 10,000 services that are looked up in
/// turn share theirs with another and are rendered each time.
#[derive(Debug, Default)]
pub(crate) struct LookedUp(Places<Box<Text>, PLACES>);

#[derive(Debug)]
struct Text {
    /// The record itself goes with its last user; its address stays its own until this does.
    service: Weak<Service>,
    confirmed_at: Timestamp,
    json: SharedJson,
}

impl Text {
    /// Whether nobody can ask for it any more.
    fn is_over(&self) -> bool {
        self.service.strong_count() == 0
    }

    fn is_of(&self, service: &Arc<Service>) -> bool {
        self.service.as_ptr() == Arc::as_ptr(service) && self.confirmed_at == service.confirmed_at()
    }
}

impl LookedUp {
    /// A service as it is answered.
    pub(crate) fn render(&self, service: &Arc<Service>) -> SharedJson {
        let [first, second] = numbers(service);
        let mut kept = self.0.lock(first);
        let found = |kept: &Option<Box<Text>>| {
            let text = kept.as_ref().filter(|text| text.is_of(service));
            text.map(|text| text.json.clone())
        };
        if let Some(json) = found(&kept) {
            return json;
        }
        if kept.as_ref().is_some_and(|text| !text.is_over()) {
            // One at a time: for another service it may be the other way around.
            drop(kept);
            kept = self.0.lock(second);
            if let Some(json) = found(&kept) {
                return json;
            }
        }
        // Before it is rendered: a report that comes meanwhile makes the text an old one at most.
        let confirmed_at = service.confirmed_at();
        let json = SharedJson::from(raw(&ShownService::from(service)));
        if json.get().len() <= TEXT_BYTES_MAX {
            *kept = Some(Box::new(Text {
                service: Arc::downgrade(service),
                confirmed_at,
                json: json.clone(),
            }));
        }
        json
    }
}

fn numbers(service: &Arc<Service>) -> [u64; 2] {
    let address = Arc::as_ptr(service).addr() as u64;
    let spread = address.wrapping_mul(SPREAD);
    [spread, spread.wrapping_mul(SPREAD)].map(|it| it >> (u64::BITS - PLACES.ilog2()))
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, zip};
    use registry_core::engine::{EngineConfig, Registry, RegistryError};
    use registry_core::model::{Health, ServiceEntry};
    use registry_core::{MemoryStore, SystemClock};

    use super::*;
    use crate::answer::ServiceInfo;

    fn service(registry: &Registry) -> Arc<Service> {
        registry.stale_view().get("api").unwrap()
    }

    /// Renders what is there now, twice, and expects it to be told as it is.
    fn shown(looked_up: &LookedUp, registry: &Registry) -> ServiceInfo {
        let service = service(registry);
        let (one, other) = (looked_up.render(&service), looked_up.render(&service));
        assert!(std::ptr::eq(one.get(), other.get()));
        let info: ServiceInfo = serde_json::from_str(one.get()).unwrap();
        assert_eq!(info.revision, service.modified());
        assert_eq!(info.last_health_check, service.health());
        info
    }

    /// Does something with a registry of one service.
    fn with(entry: ServiceEntry, work: impl AsyncFnOnce(&Registry) -> Result<(), RegistryError>) {
        let done = block_on(async {
            let store = Arc::new(MemoryStore::new());
            let clock = Arc::new(SystemClock::new());
            let (registry, driver) = Registry::open(store, EngineConfig::default(), clock).await?;
            let work = async {
                registry.register(entry).await?;
                work(&registry).await?;
                registry.close().await
            };
            let (done, ended) = zip(work, driver.run()).await;
            done.and(ended)
        });
        done.unwrap();
    }

    #[test]
    fn a_service_is_rendered_once_until_something_of_it_changes() {
        with(ServiceEntry::new("api", "1"), async |registry| {
            let looked_up = LookedUp::default();
            let registered = shown(&looked_up, registry);
            registry.report_health("api", Health::Warning, None).await?;
            let reported = shown(&looked_up, registry);
            assert_ne!(reported.revision, registered.revision);
            // Says what is known, and moves the time alone.
            registry.report_health("api", Health::Warning, None).await?;
            let confirmed = shown(&looked_up, registry);
            assert_eq!(confirmed.revision, reported.revision);
            assert_ne!(confirmed.last_health_check, reported.last_health_check);
            Ok(())
        });
    }

    #[test]
    fn services_that_are_looked_up_in_turn_are_rendered_once() {
        with(ServiceEntry::new("api", "1"), async |registry| {
            let names = (0..PLACES / 8).map(|it| format!("api-{it}"));
            for name in names {
                registry.register(ServiceEntry::new(name, "1")).await?;
            }
            let (looked_up, view) = (LookedUp::default(), registry.stale_view());
            let services: Vec<_> = view.services_after(None).collect();
            let texts = || -> Vec<_> { services.iter().map(|it| looked_up.render(it)).collect() };
            texts();
            let (one, other) = (texts(), texts());
            let both = one.iter().zip(&other);
            let kept = both.filter(|(one, other)| std::ptr::eq(one.get(), other.get()));
            let (kept, all) = (kept.count(), services.len());
            assert!(kept > all - all / 20, "{kept} of {all}");
            Ok(())
        });
    }

    #[test]
    fn a_large_service_is_rendered_each_time() {
        let mut entry = ServiceEntry::new("api", "1");
        entry.depends_on = (0..TEXT_BYTES_MAX / 8)
            .map(|it| format!("needed-{it}"))
            .collect();
        with(entry, async |registry| {
            let (looked_up, service) = (LookedUp::default(), service(registry));
            let (one, other) = (looked_up.render(&service), looked_up.render(&service));
            assert_eq!(one.get(), other.get());
            assert!(!std::ptr::eq(one.get(), other.get()));
            Ok(())
        });
    }
}
