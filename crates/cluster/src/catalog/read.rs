//! Asks the primary for a database's catalog, in one snapshot.

use pgsplit_sql::catalog::{
    AggregateRow, CastRow, EdgeRow, FunctionRow, OperatorRow, RelationRow, Rows, RuleRow, SupportRow,
    TreeRow, TriggerRow, TypeRow, queries,
};
use tokio_postgres::{Client, Row, Statement};

use crate::error::Error;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Stands for all rows that the catalog is made of.
pub(super) type Checksum = String;

/// Sums a hash of identity and inserting transaction over the catalog's rows. Every committed change leaves a row
/// with another `xmin`, or one row fewer; vacuum and analyze, which change rows in place, are not seen. The rows
/// of temporary relations are left out, as they come and go. Columns and enumerations are here although no row is read
/// of them, because prepared statements depend on them.
const CHECKSUM: &str = "
WITH temporary AS MATERIALIZED (SELECT oid FROM pg_class WHERE relpersistence = 't'),
item (kind, id, sub, transaction) AS (
            SELECT 1, oid, 0, xmin FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'
  UNION ALL SELECT 2, attrelid, attnum, xmin FROM pg_attribute
                   WHERE attrelid >= 16384 AND attnum > 0 AND attrelid NOT IN (TABLE temporary)
  UNION ALL SELECT 3, oid, 0, xmin FROM pg_attrdef WHERE adrelid NOT IN (TABLE temporary)
  UNION ALL SELECT 4, oid, 0, xmin FROM pg_constraint WHERE oid >= 16384 AND conrelid NOT IN (TABLE temporary)
  UNION ALL SELECT 5, oid, 0, xmin FROM pg_trigger WHERE tgrelid NOT IN (TABLE temporary)
  UNION ALL SELECT 6, t.oid, 0, t.xmin FROM pg_type t
                   WHERE t.oid >= 16384 AND t.typnamespace NOT IN
                         (SELECT n.oid FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_')
  UNION ALL SELECT 7, oid, 0, xmin FROM pg_rewrite WHERE oid >= 16384 AND ev_class NOT IN (TABLE temporary)
  UNION ALL SELECT 8, oid, 0, xmin FROM pg_policy
  UNION ALL SELECT 9, oid, 0, xmin FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT 10, oid, 0, xmin FROM pg_operator WHERE oid >= 16384
  UNION ALL SELECT 11, oid, 0, xmin FROM pg_cast WHERE oid >= 16384
  UNION ALL SELECT 12, aggfnoid, 0, xmin FROM pg_aggregate WHERE aggfnoid >= 16384
  UNION ALL SELECT 13, rngtypid, 0, xmin FROM pg_range WHERE rngtypid >= 16384
  UNION ALL SELECT 14, oid, 0, xmin FROM pg_amproc WHERE oid >= 16384
  UNION ALL SELECT 15, oid, 0, xmin FROM pg_amop WHERE oid >= 16384
  UNION ALL SELECT 16, inhrelid, inhseqno, xmin FROM pg_inherits WHERE inhrelid NOT IN (TABLE temporary)
  UNION ALL SELECT 17, objid, refobjid::int8, xmin FROM pg_depend WHERE deptype = 'e'
  UNION ALL SELECT 18, oid, 0, xmin FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT 19, oid, 0, xmin FROM pg_language
  UNION ALL SELECT 20, oid, 0, xmin FROM pg_enum
  UNION ALL SELECT 21, setdatabase, setrole::int8, xmin FROM pg_db_role_setting
  UNION ALL SELECT 22, oid, 0, xmin FROM pg_event_trigger
)
SELECT coalesce(sum(hashint8extended((id::int8 << 32) + transaction::text::int8, kind + 32 * sub)), 0)::text FROM item";

/// All questions in the order in which they are asked: the checksum, then one for each kind of row, and the last.
const QUESTIONS: [&str; 16] = [
    CHECKSUM,
    queries::FUNCTIONS,
    queries::RELATIONS,
    queries::TREES,
    queries::OPERATORS,
    queries::CASTS,
    queries::TYPES,
    queries::OPERATOR_CLASSES,
    queries::AGGREGATES,
    queries::TRIGGERS,
    queries::RULES,
    queries::EDGES,
    queries::CUSTOM_SETTINGS,
    queries::ASKS_SEQUENCES,
    queries::ASYNCHRONOUS,
    queries::EVENT_TRIGGERS,
];

/// The questions, prepared on one connection: planning them takes longer than running them, and a migration makes the
/// catalog be read again and again.
pub(super) struct Questions([Statement; QUESTIONS.len()]);

impl Questions {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        let mut prepared = Vec::with_capacity(QUESTIONS.len());
        for text in QUESTIONS {
            prepared.push(client.prepare(text).await?);
        }
        let prepared = prepared.try_into().map_err(|_| Error::Answer("a question is missing".into()))?;
        Ok(Self(prepared))
    }

    /// The rows and their checksum, unless that is `known`. A failure leaves the connection in a transaction.
    pub(super) async fn ask(
        &self,
        client: &Client,
        known: Option<&Checksum>,
    ) -> Result<Option<(Checksum, Rows)>, Error> {
        let [checksum, ..] = &self.0;
        // Sent together, answered in this order.
        let (_, row) = tokio::try_join!(client.batch_execute(BEGIN), client.query_one(checksum, &[]))?;
        let checksum: Checksum = row.try_get(0)?;
        if known == Some(&checksum) {
            client.batch_execute("COMMIT").await?;
            return Ok(None);
        }
        let rows = self.rows(client).await?;
        Ok(Some((checksum, rows)))
    }

    async fn rows(&self, client: &Client) -> Result<Rows, Error> {
        let [
            _,
            functions,
            relations,
            trees,
            operators,
            casts,
            types,
            classes,
            aggregates,
            triggers,
            rules,
            edges,
            custom,
            asks,
            synchrony,
            events,
        ] = &self.0;
        let asks = async { client.query_one(asks, &[]).await?.try_get(0) };
        let event_triggers = async { client.query_one(events, &[]).await?.try_get(0) };
        let asynchronous = async { client.query_one(synchrony, &[]).await?.try_get(0) };
        let (
            functions,
            relations,
            operators,
            casts,
            types,
            operator_classes,
            aggregates,
            triggers,
            rules,
            edges,
            custom_settings,
            asks_sequences,
            asynchronous,
            event_triggers,
            trees,
            (),
        ) = tokio::try_join!(
            all(client, functions, function),
            all(client, relations, relation),
            all(client, operators, operator),
            all(client, casts, cast),
            all(client, types, kind),
            all(client, classes, support),
            all(client, aggregates, aggregate),
            all(client, triggers, trigger),
            all(client, rules, rule),
            all(client, edges, edge),
            all(client, custom, |row| row.try_get(0)),
            asks,
            asynchronous,
            event_triggers,
            // The last one: it may lock views and what they read, which somebody's LOCK ... NOWAIT might meet.
            all(client, trees, tree),
            client.batch_execute("COMMIT"),
        )?;
        Ok(Rows {
            functions,
            relations,
            trees,
            operators,
            casts,
            types,
            operator_classes,
            aggregates,
            triggers,
            rules,
            edges,
            custom_settings,
            asks_sequences,
            asynchronous,
            event_triggers,
        })
    }
}

type Read<T> = Result<T, tokio_postgres::Error>;

async fn all<T>(client: &Client, question: &Statement, read: impl Fn(&Row) -> Read<T>) -> Read<Vec<T>> {
    client.query(question, &[]).await?.iter().map(read).collect()
}

/// Reads the columns in the order in which the fields are named.
macro_rules! columns {
    ($row:ident, $kind:ident { $($field:ident),+ $(,)? }) => {{
        let mut column = 0..;
        Ok($kind { $($field: $row.try_get(column.next().unwrap_or(usize::MAX))?),+ })
    }};
}

fn function(row: &Row) -> Read<FunctionRow> {
    columns!(
        row,
        FunctionRow { oid, schema, name, kind, language, volatility, extension, source, types, takes_row }
    )
}

fn relation(row: &Row) -> Read<RelationRow> {
    columns!(row, RelationRow { oid, schema, name, kind, persistence, populated })
}

fn tree(row: &Row) -> Read<TreeRow> {
    columns!(
        row,
        TreeRow {
            owner,
            oid,
            locks,
            writes,
            functions,
            builtins,
            operators,
            relations,
            system_relations,
            types,
            source,
        }
    )
}

fn operator(row: &Row) -> Read<OperatorRow> {
    columns!(row, OperatorRow { oid, symbol, function, function_name })
}

fn cast(row: &Row) -> Read<CastRow> {
    columns!(row, CastRow { source, target, context, function, function_name })
}

fn kind(row: &Row) -> Read<TypeRow> {
    columns!(row, TypeRow { oid, schema, name, relation, parts, functions })
}

fn support(row: &Row) -> Read<SupportRow> {
    columns!(row, SupportRow { function, function_name })
}

fn aggregate(row: &Row) -> Read<AggregateRow> {
    columns!(row, AggregateRow { aggregate, function, function_name })
}

fn trigger(row: &Row) -> Read<TriggerRow> {
    columns!(row, TriggerRow { relation, function, function_name })
}

fn rule(row: &Row) -> Read<RuleRow> {
    columns!(row, RuleRow { relation })
}

fn edge(row: &Row) -> Read<EdgeRow> {
    columns!(row, EdgeRow { kind, from, to })
}
