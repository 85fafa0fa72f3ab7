//! Asks the primary for a database's catalog, in one snapshot.

use pgsplit_sql::catalog::{
    AggregateRow, CastRow, EdgeRow, FunctionRow, OperatorRow, RelationRow, Rows, RuleRow, SupportRow,
    TreeRow, TriggerRow, TypeRow, queries,
};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use crate::error::Error;

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
)
SELECT coalesce(sum(hashint8extended((id::int8 << 32) + transaction::text::int8, kind + 32 * sub)), 0)::text FROM item";

/// The rows and their checksum, unless that is `known`.
pub(super) async fn read(
    client: &mut Client,
    known: Option<&Checksum>,
) -> Result<Option<(Checksum, Rows)>, Error> {
    let begin = client.build_transaction().read_only(true).isolation_level(IsolationLevel::RepeatableRead);
    let transaction = begin.start().await?;
    let checksum: Checksum = transaction.query_one(CHECKSUM, &[]).await?.try_get(0)?;
    let found =
        if known == Some(&checksum) { None } else { Some((checksum, read_rows(&transaction).await?)) };
    transaction.commit().await?;
    Ok(found)
}

async fn read_rows(transaction: &Transaction<'_>) -> Result<Rows, Error> {
    Ok(Rows {
        functions: all(transaction, queries::FUNCTIONS, function).await?,
        relations: all(transaction, queries::RELATIONS, relation).await?,
        trees: all(transaction, queries::TREES, tree).await?,
        operators: all(transaction, queries::OPERATORS, operator).await?,
        casts: all(transaction, queries::CASTS, cast).await?,
        types: all(transaction, queries::TYPES, kind).await?,
        operator_classes: all(transaction, queries::OPERATOR_CLASSES, support).await?,
        aggregates: all(transaction, queries::AGGREGATES, aggregate).await?,
        triggers: all(transaction, queries::TRIGGERS, trigger).await?,
        rules: all(transaction, queries::RULES, rule).await?,
        edges: all(transaction, queries::EDGES, edge).await?,
        custom_settings: all(transaction, queries::CUSTOM_SETTINGS, |row| row.try_get(0)).await?,
        asks_sequences: transaction.query_one(queries::ASKS_SEQUENCES, &[]).await?.try_get(0)?,
    })
}

type Read<T> = Result<T, tokio_postgres::Error>;

async fn all<T>(
    transaction: &Transaction<'_>,
    query: &str,
    read: impl Fn(&Row) -> Read<T>,
) -> Result<Vec<T>, Error> {
    let rows = transaction.query(query, &[]).await?;
    Ok(rows.iter().map(read).collect::<Read<_>>()?)
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
