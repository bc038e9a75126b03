//! A bare handler: what HTTP itself costs with an answer of the same size.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use super::harness::http::Http;
use crate::load::Dialogue;
use crate::subject::Subject;

/// `bench bare`, in a process of its own.
pub(crate) struct Bare {
    pub(crate) answer_bytes: usize,
}

impl Subject for Bare {
    fn name(&self) -> String {
        "bare axum handler".into()
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn version(&self) -> String {
        "axum of Cargo.lock".into()
    }

    fn command(&self, _folder: &Path, address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("find the bench")?);
        command.args(["bare", "--bind", &address.to_string()]);
        command.args(["--answer-bytes", &self.answer_bytes.to_string()]);
        Ok(command)
    }

    fn dialogue(&self, address: SocketAddr) -> Box<dyn Dialogue> {
        Box::new(Http::bare(address))
    }
}

/// Serves the handler until the process ends.
///
/// # Errors
/// An address that is taken.
pub(crate) fn serve(address: SocketAddr, answer_bytes: usize) -> Result<()> {
    let answer = format!(
        "{{\"name\":\"{}\"}}",
        "x".repeat(answer_bytes.saturating_sub(11))
    );
    let answer: &'static str = answer.leak();
    let handler = move || async move { ([(CONTENT_TYPE, "application/json")], answer) };
    let router = Router::new().route("/v1/services/{name}", get(handler));
    // What says that it is ready.
    let router = router.route("/v1/ping", get(|| async { "{}" }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Without it an answer waits; the measurement would show that.
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}
