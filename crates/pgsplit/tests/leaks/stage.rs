//! The stage of the leak tests: one cluster, proxies before it, and scripts that several clients play in turn.
//!
//! A script is played twice, through the proxy and on direct connections to the primary. Both must read the same: what
//! a client must not see of another one's state, it does not see directly either.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient, message};
use pgsplit_testkit::{Account, Cluster, Node, Proxy, wait};

/// One cluster with one replica, and two proxies: with one and with two connections to each node.
pub(crate) struct Stage {
    pub(crate) one: Proxy,
    pub(crate) two: Proxy,
    pub(crate) cluster: Cluster,
}

/// Who plays: everyone is a client of its own.
pub(crate) type Name = &'static str;

/// One step of a script.
pub(crate) enum Step {
    /// Logs in as this user, with these start-up parameters. Whoever was not named by one logs in as `app`.
    Enter(Name, Account, Vec<(&'static str, &'static str)>),
    /// A simple query.
    Ask(Name, String),
    /// The unnamed statement with these parameters in text form, described and executed.
    Bound(Name, String, Vec<&'static str>),
    /// Any messages; the answer ends with the last of so many ReadyForQuery.
    Raw(Name, Vec<Vec<u8>>, usize),
    /// Leaves politely.
    Leave(Name),
    /// The session must be pinned for this reason now, or not at all. Not compared: a direct connection has no pins.
    Pinned(Option<&'static str>),
}

/// A script with a name.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Run on the primary as the superuser before each play.
    pub(crate) setup: String,
    pub(crate) steps: Vec<Step>,
    /// Connections to each node that the proxy has: one, so that all share it, or two where A is pinned.
    pub(crate) connections: usize,
}

impl Case {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, setup: String::new(), steps: Vec::new(), connections: 1 }
    }

    /// A is pinned by what it does: it needs a connection of its own.
    pub(crate) fn two(mut self) -> Self {
        self.connections = 2;
        self
    }

    pub(crate) fn setup(mut self, sql: &str) -> Self {
        self.setup.push_str(sql);
        self.setup.push(';');
        self
    }

    pub(crate) fn enter(
        self,
        name: Name,
        account: Account,
        parameters: &[(&'static str, &'static str)],
    ) -> Self {
        self.step(Step::Enter(name, account, parameters.to_vec()))
    }

    pub(crate) fn ask(self, name: Name, sql: impl Into<String>) -> Self {
        self.step(Step::Ask(name, sql.into()))
    }

    pub(crate) fn asks(self, name: Name, texts: &[&str]) -> Self {
        texts.iter().fold(self, |case, text| case.ask(name, *text))
    }

    pub(crate) fn bound(self, name: Name, sql: &str, parameters: &[&'static str]) -> Self {
        self.step(Step::Bound(name, sql.into(), parameters.to_vec()))
    }

    pub(crate) fn raw(self, name: Name, messages: Vec<Vec<u8>>, answers: usize) -> Self {
        self.step(Step::Raw(name, messages, answers))
    }

    pub(crate) fn leave(self, name: Name) -> Self {
        self.step(Step::Leave(name))
    }

    pub(crate) fn pinned(self, reason: &'static str) -> Self {
        self.step(Step::Pinned(Some(reason)))
    }

    pub(crate) fn free(self) -> Self {
        self.step(Step::Pinned(None))
    }

    pub(crate) fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// A look by one client: on a replica when it may be served there, on the primary, and inside a transaction.
    pub(crate) fn look(self, name: Name, expressions: &str) -> Self {
        self.ask(name, format!("SELECT {expressions}"))
            .ask(name, format!("SELECT {expressions}, txid_current() > 0"))
            .bound(name, &format!("SELECT {expressions}"), &[])
            .asks(name, &["BEGIN", &format!("SELECT {expressions}"), "COMMIT"])
    }

    /// A has made something: B sees nothing of it, A has it still, and nobody finds it behind A.
    pub(crate) fn looks(self, expressions: &str) -> Self {
        let around = |case: Self| case.look("a", expressions).look("b", expressions);
        around(around(self)).look("a", expressions).leave("a").look("c", expressions).look("b", expressions)
    }
}

/// What everyone heard, step by step.
type Transcript = Vec<(String, Vec<String>)>;

impl Stage {
    pub(crate) fn start() -> Self {
        let cluster = Cluster::builder().name("leaks").replicas(1).start().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_pgsplit"));
        let proxy = |connections: usize| {
            let pool = format!(
                "[pool]\nprimary_connections = {connections}\nreplica_connections = {connections}\nwait = '3s'\n\
                 [consistency]\nwait = '10s'\n"
            );
            Proxy::start(binary, &cluster, &pool).unwrap()
        };
        Self { one: proxy(1), two: proxy(2), cluster }
    }

    pub(crate) fn proxy(&self, connections: usize) -> &Proxy {
        if connections == 1 { &self.one } else { &self.two }
    }

    /// Plays a case both ways and compares.
    pub(crate) fn play(&self, case: &Case) -> Result<(), String> {
        let proxy = self.proxy(case.connections);
        let direct = self.play_at(case, (self.cluster.primary().port(), None))?;
        let pooled = self.play_at(case, (proxy.port(), Some(proxy)))?;
        self.clean(proxy)?;
        let differing = direct.iter().zip(&pooled).enumerate().filter(|(_, (d, p))| d != p);
        let told: Vec<String> = differing
            .map(|(at, ((what, direct), (_, pooled)))| {
                format!("  step {at}, {what}\n    directly: {direct:?}\n    pgsplit:  {pooled:?}")
            })
            .collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("\n")) }
    }

    fn play_at(&self, case: &Case, (port, proxy): (u16, Option<&Proxy>)) -> Result<Transcript, String> {
        if !case.setup.is_empty() {
            self.superuser(0)?.rows(&case.setup).map_err(|error| error.to_string())?;
            self.catch_up()?;
        }
        let mut players = BTreeMap::new();
        let mut transcript = Vec::new();
        for (at, step) in case.steps.iter().enumerate() {
            let heard = play_step(&mut players, step, port, proxy)
                .map_err(|error| format!("  step {at}, {}: {error}", describe(step)))?;
            transcript.push((describe(step), heard));
        }
        Ok(transcript)
    }

    /// Waits until no session of a client is left on the servers that is in a transaction or holds a lock.
    pub(crate) fn clean(&self, proxy: &Proxy) -> Result<(), String> {
        wait::until("pgsplit has no clients", Duration::from_secs(10), || {
            let clients = proxy.metrics().map(|m| m.sum("pgsplit_client_connections", &[])).unwrap_or(1.0);
            Ok((clients == 0.0).then_some(()))
        })
        .map_err(|error| error.to_string())?;
        for node in self.cluster.nodes() {
            let mut client = superuser(node)?;
            let mut found = Vec::new();
            wait::until("the servers are clean", Duration::from_secs(10), || {
                found = client.rows(LITTER).unwrap_or_default();
                Ok(found.is_empty().then_some(()))
            })
            .map_err(|error| format!("  {} on {}: {found:?}", error, node.name()))?;
        }
        Ok(())
    }

    /// Waits until the replica has replayed everything.
    fn catch_up(&self) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let position = self.superuser(0)?.rows("SELECT pg_current_wal_flush_lsn()").map_err(text)?;
        let position = position.first().and_then(|row| row.first()).cloned().flatten().unwrap_or_default();
        let question = format!("SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{position}'");
        let mut replica = self.superuser(1)?;
        wait::until("the replica has caught up", Duration::from_secs(10), || {
            Ok(replica.rows(&question).is_ok_and(|rows| !rows.is_empty()).then_some(()))
        })
        .map_err(|error| error.to_string())
    }

    pub(crate) fn superuser(&self, node: usize) -> Result<RawClient, String> {
        superuser(self.cluster.node(node))
    }
}

/// A direct connection: a program for each question would take longer than the question.
fn superuser(node: &Node) -> Result<RawClient, String> {
    Ok(enter(node.port(), Account::POSTGRES, &[])?.0)
}

/// Transactions, locks and running statements of other client sessions, and prepared transactions.
const LITTER: &str = "SELECT pid, state, query FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename <> 'pgsplit' \
       AND (state <> 'idle' OR xact_start IS NOT NULL) \
     UNION ALL SELECT l.pid, l.locktype, l.mode FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
     WHERE a.backend_type = 'client backend' AND l.pid <> pg_backend_pid() AND a.usename <> 'pgsplit'";

fn play_step(
    players: &mut BTreeMap<Name, RawClient>,
    step: &Step,
    port: u16,
    proxy: Option<&Proxy>,
) -> Result<Vec<String>, String> {
    match step {
        Step::Enter(name, account, parameters) => {
            let (client, said) = enter(port, *account, parameters)?;
            players.insert(name, client);
            Ok(said)
        }
        Step::Ask(name, sql) => exchange(player(players, name, port)?, &message::query(sql), 1),
        Step::Bound(name, sql, parameters) => {
            let parameters: Vec<_> = parameters.iter().map(|value| Some(*value)).collect();
            let messages = [
                message::parse("", sql, &[]),
                message::bind("", "", &parameters),
                message::describe(b'P', ""),
                message::execute("", 0),
                message::sync(),
            ];
            exchange(player(players, name, port)?, &messages.concat(), 1)
        }
        Step::Raw(name, messages, answers) => {
            exchange(player(players, name, port)?, &messages.concat(), *answers)
        }
        Step::Leave(name) => {
            if let Some(mut client) = players.remove(name) {
                client.send(&message::terminate()).map_err(|error| error.to_string())?;
                client.read_to_end().map_err(|error| error.to_string())?;
            }
            Ok(Vec::new())
        }
        Step::Pinned(reason) => {
            if let Some(proxy) = proxy {
                pinned(proxy, *reason)?;
            }
            Ok(Vec::new())
        }
    }
}

/// Pins are decided behind the answer: a session has decided when it waits for its client again.
fn pinned(proxy: &Proxy, reason: Option<&str>) -> Result<(), String> {
    let mut found = String::new();
    let right = wait::until("pins", Duration::from_secs(3), || {
        let Ok(metrics) = proxy.metrics() else { return Ok(None) };
        let all = metrics.sum("pgsplit_pinned_sessions", &[]);
        let here = reason.map_or(0.0, |reason| metrics.sum("pgsplit_pinned_sessions", &[("reason", reason)]));
        found = format!("{here} pinned sessions with this reason, {all} in all");
        let busy =
            ["active", "waiting"].map(|state| metrics.sum("pgsplit_client_connections", &[("state", state)]));
        let decided = busy == [0.0; 2];
        Ok((decided && all == here && (reason.is_none() || here == 1.0)).then_some(()))
    });
    right.map_err(|_| found)
}

fn enter(
    port: u16,
    account: Account,
    parameters: &[(&str, &str)],
) -> Result<(RawClient, Vec<String>), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut client = RawClient::connect(("127.0.0.1", port)).map_err(text)?;
    let said = client.login(account.user(), account.password(), "app", parameters).map_err(text)?;
    let mut said: Vec<_> = said.iter().filter(|message| message.tag != b'K').map(told).collect();
    // Parameters come in no particular order.
    said.sort();
    Ok((client, said))
}

fn player(players: &mut BTreeMap<Name, RawClient>, name: Name, port: u16) -> Result<&mut RawClient, String> {
    if !players.contains_key(name) {
        players.insert(name, enter(port, Account::APP, &[])?.0);
    }
    players.get_mut(name).ok_or_else(|| "nobody".to_owned())
}

fn exchange(client: &mut RawClient, bytes: &[u8], answers: usize) -> Result<Vec<String>, String> {
    client.send(bytes).map_err(|error| error.to_string())?;
    let mut heard = Vec::new();
    for _ in 0..answers {
        loop {
            let message = client.read_message().map_err(|error| format!("{error}, after {heard:?}"))?;
            heard.push(told(&message));
            if message.tag == b'Z' {
                break;
            }
        }
    }
    Ok(heard)
}

/// A message in words: fields of errors, columns of rows, the rest as text.
pub(crate) fn told(message: &Message) -> String {
    let tag = char::from(message.tag);
    match message.tag {
        b'E' | b'N' => {
            let field = |code| message.field(code).unwrap_or_default();
            format!("{tag} {} {} {}", field(b'S'), field(b'C'), field(b'M'))
        }
        b'D' => {
            let columns = message.columns().unwrap_or_default();
            let columns: Vec<_> = columns.into_iter().map(|c| c.unwrap_or_else(|| "NULL".into())).collect();
            format!("{tag} {}", columns.join(" | "))
        }
        // Columns carry object identifiers, which differ from play to play.
        b'T' => tag.to_string(),
        // The process id of the notifying session comes first.
        b'A' => format!("{tag} {}", String::from_utf8_lossy(message.body.get(4..).unwrap_or_default())),
        _ => format!("{tag} {}", message.text().replace('\0', "=")),
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step::Enter(name, account, parameters) => {
            format!("{name} enters as {} {parameters:?}", account.user())
        }
        Step::Ask(name, sql) => format!("{name}: {sql}"),
        Step::Bound(name, sql, parameters) => format!("{name}, bound: {sql} {parameters:?}"),
        Step::Raw(name, messages, _) => {
            let tags: String = messages.iter().filter_map(|m| m.first()).map(|b| char::from(*b)).collect();
            format!("{name}, messages: {tags}")
        }
        Step::Leave(name) => format!("{name} leaves"),
        Step::Pinned(reason) => format!("pinned: {reason:?}"),
    }
}
