//! The proof's part that needs a grammar: whether a statement is a query and nothing but a query, and what it names.
//!
//! sqlparser reads the canonical form, and a visitor goes over its tree with allow-lists: a node that PostgreSQL does
//! not have, or that is not known to be harmless, ends the proof.

use std::ops::ControlFlow;

use sqlparser::ast;
use sqlparser::ast::{
    Expr, FunctionArguments, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token as Sql;

use crate::command::{Name, truncated};
use crate::facts::{NotRead, ObjectName};

/// How deep the parser may nest. Its own limit of 50 is reached by 13 nested conditions.
const RECURSION: usize = 120;

/// What a query names.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Relations, and names of WITH queries, which cannot be told from them here.
    pub(crate) relations: Vec<ObjectName>,
    /// Functions.
    pub(crate) functions: Vec<ObjectName>,
    /// Names that WITH introduces anywhere in the statement.
    pub(crate) with: Vec<Name>,
}

/// The shape of one query in canonical form, or why it is not a read.
pub(crate) fn shape(canonical: &str) -> Result<Shape, NotRead> {
    let query = parse(canonical).ok_or(NotRead::Unparsed)?;
    let mut walk = Walk::default();
    match query.visit(&mut walk) {
        ControlFlow::Continue(()) => Ok(walk.shape),
        ControlFlow::Break(why) => Err(why),
    }
}

fn parse(canonical: &str) -> Option<Box<Query>> {
    let parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(RECURSION);
    let mut parser = parser.try_with_sql(canonical).ok()?;
    let query = parser.parse_query().ok()?;
    (parser.peek_token().token == Sql::EOF).then_some(query)
}

#[derive(Default)]
struct Walk {
    shape: Shape,
}

type Flow = ControlFlow<NotRead>;

/// Goes on if a condition holds; a text that breaks it is none that was understood.
fn known(condition: bool) -> Flow {
    if condition { ControlFlow::Continue(()) } else { ControlFlow::Break(NotRead::Unparsed) }
}

impl Walk {
    fn function(&mut self, name: &ast::ObjectName) -> Flow {
        match object_name(name) {
            Some(name) => {
                self.shape.functions.push(name);
                ControlFlow::Continue(())
            }
            None => known(false),
        }
    }

    fn relation(&mut self, name: &ast::ObjectName) -> Flow {
        match object_name(name) {
            Some(name) => {
                self.shape.relations.push(name);
                ControlFlow::Continue(())
            }
            None => known(false),
        }
    }
}

impl Visitor for Walk {
    type Break = NotRead;

    /// Statements occur inside queries only where something is written.
    fn pre_visit_statement(&mut self, _: &Statement) -> Flow {
        ControlFlow::Break(NotRead::Write)
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        let Query {
            with,
            body,
            order_by: _,
            limit_clause: _,
            fetch: _,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if !locks.is_empty() {
            return ControlFlow::Break(NotRead::Locking);
        }
        for cte in with.iter().flat_map(|with| &with.cte_tables) {
            known(cte.from.is_none())?;
            self.shape.with.push(folded(&cte.alias.name));
        }
        let foreign = for_clause.is_some() || settings.is_some() || format_clause.is_some();
        known(!foreign && pipe_operators.is_empty())?;
        set_expression(body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if select.into.is_some() {
            return ControlFlow::Break(NotRead::Ddl);
        }
        let foreign = !select.optimizer_hints.is_empty()
            || select.select_modifiers.is_some()
            || select.top.is_some()
            || select.exclude.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || select.flavor != ast::SelectFlavor::Standard;
        known(!foreign)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Table {
                name,
                args,
                with_hints,
                version,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                let foreign = !with_hints.is_empty()
                    || version.is_some()
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || !index_hints.is_empty();
                known(!foreign && sample.as_ref().is_none_or(sampled))?;
                match args {
                    None => self.relation(name),
                    Some(args) => {
                        known(args.settings.is_none())?;
                        self.function(name)
                    }
                }
            }
            TableFactor::Function { name, .. } => self.function(name),
            TableFactor::Derived { sample, .. } => known(sample.is_none()),
            TableFactor::UNNEST { with_offset, .. } => known(!with_offset),
            TableFactor::NestedJoin { .. } | TableFactor::JsonTable { .. } | TableFactor::XmlTable { .. } => {
                known(true)
            }
            _ => known(false),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::Function(call) => {
                known(!call.uses_odbc_syntax && matches!(call.parameters, FunctionArguments::None))?;
                self.function(&call.name)
            }
            _ => known(plain(expr)),
        }
    }
}

/// Expressions that name no function of their own but built-in ones that the grammar refers to.
fn plain(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { kind, format, .. } => {
            matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon) && format.is_none()
        }
        Expr::Like { any, .. } | Expr::ILike { any, .. } => !any,
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::CompoundFieldAccess { .. }
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::IsJson { .. }
        | Expr::IsNormalized { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::BinaryOp { .. }
        | Expr::SimilarTo { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::UnaryOp { .. }
        | Expr::AtTimeZone { .. }
        | Expr::Extract { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Overlay { .. }
        | Expr::Collate { .. }
        | Expr::Nested(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::Case { .. }
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::GroupingSets(_)
        | Expr::Cube(_)
        | Expr::Rollup(_)
        | Expr::Tuple(_)
        | Expr::Array(_)
        | Expr::Interval(_)
        | Expr::Wildcard(_)
        | Expr::QualifiedWildcard(..) => true,
        _ => false,
    }
}

/// The body of a query: everything but `TABLE t`, whose name sqlparser does not keep as it was written. Chains of set
/// operations lean to the left, so only right sides nest.
fn set_expression(mut body: &SetExpr) -> Flow {
    loop {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => return known(true),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                return ControlFlow::Break(NotRead::Write);
            }
            SetExpr::Table(_) => return known(false),
            SetExpr::SetOperation { left, right, .. } => {
                set_expression(right)?;
                body = left;
            }
        }
    }
}

/// Whether a TABLESAMPLE uses a method of PostgreSQL itself.
fn sampled(kind: &ast::TableSampleKind) -> bool {
    let (ast::TableSampleKind::BeforeTableAlias(sample) | ast::TableSampleKind::AfterTableAlias(sample)) =
        kind;
    let method =
        matches!(sample.name, Some(ast::TableSampleMethod::Bernoulli | ast::TableSampleMethod::System));
    method && sample.bucket.is_none() && sample.offset.is_none()
}

/// A name with at most a database and a schema before it; the database can only be the present one.
fn object_name(name: &ast::ObjectName) -> Option<ObjectName> {
    let mut parts = name.0.iter().rev().map(|part| part.as_ident().map(folded));
    let name = parts.next()??;
    let schema = match parts.next() {
        None => None,
        Some(schema) => Some(schema?),
    };
    (parts.count() <= 1).then_some(ObjectName { schema, name })
}

fn folded(ident: &ast::Ident) -> Name {
    match ident.quote_style {
        Some(_) => truncated(ident.value.clone()),
        None => truncated(ident.value.to_ascii_lowercase()),
    }
}
