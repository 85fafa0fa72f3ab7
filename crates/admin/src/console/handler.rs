//! Commands to answers, for both protocols.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::Sink;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldInfo, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;

use super::Console;
use super::command::{Command, commands};
use super::fault::Fault;
use super::show;
use super::table::{Column, fields};

/// Answers the commands of one connection.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    pub(super) console: Arc<Console>,
}

impl Handler {
    async fn answer(&self, command: &Command, format: &Format) -> PgWireResult<Response> {
        Ok(match command {
            Command::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Command::End(tag) => Response::TransactionEnd(Tag::new(tag)),
            Command::Nothing(tag) => Response::Execution(Tag::new(tag)),
            Command::Forget => {
                self.console.sources.shared.refusals.forget();
                Response::Execution(Tag::new("RESET"))
            }
            Command::Confirm => {
                self.console.operations.confirm().await?;
                Response::Execution(Tag::new("RELOAD"))
            }
            _ => {
                let table = show::table(&self.console, command).await?;
                let tag = match command {
                    Command::Show(_) => "SHOW",
                    Command::Explain { .. } => "EXPLAIN",
                    Command::Reload { .. } => "RELOAD",
                    _ => "DIFF",
                };
                Response::Query(table.respond(tag, format)?)
            }
        })
    }
}

#[async_trait]
impl SimpleQueryHandler for Handler {
    async fn do_query<C>(&self, _client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let commands = commands(query)?;
        if commands.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut answers = Vec::with_capacity(commands.len());
        for command in &commands {
            answers.push(self.answer(command, &Format::UnifiedText).await?);
        }
        Ok(answers)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = Command;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::new(Parser)
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        portal: &Portal<Command>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Command>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.answer(&portal.statement.statement, &portal.result_column_format).await
    }
}

/// Reads the text of a Parse.
#[derive(Debug)]
pub(super) struct Parser;

#[async_trait]
impl QueryParser for Parser {
    type Statement = Command;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Command>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut commands = commands(sql)?;
        match commands.len() {
            0 | 1 => Ok(commands.pop()),
            _ => Err(Fault::syntax("cannot insert multiple commands into a prepared statement").into()),
        }
    }

    fn get_parameter_types(&self, _command: &Command) -> PgWireResult<Vec<Type>> {
        Ok(Vec::new())
    }

    fn get_result_schema(&self, command: &Command, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        Ok(fields(columns(command), format.unwrap_or(&Format::UnifiedText)))
    }
}

/// What a command answers with; nothing when it has no rows.
pub(super) fn columns(command: &Command) -> &'static [Column] {
    match command {
        Command::Show(what) => show::columns(*what),
        Command::Explain { .. } => show::ROUTE,
        Command::Reload { .. } => show::CHANGES,
        Command::Diff(_) => show::MOVED,
        Command::Confirm | Command::Forget | Command::Begin | Command::End(_) | Command::Nothing(_) => &[],
    }
}
