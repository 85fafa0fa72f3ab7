//! Tags and trace ids never make a statement another one.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use pgsplit_sql::{Analyzer, scan};

const BASE: &str = "select * from t where a = $1";

fn traced(n: usize) -> String {
    format!("{BASE} /*route='%2Fapi%2Fprojects',traceparent='00-{n:032x}-{n:016x}-01'*/")
}

#[test]
fn trace_ids_do_not_multiply_entries() {
    let (analyzer, catalog) = (Analyzer::new(1 << 20), common::catalog());
    let plain = analyzer.facts(BASE.as_bytes(), &catalog);
    for n in 0..10_000 {
        let text = traced(n);
        let (facts, around) = analyzer.read(text.as_bytes(), &catalog);
        assert_eq!(facts.fingerprint, plain.fingerprint);
        assert_eq!(around.tags().unwrap().get("route").as_deref(), Some("/api/projects"));
        let rails = format!("/*traceparent='{n}'*/ {BASE}");
        assert_eq!(analyzer.facts(rails.as_bytes(), &catalog).fingerprint, plain.fingerprint);
        // Where literals matter the text itself is the key, but not what is around it.
        let setting = format!("select set_config('app.tenant', '7', true) /*traceparent='{n}'*/");
        analyzer.facts(setting.as_bytes(), &catalog);
    }
    assert_eq!(analyzer.len(), 3);
}

#[test]
fn traced_texts_are_found_again_by_the_thread() {
    let (analyzer, catalog) = (Analyzer::new(1 << 20), common::catalog());
    let first = analyzer.facts(traced(0).as_bytes(), &catalog);
    analyzer.facts(traced(0).as_bytes(), &catalog);
    let (again, other) =
        (analyzer.facts(traced(1).as_bytes(), &catalog), analyzer.facts(BASE.as_bytes(), &catalog));
    assert!(Arc::ptr_eq(&again, &other), "the thread keeps one copy for all of them");
    assert_eq!(*first, *again);
}

#[test]
fn what_only_looks_like_a_comment_is_part_of_the_text() {
    let (analyzer, catalog) = (Analyzer::new(1 << 20), common::catalog());
    let fingerprint = |text: &str| analyzer.facts(text.as_bytes(), &catalog).fingerprint;
    let comment = "/*route='x'*/";
    for text in ["select 'a' || 'b", "select $$ a", "select 1 -- a", "select \"a"] {
        let whole = format!("{text} {comment}");
        assert!(scan::around(whole.as_bytes()).behind.is_empty(), "{whole}");
        let (_, around) = analyzer.read(whole.as_bytes(), &catalog);
        assert_eq!(around.text, whole.as_bytes());
    }
    // Not even when the text before it has been met by itself.
    assert_eq!(fingerprint("select 1 -- a"), fingerprint("select 1"));
    assert!(analyzer.read(b"select a -- b", &catalog).1.behind.is_empty());
    assert!(analyzer.read(b"select a -- b /*route='x'*/", &catalog).1.behind.is_empty());
}

#[test]
fn a_semicolon_at_the_end_is_no_difference() {
    let (analyzer, catalog) = (Analyzer::new(1 << 20), common::catalog());
    let fingerprint = |text: &str| analyzer.facts(text.as_bytes(), &catalog).fingerprint;
    for text in [
        "select * from t;",
        "select * from t ; ;",
        "select * from t /*a='b'*/;",
        "select * from t; /*a='b'*/",
    ] {
        assert_eq!(fingerprint(text), fingerprint("select * from t"), "{text}");
    }
    assert_ne!(fingerprint("select 1; select 1"), fingerprint("select 1"));
}
