//! Two equal databases of one cluster, one reached directly, one through pgsplit.

use std::fmt::Write;
use std::io;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::{Account, Cluster, Proxy};

use crate::script::{Case, Outcome, play};

/// A script that hangs is given up after this time without a byte.
const LIMIT: Duration = Duration::from_secs(8);

/// Made once; the compared databases are copies of it, so that even the object ids in row descriptions are equal.
const TEMPLATE: &str = "
CREATE TABLE t (id int PRIMARY KEY, name text);
INSERT INTO t SELECT n, 'name ' || n FROM generate_series(1, 20) n;
CREATE TABLE log (id serial, what text);
CREATE TABLE once (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
INSERT INTO once VALUES (1);
CREATE TABLE many AS SELECT n AS id, repeat('x', 100) AS filler FROM generate_series(1, 100000) n;
CREATE TABLE guarded (id int);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON guarded EXECUTE FUNCTION refuse();
CREATE TABLE slow (id int, filler text);
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
CREATE TRIGGER wait BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION wait();
CREATE FUNCTION shout() RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; RETURN 3; END $$;
ANALYZE;
";

/// A check with a name, for what is no script.
pub(crate) type Check = (&'static str, fn(&Arena));

/// The cluster with a proxy in front.
pub(crate) struct Arena {
    pub(crate) proxy: Proxy,
    pub(crate) cluster: Cluster,
}

/// The database that is reached directly.
pub(crate) const DIRECT: &str = "direct";
/// The database that is reached through pgsplit.
pub(crate) const THROUGH: &str = "through";

impl Arena {
    pub(crate) fn start() -> Self {
        let cluster = Cluster::builder().name("protocol").replicas(1).start().unwrap();
        let primary = cluster.primary();
        primary.sql("postgres", "CREATE DATABASE model OWNER app").unwrap();
        primary.sql("model", &format!("SET ROLE app; {TEMPLATE}")).unwrap();
        for database in [DIRECT, THROUGH] {
            primary.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE model OWNER app")).unwrap();
        }
        cluster.wait_caught_up().unwrap();
        let proxy = Self::proxy(&cluster, "");
        Self { proxy, cluster }
    }

    /// Another proxy in front of the same cluster.
    pub(crate) fn proxy(cluster: &Cluster, extra: &str) -> Proxy {
        // Where a read runs must not depend on how busy the machine is.
        let extra = format!("[consistency]\nwait = '10s'\n{extra}");
        Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, &extra).unwrap()
    }

    /// A raw connection to the primary.
    pub(crate) fn to_primary(&self) -> RawClient {
        limited(RawClient::connect((Ipv4Addr::LOCALHOST, self.cluster.primary().port())).unwrap())
    }

    /// A raw connection to the proxy.
    pub(crate) fn to_proxy(&self) -> RawClient {
        connect(&self.proxy)
    }

    pub(crate) fn direct(&self) -> RawClient {
        enter(self.to_primary(), DIRECT).unwrap()
    }

    pub(crate) fn through(&self) -> RawClient {
        enter(self.to_proxy(), THROUGH).unwrap()
    }

    /// Plays a script on both sides; the streams must be equal, and the proxy must serve the next client.
    pub(crate) fn compare(&self, proxy: &Proxy, case: &Case) -> Result<(), String> {
        let left = play(&mut self.direct(), &case.steps);
        let right = {
            let mut client = enter(connect(proxy), THROUGH).map_err(|error| format!("login: {error}"))?;
            play(&mut client, &case.steps)
        };
        equal(left, right)?;
        self.is_sane(proxy)
    }

    /// After whatever a case did: another client meets clean connections, as many as may be lent next.
    pub(crate) fn is_sane(&self, proxy: &Proxy) -> Result<(), String> {
        let check = || -> io::Result<()> {
            let mut client = enter(connect(proxy), THROUGH)?;
            for text in ["SELECT 1", "SELECT nextval('log_id_seq') IS NOT NULL"] {
                let answer = client.query(text)?;
                let tags: String = answer.iter().map(|message| char::from(message.tag)).collect();
                if tags != "TDCZ" {
                    return Err(io::Error::other(format!("{text:?} was answered {}", show(&answer))));
                }
            }
            Ok(())
        };
        // The sequence is kept in step on the other side.
        self.direct().query("SELECT nextval('log_id_seq') IS NOT NULL").map_err(|error| error.to_string())?;
        check().map_err(|error| format!("the next client was harmed: {error}"))
    }

    /// Runs a check; its panic is its failure.
    pub(crate) fn check(&self, check: fn(&Arena)) -> Result<(), String> {
        let failed = catch_unwind(AssertUnwindSafe(|| check(self)));
        failed.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        })?;
        self.is_sane(&self.proxy)
    }
}

fn connect(proxy: &Proxy) -> RawClient {
    limited(RawClient::connect(proxy.address()).unwrap())
}

fn limited(client: RawClient) -> RawClient {
    client.set_time_limit(LIMIT).unwrap();
    client
}

fn enter(mut client: RawClient, database: &str) -> io::Result<RawClient> {
    client.login(Account::APP.user(), Account::APP.password(), database, &[])?;
    Ok(client)
}

/// Compares two outcomes and says where they part.
pub(crate) fn equal(left: Outcome, right: Outcome) -> Result<(), String> {
    let (left, right) = (normal(left), normal(right));
    if left == right {
        return Ok(());
    }
    let common = left.messages.iter().zip(&right.messages).take_while(|(a, b)| a == b).count();
    let rest = |outcome: &Outcome| {
        format!("{} then {:?}", show(outcome.messages.get(common..).unwrap_or_default()), outcome.error)
    };
    Err(format!(
        "  equal   {}\n  direct  {}\n  through {}",
        show(left.messages.get(..common).unwrap_or_default()),
        rest(&left),
        rest(&right)
    ))
}

/// Takes out what differs between any two connections: ids and keys, and which function of PostgreSQL has noticed that
/// the transaction has failed (a statement may have to be prepared anew on the connection at hand, so that its Parse is
/// refused and not its Bind).
fn normal(mut outcome: Outcome) -> Outcome {
    for message in &mut outcome.messages {
        if message.tag == b'E' && message.field(b'C').as_deref() == Some("25P02") {
            let place = message.body.windows(2).position(|bytes| bytes == [0, b'F']);
            message.body.truncate(place.unwrap_or(message.body.len()));
        }
        let hidden = match message.tag {
            b'K' => message.body.len(),
            b'A' => 4,
            _ => 0,
        };
        message.body.iter_mut().take(hidden).for_each(|byte| *byte = 0);
    }
    outcome
}

/// Messages in short.
pub(crate) fn show(messages: &[Message]) -> String {
    let mut out = String::new();
    for message in messages.iter().take(40) {
        let text = match message.tag {
            b'E' | b'N' => {
                let [code, text] = [b'C', b'M'].map(|field| message.field(field).unwrap_or_default());
                format!("{code} {text}; {}", message.text().replace('\0', "|"))
            }
            _ => message.text(),
        };
        let text: String = text.escape_default().take(160).collect();
        let _ = write!(out, "{}({text}) ", char::from(message.tag));
    }
    if messages.len() > 40 {
        let _ = write!(out, "… {} in all ", messages.len());
    }
    out
}
