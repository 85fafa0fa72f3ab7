//! Wrong files and what is said about them, to the letter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use std::path::Path;

use pgsplit_config::Config;

/// The complaint about a text; `X` is the only variable that is set.
fn complaint(text: &str) -> String {
    let variables = |name: &str| (name == "X").then(|| "value".to_owned());
    match Config::parse_with(text, Path::new("/nowhere"), &variables) {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The complaint about lines that are added to the smallest good file, without the file's name.
fn about(lines: &str) -> String {
    let shown = complaint(&format!("nodes = [\"a\"]\n{lines}"));
    let first = shown.lines().next().unwrap_or_default();
    first.strip_prefix("<config>:").unwrap_or(first).to_owned()
}

#[test]
fn place_line_and_caret() {
    assert_eq!(
        complaint("nodes = [\"a\"]\n\n[pool]\n  poool = 3  # comment\n"),
        "<config>:4:3: pool.poool: unknown key `poool`; known here: mode, max_clients, primary_connections, \
         replica_connections, max_connections, min_idle, wait, idle_timeout, lifetime, prepared_statements, logins, \
         waiting\n  4 |   poool = 3  # comment\n    |   ^^^^^"
    );
    assert_eq!(
        complaint("poool = 1"),
        "<config>:1:1: poool: unknown key `poool`; did you mean `pool`?\n  1 | poool = 1\n    | ^^^^^"
    );
    assert_eq!(
        complaint("nodes = ['a']\nbalance.zone = 'é'\nlog.slow\t= 'né'"),
        "<config>:3:12: log.slow: `né` is not a duration; expected one such as \"500ms\" \
         (units: us, ms, s, m, h, d)\n  3 | log.slow\t= 'né'\n    |         \t  ^^^^"
    );
    assert_eq!(complaint(""), "<config>: nodes: at least one node is needed: nodes = [\"10.0.0.1:5432\"]");
}

#[test]
fn several_at_once_in_the_order_of_the_file() {
    let shown = complaint(
        "nodes = ['a']\nlisten = '${NONE}'\n[pool]\nwait = 5\nmod = 'x'\n[[rules]]\ntarget = 'primary'\n[poool]\n",
    );
    let places: Vec<&str> = shown.lines().filter(|line| line.starts_with("<config>")).collect();
    assert_eq!(
        places,
        [
            "<config>:2:10: listen: the environment variable `NONE` is not set",
            "<config>:4:8: pool.wait: `5` has no unit; a duration is a string such as \"500ms\"",
            "<config>:5:1: pool.mod: unknown key `mod`; did you mean `mode`?",
            "<config>:6:1: rules[0]: the key `name` is missing",
            "<config>:8:2: poool: unknown key `poool`; did you mean `pool`?",
        ]
    );
    let many: String = (0..100).map(|i| format!("unknown{i} = 1\n")).collect();
    assert_eq!(complaint(&many).lines().filter(|line| line.starts_with("<config>")).count(), 20);
}

#[test]
fn a_password_is_not_shown() {
    for text in [
        "pasword = 'hunter2'",
        "auth.password = ['hunter2']",
        "auth.password = 'hunter2' x",
        "auth = { user = 'u', Passwd = 'hunter2' }",
    ] {
        let shown = complaint(text);
        assert!(shown.contains("<config>:1:") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn keys_and_types() {
    for (lines, expected) in [
        (
            "[auth]\nlisten = 'x:1'",
            "3:1: auth.listen: unknown key `listen` here; it belongs at the top of the file, before the first [table]",
        ),
        (
            "[auth]\nmax_lag = '1s'",
            "3:1: auth.max_lag: unknown key `max_lag` here; it belongs in [consistency]",
        ),
        (
            "[timeouts]\nconnekt = '1s'",
            "3:1: timeouts.connekt: unknown key `connekt`; did you mean `connect`?",
        ),
        ("routing.spill.laod = 1", "2:15: routing.spill.laod: unknown key `laod`; did you mean `load`?"),
        (
            "[[rules]]\nname = 'r'\nmatch.tabels = 'x'",
            "4:7: rules[0].match.tabels: unknown key `tabels`; did you mean `tables`?",
        ),
        (
            "pool.mode = 'sesion'",
            "2:13: pool.mode: `sesion` is not one of transaction, session; did you mean `session`?",
        ),
        (
            "consistency.level = 'none'",
            "2:21: consistency.level: `none` is not one of eventual, session, causal, strict",
        ),
        ("auth.method = 'md5'", "2:15: auth.method: `md5` is not one of scram-sha-256, cert, trust"),
        (
            "pool.min_idle = '1'",
            "2:17: pool.min_idle: expected a whole number, 0 or more, found string \"1\"",
        ),
        (
            "pool.max_clients = -1",
            "2:20: pool.max_clients: expected a whole number, 0 or more, found integer `-1`",
        ),
        (
            "pool.max_connections = 'many'",
            "2:24: pool.max_connections: expected \"auto\" or a number of connections, found string \"many\"",
        ),
        ("watch = 'yes'", "2:9: watch: expected true or false, found string \"yes\""),
        ("auth = 3", "2:8: auth: expected a table, found integer `3`"),
        ("auth = ['cert']", "2:8: auth: expected a table, found a list"),
        ("rules = {}", "2:9: rules: expected a list, found a table"),
        ("rules = [['r']]", "2:10: rules[0]: a list cannot stand in a list here"),
        (
            "admin = 1",
            "2:9: admin: expected an address such as \"127.0.0.1:6433\", or \"off\", found integer `1`",
        ),
        ("routing.triggers = { a = 'b' }", "2:26: routing.triggers.a: expected a list, found string \"b\""),
        (
            "[[rules]]\nname = 'r'\nexpires = 2030-01-01T00:00:00Z",
            "4:11: rules[0].expires: expected a date without a time, such as 2027-06-30",
        ),
        ("[[tests]]\nsql = 'x'", "2:1: tests[0]: the key `expect` is missing"),
        ("nodes = ['b']", "2:1: duplicate key"),
        ("[auth", "2:6: unclosed table, expected `]`"),
    ] {
        assert_eq!(about(lines), expected);
    }
}

#[test]
fn values() {
    let units = "(units: us, ms, s, m, h, d)";
    for (lines, expected) in [
        ("pool.wait = '5'", format!("2:13: pool.wait: `5` is not a duration; expected one such as \"500ms\" {units}")),
        ("routing.cache = '64MB'", "2:17: routing.cache: `64MB` is not a size; expected one such as \"64MiB\" (units: B, KiB, MiB, GiB)".to_owned()),
        ("listen = '6432'", "2:10: listen: `6432` is not an address: expected host:port".to_owned()),
        ("listen = ['a:1', 'unix:x']", "2:18: listen[1]: `unix:x` must name a directory by its whole path: unix:/run/pgsplit".to_owned()),
        ("peers = '::1'", "2:9: peers: `::1` is not an address: an IPv6 address needs brackets, as in [::1]:5432".to_owned()),
        ("balance.zone = '${NONE}'", "2:16: balance.zone: the environment variable `NONE` is not set".to_owned()),
        ("balance.zone = '${X'", "2:16: balance.zone: `${` is not closed by `}` (a literal `${` is `$${`)".to_owned()),
        ("listen = []", "2:10: listen: at least one address is needed, such as \"0.0.0.0:6432\"".to_owned()),
        ("workers = 2000", "2:11: workers: at most 1024; 0 is one per core".to_owned()),
        ("pool.logins = 0", "2:15: pool.logins: must be above zero".to_owned()),
        ("pool.waiting = 9223372036854775807", "2:16: pool.waiting: must be at most 10000000".to_owned()),
        ("pool.max_connections = 0", "2:24: pool.max_connections: must be above zero, or \"auto\"".to_owned()),
        ("routing.spill.load = 1.5", "2:22: routing.spill.load: must be a share above 0 and up to 1".to_owned()),
        ("routing.spill.load = nan", "2:22: routing.spill.load: must be a share above 0 and up to 1".to_owned()),
        ("routing.retry.budget = -1", "2:24: routing.retry.budget: must be a share from 0 to 1".to_owned()),
        ("routing.retry.buffer = '1GiB'", "2:24: routing.retry.buffer: must be at most 16MiB: each client may hold it".to_owned()),
        ("routing.cache = '1KiB'", "2:17: routing.cache: must be at least 1MiB".to_owned()),
        ("consistency.max_lag = '0'", "2:23: consistency.max_lag: must be above zero: no replica is ever less behind than that".to_owned()),
        ("health.interval = '1us'", "2:19: health.interval: must be at least 10ms".to_owned()),
        ("health.timeout = '0'", "2:18: health.timeout: must be above zero: a probe needs a deadline".to_owned()),
        ("health.eject_after = 0", "2:22: health.eject_after: must be above zero".to_owned()),
        ("log.level = 'info,x=inof'", "2:13: log.level: `inof` is not one of off, error, warn, info, debug, trace; did you mean `info`?".to_owned()),
    ] {
        assert_eq!(about(lines), expected);
    }
}

#[test]
fn contradictions() {
    for (lines, expected) in [
        (
            "reuse_port = true",
            "2:14: reuse_port: needs `peers`: the admin addresses of the processes that share the port",
        ),
        ("listen = 'a:1'\nhttp = 'a:1'", "3:8: http: `a:1` is also the address of `listen[0]`"),
        ("listen = ['a:1', 'a:1']", "2:18: listen[1]: `a:1` is also the address of `listen[0]`"),
        ("pool.min_idle = 41", "2:17: pool.min_idle: is more than a pool may have connections (40)"),
        (
            "tls.client = 'require'",
            "2:14: tls.client: needs `tls.cert` and `tls.key`: there is nothing to offer TLS with",
        ),
        ("tls.cert = 'x'", "2:12: tls.cert: needs `tls.key`, the certificate's private key"),
        ("tls.key = 'x'", "2:11: tls.key: needs `tls.cert`, the certificate of this key"),
        (
            "tls = { client = 'verify-full', cert = 'x', key = 'y' }",
            "2:18: tls.client: verify-full needs `tls.ca`, the authority of the clients' certificates",
        ),
        (
            "auth.method = 'cert'",
            "2:15: auth.method: cert needs tls.client = \"verify-full\": no certificate is asked for otherwise",
        ),
        ("auth.query = ''", "2:14: auth.query: is empty and there is no `auth.users`: nobody could log in"),
        ("auth.query = 'SELECT 1'", "2:14: auth.query: must contain $1, the name of the user who logs in"),
        ("auth.user = ''", "2:13: auth.user: must not be empty"),
        (
            "auth.password = 'file:none'",
            "2:17: auth.password: cannot read /nowhere/none: No such file or directory (os error 2)",
        ),
        (
            "auth.users = 'none'",
            "2:14: auth.users: cannot read /nowhere/none: No such file or directory (os error 2)",
        ),
        (
            "routing = { functions_read_only = ['f'], functions_write = ['f'] }",
            "2:35: routing.functions_read_only: `f` is also in `functions_write`; a function cannot be in both",
        ),
    ] {
        assert_eq!(about(lines), expected);
    }
}

#[test]
fn nodes() {
    for (text, expected) in [
        ("nodes = []", "<config>:1:9: nodes: at least one node is needed: nodes = [\"10.0.0.1:5432\"]"),
        ("nodes = ['a', 'a:5432']", "<config>:1:15: nodes[1]: `a:5432` is already the node `a:5432`"),
        (
            "nodes = [3]",
            "<config>:1:10: nodes[0]: expected an address such as \"10.0.0.1:5432\" or a [[nodes]] table, found integer `3`",
        ),
        (
            "nodes = ['a:x']",
            "<config>:1:10: nodes[0]: `a:x` is not an address: the port must be a number up to 65535",
        ),
        ("[[nodes]]\nname = 'x'", "<config>:1:1: nodes[0]: the key `address` is missing"),
        (
            "[[nodes]]\naddress = 'a'\nname = 'x'\n[[nodes]]\naddress = 'b'\nname = 'x'",
            "<config>:6:8: nodes[1].name: another node is called `x` already",
        ),
        (
            "[[nodes]]\naddress = 'a'\nname = 'primary'",
            "<config>:3:8: nodes[0].name: a node cannot be called `primary`",
        ),
        (
            "[[nodes]]\naddress = 'a'\nrole = 'master'",
            "<config>:3:8: nodes[0].role: `master` is not one of auto, primary, replica",
        ),
        ("[[nodes]]\naddress = 'a'\nweight = 5000", "<config>:3:10: nodes[0].weight: must be at most 1000"),
        (
            "[[nodes]]\naddress = 'a'\nrole = 'replica'",
            "<config>:1:1: nodes: all nodes have the role `replica`: none could be the primary",
        ),
    ] {
        assert_eq!(complaint(text).lines().next(), Some(expected));
    }
}

#[test]
fn rules_and_tests() {
    for (lines, expected) in [
        ("name = 'r'", "2:1: rules[0]: the rule `r` changes nothing: it needs a `target`"),
        (
            "name = ''\ntarget = 'replica'",
            "3:8: rules[0].name: must be 1 to 64 letters, digits, `-`, `_` or `.`",
        ),
        (
            "name = 'a b'\ntarget = 'replica'",
            "3:8: rules[0].name: must be 1 to 64 letters, digits, `-`, `_` or `.`",
        ),
        (
            "name = 'r'\ntarget = 'replcia'",
            "4:10: rules[0].target: no node is called `replcia`; did you mean `replica`?",
        ),
        (
            "name = 'r'\ntarget = ['primary', 'a:5432']",
            "4:10: rules[0].target: `primary` cannot be one of several",
        ),
        (
            "name = 'r'\ntarget = 'db9'",
            "4:10: rules[0].target: no node is called `db9`; known: primary, replica, a:5432",
        ),
        (
            "name = 'r'\ntarget = []",
            "4:10: rules[0].target: must be \"primary\", \"replica\" or names of nodes",
        ),
        (
            "name = 'r'\ntarget = 'primary'\nmax_lag = '1s'",
            "5:11: rules[0].max_lag: has no meaning with target = \"primary\", which is never behind",
        ),
        ("name = 'r'\ntarget = 'replica'\nmax_lag = '0'", "5:11: rules[0].max_lag: must be above zero"),
        (
            "name = 'r'\ntarget = 'replica'\npercent = 0",
            "5:11: rules[0].percent: must be above 0 and at most 100",
        ),
        (
            "name = 'r'\ntarget = 'replica'\nmatch.client = '10.0.0.0/33'",
            "5:16: rules[0].match.client: `10.0.0.0/33` is not an IP address or a block such as 10.0.0.0/8",
        ),
        ("name = 'r'\ntarget = 'replica'\nmatch.user = ''", "5:14: rules[0].match.user: has an empty member"),
        (
            "name = 'r'\ntarget = 'replica'\nmatch.tags.a = 3",
            "5:16: rules[0].match.tags.a: expected a string or a list of strings, found integer `3`",
        ),
        (
            "name = 'r'\ntarget = 'replica'\n[[rules]]\nname = 'r'\ntarget = 'primary'",
            "6:8: rules[1].name: another rule is called `r` already",
        ),
        (
            "name = 'ranks'\ntarget = 'replica'\n[[tests]]\nsql = 'x'\nexpect.rule = 'rank'",
            "7:15: tests[0].expect.rule: no rule is called `rank`; did you mean `ranks`?",
        ),
        (
            "name = 'r'\ntarget = 'replica'\n[[tests]]\nsql = 'x'\nexpect.target = 'db9'",
            "7:17: tests[0].expect.target: no node is called `db9`; known: primary, replica, a:5432",
        ),
        (
            "name = 'r'\ntarget = 'replica'\n[[tests]]\nsql = 'x'\nexpect = {}",
            "7:10: tests[0].expect: expects nothing: it needs `target` or `rule`",
        ),
    ] {
        assert_eq!(about(&format!("[[rules]]\n{lines}")), expected);
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    let error = Config::load(Path::new("/nowhere/pgsplit.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/pgsplit.toml: cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(error.problems().len(), 1);
}

/// A file that is being edited is cut and mangled in every way; each complaint must have a place in it.
#[test]
fn mangled_files() {
    let whole = include_str!("marketplace.toml");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(7).filter(|at| whole.is_char_boundary(*at)) {
        let (before, after) = whole.split_at(at);
        let mut rest = after.chars();
        rest.next();
        for text in
            [before.to_owned(), format!("{before}{}", rest.as_str()), format!("{before}='\u{e9}\n[{after}")]
        {
            let Err(error) = Config::parse_with(&text, Path::new("/nowhere"), &|_| None) else { continue };
            refused += 1;
            for place in error.problems().iter().filter_map(|problem| problem.position.as_ref()) {
                let line = text.lines().nth(place.line - 1).unwrap_or_default();
                assert!(place.column <= line.chars().count() + 1, "{error}");
            }
        }
    }
    assert!(refused > 2000, "{refused}");
}
