//! Makes a cluster: initdb, roles, base backups, replicas.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, thread};

use tempfile::TempDir;

use crate::{
    Account, Cluster, Error, Node, Postgres,
    guardian::Guardian,
    node::Common,
    owner::{self, Owner},
    wait,
};

/// What the cluster shall be like.
#[derive(Debug, Clone)]
pub struct Builder {
    name: String,
    replicas: usize,
    durable: bool,
    settings: Vec<(String, String)>,
    access: String,
    files: Vec<(String, String)>,
}

impl Default for Builder {
    fn default() -> Self {
        let (settings, files) = (Vec::new(), Vec::new());
        Self { name: "cluster".into(), replicas: 0, durable: false, settings, access: String::new(), files }
    }
}

impl Builder {
    /// Part of the temporary directory's name, for whoever looks there while a test runs.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// How many streaming replicas; none by default.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// Whether commits wait for the disk. By default they do not: what a test writes may be lost when
    /// the machine (not the server) crashes.
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// `max_connections` of every node; 100 by default.
    pub fn max_connections(self, count: u32) -> Self {
        self.setting("max_connections", &count.to_string())
    }

    /// A line for postgresql.conf of every node. A later one of the same name wins, also over the kit's.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line for pg_hba.conf of every node, ahead of the kit's own, which ask for SCRAM passwords.
    pub fn access(mut self, line: &str) -> Self {
        self.access.push_str(line);
        self.access.push('\n');
        self
    }

    /// A file in the data directory of every node, readable by its server alone: `server.crt` and
    /// `server.key` are where `ssl = on` looks for them.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Makes and starts the cluster. When it returns, every node accepts connections and the replicas
    /// have replayed the roles and databases.
    pub fn start(self) -> Result<Cluster, Error> {
        let postgres = Postgres::find()?;
        let owner = Owner::detect()?;
        let prefix = format!("pgsplit-{}-", self.name);
        let directory =
            TempDir::with_prefix(&prefix).map_err(Error::io("make a directory in", std::env::temp_dir()))?;
        // The real path: the guardian compares it with what the system says of processes.
        let root = fs::canonicalize(directory.path()).map_err(Error::io("find", directory.path()))?;
        let guardian = Guardian::of(&root)?;
        owner.adopt(&root)?;
        let common = Arc::new(Common { postgres, owner, root });

        let mut cluster = Cluster { nodes: Vec::new(), common, directory, _guardian: guardian };
        let primary = self.primary(&cluster.common)?;
        cluster.nodes.push(primary);
        let replicas = self.make_replicas(&cluster)?;
        cluster.nodes.extend(replicas);
        cluster.wait_caught_up()?;
        Ok(cluster)
    }

    fn primary(&self, common: &Arc<Common>) -> Result<Node, Error> {
        let data = common.root.join("primary");
        let password = common.root.join("password");
        private_file(&common.owner, &password, Account::POSTGRES.password())?;
        let mut initdb = common.owner.command(&common.postgres.program("initdb"), &common.root);
        initdb.arg("-D").arg(&data).arg("--pwfile").arg(&password).args(["-U", Account::POSTGRES.user()]);
        initdb.args(["-A", "scram-sha-256", "-E", "UTF8", "--no-locale"]);
        if !self.durable {
            initdb.arg("--no-sync");
        }
        // On by default from 18 on; checksums cost and prove nothing here.
        if common.postgres.version() >= 18 {
            initdb.arg("--no-data-checksums");
        }
        owner::run(&mut initdb, "", wait::LIMIT)?;
        append(&data.join("postgresql.conf"), &self.configuration())?;
        write(&data.join("pg_hba.conf"), &format!("{}{HBA}", self.access))?;
        for (name, text) in &self.files {
            private_file(&common.owner, &data.join(name), text)?;
        }

        let primary = Node::launch(common, "primary")?;
        primary.sql("template1", &accounts())?;
        primary.sql("postgres", GRANTS)?;
        primary.sql("postgres", "CREATE DATABASE app OWNER app")?;
        Ok(primary)
    }

    /// All replicas side by side, each from a base backup of its own.
    fn make_replicas(&self, cluster: &Cluster) -> Result<Vec<Node>, Error> {
        thread::scope(|scope| {
            let names = (1..=self.replicas).map(|number| format!("replica{number}"));
            let replicas: Vec<_> =
                names.map(|name| scope.spawn(move || self.replica(cluster, &name))).collect();
            let joined = replicas.into_iter().map(|replica| replica.join());
            joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    fn replica(&self, cluster: &Cluster, name: &str) -> Result<Node, Error> {
        let common = &cluster.common;
        let program = common.postgres.program("pg_basebackup");
        let mut backup = common.owner.command(&program, &common.root);
        // -R makes it a standby of the primary, -C with -S gives it a slot of its own.
        backup.arg("-D").arg(common.root.join(name)).args(["-c", "fast", "-R", "-C", "-S", name]);
        let from = cluster.primary().connection_string(Account::REPLICATOR.user(), "replication");
        backup.arg("-d").arg(from.replace(" dbname=replication", ""));
        if !self.durable {
            backup.arg("--no-sync");
        }
        owner::run(&mut backup, "", wait::LIMIT)?;
        Node::launch(common, name)
    }

    /// The kit's settings, then the caller's. Both kinds reach the replicas with the base backup, as a
    /// replica must not have less than its primary of what sizes shared memory.
    fn configuration(&self) -> String {
        let senders = 10 + 3 * self.replicas;
        let speed = if self.durable { "" } else { "fsync = off\nfull_page_writes = off\n" };
        let own: String = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect();
        format!("{SETTINGS}max_wal_senders = {senders}\nmax_replication_slots = {senders}\n{speed}{own}")
    }
}

/// Some WAL is kept beyond the slots' needs: a slot that is made while another base backup forces a
/// checkpoint may find its first segment removed. Dynamic shared memory lives in files: a killed
/// server then leaves none in /dev/shm, which in containers is small besides.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
password_encryption = 'scram-sha-256'
unix_socket_permissions = 0777
wal_level = replica
wal_keep_size = '128MB'
hot_standby = on
max_prepared_transactions = 16
shared_buffers = '64MB'
dynamic_shared_memory_type = mmap
wal_retrieve_retry_interval = '100ms'
wal_receiver_status_interval = '1s'
log_line_prefix = '%m [%p] %q%u@%d '
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The sockets are in a directory that only the servers' user and root may enter.
const HBA: &str = "
local all         postgres              trust
local all         all                   scram-sha-256
host  all         all      127.0.0.1/32 scram-sha-256
host  replication all      127.0.0.1/32 scram-sha-256
";

/// Run in template1, so that later databases have the grant too: a shared catalog's privileges are
/// kept per database.
const GRANTS: &str = "GRANT SELECT ON pg_authid TO pgsplit;";

fn accounts() -> String {
    let (pgsplit, app, replicator) = (Account::PGSPLIT, Account::APP, Account::REPLICATOR);
    format!(
        "CREATE ROLE {} LOGIN PASSWORD '{}' IN ROLE pg_monitor;
         CREATE ROLE {} LOGIN PASSWORD '{}';
         CREATE ROLE {} LOGIN REPLICATION PASSWORD '{}';
         {GRANTS}",
        pgsplit.user(),
        pgsplit.password(),
        app.user(),
        app.password(),
        replicator.user(),
        replicator.password(),
    )
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::io("write", path))
}

/// A server refuses a key that others may read.
fn private_file(owner: &Owner, path: &Path, text: &str) -> Result<(), Error> {
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Error::io("chmod", path))?;
    owner.adopt(path)
}

fn append(path: &Path, text: &str) -> Result<(), Error> {
    let before = fs::read_to_string(path).map_err(Error::io("read", path))?;
    write(path, &(before + text))
}
