//! An instance that registers with a daemon, keeps its lease while it works, and deregisters when it ends.
//!
//! ```sh
//! cargo run -p harness --example discovery -- ws://127.0.0.1:9402/ws
//! ```

#![expect(clippy::print_stdout, reason = "it says what it does")]

use harness::core::Span;
use harness::core::model::InstanceSpec;
use harness::discovery::{self, ServiceBootstrap, Site, role};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "ws://127.0.0.1:9402/ws".to_owned());
    let token = std::env::var("HARNESS_TOKEN").ok();
    let registry = Site::daemon(&url, token)?;

    let querier = InstanceSpec {
        zone: "a".to_owned(),
        lease_ttl: Span::from_secs(30),
        ..InstanceSpec::new(role::QUERIER, "querier-1", "10.0.0.7", 9100)
    };
    let registered = ServiceBootstrap::new(registry.clone(), querier)
        .register()
        .await?;
    // It beats every 10 s, and comes back by itself after the daemon was away.
    let heartbeat = tokio::spawn(registered.start_heartbeat());

    for instance in discovery::list(registry, role::QUERIER).await? {
        let (id, address, port) = (instance.instance_id, instance.address, instance.port);
        println!("{id} at {address}:{port}");
    }

    registered.deregister("the example is over").await?;
    println!("{:?}", heartbeat.await?);
    Ok(())
}
