//! What hostile or huge texts do to the process: nothing.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

mod common;

use pgsplit_sql::{Analyzer, Catalog, scan};
use proptest::prelude::*;

/// Runs on a stack of the size that the runtime's workers have.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn deep_texts_survive_a_small_stack() {
    on_small_stack(|| {
        let (analyzer, catalog) = (Analyzer::new(1 << 20), common::catalog());
        let repeated = [
            ("select 1", "+1", ""),
            ("select ", "(", ""),
            ("select ", "(", "1"),
            ("select ", "not ", "true"),
            ("select 1", "::int", ""),
            ("select a", "[1]", ""),
            ("select ", "- ", "1"),
            ("select ", "+", "1"),
            ("select x ", "and x ", ""),
            ("select 1 ", "or not 1 ", ""),
            ("select 1 ", "union all select 1 ", ""),
            ("select 1 ", "is null ", ""),
            ("select 1 ", "in (1) ", ""),
            ("select 1 ", "between 1 and 1 ", ""),
            ("select 1 ", "collate c ", ""),
            ("select 1 ", "at time zone 'x' ", ""),
            ("select ", "case when ", ""),
            ("select ", "case 1 when 1 then ", "1"),
            ("select ", "array[", ""),
            ("select ", "f(", ""),
            ("select ", "a.", "b"),
            ("select (a)", ".b", ""),
            ("select * from ", "(select * from ", "t"),
            ("select * from t ", "join t on true ", ""),
            ("select * from t ", "join ", ""),
            ("select * from ", "(t join ", ""),
            ("with a as (", "with a as (", ""),
            ("explain ", "explain ", "select 1"),
            ("select 1 where exists ", "(select 1 where exists ", ""),
            ("select interval ", "interval ", "'1'"),
            ("select ", "@ ", "1"),
            ("select cast(", "cast(", "1"),
            ("", "select 1;", ""),
            ("", "(", ""),
            ("values ", "(1),", "(1)"),
            ("select 1 in (", "1,", "1)"),
            ("select ", "row(", ""),
            ("select 1 ", "= any (array[1", "]"),
            ("select 1 ", "like '' escape '' ", ""),
            ("select a ", "-> 'x' ", ""),
            ("select ", "exists (select ", ""),
            ("select * from ", "lateral (", ""),
            ("select ", "1 over (order by ", ""),
        ];
        for (before, link, after) in repeated {
            for bytes in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 200_000] {
                let room = bytes - before.len() - after.len();
                let text = format!("{before}{}{after}", link.repeat(room / link.len()));
                analyzer.facts(text.as_bytes(), &catalog);
            }
        }
    });
}

#[test]
fn a_text_at_the_limit_is_still_read() {
    let list = vec!["1"; 5_000].join(",");
    let facts = common::facts(&format!("select * from t where id in ({list})"));
    assert_eq!(common::verdict(&facts), "read");
    let longer = vec!["1"; 10_000].join(",");
    let facts = common::facts(&format!("select * from t where id in ({longer})"));
    assert_eq!(common::verdict(&facts), "unparsed");
}

#[test]
fn a_long_insert_is_understood_by_its_tokens() {
    let rows = vec!["(1, 'x', now())"; 10_000].join(",");
    let facts = common::facts(&format!("insert into u (a, b, c) values {rows}"));
    assert_eq!(common::verdict(&facts), "write");
    assert_eq!(facts.effects.to_string(), "sequence-use");
    assert!(!facts.writes.any);
}

#[test]
fn a_text_beyond_all_limits_may_do_anything() {
    let text = format!("insert into t values ('{}')", "x".repeat(2 << 20));
    let facts = common::facts(&text);
    assert_eq!(common::verdict(&facts), "unparsed");
    assert!(facts.writes.any && facts.effects.contains(pgsplit_sql::Effects::OPAQUE));
}

/// Pieces from which texts are put together, so that random ones are not all nonsense.
const PIECES: [&str; 77] = [
    "join",
    "on true",
    "not",
    "in",
    "like",
    "between",
    "is null",
    "lateral",
    "over",
    "interval",
    "collate",
    "any",
    "exists",
    "select",
    "from",
    "t",
    "where",
    "insert into",
    "update",
    "delete from",
    "set",
    "=",
    "1",
    "'a'",
    "\"b\"",
    "(",
    ")",
    ",",
    ";",
    ".",
    "*",
    "::",
    "int",
    "$1",
    "$$",
    "$x$",
    "--",
    "/*",
    "*/",
    "\n",
    "begin",
    "commit",
    "atomic",
    "end",
    "create",
    "function",
    "with",
    "as",
    "values",
    "union",
    "all",
    "order by",
    "limit",
    "for update",
    "e'",
    "u&'",
    "'",
    "\"",
    "\\",
    "+",
    "-",
    "@>",
    "case",
    "when",
    "then",
    "else",
    "[",
    "]",
    "copy",
    "to stdout",
    "explain",
    "set_config",
    "current_setting",
    "prepare",
    "declare",
    "\u{e9}",
    "\0",
];

fn sql() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40).prop_map(|pieces| pieces.join(" "))
}

/// A literal and another one of its kind.
const LITERALS: [(&str, &str); 6] = [
    ("'a'", "'it''s; -- /* '"),
    ("1", "2.5e10"),
    ("E'\\n'", "'b'"),
    ("$$x$$", "$q$ ' $q$"),
    ("x'1f'", "b'0'"),
    (".5", "1_000"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut out = Vec::new();
        scan::normalise(&bytes, &mut out);
        scan::around(&bytes);
        let tokens = scan::tokens(&bytes);
        scan::statements(&bytes, &tokens);
        Analyzer::new(1 << 16).facts(&bytes, &common::catalog());
        Analyzer::new(1 << 16).facts(&bytes, &std::sync::Arc::new(Catalog::unknown()));
    }

    #[test]
    fn tokens_cover_the_text_in_order(text in sql()) {
        let mut behind = 0;
        for token in scan::tokens(text.as_bytes()) {
            prop_assert!(token.start >= behind && token.end > token.start && token.end <= text.len());
            behind = token.end;
        }
    }

    #[test]
    fn mutated_sql_never_panics_and_facts_do_not_depend_on_the_cache(text in sql()) {
        common::facts(&text);
    }

    #[test]
    fn what_writes_is_never_proved(before in sql(), after in sql()) {
        let text = format!("{before}\n; insert into t values (1) ; {after}");
        let facts = common::facts(&text);
        let hidden = common::facts(&before).is_read() && common::facts(&after).is_read();
        prop_assert!(!hidden || !facts.is_read(), "{}", text);
    }

    #[test]
    fn what_repeats_survives_a_small_stack(
        first in sql(),
        link in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..4),
        behind in sql(),
    ) {
        let link = link.join(" ") + " ";
        let text = format!("select {first} {} {behind}", link.repeat(15_000 / link.len()));
        on_small_stack(move || {
            common::facts(&text);
        });
    }

    #[test]
    fn the_key_ignores_blanks_comments_case_and_literals(
        pair in prop::sample::select(&LITERALS[..]),
        blank in prop::sample::select(&[" ", "\t\n", "/* c */", "-- c\n", " /* a /* b */ */ "][..]),
    ) {
        let one = format!("select a , {} from \"T\" where b >= {} ;", pair.0, pair.0);
        let two = format!("SELECT{blank}A,{0}{blank}From{blank}\"T\"{blank}WHERE b>={blank}{0}{blank};", pair.1);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        prop_assert_ne!(scan::normalise(one.as_bytes(), &mut first), scan::Form::Broken);
        prop_assert_ne!(scan::normalise(two.as_bytes(), &mut second), scan::Form::Broken);
        prop_assert_eq!(String::from_utf8(first), String::from_utf8(second));
    }
}
