//! A hint from Patroni's REST interface makes the control plane ask at once.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::Watched;
use pgsplit_route::NodeId;

/// Answers as a member of Patroni would.
struct Member {
    url: String,
    promoted: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Member {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (promoted, asked, end) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let (now, count, stop) = (promoted.clone(), asked.clone(), end.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let n = stream.read(&mut request).unwrap();
                assert!(request[..n].starts_with(b"GET /patroni HTTP/1."));
                let role = if now.load(Ordering::Relaxed) { "primary" } else { "replica" };
                let body = format!("{{\"state\": \"running\", \"role\": \"{role}\", \"timeline\": 1}}");
                let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { url, promoted, asked, end, thread: Some(thread) }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.url.trim_start_matches("http://"));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_hint_makes_it_ask_at_once() {
    let member = Member::start();
    let watched = Watched::with("hinted", 1, None, |settings| {
        // Probes alone would take much longer than this test waits.
        settings.interval = Duration::from_secs(600);
        settings.patroni = vec![member.url.clone()];
    });
    watched.until("Patroni is asked", |_| member.asked.load(Ordering::Relaxed) > 1);
    assert_eq!(watched.view().primary, Some(NodeId(0)));
    watched.servers.replica(0).promote().unwrap();
    assert_eq!(watched.view().primary, Some(NodeId(0)), "nobody has said anything yet");
    member.promoted.store(true, Ordering::Relaxed);
    let hinted = Instant::now();
    watched.until("the new primary is found", |view| view.primary == Some(NodeId(1)));
    assert!(hinted.elapsed() < Duration::from_secs(5), "{:?}", hinted.elapsed());
}
