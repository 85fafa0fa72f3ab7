//! Control connections under TLS, to a server that accepts nothing else.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::sync::Arc;

use common::{is, runtime, settings, start};
use pgsplit_cluster::{Lookup, ServerTls, Settings};
use pgsplit_route::{NodeState, Role};
use pgsplit_testkit::Cluster as Servers;
use rustls::{ClientConfig, RootCertStore};

fn trusting(certificate: &rcgen::Certificate) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn control_connections_use_tls() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let servers = Servers::builder()
        .name("tls")
        .setting("ssl", "on")
        .file("server.crt", &made.cert.pem())
        .file("server.key", &made.signing_key.serialize_pem())
        .access("hostnossl all pgsplit 127.0.0.1/32 reject")
        .start()
        .unwrap();
    let right = trusting(&made.cert);
    let cases = [
        (ServerTls::Disable, false),
        (ServerTls::Prefer(Arc::clone(&right)), true),
        (ServerTls::Require(right), true),
        (ServerTls::Require(trusting(&other.cert)), false),
    ];
    let runtime = runtime();
    for (tls, works) in cases {
        let named = format!("{tls:.0?}").split('(').next().map(str::to_owned);
        let cluster = start(&runtime, Settings { tls, ..settings(servers.nodes()) }, None);
        let view = cluster.view().load_full();
        let (role, state) =
            if works { (Role::Primary, NodeState::Up) } else { (Role::Unknown, NodeState::Down) };
        assert!(is(&view, 0, role, state), "{named:?}: {view:#?}");
        let found = runtime.block_on(cluster.verifier("app"));
        assert_eq!(matches!(found, Ok(Lookup::Role(_))), works, "{named:?}: {found:?}");
        runtime.block_on(cluster.shutdown());
    }
}
