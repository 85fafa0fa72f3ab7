//! What a case of the battery is.

/// Where a step goes and why, as the counters of decisions name it: `target reason`, and nothing for a step that
/// pgsplit answers by itself. Where the protocols differ: `simple / extended`.
pub(crate) type Expected = &'static str;

pub(crate) const READ: Expected = "replica read";
pub(crate) const WRITE: Expected = "primary write";
pub(crate) const DDL: Expected = "primary ddl";
pub(crate) const LOCKING: Expected = "primary locking";
pub(crate) const FUNCTION: Expected = "primary function";
pub(crate) const RELATION: Expected = "primary relation";
pub(crate) const SESSION: Expected = "primary session";
pub(crate) const MIXED: Expected = "primary mixed";
pub(crate) const UNPARSED: Expected = "primary unparsed";
pub(crate) const TRANSACTION: Expected = "primary transaction";
pub(crate) const PINNED: Expected = "primary pinned";
pub(crate) const LOCAL: Expected = "";
/// A read that fails on a replica with an error that missing DDL could explain is asked again of the primary.
pub(crate) const ASKED_AGAIN: Expected = "primary refused, replica read";

/// One exchange with the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// A text, in the protocol of the run: a Query, or Parse, Bind, Describe, Execute and Sync without names.
    Sql(&'static str),
    /// A COPY … FROM STDIN, and its data.
    CopyIn(&'static str, &'static str),
    /// A COPY … FROM STDIN that the client breaks off after this data.
    CopyFail(&'static str, &'static str),
    /// Parse and Sync: a name and a text.
    Parse(&'static str, &'static str),
    /// Bind, Describe, Execute and Sync of a named statement.
    Run(&'static str, &'static [Option<&'static str>]),
    /// Close of a named statement, and Sync.
    Close(&'static str),
    /// Several statements, each parsed without a name, bound and executed, ahead of one Sync.
    Pipeline(&'static [&'static str]),
    /// Several named statements, each bound and executed, ahead of one Sync.
    Runs(&'static [&'static str]),
}

impl Step {
    /// What the step is about, for reports.
    pub(crate) fn text(&self) -> String {
        match self {
            Step::Sql(sql) | Step::CopyIn(sql, _) | Step::CopyFail(sql, _) => (*sql).to_owned(),
            Step::Parse(name, sql) => format!("Parse {name}: {sql}"),
            Step::Run(name, parameters) => format!("Run {name} {parameters:?}"),
            Step::Close(name) => format!("Close {name}"),
            Step::Pipeline(texts) => format!("Pipeline {texts:?}"),
            Step::Runs(names) => format!("Runs {names:?}"),
        }
    }
}

/// Steps on one connection, each with what is expected of it.
#[derive(Debug, Clone)]
pub(crate) struct Case(pub(crate) Vec<(Step, Expected)>);

impl Case {
    /// The first step's text.
    pub(crate) fn name(&self) -> String {
        self.0.first().map(|(step, _)| step.text()).unwrap_or_default()
    }
}

/// Cases of a kind: single statements, and scripts of several steps.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) rows: &'static [(&'static str, Expected)],
    pub(crate) scripts: &'static [&'static [(Step, Expected)]],
}

impl Kind {
    pub(crate) fn cases(&self) -> Vec<Case> {
        let rows = self.rows.iter().map(|(sql, expected)| Case(vec![(Step::Sql(sql), expected)]));
        rows.chain(self.scripts.iter().map(|script| Case(script.to_vec()))).collect()
    }
}

/// The protocol that statements are sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Simple,
    Extended,
}

impl Protocol {
    /// The part of an expectation that holds for this protocol.
    pub(crate) fn part(self, expected: Expected) -> &'static str {
        match (expected.split_once(" / "), self) {
            (None, _) => expected,
            (Some((simple, _)), Protocol::Simple) => simple,
            (Some((_, extended)), Protocol::Extended) => extended,
        }
    }
}
