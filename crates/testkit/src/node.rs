//! One server of a cluster: a postmaster that this process started, and what tests do to it.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    Account, Error, Postgres,
    owner::{self, Owner},
    port, process, wait,
};

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for its clients to leave.
    Smart,
    /// Ends sessions, then shuts down cleanly.
    Fast,
    /// Stops without a checkpoint; the next start recovers.
    Immediate,
}

/// What all nodes of a cluster have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) postgres: Postgres,
    pub(crate) owner: Owner,
    /// Holds data directories, logs and sockets.
    pub(crate) root: PathBuf,
}

/// A server of the cluster. All methods take `&self`; threads may share it.
#[derive(Debug)]
pub struct Node {
    common: Arc<Common>,
    name: String,
    port: u16,
    postmaster: Mutex<Option<Child>>,
}

impl Node {
    /// Starts a server for the first time, on a port that is free. `data_dir` must exist already.
    pub(crate) fn launch(common: &Arc<Common>, name: &str) -> Result<Self, Error> {
        let mut attempts = 0;
        loop {
            let (common, name, port) = (Arc::clone(common), name.to_owned(), port::free()?);
            let node = Self { common, name, port, postmaster: Mutex::new(None) };
            attempts += 1;
            match node.start() {
                // Another process was quicker to take the port.
                Err(Error::Start { log, .. }) if attempts < 5 && log.contains("Address already in use") => {}
                result => return result.map(|()| node),
            }
        }
    }

    /// The node's name: `primary`, `replica1`, ... Also its `cluster_name`, so that a query can tell
    /// which node answered it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.common.root.join(&self.name)
    }

    /// The directory of the Unix-domain socket, shared by all nodes of the cluster.
    pub fn socket_dir(&self) -> PathBuf {
        self.common.root.clone()
    }

    /// The postmaster's process id, while the server runs.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    /// A libpq connection string for TCP, with the password when `user` is one of the kit's.
    pub fn connection_string(&self, user: &str, database: &str) -> String {
        let base = format!("host=127.0.0.1 port={} user={user} dbname={database}", self.port);
        match Account::named(user) {
            Some(account) => format!("{base} password={}", account.password()),
            None => base,
        }
    }

    /// Starts the server and waits until it accepts connections. Does nothing when it runs.
    pub fn start(&self) -> Result<(), Error> {
        let mut postmaster = self.lock();
        if let Some(child) = postmaster.as_mut() {
            if child.try_wait().map_err(Error::io("look for", &self.name))?.is_none() {
                return Ok(());
            }
            *postmaster = None;
        }
        let child = postmaster.insert(self.spawn()?);
        let id = child.id();
        let ready = wait::until(&format!("start of {}", self.name), wait::LIMIT, || {
            if child.try_wait().map_err(Error::io("look for", &self.name))?.is_some() {
                return Err(Error::Start { node: self.name.clone(), log: self.log_end() });
            }
            Ok(self.is_ready(id).then_some(()))
        });
        if ready.is_err() {
            end(child, &self.data_dir());
            *postmaster = None;
        }
        ready
    }

    fn spawn(&self) -> Result<Child, Error> {
        let (data, log) = (self.data_dir(), self.log_path());
        let log = File::options().create(true).append(true).open(&log).map_err(Error::io("open", &log))?;
        let errors = log.try_clone().map_err(Error::io("share the log of", &self.name))?;
        let program = self.common.postgres.program("postgres");
        let mut command = self.common.owner.command(&program, &data);
        command.arg("-D").arg(&data).arg("-p").arg(self.port.to_string()).arg("-k").arg(self.socket_dir());
        command.arg("-c").arg(format!("cluster_name={}", self.name));
        command.stdout(log).stderr(errors).stdin(Stdio::null());
        command.spawn().map_err(Error::io("run", program))
    }

    /// The eighth line of postmaster.pid says `ready` once connections are accepted (miscadmin.h,
    /// PM_STATUS_READY); the first is the process id, as a killed server leaves its file behind.
    fn is_ready(&self, id: u32) -> bool {
        let file = self.pid_file();
        let mut lines = file.lines();
        lines.next() == Some(id.to_string().as_str()) && lines.nth(6).is_some_and(|s| s.trim_end() == "ready")
    }

    fn pid_file(&self) -> String {
        fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default()
    }

    /// Stops the server and waits for its end. Does nothing when it does not run.
    pub fn stop(&self, mode: StopMode) -> Result<(), Error> {
        let mut postmaster = self.lock();
        let Some(child) = postmaster.as_mut() else { return Ok(()) };
        let signal = match mode {
            StopMode::Smart => Signal::TERM,
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        process::signal(child.id(), signal);
        wait::until(&format!("stop of {}", self.name), wait::LIMIT, || {
            child.try_wait().map_err(Error::io("wait for", &self.name))
        })?;
        *postmaster = None;
        Ok(())
    }

    /// Kills all processes of the server at once, as a power failure would.
    pub fn kill9(&self) -> Result<(), Error> {
        let mut postmaster = self.lock();
        let Some(child) = postmaster.as_mut() else { return Ok(()) };
        let data = self.data_dir();
        // The postmaster first: it would start a recovery when its children died.
        child.kill().map_err(Error::io("kill", &self.name))?;
        child.wait().map_err(Error::io("wait for", &self.name))?;
        *postmaster = None;
        wait::until(&format!("death of {}", self.name), wait::LIMIT, || {
            let members = process::living_in(&data);
            members.iter().for_each(|id| process::signal(*id, Signal::KILL));
            Ok(members.is_empty().then_some(()))
        })
    }

    /// Stops (fast) and starts.
    pub fn restart(&self) -> Result<(), Error> {
        self.stop(StopMode::Fast)?;
        self.start()
    }

    /// Stops all processes of the server where they stand: connections stay open, nothing answers.
    pub fn freeze(&self) -> Result<(), Error> {
        self.running()?;
        // Until a look finds no new process: the postmaster may have been forking.
        let mut frozen = Vec::new();
        wait::until(&format!("freezing of {}", self.name), wait::LIMIT, || {
            let members = self.members();
            members.iter().for_each(|id| process::signal(*id, Signal::STOP));
            let same = members == frozen;
            frozen = members;
            Ok(same.then_some(()))
        })
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) -> Result<(), Error> {
        self.running()?;
        self.members().iter().for_each(|id| process::signal(*id, Signal::CONT));
        Ok(())
    }

    fn members(&self) -> Vec<u32> {
        let mut members = process::living_in(&self.data_dir());
        members.extend(self.pid().filter(|id| !members.contains(id)));
        members
    }

    fn running(&self) -> Result<u32, Error> {
        self.pid().ok_or_else(|| Error::NotRunning { node: self.name.clone() })
    }

    /// Runs SQL as the superuser through psql and returns its bare answer: rows in lines, columns
    /// separated by `|`, without the last line end. Stops at the first error.
    pub fn sql(&self, database: &str, text: &str) -> Result<String, Error> {
        self.sql_within(database, text, wait::LIMIT)
    }

    /// As [`Node::sql`], with a time limit of one's own; a frozen server never answers.
    pub fn sql_within(&self, database: &str, text: &str, limit: Duration) -> Result<String, Error> {
        let psql = self.common.postgres.program("psql");
        let mut command = self.common.owner.command(&psql, &self.common.root);
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", Account::POSTGRES.user(), "-d", database]);
        command.arg("-h").arg(self.socket_dir()).arg("-p").arg(self.port.to_string());
        let answer = owner::run(&mut command, text, limit)?;
        Ok(answer.trim_end_matches('\n').to_owned())
    }

    /// Stops replay on this replica, and returns once it has stopped.
    pub fn pause_replay(&self) -> Result<(), Error> {
        self.sql("postgres", "SELECT pg_wal_replay_pause()")?;
        // From 14 on the pause is only requested at first.
        if self.common.postgres.version() < 14 {
            return Ok(());
        }
        wait::until(&format!("pause of replay on {}", self.name), wait::LIMIT, || {
            let state = self.sql("postgres", "SELECT pg_get_wal_replay_pause_state()")?;
            Ok((state == "paused").then_some(()))
        })
    }

    /// Lets replay go on.
    pub fn resume_replay(&self) -> Result<(), Error> {
        self.sql("postgres", "SELECT pg_wal_replay_resume()").map(drop)
    }

    /// Makes this replica a primary, and returns once it takes writes.
    pub fn promote(&self) -> Result<(), Error> {
        self.sql("postgres", "SELECT pg_promote(true, 30)")?;
        wait::until(&format!("promotion of {}", self.name), wait::LIMIT, || {
            Ok(self.in_recovery()?.eq(&false).then_some(()))
        })
    }

    /// Whether the server is a replica now.
    pub fn in_recovery(&self) -> Result<bool, Error> {
        self.sql("postgres", "SELECT pg_is_in_recovery()").map(|answer| answer == "t")
    }

    /// Waits until this replica has replayed all that `upstream` has flushed by now.
    pub fn wait_caught_up(&self, upstream: &Node) -> Result<(), Error> {
        let position = upstream.sql("postgres", "SELECT pg_current_wal_flush_lsn()")?;
        let question = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        wait::until(&format!("{} to reach {position}", self.name), wait::LIMIT, || {
            Ok((self.sql("postgres", &question)? == "t").then_some(()))
        })
    }

    /// Client connections that are open now, the asking one left out.
    pub fn connections(&self) -> Result<u64, Error> {
        self.count(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
    }

    /// Transactions that ended in `database` since the server started, for "which node did the work".
    /// A session reports its own at most once a second and when it ends, so wait for the number.
    pub fn transactions(&self, database: &str) -> Result<u64, Error> {
        self.count(&format!(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{database}'"
        ))
    }

    fn count(&self, question: &str) -> Result<u64, Error> {
        let answer = self.sql("postgres", question)?;
        let source = || std::io::Error::other(format!("not a number: {answer:?}"));
        answer.parse().map_err(|_| Error::Io { what: question.to_owned(), source: source() })
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.common.root.join(format!("{}.log", self.name))
    }

    /// A panic elsewhere leaves the child as it was.
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let left_behind = self.pid_file();
        match self.lock().take() {
            Some(mut child) => end(&mut child, &self.data_dir()),
            None => process::remove_shared_memory(&left_behind),
        }
    }
}

/// Ends a postmaster and its children: immediate mode, and by force when that takes too long.
fn end(child: &mut Child, data: &std::path::Path) {
    process::signal(child.id(), Signal::QUIT);
    // Frozen ones must be woken to hear it.
    process::living_in(data).iter().for_each(|id| process::signal(*id, Signal::CONT));
    let gone = wait::until("a server's end", Duration::from_secs(10), || Ok(child.try_wait().ok().flatten()));
    if gone.is_err() {
        process::living_in(data).iter().for_each(|id| process::signal(*id, Signal::KILL));
        let _ = child.kill();
        let _ = child.wait();
    }
}
