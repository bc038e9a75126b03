//! A registry in memory behind a face, and a client over a stream in memory. Time is virtual: it moves on where nothing
//! else happens, so that no input waits.

use std::sync::Arc;
use std::time::Duration;

use registry_api::Api;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::{Head, ManualClock, MemoryStore, RegistryStore as _, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

/// What every registry has at the beginning: a service with an instance, so that requests find something.
const FIRST_REQUESTS: [(&str, &str); 2] = [
    (
        "register_service",
        r#"{"service":{"name":"api","version":"1.4.2","state":"running"}}"#,
    ),
    (
        "register_instance",
        r#"{"instance":{"service":"api","instance_id":"api-1","address":"10.0.0.7","port":80,"lease_ttl":"90s"}}"#,
    ),
];
/// Virtual time after which a client takes what it heard for everything.
const QUIET: Duration = Duration::from_secs(1);
/// Virtual time after which a connection should have ended.
const END: Duration = Duration::from_secs(3600);
/// Bytes that a stream holds before its writer waits.
const STREAM_BYTES: usize = 64 * 1024;
/// Bytes that arrive together where an input arrives in pieces.
const PIECE_BYTES: usize = 7;

/// A registry in memory, and the store below it.
pub(crate) struct Bench {
    pub(crate) api: Api,
    store: Arc<MemoryStore>,
}

impl Bench {
    /// Runs something beside the driver of a fresh registry.
    pub(crate) fn with<T>(work: impl AsyncFnOnce(&Self) -> T) -> T {
        Self::configured(EngineConfig::default(), work)
    }

    /// As [`with`](Self::with), with another configuration.
    pub(crate) fn configured<T>(config: EngineConfig, work: impl AsyncFnOnce(&Self) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the system");
        runtime.block_on(async {
            let store = Arc::new(MemoryStore::new());
            let clock = Arc::new(ManualClock::at(Timestamp::from_nanos(
                1_767_323_045_000_000_000,
            )));
            let opened = Registry::open(Arc::clone(&store) as _, config, clock);
            let (registry, driver) = opened.await.expect("memory opens");
            let bench = Self {
                api: Api::new(registry),
                store,
            };
            let worked = async {
                bench.prepare().await;
                work(&bench).await
            };
            tokio::select! {
                biased;
                ended = driver.run() => panic!("the driver ended: {ended:?}"),
                answer = worked => answer,
            }
        })
    }

    async fn prepare(&self) {
        let caller = self.caller();
        for (action, params) in FIRST_REQUESTS {
            let answer = self.api.call(action, params, &caller).await;
            answer.expect("the first requests are right");
        }
    }

    /// Somebody who may do anything.
    pub(crate) fn caller(&self) -> registry_api::Caller {
        registry_api::Authenticator::default()
            .authenticate(None, self.api.now())
            .expect("no token is required")
    }

    /// Where the store's log ends and what its state adds up to.
    pub(crate) async fn head(&self) -> Head {
        self.store.head().await.expect("memory is readable")
    }

    /// Checks that the store is whole, and that the registry still answers.
    pub(crate) async fn check_alive(&self) {
        let report = self.store.verify().await.expect("memory is readable");
        assert!(report.is_clean(), "{report:?}");
        let pong = self.api.call("ping", "{}", &self.caller()).await;
        pong.expect("a ping is answered");
    }
}

/// Has a face handle a connection on which a client sends `input`, and answers what the client heard.
///
/// The client ends the connection once it hears nothing more. An input of odd length arrives in small pieces.
pub(crate) async fn converse<F>(input: &[u8], handle: impl FnOnce(DuplexStream) -> F) -> Vec<u8>
where
    F: Future,
{
    let (client, server) = duplex(STREAM_BYTES);
    let handled = timeout(END, handle(server));
    let (heard, ended) = tokio::join!(ask(client, input), handled);
    assert!(ended.is_ok(), "the connection has no end");
    heard
}

async fn ask(client: DuplexStream, input: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(client);
    let piece = if input.len().is_multiple_of(2) {
        STREAM_BYTES
    } else {
        PIECE_BYTES
    };
    let quiet = tokio::sync::Notify::new();
    let speak = async {
        for piece in input.chunks(piece) {
            // The other end need not want it.
            if writer.write_all(piece).await.is_err() {
                break;
            }
        }
        quiet.notified().await;
        drop(writer.shutdown().await);
        std::future::pending().await
    };
    let hear = async {
        let mut heard = Vec::new();
        while let Ok(Ok(1..)) = timeout(QUIET, reader.read_buf(&mut heard)).await {}
        quiet.notify_one();
        while let Ok(Ok(1..)) = timeout(QUIET, reader.read_buf(&mut heard)).await {}
        heard
    };
    tokio::select! {
        heard = hear => heard,
        never = speak => never,
    }
}
