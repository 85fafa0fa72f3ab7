//! Reloads while pgbench runs: settings, modes, and rules.

use std::fs;
use std::process::Stdio;

use pgsplit_testkit::{Account, Cluster};

use crate::stage::{console, proxy, said};

const RELOADS: u32 = 20;

pub(crate) fn disturbs_nobody(cluster: &Cluster) {
    cluster.pgbench_init(1).unwrap();
    cluster.wait_caught_up().unwrap();
    let proxy = proxy(cluster, "[pool]\nwait = '4s'\n");
    let mut console = console(&proxy);
    let text = fs::read_to_string(proxy.config()).unwrap();
    let mut bench = cluster.command(&cluster.postgres().program("pgbench"));
    bench.args(["-n", "-c", "8", "-j", "2", "-t", "1500", "-b", "tpcb-like@1", "-b", "select-only@4"]);
    bench.arg(proxy.connection_string(&Account::APP, "app"));
    let bench = bench.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let clients =
        |console: &mut pgsplit_testkit::peer::RawClient| console.rows("SHOW CLIENTS").unwrap().len();
    pgsplit_testkit::wait::until("the clients", pgsplit_testkit::wait::LIMIT, || {
        Ok((clients(&mut console) >= 8).then_some(()))
    })
    .unwrap();
    for n in 0..RELOADS {
        let (wait, reads) = (3 + n % 5, if n % 2 == 0 { "primary" } else { "replica" });
        let new = text.replace("wait = '4s'", &format!("wait = '{wait}s'"));
        // Rules come, change, change places and go while statements meet them.
        let rule = |name: &str, table: &str, target: &str| {
            format!("[[rules]]\nname = '{name}'\nmatch.tables = '{table}'\ntarget = '{target}'\n")
        };
        let accounts = rule("accounts", "pgbench_accounts", reads);
        let others = rule("others", "pgbench_*", if n % 3 == 0 { "replica" } else { "primary" });
        let rules = match n % 4 {
            0 => String::new(),
            1 => accounts,
            2 => format!("{accounts}{others}"),
            _ => format!("{others}{accounts}percent = 50\nsticky = 'session'\n"),
        };
        fs::write(proxy.config(), format!("{new}[routing]\nreads = '{reads}'\n{rules}")).unwrap();
        console.rows("RELOAD").unwrap();
        assert!(clients(&mut console) >= 8, "the load was over before the reloads were");
    }
    let (code, said) = said(&bench.wait_with_output().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("number of transactions actually processed: 12000/12000"), "{said}");
    assert!(said.contains("number of failed transactions: 0") || !said.contains("failed"), "{said}");
    let metrics = proxy.metrics().unwrap();
    assert_eq!(metrics.sum("pgsplit_statements_failed_total", &[]), 0.0);
    let by_rule = metrics.sum("pgsplit_routing_decisions_total", &[("reason", "rule")]);
    assert!(by_rule > 0.0, "statements have met rules");
    assert_eq!(metrics.sum("pgsplit_config_reloads_total", &[("result", "accepted")]), f64::from(RELOADS));
}
