//! The text of the metrics: read back line by line, as a scraper would.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgsplit_admin::text;
use pgsplit_route::{Decision, NodeId, PinReason, Reason, Target};

/// A family: what its HELP and TYPE lines say, and its samples by name and labels.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    samples: BTreeMap<String, f64>,
}

/// Reads the format, and fails on whatever a strict reader refuses.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let lines = text.strip_suffix("# EOF\n").unwrap();
    for line in lines.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let (what, rest) = rest.split_once(' ').unwrap();
            let (name, said) = rest.split_once(' ').unwrap();
            if what == "HELP" {
                current = name.to_owned();
                assert!(!families.contains_key(name), "{name} comes twice");
            }
            assert_eq!(name, current, "a family's lines belong together");
            let family = families.entry(name.to_owned()).or_default();
            match what {
                "HELP" => family.help = said.to_owned(),
                "TYPE" => family.kind = said.to_owned(),
                "UNIT" => {
                    assert!(name.ends_with(&format!("_{said}")), "{name} must end with its unit {said}")
                }
                other => panic!("unknown line {other}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        assert!(name.starts_with(&current), "{name} is no sample of {current}");
        let family = families.get_mut(&current).unwrap();
        let before = family.samples.insert(series.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{series} comes twice");
    }
    families
}

#[test]
fn every_family_is_explained_and_named_by_the_rules() {
    let families = parse(&text(&common::sources(common::view())).unwrap());
    assert!(families.len() > 30, "{}", families.len());
    for (name, family) in &families {
        assert!(name.starts_with("pgsplit_"), "{name}");
        assert!(family.help.len() > 10, "{name} has no explanation");
        assert!(!family.samples.is_empty(), "{name} has no series");
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_sum", "_count", "_bucket"],
            other => panic!("{name} is a {other}"),
        };
        for series in family.samples.keys() {
            let suffix = series.split('{').next().unwrap().strip_prefix(name.as_str()).unwrap();
            assert!(suffixes.contains(&suffix), "{series} of a {}", family.kind);
        }
    }
}

#[test]
fn all_series_exist_before_anything_has_happened() {
    let families = parse(&text(&common::sources(common::view())).unwrap());
    let decisions = &families["pgsplit_routing_decisions"].samples;
    assert_eq!(decisions.len(), Target::NAMES.len() * Reason::NAMES.len());
    for (target, reason) in Target::NAMES.iter().flat_map(|t| Reason::NAMES.iter().map(move |r| (t, r))) {
        let series = format!("pgsplit_routing_decisions_total{{target=\"{target}\",reason=\"{reason}\"}}");
        assert_eq!(decisions[&series], 0.0);
    }
    for name in ["pgsplit_pins", "pgsplit_pinned_sessions"] {
        assert_eq!(families[name].samples.len(), PinReason::ALL.len());
    }
    // An awkward name is escaped, not broken.
    let up = &families["pgsplit_node_up"].samples;
    let names: BTreeSet<_> = up.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        BTreeSet::from([r#"pgsplit_node_up{node="db1"}"#, r#"pgsplit_node_up{node="a\"b\\c"}"#])
    );
}

#[test]
fn values_are_those_that_were_counted() {
    let sources = common::sources(common::view());
    let metrics = &sources.shared.metrics;
    for target in [Target::Primary, Target::Replica(NodeId(1)), Target::Replica(NodeId(1))] {
        metrics.traffic.decided(&Decision { target, reason: Reason::Read });
    }
    metrics.pin_changed(None, Some(PinReason::Listen));
    metrics.retries[0].store(7, Ordering::Relaxed);
    sources.shared.pools.environment().metrics.opened.store(9, Ordering::Relaxed);
    let families = parse(&text(&sources).unwrap());
    let value = |family: &str, series: &str| families[family].samples[&format!("{family}{series}")];
    assert_eq!(value("pgsplit_routing_decisions", "_total{target=\"replica\",reason=\"read\"}"), 2.0);
    assert_eq!(value("pgsplit_pinned_sessions", "{reason=\"listen\"}"), 1.0);
    assert_eq!(value("pgsplit_retries", "_total{cause=\"refused\"}"), 7.0);
    assert_eq!(value("pgsplit_server_connections_opened", "_total"), 9.0);
    assert_eq!(value("pgsplit_build", "_info{version=\"1.2.3\"}"), 1.0);
    assert_eq!(value("pgsplit_replica_lag_seconds", "{node=\"db1\"}"), 1.5);
    assert_eq!(value("pgsplit_replica_lag_bytes", "{node=\"db1\"}"), 4096.0);
    assert_eq!(value("pgsplit_node_role", "{node=\"db1\",role=\"primary\"}"), 1.0);
    assert_eq!(value("pgsplit_node_role", "{node=\"db1\",role=\"replica\"}"), 0.0);
    assert_eq!(value("pgsplit_statements_in_flight", "{node=\"db1\"}"), 2.0);
    assert_eq!(value("pgsplit_probe_failures", "_total{node=\"db1\"}"), 1.0);
    assert_eq!(value("pgsplit_config_last_reload_success_timestamp_seconds", ""), 60.0);
    assert_eq!(value("pgsplit_client_connections_max", ""), 10.0);
}

#[test]
fn buckets_add_up_in_seconds() {
    let sources = common::sources(common::view());
    for micros in [50, 100, 900, 60_000_000] {
        let took = Duration::from_micros(micros);
        sources.shared.metrics.traffic.took(Target::Replica(NodeId(1)), took);
    }
    let families = parse(&text(&sources).unwrap());
    let samples = &families["pgsplit_query_duration_seconds"].samples;
    let value = |suffix: &str, bound: &str| {
        samples[&format!("pgsplit_query_duration_seconds{suffix}{{{bound}target=\"replica\"}}")]
    };
    let below = |bound: &str| value("_bucket", &format!("le=\"{bound}\","));
    let bounds = ["0.0001", "0.0005", "0.001", "30.0", "+Inf"];
    assert_eq!(bounds.map(below), [2.0, 2.0, 3.0, 3.0, 4.0]);
    assert_eq!(value("_count", ""), 4.0);
    assert!((value("_sum", "") - 60.00105).abs() < 1e-9);
}
