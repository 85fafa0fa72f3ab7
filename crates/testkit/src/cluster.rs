//! A running cluster: its nodes, its accounts, and what concerns several nodes at once.

use std::sync::Arc;

use tempfile::TempDir;

use crate::{Builder, Error, Node, Postgres, guardian::Guardian, node::Common, owner, wait};

/// A login that every cluster of the kit has, with a password that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    user: &'static str,
    password: &'static str,
}

impl Account {
    /// The superuser.
    pub const POSTGRES: Self = Self { user: "postgres", password: "postgres-secret" };
    /// pgsplit's own login: `pg_monitor`, and SELECT on `pg_authid`.
    pub const PGSPLIT: Self = Self { user: "pgsplit", password: "pgsplit-secret" };
    /// An ordinary user, owner of the database `app`.
    pub const APP: Self = Self { user: "app", password: "app-secret" };
    /// What the replicas log in as.
    pub const REPLICATOR: Self = Self { user: "replicator", password: "replicator-secret" };

    /// All of them.
    pub const ALL: [Self; 4] = [Self::POSTGRES, Self::PGSPLIT, Self::APP, Self::REPLICATOR];

    /// The role's name.
    pub const fn user(&self) -> &'static str {
        self.user
    }

    /// Its password.
    pub const fn password(&self) -> &'static str {
        self.password
    }

    /// The account of that name.
    pub fn named(user: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|account| account.user == user)
    }
}

/// A primary and its streaming replicas. Dropping it stops the servers and removes every file.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: servers, files, and the guardian, who does what failed before it.
    pub(crate) nodes: Vec<Node>,
    pub(crate) common: Arc<Common>,
    pub(crate) directory: TempDir,
    pub(crate) _guardian: Guardian,
}

impl Cluster {
    /// A cluster to be configured: a primary alone, unless replicas are asked for.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The node that was made as the primary; it stays number 0 when another one is promoted.
    pub fn primary(&self) -> &Node {
        self.node(0)
    }

    /// A replica by number, from 0. Panics when there are not as many.
    pub fn replica(&self, index: usize) -> &Node {
        self.node(index + 1)
    }

    /// A node by number: 0 is the primary, the replicas follow. Panics when there are not as many.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// All nodes, the primary first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The installation that the servers were started from.
    pub fn postgres(&self) -> &Postgres {
        &self.common.postgres
    }

    /// The directory that holds everything of this cluster.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A command of the servers' user, in the cluster's directory, free of the environment's PG variables: for programs
    /// that exchange files with the servers.
    pub fn command(&self, program: &std::path::Path) -> std::process::Command {
        self.common.owner.command(program, &self.common.root)
    }

    /// Waits until every replica that runs has replayed all that the primary has flushed by now.
    pub fn wait_caught_up(&self) -> Result<(), Error> {
        let (primary, replicas) = (self.primary(), self.nodes.iter().skip(1));
        replicas.filter(|replica| replica.pid().is_some()).try_for_each(|r| r.wait_caught_up(primary))
    }

    /// Makes pgbench's tables in the database `app`, as its owner, and waits for the replicas.
    pub fn pgbench_init(&self, scale: u32) -> Result<(), Error> {
        let pgbench = self.common.postgres.program("pgbench");
        let mut command = self.common.owner.command(&pgbench, &self.common.root);
        command.args(["-i", "-q", "-s", &scale.to_string()]);
        command.arg(self.primary().connection_string(Account::APP.user(), "app"));
        owner::run(&mut command, "", wait::LIMIT + std::time::Duration::from_secs(u64::from(scale)))?;
        self.wait_caught_up()
    }
}
