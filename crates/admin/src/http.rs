//! The HTTP server: an index, `/metrics`, `/healthz`, `/readyz`.

use std::fmt::Write;
use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pgsplit_session::Shared;
use tokio::net::TcpListener;

use crate::figures::ControlSource;
use crate::metrics;

/// What the pages are made from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The data path.
    pub shared: Arc<Shared>,
    /// What the binary knows besides.
    pub control: Arc<dyn ControlSource>,
    /// The version that runs.
    pub version: &'static str,
}

/// The content type of the metrics, as the OpenMetrics specification has it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `shutdown` ends.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/", get(index))
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(sources);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn index(State(sources): State<Sources>) -> String {
    let mut text = format!("pgsplit {}\n\n", sources.version);
    let view = sources.shared.view.load();
    for node in view.listed() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<20} {:<8} {}", node.name, node.role.name(), metrics::state(node));
    }
    text.push_str("\n/metrics   counters, in OpenMetrics format\n/healthz   200 while the process serves\n");
    text.push_str("/readyz    200 while clients are accepted and a primary is known, else 503\n");
    text
}

async fn scrape(State(sources): State<Sources>) -> Response {
    match metrics::text(&sources) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(sources): State<Sources>) -> (StatusCode, &'static str) {
    if sources.shared.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if sources.shared.view.load().primary.is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "no primary is known\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}
