//! Listening: addresses, stale and foreign socket files, and a process without descriptors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{address, listen, within};
use pgsplit_net::{ListenAddr, Listener, Peer};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

fn unix(dir: &TempDir) -> (ListenAddr, PathBuf) {
    let address = ListenAddr::Unix { directory: dir.path().to_owned(), port: 6432 };
    let path = address.path().unwrap();
    (address, path)
}

#[tokio::test]
async fn tcp_over_both_families() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        within(async {
            let mut listener = Listener::bind(&ListenAddr::Tcp(local.parse().unwrap()), false).unwrap();
            let client = TcpStream::connect(address(&listener)).await.unwrap();
            let stream = listener.accept().await.unwrap();
            assert_eq!(stream.peer(), Peer::Tcp(client.local_addr().unwrap()));
        })
        .await;
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = listen();
    let error = Listener::bind(first.local_addr(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
}

#[tokio::test]
async fn several_may_share_a_port() {
    within(async {
        let any = ListenAddr::Tcp("127.0.0.1:0".parse().unwrap());
        let mut first = Listener::bind(&any, true).unwrap();
        let mut second = Listener::bind(first.local_addr(), true).unwrap();
        let _client = TcpStream::connect(address(&first)).await.unwrap();
        tokio::select! {
            accepted = first.accept() => accepted.unwrap(),
            accepted = second.accept() => accepted.unwrap(),
        };
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_comes_and_goes() {
    within(async {
        let dir = TempDir::new().unwrap();
        let (address, path) = unix(&dir);
        assert_eq!(path, dir.path().join(".s.PGSQL.6432"));
        let mut listener = Listener::bind(&address, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
        let mut client = UnixStream::connect(&path).await.unwrap();
        let mut stream = listener.accept().await.unwrap();
        assert_eq!((stream.peer(), stream.is_unix()), (Peer::Unix, true));
        client.write_all(b"hello").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(stream.read_some(&mut buf).await.unwrap(), 5);
        drop(listener);
        assert!(!path.exists());
    })
    .await;
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let dir = TempDir::new().unwrap();
    let (address, path) = unix(&dir);
    drop(StdUnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let live = Listener::bind(&address, false).unwrap();
    assert_eq!(Listener::bind(&address, false).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(path.exists());
    drop(live);
}

#[tokio::test]
async fn another_kind_of_file_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let (address, path) = unix(&dir);
    fs::write(&path, "precious").unwrap();
    assert_eq!(Listener::bind(&address, false).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_successors_socket_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let (address, path) = unix(&dir);
    let first = Listener::bind(&address, false).unwrap();
    fs::remove_file(&path).unwrap();
    let second = Listener::bind(&address, false).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_that_is_too_long_is_named() {
    let dir = TempDir::new().unwrap();
    let address = ListenAddr::Unix { directory: dir.path().join("x".repeat(120)), port: 6432 };
    let error = Listener::bind(&address, false).unwrap_err().to_string();
    assert!(error.contains("xxxx"), "{error}");
}

/// The limit holds for a whole process, so that this test runs again in one of its own.
#[test]
fn a_lack_of_descriptors_is_waited_out() {
    let test = std::env::current_exe().unwrap();
    let run = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact --ignored without_descriptors --nocapture"])
        .arg(test)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && output.contains("1 passed"), "{output}");
}

#[tokio::test]
#[ignore = "run by a_lack_of_descriptors_is_waited_out with a limit of its own"]
async fn without_descriptors() {
    within(async {
        let mut listener = listen();
        let _client = {
            let address = address(&listener);
            TcpStream::connect(address).await.unwrap()
        };
        let mut hoard = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            hoard.push(file);
            assert!(hoard.len() < 1000, "there is no limit");
        }
        let early = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(early.is_err(), "accepted without a descriptor, or gave up: {early:?}");
        drop(hoard);
        listener.accept().await.unwrap();
    })
    .await;
}
