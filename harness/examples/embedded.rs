//! A registry in a process of your own, with the WebSocket face on the runtime of your choice.
//!
//! ```sh
//! cargo run -p harness --example embedded -- registry.json
//! ```

use harness::{Registry, WsConfig, WsServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "registry.json".to_owned());
    let registry = Registry::load_or_create(path).await?;
    let server = WsServer::new(&registry, WsConfig::default());
    server
        .serve("127.0.0.1:8080", |handler| {
            // Why a connection ended is the peer's affair.
            tokio::spawn(async move { drop(handler.handle().await) });
        })
        .await?;
    Ok(())
}
