//! The cluster, the tables, and what takes nodes away.

use std::path::Path;
use std::time::{Duration, Instant};

use pgsplit_testkit::{Cluster, Proxy, StopMode};

use crate::client::ACCOUNTS;
use crate::random::Random;
use crate::shared::{Shared, pause};

/// Connections of each pool.
pub(crate) const POOL: usize = 20;

const TABLES: &str = "
    CREATE TABLE writes (client int, step bigint, note text);
    CREATE INDEX ON writes (client, step);
    CREATE SEQUENCE turns;
    CREATE ROLE r1; CREATE ROLE r2; GRANT r1, r2 TO app;
    CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE SCHEMA s3;
    CREATE TABLE public.whoami AS SELECT 'public' AS v;
    CREATE TABLE s1.whoami AS SELECT 's1' AS v;
    CREATE TABLE s2.whoami AS SELECT 's2' AS v;
    CREATE TABLE s3.whoami AS SELECT 's3' AS v;
    CREATE TABLE mine (owner text);
    INSERT INTO mine VALUES ('app'), ('r1'), ('r2'), ('postgres');
    ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON mine USING (owner = current_user);
    CREATE FUNCTION hides_work_mem(v text) RETURNS text LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''work_mem'', v, false); RETURN v; END';
    CREATE FUNCTION hides_tenant(v text) RETURNS text LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', v, false); RETURN v; END';
    GRANT CREATE ON SCHEMA public TO PUBLIC;
    GRANT USAGE ON SCHEMA public, s1, s2, s3 TO PUBLIC;
    GRANT ALL ON ALL TABLES IN SCHEMA public, s1, s2, s3 TO PUBLIC;
    GRANT ALL ON SEQUENCE turns TO PUBLIC;";

pub(crate) fn cluster() -> Cluster {
    let cluster = Cluster::builder().name("soak").replicas(2).max_connections(120).start().unwrap();
    cluster.primary().sql("app", TABLES).unwrap();
    // `mine` and the schemas are found by unqualified names under every search path.
    cluster.wait_caught_up().unwrap();
    cluster
}

pub(crate) fn proxy(cluster: &Cluster) -> Proxy {
    // A small cache is full soon, so that it cannot be mistaken for a leak.
    let pool = format!(
        "[pool]\nprimary_connections = {POOL}\nreplica_connections = {POOL}\nwait = '60s'\n\
         [routing]\ncache = '1MiB'\n"
    );
    let proxy = Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, &pool).unwrap();
    for account in ACCOUNTS {
        // Whoever asks first gets no value: that is documented, and over before anybody looks.
        let mut client = proxy.client(&account, "app").unwrap();
        assert!(client.rows("SELECT lastval()").is_err(), "there is no value");
    }
    proxy
}

/// Takes nodes away and brings them back until time is over: a replica by force, the primary in order.
pub(crate) fn faults(cluster: &Cluster, shared: &Shared, every: Duration, end: Instant) {
    let mut random = Random::new(shared.seed, u64::MAX);
    let go_on = |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until.min(end) && !shared.is_over() {
            pause(Duration::from_millis(50));
        }
        Instant::now() < end && !shared.is_over()
    };
    for round in 0.. {
        if !go_on(every) {
            break;
        }
        if round % 2 == 0 {
            let replica = cluster.replica(random.below(2));
            replica.kill9().unwrap();
            go_on(every / 4);
            replica.start().unwrap();
            shared.count("replicas killed");
        } else {
            let away = Duration::from_millis(random.below(1500) as u64);
            shared.storm(|| {
                cluster.primary().stop(StopMode::Fast).unwrap();
                pause(away);
                cluster.primary().start().unwrap();
            });
            shared.count("restarts of the primary");
        }
    }
    go_on(end.saturating_duration_since(Instant::now()));
}
