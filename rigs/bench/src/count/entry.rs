//! Records of the size that real ones have, as in S3-41: some 400 bytes stored, 550 as JSON.

use std::fmt::Write as _;
use std::net::SocketAddr;

use registry_core::model::{Endpoint, ExecutionInfo, Protocol, ServiceEntry, ServiceState};

/// Teams that the services belong to.
const TEAMS: u64 = 40;

/// The name of the n-th service. The names of neighbours lie far from each other.
pub(crate) fn name(index: u64) -> String {
    format!("team-{:02}/service-{index:06}", index % TEAMS)
}

/// The n-th service, of a release.
pub(crate) fn service(index: u64, release: u64) -> ServiceEntry {
    let name = name(index);
    let version = format!("1.{release}.0");
    let [.., high, low] = index.to_be_bytes();
    let address = |port| SocketAddr::from(([10, 1, high, low], port));
    let endpoint = |name: &str, port| Endpoint {
        name: name.to_owned(),
        address: address(port),
        protocol: Protocol::new("http"),
    };
    let mut image = format!("images.example.net/{name}");
    write!(image, ":{version}").expect("a String takes everything");
    ServiceEntry {
        execution: ExecutionInfo::DockerContainer {
            container_id: format!("4f6b2c0f8d1e{index:08x}"),
            image,
        },
        endpoints: vec![endpoint("http", 8080), endpoint("metrics", 9090)],
        depends_on: ["collector", "database", "queue"]
            .map(str::to_owned)
            .to_vec(),
        state: ServiceState::Running,
        ..ServiceEntry::new(&name, &version)
    }
}
