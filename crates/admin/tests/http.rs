//! The pages over a real socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use pgsplit_admin::{Sources, serve};
use pgsplit_route::View;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

/// A server for these sources, and what ends it.
struct Server {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(sources: Sources) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(serve(listener, sources, async { ended.await.unwrap() }));
        Self { address, end, task }
    }

    /// Status line and body.
    async fn get(&self, path: &str) -> (String, String) {
        let answer = timeout(LIMIT, async {
            let mut socket = TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn pages_of_a_ready_process() {
    let server = Server::start(common::sources(common::view())).await;
    let ok = "HTTP/1.1 200 OK".to_owned();
    assert_eq!(server.get("/healthz").await, (ok.clone(), "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (ok.clone(), "ready\n".to_owned()));
    let (status, index) = server.get("/").await;
    assert!(status == ok && index.contains("pgsplit 1.2.3") && index.contains("/metrics"), "{index}");
    let (status, metrics) = server.get("/metrics").await;
    assert!(status == ok && metrics.contains("\npgsplit_node_up{node=\"db1\"} 1.0\n"), "{metrics}");
    assert!(server.get("/nothing").await.0.starts_with("HTTP/1.1 404"));
    server.end().await;
}

#[tokio::test]
async fn not_ready_without_a_primary_or_while_draining() {
    let sources = common::sources(View { primary: None, ..common::view() });
    let shared = sources.shared.clone();
    let server = Server::start(sources).await;
    let unavailable = "HTTP/1.1 503 Service Unavailable".to_owned();
    assert_eq!(server.get("/readyz").await, (unavailable.clone(), "no primary is known\n".to_owned()));
    assert_eq!(server.get("/healthz").await.1, "ok\n");
    shared.view.store(common::view().into());
    assert_eq!(server.get("/readyz").await.1, "ready\n");
    shared.drain();
    assert_eq!(server.get("/readyz").await, (unavailable, "draining\n".to_owned()));
    server.end().await;
}
