//! What is counted for the budget of instructions: the scan of a text, facts and decision, and whole queries, simple and
//! extended, between a client and servers of a few lines. `scripts/budget` runs it under callgrind:
//!
//!     budget SCENARIO COUNT
//!
//! Client, proxy and servers share one thread, so that nothing depends on when which of them runs. Without arguments
//! each scenario is run once.

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use pgsplit_config::ConsistencyLevel;
use pgsplit_net::{ClientTls, ServerTls, Stream};
use pgsplit_pool::{Environment, OpenError, PoolSettings, Pools, Report};
use pgsplit_route::{
    Asked, Excluded, Need, Node, NodeId, Role, Rules, Sample, SessionView, View, Wanted, decide,
};
use pgsplit_session::{
    AuthMethod, CatalogSource, Control, Fallback, Later, SessionSettings, Shared, Stored, serve,
};
use pgsplit_sql::catalog::{FunctionConfig, RelationRow, Rows};
use pgsplit_sql::{Analyzer, Catalog, scan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SCENARIOS: [&str; 4] = ["scan", "decision", "simple", "extended"];
const TEXT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;";
const PARAMETERS: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = $1;";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [] => SCENARIOS.iter().try_for_each(|scenario| run(scenario, 1)),
        [scenario, count] => run(scenario, count.parse()?),
        _ => Err("budget SCENARIO COUNT".into()),
    }
}

fn run(scenario: &str, count: usize) -> Result<(), Box<dyn Error>> {
    match scenario {
        "scan" => scans(count),
        "decision" => decisions(count),
        "simple" => queries(count, &message(b'Q', &[TEXT.as_bytes(), b"\0"]))?,
        "extended" => queries(count, &extended())?,
        _ => return Err(format!("scenarios: {SCENARIOS:?}").into()),
    }
    Ok(())
}

fn scans(count: usize) {
    let mut key = Vec::new();
    for _ in 0..count {
        key.clear();
        black_box(scan::normalise(black_box(TEXT.as_bytes()), &mut key));
    }
}

fn decisions(count: usize) {
    let (analyzer, catalog, view) = (Analyzer::new(1 << 20), catalog(), view([0, 0]));
    for random in 0..count {
        let facts = analyzer.facts(black_box(TEXT.as_bytes()), &catalog);
        let session = SessionView::default();
        let random = u32::try_from(random).unwrap_or_default();
        let asked = Asked::default();
        let none = Excluded::default();
        black_box(decide(&facts.verdict, session, asked, &view, &Wanted::NOTHING, none, random));
    }
}

/// So many queries of one client, one behind the other.
fn queries(count: usize, query: &[u8]) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let servers = [listen().await?, listen().await?];
        let ports = [servers[0].1, servers[1].1];
        for (listener, _) in servers {
            tokio::spawn(answer_all(listener));
        }
        let (front, port) = listen().await?;
        let mut client = TcpStream::connect(("127.0.0.1", port)).await?;
        let (accepted, _) = front.accept().await?;
        tokio::spawn(serve(shared(ports)?, Stream::tcp(accepted)?));
        let start = [&(3_u32 << 16).to_be_bytes()[..], b"user\0app\0database\0app\0\0"].concat();
        let length = u32::try_from(start.len() + 4)?.to_be_bytes();
        client.write_all(&[&length[..], &start].concat()).await?;
        until_ready(&mut client).await?;
        for _ in 0..count {
            client.write_all(query).await?;
            until_ready(&mut client).await?;
        }
        Ok(())
    })
}

async fn listen() -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

async fn until_ready(client: &mut TcpStream) -> io::Result<()> {
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(b"Z\0\0\0\x05I") {
        if client.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
    [&[tag][..], &length, &body].concat()
}

/// Parse, Bind, Describe, Execute and Sync, as drivers send them.
fn extended() -> Vec<u8> {
    [
        message(b'P', &[b"\0", PARAMETERS.as_bytes(), b"\0\0\0"]),
        message(b'B', &[b"\0\0\0\0\0\x01\0\0\0\x0512345\0\0"]),
        message(b'D', &[b"P\0"]),
        message(b'E', &[b"\0\0\0\0\0"]),
        message(b'S', &[]),
    ]
    .concat()
}

/// A server that lets everybody in and has one row for everything.
async fn answer_all(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let length = stream.read_u32().await? as usize;
    stream.read_exact(&mut vec![0; length.saturating_sub(4)]).await?;
    let ready = message(b'Z', &[b"I"]);
    let key = message(b'K', &[b"\0\0\0\x07\0\0\0\x09"]);
    stream.write_all(&[message(b'R', &[b"\0\0\0\0"]), key, ready.clone()].concat()).await?;
    let column = message(b'T', &[b"\0\x01abalance\0", &[0; 6], b"\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"]);
    let row = [message(b'D', &[b"\0\x01\0\0\0\x010"]), message(b'C', &[b"SELECT 1\0"])].concat();
    let (mut inbox, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    while stream.read_buf(&mut inbox).await? > 0 {
        let mut rest = &inbox[..];
        while let [tag, a, b, c, d, ..] = *rest {
            let length = u32::from_be_bytes([a, b, c, d]) as usize + 1;
            let Some(behind) = rest.get(length..) else { break };
            rest = behind;
            match tag {
                b'Q' => [&column, &row, &ready].into_iter().for_each(|part| out.extend_from_slice(part)),
                b'P' => out.extend_from_slice(b"1\0\0\0\x04"),
                b'B' => out.extend_from_slice(b"2\0\0\0\x04"),
                b'D' => out.extend_from_slice(&column),
                b'E' => out.extend_from_slice(&row),
                b'S' => out.extend_from_slice(&ready),
                _ => {}
            }
        }
        let used = inbox.len() - rest.len();
        inbox.drain(..used);
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}

fn view(ports: [u16; 2]) -> View {
    let node = |id: u16, role, port: u16| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let node = Node::new(id, &format!("db{id}"), &address.to_string()).up(role);
        Node { resolved: [address].into(), connection_limit: 100, ..node }
    };
    let [one, two] = ports;
    let nodes = vec![node(0, Role::Primary, one), node(1, Role::Replica, two)];
    nodes.iter().for_each(|node| node.progress.reach(Need { flushed: EVERYTHING, inserted: EVERYTHING }));
    View { nodes, primary: Some(NodeId(0)), generation: 1, ..View::default() }
}

fn catalog() -> Arc<Catalog> {
    let relation = RelationRow {
        oid: 20_000,
        schema: "public".into(),
        name: "pgbench_accounts".into(),
        kind: "r".into(),
        persistence: "p".into(),
        populated: true,
    };
    let rows = Rows { relations: vec![relation], ..Rows::default() };
    Arc::new(Catalog::build(&rows, &FunctionConfig::default(), 1))
}

fn shared(ports: [u16; 2]) -> Result<Arc<Shared>, Box<dyn Error>> {
    let pool = PoolSettings {
        primary_connections: 10,
        replica_connections: 10,
        max_connections: None,
        min_idle: 0,
        wait: LONG,
        idle_timeout: None,
        lifetime: None,
        prepared_statements: NonZeroUsize::MIN,
        waiting: 100,
        connect: LONG,
        asks_search_path: false,
    };
    let session = SessionSettings {
        auth: AuthMethod::Trust,
        max_clients: 100,
        session_pooling: false,
        reads_on_primary: false,
        spill: None,
        shadow: false,
        hints: true,
        rules: Arc::new(Rules::new(&[], &["db0", "db1"], None)),
        consistency: ConsistencyLevel::Causal,
        login: LONG,
        idle_client: None,
        idle_transaction: None,
        query: None,
        slow: None,
        failover_wait: LONG,
        read_only_on_replica: false,
        retry_buffer: 16 * 1024,
        retry_earning: 0,
        peers: Arc::default(),
        consistency_wait: LONG,
        fallback: Fallback::Primary,
        replica_wait: LONG,
    };
    let view = Arc::new(ArcSwap::from_pointee(view(ports)));
    let control = Arc::new(Fixed { catalog: catalog(), view: view.clone() });
    let environment = Environment::new(view, pool, ClientTls::disabled(), Arc::default(), Box::new(Nobody));
    let pools = Pools::new(environment);
    Ok(Shared::new(pools, control, session, ServerTls::disabled(), 1 << 20, 10)?)
}

/// A cluster in which nothing happens.
#[derive(Debug, Clone)]
struct Fixed {
    catalog: Arc<Catalog>,
    view: Arc<ArcSwap<View>>,
}

/// More samples than anybody takes.
const EVERYTHING: u64 = 1 << 40;

#[derive(Debug)]
struct Nobody;

impl Report for Nobody {
    fn node_failed(&self, _: NodeId, _: &OpenError) {}

    fn hint(&self, _: NodeId) {}
}

fn at_once<'a, T: Send + 'a>(value: T) -> Later<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Control for Fixed {
    fn catalog(&self, _: &str) -> Arc<dyn CatalogSource> {
        Arc::new(self.clone())
    }

    fn stored<'a>(&'a self, _: &'a str) -> Later<'a, Result<Option<Stored>, String>> {
        at_once(Ok(None))
    }

    fn forget(&self, _: &str) {}

    fn standing<'a>(&'a self, _: &'a str, _: &'a str) -> Later<'a, Option<Arc<str>>> {
        at_once(None)
    }

    fn forget_standings(&self) {}

    fn vacate(&self, _: &str) {}

    fn wait_primary(&self, _: Duration) -> Later<'_, bool> {
        at_once(true)
    }

    fn wait_positions<'a>(
        &'a self,
        _: Need,
        _: Option<(NodeId, u64)>,
        _: Duration,
        _: &'a (dyn Fn() -> bool + Sync),
    ) -> Later<'a, bool> {
        // Somebody has a new connection, of which nothing is known until its node was asked again.
        for node in &self.view.load().nodes {
            node.progress.answer(node.progress.ask());
        }
        at_once(true)
    }

    fn sampled(&self, _: u64) -> Option<Sample> {
        None
    }
}

impl CatalogSource for Fixed {
    fn load(&self) -> Guard<Arc<Catalog>> {
        Guard::from_inner(self.catalog.clone())
    }

    fn is_stale(&self) -> bool {
        false
    }

    fn outdated(&self) -> u64 {
        0
    }

    fn suspect(&self) -> u64 {
        0
    }

    fn mark(&self) -> u64 {
        0
    }

    fn is_settled(&self, _: u64) -> bool {
        true
    }

    fn settled(&self, _: u64) -> Later<'_, ()> {
        at_once(())
    }

    fn fresh(&self) -> Later<'_, Arc<Catalog>> {
        at_once(self.catalog.clone())
    }
}
