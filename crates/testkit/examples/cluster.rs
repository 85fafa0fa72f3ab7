//! Starts a primary and replicas with pgbench's tables, prints where they are as shell variables, and
//! removes everything when its standard input ends.
//!
//!     cluster [--replicas 2] [--scale 10] [--max-connections 300] [--setting NAME=VALUE]...

use std::{env, error::Error, io};

use pgsplit_testkit::{Account, Cluster};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut scale, mut replicas) = (10, 2);
    let mut builder = Cluster::builder().name("example").max_connections(300);
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--replicas" => replicas = value.parse()?,
            "--scale" => scale = value.parse()?,
            "--max-connections" => builder = builder.max_connections(value.parse()?),
            "--setting" => {
                let (name, value) = value.split_once('=').ok_or("--setting takes NAME=VALUE")?;
                builder = builder.setting(name, value);
            }
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    let cluster = builder.replicas(replicas).start()?;
    if scale > 0 {
        cluster.pgbench_init(scale)?;
    }
    print(&cluster);
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "its standard output is what it is for")]
fn print(cluster: &Cluster) {
    let ports: Vec<_> = cluster.nodes().iter().map(|node| node.port().to_string()).collect();
    println!("PG_PORTS='{}'", ports.join(" "));
    println!("PG_PRIMARY_PORT={}", cluster.primary().port());
    println!("PG_BINDIR='{}'", cluster.postgres().program("").display());
    println!("PG_DIRECTORY='{}'", cluster.directory().display());
    for account in Account::ALL {
        println!("PG_{}_PASSWORD='{}'", account.user().to_uppercase(), account.password());
    }
    println!("PG_READY=1");
}
