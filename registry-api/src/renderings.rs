//! Records that are answered alone, rendered once for all answers until they change.

use std::sync::{Arc, Weak};

use registry_core::Timestamp;
use registry_core::engine::{Instance, Service};

use crate::event::raw;
use crate::places::Places;
use crate::shown::{ShownInstance, ShownService};

/// Records of one kind that are kept rendered.
const PLACES: usize = 32 * 1024;
/// Bytes of a text that is kept, so that the texts of all places take at most 32 MiB.
const TEXT_BYTES_MAX: usize = 1024;
/// 2^64 by the golden ratio: multiplied with it, addresses that differ in few bits differ in the upper ones.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A record of the view that is rendered.
pub(crate) trait Rendered {
    /// What moves where the text does and the record stays the same one.
    fn confirmed_at(&self) -> Timestamp;

    /// The text.
    fn render(self: &Arc<Self>) -> Arc<str>;
}

/// The JSON that a lookup answers.
impl Rendered for Service {
    fn confirmed_at(&self) -> Timestamp {
        self.confirmed_at()
    }

    fn render(self: &Arc<Self>) -> Arc<str> {
        Box::<str>::from(raw(&ShownService::from(self))).into()
    }
}

/// The JSON that a lookup and a heartbeat answer, up to the time that each heartbeat moves.
impl Rendered for Instance {
    fn confirmed_at(&self) -> Timestamp {
        self.confirmed_at()
    }

    fn render(self: &Arc<Self>) -> Arc<str> {
        ShownInstance::from(self).up_to_last_seen().into()
    }
}

/// What was rendered last at each place. A record has two: with one, a quarter of 10,000 services that are looked up in
/// turn share theirs with another and are rendered each time.
#[derive(Debug)]
pub(crate) struct Renderings<R>(Places<Box<Rendering<R>>, PLACES>);

#[derive(Debug)]
struct Rendering<R> {
    /// The record itself goes with its last user; its address stays its own until this does.
    record: Weak<R>,
    confirmed_at: Timestamp,
    text: Arc<str>,
}

impl<R: Rendered> Rendering<R> {
    /// Whether nobody can ask for it any more.
    fn is_over(&self) -> bool {
        self.record.strong_count() == 0
    }

    fn is_of(&self, record: &Arc<R>) -> bool {
        self.record.as_ptr() == Arc::as_ptr(record) && self.confirmed_at == record.confirmed_at()
    }
}

impl<R> Default for Renderings<R> {
    fn default() -> Self {
        Self(Places::default())
    }
}

impl<R: Rendered> Renderings<R> {
    /// The text of a record.
    pub(crate) fn render(&self, record: &Arc<R>) -> Arc<str> {
        let [first, second] = numbers(record);
        let mut kept = self.0.lock(first);
        let found = |kept: &Option<Box<Rendering<R>>>| {
            let rendering = kept.as_ref().filter(|rendering| rendering.is_of(record));
            rendering.map(|rendering| Arc::clone(&rendering.text))
        };
        if let Some(text) = found(&kept) {
            return text;
        }
        if kept.as_ref().is_some_and(|rendering| !rendering.is_over()) {
            // One at a time: for another record it may be the other way around.
            drop(kept);
            kept = self.0.lock(second);
            if let Some(text) = found(&kept) {
                return text;
            }
        }
        // Before it is rendered: a report that comes meanwhile makes the text an old one at most.
        let confirmed_at = record.confirmed_at();
        let text = record.render();
        if text.len() <= TEXT_BYTES_MAX {
            *kept = Some(Box::new(Rendering {
                record: Arc::downgrade(record),
                confirmed_at,
                text: Arc::clone(&text),
            }));
        }
        text
    }
}

fn numbers<R>(record: &Arc<R>) -> [u64; 2] {
    let address = Arc::as_ptr(record).addr() as u64;
    let spread = address.wrapping_mul(SPREAD);
    [spread, spread.wrapping_mul(SPREAD)].map(|it| it >> (u64::BITS - PLACES.ilog2()))
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, zip};
    use registry_core::engine::{Context, EngineConfig, InstanceChange, Registry, RegistryError};
    use registry_core::model::{Health, InstanceSpec, Intent, ServiceEntry};
    use registry_core::{MemoryStore, SystemClock};

    use super::*;
    use crate::answer::{ServiceInfo, Written};
    use crate::api::Api;
    use crate::auth::Authenticator;

    fn service(registry: &Registry) -> Arc<Service> {
        registry.stale_view().get("api").unwrap()
    }

    /// Renders what is there now, twice, and expects it to be told as it is.
    fn shown(renderings: &Renderings<Service>, registry: &Registry) -> ServiceInfo {
        let service = service(registry);
        let (one, other) = (renderings.render(&service), renderings.render(&service));
        assert!(Arc::ptr_eq(&one, &other));
        let info: ServiceInfo = serde_json::from_str(&one).unwrap();
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
            let renderings = Renderings::default();
            let registered = shown(&renderings, registry);
            registry.report_health("api", Health::Warning, None).await?;
            let reported = shown(&renderings, registry);
            assert_ne!(reported.revision, registered.revision);
            // Says what is known, and moves the time alone.
            registry.report_health("api", Health::Warning, None).await?;
            let confirmed = shown(&renderings, registry);
            assert_eq!(confirmed.revision, reported.revision);
            assert_ne!(confirmed.last_health_check, reported.last_health_check);
            Ok(())
        });
    }

    #[test]
    fn a_heartbeat_and_a_lookup_answer_the_instance_as_it_is_now() {
        let mut spec = InstanceSpec::new("api", "one", "10.0.0.7", 80);
        let misleading = r#"}","last_seen":"#.to_owned();
        spec.metadata.insert(misleading.clone(), misleading);
        with(ServiceEntry::new("api", "1"), async |registry| {
            registry
                .register_instance(spec, None, Context::default())
                .await?;
            let api = Api::new(registry.clone());
            let caller = Authenticator::default()
                .authenticate(None, api.now())
                .unwrap();
            let params = serde_json::json!({ "service": "api", "instance_id": "one" });
            let ask = async |action| {
                let answer = api.call(action, &params.to_string(), &caller).await;
                answer.unwrap().data
            };
            let beat = async || {
                let (beaten, found) = (ask("heartbeat").await, ask("get_instance").await);
                let view = registry.stale_view();
                let shown = view.instance("api", "one").map(ShownInstance::from);
                assert_eq!(found.get(), raw(&shown).get());
                let written = Written {
                    revision: view.revision(),
                    changed: false,
                    service: None,
                    instance: shown,
                };
                assert_eq!(beaten.get(), raw(&written).get());
            };
            beat().await;
            // The same text again, and then another record.
            beat().await;
            let change = InstanceChange::SetIntent(Intent::Draining);
            registry
                .change_instance("api", "one", change, Context::default())
                .await?;
            beat().await;
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
            let (renderings, view) = (Renderings::default(), registry.stale_view());
            let services: Vec<_> = view.services_after(None).collect();
            let texts = || -> Vec<_> { services.iter().map(|it| renderings.render(it)).collect() };
            texts();
            let (one, other) = (texts(), texts());
            let both = one.iter().zip(&other);
            let kept = both.filter(|(one, other)| Arc::ptr_eq(one, other));
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
            let (renderings, service) = (Renderings::default(), service(registry));
            let (one, other) = (renderings.render(&service), renderings.render(&service));
            assert_eq!(one, other);
            assert!(!Arc::ptr_eq(&one, &other));
            Ok(())
        });
    }
}
