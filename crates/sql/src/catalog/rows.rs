//! Rows of the system catalogs as the queries in [`super::queries`] give them, column for column.

/// The identifier of a catalog object.
pub type Oid = i64;

/// The rows of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Rows {
    /// From [`super::queries::FUNCTIONS`].
    pub functions: Vec<FunctionRow>,
    /// From [`super::queries::RELATIONS`].
    pub relations: Vec<RelationRow>,
    /// From [`super::queries::TREES`].
    pub trees: Vec<TreeRow>,
    /// From [`super::queries::OPERATORS`].
    pub operators: Vec<OperatorRow>,
    /// From [`super::queries::CASTS`].
    pub casts: Vec<CastRow>,
    /// From [`super::queries::TYPES`].
    pub types: Vec<TypeRow>,
    /// From [`super::queries::OPERATOR_CLASSES`].
    pub operator_classes: Vec<SupportRow>,
    /// From [`super::queries::AGGREGATES`].
    pub aggregates: Vec<AggregateRow>,
    /// From [`super::queries::TRIGGERS`].
    pub triggers: Vec<TriggerRow>,
    /// From [`super::queries::RULES`].
    pub rules: Vec<RuleRow>,
    /// From [`super::queries::EDGES`].
    pub edges: Vec<EdgeRow>,
    /// From [`super::queries::CUSTOM_SETTINGS`].
    pub custom_settings: Vec<String>,
    /// From [`super::queries::ASKS_SEQUENCES`].
    pub asks_sequences: bool,
    /// From [`super::queries::ASYNCHRONOUS`].
    pub asynchronous: bool,
    /// From [`super::queries::EVENT_TRIGGERS`].
    pub event_triggers: bool,
}

/// A function, aggregate, window function or procedure of a user or an extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FunctionRow {
    /// Its oid.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_proc.prokind`: f, a, w or p.
    pub kind: String,
    /// The language's name.
    pub language: String,
    /// `pg_proc.provolatile`: i, s or v.
    pub volatility: String,
    /// Whether it belongs to an extension.
    pub extension: bool,
    /// `pg_proc.prosrc`, but for languages whose functions are compiled.
    pub source: Option<String>,
    /// The types of its arguments and its result, users' types only, an array as its element type.
    pub types: Vec<Oid>,
    /// Whether its first argument may be a row, so that `row.name` can call it.
    pub takes_row: bool,
}

/// A relation of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RelationRow {
    /// Its oid.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`: r, p, v, m, f or S.
    pub kind: String,
    /// `pg_class.relpersistence`: p or u.
    pub persistence: String,
    /// `pg_class.relispopulated`.
    pub populated: bool,
}

/// What the stored expressions of one object mention.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TreeRow {
    /// What the object is: `view` or `policy` (of a relation), `write` (defaults, checks and index expressions of a
    /// relation), `domain` (checks of a type), `arguments` (defaults of a function's arguments) or `body` (of an SQL
    /// function in the standard's form).
    pub owner: String,
    /// The relation, type or function.
    pub oid: Oid,
    /// It has a locking clause.
    pub locks: bool,
    /// It has a statement that is not a query.
    pub writes: bool,
    /// The users' functions it calls.
    pub functions: Vec<Oid>,
    /// The names of the built-in functions it calls.
    pub builtins: Vec<String>,
    /// The users' operators it uses.
    pub operators: Vec<Oid>,
    /// The users' relations it names; a view's own is among them.
    pub relations: Vec<Oid>,
    /// The system relations it names, as `schema.name`.
    pub system_relations: Vec<String>,
    /// The users' types it names.
    pub types: Vec<Oid>,
    /// Its text, when it calls `current_setting`, whose argument then matters.
    pub source: Option<String>,
}

/// An operator of a user or an extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OperatorRow {
    /// Its oid.
    pub oid: Oid,
    /// Its symbol.
    pub symbol: String,
    /// Its function.
    pub function: Oid,
    /// Its function's name, which tells when the function is a built-in one.
    pub function_name: String,
}

/// A cast by function of a user or an extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CastRow {
    /// The type it casts from.
    pub source: Oid,
    /// The type it casts to.
    pub target: Oid,
    /// `pg_cast.castcontext`: i (implicit), a (in assignments) or e (explicit).
    pub context: String,
    /// Its function.
    pub function: Oid,
    /// Its function's name.
    pub function_name: String,
}

/// A type of a user or an extension that has code of its own or contains such types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TypeRow {
    /// Its oid.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The relation whose row type it is, or 0.
    pub relation: Oid,
    /// The users' types in it: base type, elements, attributes.
    pub parts: Vec<Oid>,
    /// Its own input, output and support functions.
    pub functions: Vec<Oid>,
}

/// A function behind an operator class that sorts or hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SupportRow {
    /// The function.
    pub function: Oid,
    /// Its name.
    pub function_name: String,
}

/// A function behind an aggregate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AggregateRow {
    /// The aggregate.
    pub aggregate: Oid,
    /// The function.
    pub function: Oid,
    /// Its name.
    pub function_name: String,
}

/// A user trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TriggerRow {
    /// The relation it is on.
    pub relation: Oid,
    /// Its function.
    pub function: Oid,
    /// Its function's name.
    pub function_name: String,
}

/// A relation with rewrite rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RuleRow {
    /// The relation.
    pub relation: Oid,
}

/// Two relations of which the first reaches the second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EdgeRow {
    /// `inherits`: reading or writing the first also reads or writes the second, its child or partition.
    /// `cascade`: writing the first may write the second, which refers to it.
    pub kind: String,
    /// The first relation.
    pub from: Oid,
    /// The second relation.
    pub to: Oid,
}
