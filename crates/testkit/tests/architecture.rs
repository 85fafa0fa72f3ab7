//! The crates depend on each other in one direction only, as ARCHITECTURE.md draws it; and what is
//! said to do no I/O has no runtime to do it with.
#![allow(clippy::expect_used, reason = "a failed step is a failed test, in its helpers too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Every arrow there is. A crate may also name what it reaches over several of them.
const ARROWS: [(&str, &[&str]); 12] = [
    ("pgsplit", &["admin", "cluster", "config", "testkit"]),
    ("admin", &["session", "config"]),
    ("session", &["pool", "route", "config"]),
    ("pool", &["net", "auth", "route", "config"]),
    ("net", &["wire", "config"]),
    ("cluster", &["route", "config"]),
    ("route", &["sql", "config"]),
    ("wire", &["config"]),
    ("auth", &["config"]),
    ("sql", &["config"]),
    ("config", &[]),
    ("testkit", &[]),
];

/// The crates that are tables and functions: no sockets, no clock, no tasks.
const PURE: [&str; 5] = ["wire", "sql", "auth", "config", "route"];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).args(["--locked", "--offline"]).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn short(package: &str) -> &str {
    package.strip_prefix("pgsplit-").unwrap_or(package)
}

fn reachable<'a>(from: &str, arrows: &BTreeMap<&str, &'a [&'a str]>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut ahead = arrows.get(from).map(|next| next.to_vec()).unwrap_or_default();
    while let Some(next) = ahead.pop() {
        if found.insert(next) {
            ahead.extend(arrows.get(next).copied().unwrap_or_default());
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("cargo prints JSON");
    let arrows = BTreeMap::from(ARROWS);
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert_eq!(packages.len(), arrows.len(), "a crate is missing from the drawing, or from the workspace");
    for package in packages {
        let name = short(package["name"].as_str().expect("a name"));
        assert!(arrows.contains_key(name), "{name} is not in the drawing");
        let allowed = reachable(name, &arrows);
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let target = dependency["name"].as_str().expect("a name");
            let ours = target.starts_with("pgsplit");
            let for_tests = dependency["kind"] == "dev" && target == "pgsplit-testkit";
            assert!(
                !ours || for_tests || allowed.contains(short(target)),
                "{name} must not depend on {target}"
            );
        }
    }
}

#[test]
fn pure_crates_have_no_runtime() {
    for name in PURE {
        let package = format!("pgsplit-{name}");
        let tree = cargo(&["tree", "-p", &package, "-e", "normal", "--prefix", "none"]);
        assert!(tree.starts_with(&package), "not a tree: {tree}");
        let runtime = tree.lines().find(|line| line.starts_with("tokio") || line.starts_with("mio "));
        assert_eq!(runtime, None, "{package} must know nothing of tokio");
    }
}
