//! A million texts, with a hundred rules: what is kept of them stays within its bounds.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use pgsplit_config::Config;
use pgsplit_route::Rules;
use pgsplit_route::rules::{Speaker, Words};
use pgsplit_sql::{Analyzer, Catalog};

/// Bytes for facts.
const CACHE: usize = 4 << 20;
/// What the process may grow by: the facts, with what an allocator loses between them, and the threads' own tables.
const GROWTH: usize = 3 * CACHE;
/// Texts that differ in literals and trace ids.
const TEXTS: u32 = 1_000_000;
/// One in so many differs in more than that.
const DISTINCT: u32 = 50;

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn rules() -> Arc<Rules> {
    let mut text = "nodes = ['db1', 'db2']\n".to_owned();
    for n in 0..50 {
        let _ = write!(
            text,
            "[[rules]]\nname = 'table{n}'\nmatch.tables = ['Table{n}', 'Other*{n}']\ntarget = 'primary'\n\
             [[rules]]\nname = 'route{n}'\nmatch.route = 'GET /api/part{n}'\ntarget = 'replica'\n"
        );
    }
    Arc::new(Rules::new(&Config::parse(&text, Path::new(".")).unwrap().0.rules, &["db1", "db2"], None))
}

#[test]
fn a_million_texts() {
    let (analyzer, catalog, rules) = (Analyzer::new(CACHE), Arc::new(Catalog::unknown()), rules());
    analyzer.set_marker(rules.clone());
    let session = rules.of_session(&Speaker::default());
    let (mut text, mut before, mut most, mut met) = (String::new(), 0, 0, 0);
    for n in 0..TEXTS {
        text.clear();
        let column = if n % DISTINCT == 0 { n } else { 0 };
        let _ = write!(
            text,
            "SELECT \"id\" AS c{column} FROM \"Table7\" WHERE \"id\" = {n} AND \"name\" = 'name {n}' \
             /*method='GET',route='/api/part{}',traceparent='00-{n:032x}-{n:016x}-01'*/",
            n % 100
        );
        let (facts, around) = analyzer.read(text.as_bytes(), &catalog);
        let words = rules.of_words(&Words { hint: around.hint(), tags: around.tags() });
        met += u32::from(rules.find(&facts, &catalog, session, words, Arc::default).rule.is_some());
        if n == 1000 {
            before = resident();
        }
        if n % 10_000 == 0 {
            most = most.max(resident());
        }
    }
    assert_eq!(met, TEXTS);
    let growth = most.saturating_sub(before);
    assert!(growth <= GROWTH, "grew by {} KiB", growth >> 10);
}
