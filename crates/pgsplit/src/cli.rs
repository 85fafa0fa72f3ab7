//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pgsplit_config::Listen;

/// One port in front of a PostgreSQL primary and its streaming replicas
#[derive(Debug, Parser)]
#[command(name = "pgsplit", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the proxy; SIGHUP reloads the file, SIGTERM drains and stops
    Run(ConfigFile),
    /// Check a configuration file; exit code 0, or 1 with file, line and key
    Check(Check),
    /// Say where a statement would go, and why
    Explain(Explain),
    /// Have the running proxy read its configuration again
    Reload(Reload),
    /// Say which statements would go elsewhere with another file
    Diff(Diff),
    /// Try it: a local cluster with the proxy in front, gone at Ctrl-C
    Demo(Demo),
    /// Print configuration
    Config(Print),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Ask the servers too: do rules name what is there
    #[arg(long)]
    pub(crate) live: bool,
    /// Whose catalog counts
    #[arg(long, value_name = "NAME", default_value = "postgres", requires = "live")]
    pub(crate) database: String,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    /// Ask the servers: catalog, roles, states
    #[arg(long)]
    pub(crate) live: bool,
    /// The session's database
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub(crate) database: String,
    /// The session's user
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) user: String,
    /// The session's application_name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) application_name: String,
    /// The address of the client
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client: Option<std::net::IpAddr>,
    /// The session's search_path
    #[arg(long, value_name = "SCHEMAS")]
    pub(crate) search_path: Option<String>,
    /// The HTTP route, as in "GET /api/projects"
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// A tag; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) tag: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Read the statement from this file
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub(crate) file: Option<PathBuf>,
    /// The statement, or - to read it from standard input
    #[arg(value_name = "SQL", required_unless_present = "file")]
    pub(crate) sql: Option<String>,
}

const LOGIN: &str = "\
Speaks with the running proxy on its admin port, which the configuration names;
--admin says where it is when the file is to move it.
The login is auth.user with auth.password, or what PGUSER and PGPASSWORD say;
it must be auth.user or one of admin_users.";

#[derive(Debug, Args)]
#[command(after_help = LOGIN)]
pub(crate) struct Reload {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Go back after this time, as in 5m, unless confirmed
    #[arg(long, value_name = "TIME", conflicts_with = "confirmed")]
    pub(crate) confirm: Option<String>,
    /// Keep what was reloaded with --confirm
    #[arg(long)]
    pub(crate) confirmed: bool,
    #[command(flatten)]
    pub(crate) console: Console,
}

#[derive(Debug, Args)]
#[command(after_help = LOGIN)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The file to compare with what is in force
    #[arg(value_name = "NEW.toml")]
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) console: Console,
}

#[derive(Debug, Args)]
pub(crate) struct Console {
    /// The console, where it is not as the file says
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<Listen>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many streaming replicas
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    pub(crate) replicas: usize,
    /// The port of the proxy, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 6432)]
    pub(crate) port: u16,
    /// pgbench's scale: 100,000 rows each
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) scale: u32,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Print {
    /// Every key with its default and a sentence about it
    #[arg(long)]
    defaults: bool,
    /// The JSON Schema of the file, for editors
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Where the configuration is when the command line does not say.
pub(crate) const DEFAULT_FILE: &str = "pgsplit.toml";
