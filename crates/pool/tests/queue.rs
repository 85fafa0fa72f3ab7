//! Taking and giving back, limits and the queue, against a server of a few lines that lets everybody in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use pgsplit_net::ClientTls;
use pgsplit_pool::{
    CheckoutError, Credentials, Environment, Gauges, OpenError, Pool, PoolKey, PoolSettings, Pools, Report,
    Server, Settings, UserPools,
};
use pgsplit_route::{Node, NodeId, Role, View};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// What the server saw, and how it behaves.
#[derive(Debug, Default)]
struct Said {
    logins: AtomicUsize,
    open: AtomicUsize,
    /// What came behind the code of each cancel request.
    cancels: Mutex<Vec<Vec<u8>>>,
    /// The cancel key that is told; four bytes when it is empty.
    key: Mutex<Vec<u8>>,
    /// Logins are not answered while this is set.
    slow: AtomicBool,
    /// Logins are refused.
    refuses: AtomicBool,
    failures: Mutex<Vec<NodeId>>,
}

#[derive(Debug)]
struct Told(Arc<Said>);

impl Report for Told {
    fn node_failed(&self, node: NodeId, _: &OpenError) {
        self.0.failures.lock().unwrap().push(node);
    }

    fn hint(&self, _: NodeId) {}
}

struct World {
    said: Arc<Said>,
    pools: Arc<Pools>,
    view: Arc<ArcSwap<View>>,
    server: tokio::task::JoinHandle<()>,
}

fn settings() -> PoolSettings {
    PoolSettings {
        primary_connections: 2,
        replica_connections: 2,
        max_connections: Some(3),
        min_idle: 0,
        wait: LONG,
        idle_timeout: None,
        lifetime: None,
        prepared_statements: NonZeroUsize::MIN,
        waiting: 100,
        connect: LONG,
        asks_search_path: false,
    }
}

impl World {
    async fn new(settings: PoolSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(Said::default());
        let server = tokio::spawn(serve(listener, said.clone()));
        let node = Node::new(0, "one", &address.to_string()).up(Role::Primary);
        let node = Node { resolved: [address].into(), connection_limit: 100, ..node };
        let view = View { nodes: vec![node], primary: Some(NodeId(0)), generation: 1, ..View::default() };
        let view = Arc::new(ArcSwap::from_pointee(view));
        let told = Box::new(Told(said.clone()));
        let environment =
            Environment::new(view.clone(), settings, ClientTls::disabled(), Arc::default(), told);
        Self { said, pools: Pools::new(environment), view, server }
    }

    fn users(&self, user: &str) -> Arc<UserPools> {
        let key = PoolKey { user: user.as_bytes().into(), database: b"d"[..].into() };
        self.pools.get(&key, Credentials::None)
    }

    fn outstanding(&self) -> u32 {
        self.view.load().nodes[0].load()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, said: Arc<Said>) {
    while let Ok((stream, _)) = listener.accept().await {
        let said = said.clone();
        tokio::spawn(async move {
            let _ = attend(stream, &said).await;
        });
    }
}

async fn attend(mut stream: TcpStream, said: &Said) -> std::io::Result<()> {
    let mut packet = vec![0; usize::try_from(stream.read_u32().await?).unwrap() - 4];
    stream.read_exact(&mut packet).await?;
    if packet.starts_with(&80_877_102_u32.to_be_bytes()) {
        said.cancels.lock().unwrap().push(packet[4..].to_vec());
        return Ok(());
    }
    while said.slow.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    if said.refuses.load(Ordering::SeqCst) {
        return stream.write_all(b"E\0\0\0\x16SFATAL\0C28000\0Mno\0\0").await;
    }
    said.logins.fetch_add(1, Ordering::SeqCst);
    said.open.fetch_add(1, Ordering::SeqCst);
    let key = said.key.lock().unwrap().clone();
    let done = welcome(&mut stream, if key.is_empty() { b"\0\0\0\x09" } else { &key }).await;
    said.open.fetch_sub(1, Ordering::SeqCst);
    done
}

/// Lets it in, and answers every Sync until it says goodbye.
async fn welcome(stream: &mut TcpStream, key: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(key.len() + 8).unwrap().to_be_bytes();
    let greeting = [b"R\0\0\0\x08\0\0\0\0K", &length[..], b"\0\0\0\x07", key, b"Z\0\0\0\x05I"].concat();
    stream.write_all(&greeting).await?;
    loop {
        let tag = stream.read_u8().await?;
        let length = usize::try_from(stream.read_u32().await?).unwrap() - 4;
        stream.read_exact(&mut vec![0; length]).await?;
        match tag {
            b'S' => stream.write_all(b"Z\0\0\0\x05I").await?,
            _ => return Ok(()),
        }
    }
}

async fn take(users: &UserPools) -> Result<Box<Server>, CheckoutError> {
    pool(users).take(&Settings::none(), &Settings::none()).await
}

fn pool(users: &UserPools) -> &Arc<Pool> {
    users.pool(NodeId(0)).unwrap()
}

/// Takes in a task of its own, once those before it are in line.
async fn in_line(users: &Arc<UserPools>) -> tokio::task::JoinHandle<Result<Box<Server>, CheckoutError>> {
    let before = pool(users).gauges().waiting;
    let task = tokio::spawn({
        let users = users.clone();
        async move { take(&users).await }
    });
    until(|| pool(users).gauges().waiting > before).await;
    task
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
}

#[tokio::test]
async fn what_is_put_back_is_taken_again() {
    let world = World::new(settings()).await;
    let users = world.users("a");
    let server = take(&users).await.unwrap();
    assert_eq!((pool(&users).gauges().busy, world.outstanding()), (1, 1));
    server.put_back();
    assert_eq!(pool(&users).gauges(), Gauges { idle: 1, ..Gauges::default() });
    let again = take(&users).await.unwrap();
    assert_eq!((world.said.logins.load(Ordering::SeqCst), world.outstanding()), (1, 1));
    drop(again);
    assert_eq!((pool(&users).gauges(), world.pools.open_on(NodeId(0))), (Gauges::default(), 0));
    assert_eq!(world.outstanding(), 0);
    until(|| world.said.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn first_come_first_served() {
    let world = World::new(PoolSettings { primary_connections: 1, ..settings() }).await;
    let users = world.users("a");
    let mut held = take(&users).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(in_line(&users).await);
    }
    for (at, task) in tasks.into_iter().enumerate() {
        assert_eq!(pool(&users).gauges().waiting, 5 - at);
        held.put_back();
        held = task.await.unwrap().unwrap();
    }
    assert_eq!(world.said.logins.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn whoever_gives_up_holds_nobody_up() {
    let world = World::new(PoolSettings { primary_connections: 1, ..settings() }).await;
    let users = world.users("a");
    let held = take(&users).await.unwrap();
    let (gone, stays) = (in_line(&users).await, in_line(&users).await);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    held.put_back();
    drop(stays.await.unwrap().unwrap());
    assert_eq!((pool(&users).gauges(), world.pools.waiting()), (Gauges::default(), 0));
}

#[tokio::test]
async fn a_connection_in_the_making_outlives_whoever_asked() {
    let world = World::new(settings()).await;
    let users = world.users("a");
    world.said.slow.store(true, Ordering::SeqCst);
    let gone = in_line(&users).await;
    until(|| pool(&users).gauges().opening == 1).await;
    gone.abort();
    world.said.slow.store(false, Ordering::SeqCst);
    until(|| pool(&users).gauges() == Gauges { idle: 1, ..Gauges::default() }).await;
}

#[tokio::test]
async fn waiting_ends() {
    let world = World::new(PoolSettings {
        primary_connections: 1,
        wait: Duration::from_millis(50),
        waiting: 1,
        ..settings()
    })
    .await;
    let users = world.users("a");
    let held = take(&users).await.unwrap();
    let waits = in_line(&users).await;
    assert!(matches!(take(&users).await, Err(CheckoutError::QueueFull)));
    let error = waits.await.unwrap().unwrap_err();
    assert!(matches!(error, CheckoutError::Timeout));
    assert!(error.to_pg().to_string().contains("pool.wait"), "{error}");
    // The one that gave up does not fill the queue.
    let waits = in_line(&users).await;
    held.put_back();
    assert!(waits.await.unwrap().is_ok());
}

#[tokio::test]
async fn idle_connections_of_other_pools_make_room() {
    let world = World::new(PoolSettings { max_connections: Some(1), ..settings() }).await;
    let (a, b) = (world.users("a"), world.users("b"));
    take(&a).await.unwrap().put_back();
    let server = take(&b).await.unwrap();
    assert_eq!((pool(&a).gauges().idle, world.pools.open_on(NodeId(0))), (0, 1));
    let waits = in_line(&a).await;
    // Given back, it is closed, since another pool waits for its place.
    server.put_back();
    assert!(waits.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_pool_that_needs_no_place_any_more_passes_it_on() {
    let world = World::new(PoolSettings { max_connections: Some(1), ..settings() }).await;
    let (a, b, c) = (world.users("a"), world.users("b"), world.users("c"));
    let held = take(&a).await.unwrap();
    let gone = in_line(&b).await;
    let stays = in_line(&c).await;
    gone.abort();
    assert!(gone.await.is_err());
    held.put_back();
    assert!(tokio::time::timeout(LONG / 2, stays).await.unwrap().unwrap().is_ok());
    assert_eq!(world.said.logins.load(Ordering::SeqCst), 2, "none was made for the one that has gone");
}

#[tokio::test]
async fn a_refusal_is_for_one_and_gives_its_place_back() {
    let world = World::new(settings()).await;
    let users = world.users("a");
    world.said.refuses.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        let error = take(&users).await.unwrap_err();
        assert!(matches!(&error, CheckoutError::Open(OpenError::Refused { .. })), "{error}");
    }
    until(|| pool(&users).gauges() == Gauges::default() && world.pools.open_on(NodeId(0)) == 0).await;
    let failures = &world.pools.environment().metrics.open_failures;
    assert_eq!(failures.load(Ordering::Relaxed), 10, "each of them was tried once");
    assert!(world.said.failures.lock().unwrap().is_empty(), "the node is not to blame");
    world.said.refuses.store(false, Ordering::SeqCst);
    assert!(take(&users).await.is_ok());
}

#[tokio::test]
async fn a_node_that_is_not_there_is_reported() {
    let world = World::new(settings()).await;
    world.server.abort();
    let users = world.users("a");
    until(|| world.server.is_finished()).await;
    assert!(matches!(take(&users).await, Err(CheckoutError::Open(OpenError::Unreachable { .. }))));
    assert_eq!(*world.said.failures.lock().unwrap(), [NodeId(0)]);
    assert_eq!(world.pools.open_on(NodeId(0)), 0);
}

#[tokio::test]
async fn what_knows_a_custom_name_serves_only_who_knows_it_too() {
    let world = World::new(PoolSettings { primary_connections: 1, ..settings() }).await;
    let users = world.users("a");
    let tenant = Settings::new([(&b"app.tenant"[..], &b"1"[..])]);
    let mut server = take(&users).await.unwrap();
    server.set_applied(&tenant);
    server.put_back();
    assert!(pool(&users).try_take(&Settings::none(), &Settings::none()).is_none());
    let other = tenant.with(b"app.tenant", b"2");
    pool(&users).try_take(&other, &Settings::none()).unwrap().put_back();
    // Whoever does not know it gets a new one in its place.
    let server = take(&users).await.unwrap();
    assert!(server.applied().is_empty());
    assert_eq!(world.said.logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_was_opened_with_settings_serves_only_who_began_with_them() {
    let world = World::new(settings()).await;
    let users = world.users("a");
    let base = |zone: &'static [u8]| Settings::new([(&b"timezone"[..], zone)]);
    let server = pool(&users).open_new(&base(b"UTC")).await.unwrap();
    assert_eq!(server.applied(), &base(b"UTC"));
    server.put_back();
    assert!(pool(&users).try_take(&base(b"Asia/Tokyo"), &base(b"Asia/Tokyo")).is_none());
    assert!(pool(&users).try_take(&base(b"UTC"), &base(b"Asia/Tokyo")).is_none());
    assert!(pool(&users).try_take(&base(b"Asia/Tokyo"), &base(b"UTC")).is_some());
}

#[tokio::test]
async fn nobody_gets_a_connection_while_a_cancel_for_it_is_on_its_way() {
    let world = World::new(PoolSettings { primary_connections: 1, ..settings() }).await;
    let users = world.users("a");
    let server = take(&users).await.unwrap();
    let in_flight = server.cancel.begin();
    server.put_back();
    assert!(pool(&users).try_take(&Settings::none(), &Settings::none()).is_none());
    let waits = in_line(&users).await;
    assert!(!waits.is_finished());
    in_flight.send(&ClientTls::disabled()).await;
    assert!(waits.await.unwrap().is_ok());
    assert_eq!(*world.said.cancels.lock().unwrap(), [b"\0\0\0\x07\0\0\0\x09"]);
    assert_eq!(world.said.logins.load(Ordering::SeqCst), 1, "it was the same connection");
}

/// Protocol 3.2 allows keys of up to 256 bytes; a server behind something else may tell one although 3.0 was asked for.
#[tokio::test]
async fn a_servers_key_may_have_4_to_256_bytes() {
    for (length, fits) in [(3, false), (4, true), (32, true), (256, true), (257, false)] {
        let world = World::new(settings()).await;
        let key: Vec<u8> = (0..=255).cycle().take(length).collect();
        world.said.key.lock().unwrap().clone_from(&key);
        match take(&world.users("a")).await {
            Ok(server) => {
                assert!(fits, "{length}");
                server.cancel.begin().send(&ClientTls::disabled()).await;
                let sent = [&b"\0\0\0\x07"[..], &key].concat();
                assert_eq!(*world.said.cancels.lock().unwrap(), [sent]);
            }
            Err(error) => {
                assert!(!fits, "{length}");
                assert!(matches!(error, CheckoutError::Open(OpenError::Protocol { .. })), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn time_and_change_close_idle_connections() {
    let short = Some(Duration::from_millis(1));
    let world = World::new(PoolSettings { idle_timeout: short, ..settings() }).await;
    let (users, pools) = (world.users("a"), world.pools.clone());
    let care = tokio::spawn(pools.look_after());
    take(&users).await.unwrap().put_back();
    until(|| pool(&users).gauges() == Gauges::default()).await;
    let environment = world.pools.environment();
    environment.settings.store(Arc::new(PoolSettings { min_idle: 2, ..settings() }));
    until(|| pool(&users).gauges().idle == 2).await;
    // A lower limit, and another primary.
    environment.settings.store(Arc::new(PoolSettings { primary_connections: 1, ..settings() }));
    until(|| pool(&users).gauges().idle == 1).await;
    world.view.store(Arc::new(View { generation: 2, ..(**world.view.load()).clone() }));
    until(|| pool(&users).gauges().idle == 0).await;
    drop(users);
    until(|| world.pools.gauges().is_empty()).await;
    care.abort();
}
