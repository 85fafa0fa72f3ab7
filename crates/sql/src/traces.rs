//! From what a text says and what a catalog knows to the effects: what a statement may leave behind.

use crate::analyse::Part;
use crate::builtin;
use crate::catalog::{self, Body, Catalog, FunctionKnown, RelationKnown};
use crate::command::{Command, CopyDirection, Name, SetValue};
use crate::effects::Effects;
use crate::facts::{Argument, ObjectName};
use crate::outline::Outline;

/// Code whose doings neither the text nor the catalog shows.
const HIDDEN: Effects = QUIET.union(Effects::OPAQUE).union(Effects::MAYBE_DDL);

/// Code that is proved to touch rows only.
const QUIET: Effects = Effects::CODE.union(Effects::SEQUENCE_USE);

/// What a text that was not understood may do.
pub(crate) const UNKNOWN: Effects = HIDDEN.union(Effects::SETTING_OPAQUE);

/// The effects of one statement; `proved` if it is proved to be a read.
pub(crate) fn effects(part: &Part, catalog: &Catalog, proved: bool) -> Effects {
    let effects = shown(part, catalog, proved);
    // What is made may run, and be gone, before the catalog is read again.
    let runs = effects.contains(Effects::OPAQUE)
        || matches!(&part.command, Command::Ddl(verb) if **verb == *"create");
    if runs && sets_anything(part, catalog) {
        return effects | Effects::SETS_ANYTHING;
    }
    effects
}

/// Whether what a statement runs may set a custom setting that no source names.
fn sets_anything(part: &Part, catalog: &Catalog) -> bool {
    let outline = &part.outline;
    match &part.body {
        Body::None => (),
        Body::Unread => return true,
        Body::Text(body) => return catalog.block_may_set_anything(body),
    }
    let in_doubt = outline.strange
        || matches!(part.command, Command::Execute { .. } | Command::Unknown(_) | Command::Explain);
    if in_doubt && catalog.has_code_that_sets_anything() {
        return true;
    }
    outline.words.iter().any(|word| catalog::runs_text(word))
        || catalog.may_set_anything(outline.words.iter().map(|word| &**word))
}

fn shown(part: &Part, catalog: &Catalog, proved: bool) -> Effects {
    let outline = &part.outline;
    let mut effects = of_command(&part.command, outline, catalog);
    let sets =
        || called(part, catalog).intersects(Effects::SETTING | Effects::SETTING_OPAQUE | Effects::SEED);
    if matches!(part.command, Command::Prepare { .. })
        && !outline.strange
        && !sets()
        && !sets_anything(part, catalog)
    {
        effects |= Effects::PREPARES_PLAIN;
    }
    // What is below looks at words without their places: an alias with a list of columns seems a call, and may bear the
    // name of a view. The proof is more exact, and whatever it trusts leaves nothing behind.
    if proved || !runs_expressions(&part.command) {
        return effects;
    }
    if outline.strange {
        effects |= UNKNOWN;
    }
    effects |= called(part, catalog);
    if runs_hidden_code(outline, catalog) {
        effects |= hidden(outline, catalog);
    }
    if outline.locks {
        effects |= Effects::LOCKING;
    }
    if matches!(part.command, Command::Ddl(_)) {
        // A default or a check that asks does so with every row, and the first one must be told.
        if outline.has("currval") || outline.has("lastval") {
            effects |= Effects::SEQUENCE_ASK;
        }
        return effects;
    }
    for target in outline.targets.iter().chain(&part.copied) {
        effects |= Effects::SEQUENCE_USE;
        let schema = target.schema.as_deref();
        if !catalog.writing_is_plain(schema, &target.name) {
            // What is updated in the server's own views may be set: pg_settings.
            let known = catalog.relation(schema, &target.name) != RelationKnown::Unknown;
            let system = target.name.starts_with("pg_");
            effects |= if known && !system { hidden(outline, catalog) } else { HIDDEN };
        }
    }
    if outline.selects_into && part.command == Command::Query {
        effects |= Effects::DDL;
        if outline.has("temp") || outline.has("temporary") || names_temporary(outline) {
            effects |= Effects::TEMP_OBJECT;
        }
    }
    effects
}

fn of_command(command: &Command, outline: &Outline, catalog: &Catalog) -> Effects {
    match command {
        Command::Begin(_)
        | Command::Commit { .. }
        | Command::Rollback { .. }
        | Command::Savepoint(_)
        | Command::Release(_)
        | Command::RollbackTo(_)
        | Command::SetTransaction(_)
        | Command::SetTransactionSnapshot
        | Command::PrepareTransaction
        | Command::CommitPrepared
        | Command::RollbackPrepared
        | Command::SetConstraints => Effects::TX_CONTROL,
        Command::SetSessionCharacteristics(_) => Effects::SETTING,
        Command::Set { name, value, .. } => of_set(name, value),
        Command::Reset(_) | Command::ResetAll => Effects::SETTING | Effects::MAY_END_STATE,
        Command::Discard(_) | Command::Unlisten(_) | Command::CloseCursor(_) | Command::Deallocate(None) => {
            Effects::MAY_END_STATE
        }
        Command::Prepare { .. } => Effects::SQL_PREPARED,
        Command::Execute { .. } => Effects::SQL_PREPARED | UNKNOWN,
        Command::Deallocate(Some(_)) => Effects::SQL_PREPARED | Effects::MAY_END_STATE,
        Command::Declare { hold: true, .. } => Effects::HOLD_CURSOR,
        Command::Listen(_) => Effects::LISTEN,
        Command::Load => Effects::LOAD,
        Command::Lock => Effects::LOCKING,
        Command::Copy(CopyDirection::In) => Effects::COPY_IN,
        Command::Copy(CopyDirection::Out) => Effects::COPY_OUT,
        Command::Do => HIDDEN,
        Command::Call if calls_by_keyword(outline, catalog) => HIDDEN,
        Command::Call if calls_stateless(outline, catalog) => HIDDEN.without(Effects::OPAQUE),
        Command::Call => of_calls(outline, catalog),
        // EXPLAIN ANALYZE runs what it explains, also CREATE TABLE AS, EXECUTE and REFRESH.
        Command::Explain
            if outline.selects_into
                || ["create", "execute", "refresh"].iter().any(|word| outline.has(word)) =>
        {
            UNKNOWN | Effects::DDL | Effects::SQL_PREPARED
        }
        Command::Ddl(keyword) => of_ddl(keyword, outline, catalog),
        // ANALYZE, REINDEX and the like compute the expressions of indexes, perhaps of all tables.
        Command::Utility(_) if catalog.has_code_that_leaves() => Effects::CODE | Effects::OPAQUE,
        // It empties tables that it does not name, and fires their triggers.
        Command::Truncate if outline.has("cascade") => HIDDEN,
        Command::Unknown(_) => UNKNOWN,
        _ => Effects::NONE,
    }
}

/// Whether a procedure bears the name of a keyword, so that it does not seem to be called.
fn calls_by_keyword(outline: &Outline, catalog: &Catalog) -> bool {
    outline.keyword_calls.iter().any(|name| catalog.function(None, name) != FunctionKnown::Unknown)
}

/// Whether everything that a CALL names leaves no session state behind.
fn calls_stateless(outline: &Outline, catalog: &Catalog) -> bool {
    !outline.calls.is_empty() && outline.calls.iter().all(|call| of_call(call, outline, catalog).is_empty())
}

/// A CALL, of which nothing is known unless it names what it calls.
fn of_calls(outline: &Outline, catalog: &Catalog) -> Effects {
    if outline.strange || outline.calls.is_empty() || runs_hidden_code(outline, catalog) {
        return HIDDEN;
    }
    outline.calls.iter().fold(QUIET, |effects, call| effects | of_call(call, outline, catalog))
}

/// What code leaves behind that the catalog knows: as much as the names in the text lead to.
fn hidden(outline: &Outline, catalog: &Catalog) -> Effects {
    let words = || outline.words.iter().map(|word| &**word);
    let mut effects = QUIET;
    if outline.strange || catalog.may_leave(words()) {
        effects |= Effects::OPAQUE;
    }
    if outline.strange || catalog.may_alter(words()) {
        effects |= Effects::MAYBE_DDL;
    }
    effects
}

fn of_set(name: &str, value: &SetValue) -> Effects {
    let mut effects = match value {
        SetValue::Opaque | SetValue::FromCurrent => Effects::SETTING_OPAQUE,
        SetValue::Default | SetValue::Value(_) => Effects::SETTING,
    };
    if name == "seed" {
        effects |= Effects::SEED;
    }
    if name.starts_with("transaction_") {
        effects = Effects::TX_CONTROL;
    }
    // With pg_temp in front of the path, a plain CREATE makes temporary objects.
    if matches!(value, SetValue::Value(path) if name == "search_path" && path.contains("pg_temp")) {
        effects |= Effects::TEMP_OBJECT;
    }
    effects
}

/// DDL runs code where it computes: CREATE TABLE AS, ALTER TABLE … USING, index expressions, extensions' scripts.
fn of_ddl(keyword: &str, outline: &Outline, catalog: &Catalog) -> Effects {
    let mut effects = Effects::DDL;
    let computes = ["as", "extension", "index", "partition", "schema"].iter().any(|word| outline.has(word));
    let plain = matches!(keyword, "drop" | "grant" | "revoke" | "comment" | "security")
        || keyword == "create" && !computes;
    if !plain || catalog.has_event_triggers() {
        effects |= HIDDEN;
    }
    if keyword == "drop" {
        effects |= Effects::MAY_END_STATE;
    }
    if keyword == "create" && (outline.creates_temporary || names_temporary(outline)) {
        effects |= Effects::TEMP_OBJECT;
    }
    if matches!(keyword, "create" | "alter" | "drop") && outline.has("database") {
        effects |= Effects::VACATES;
    }
    effects
}

fn names_temporary(outline: &Outline) -> bool {
    outline.words.iter().any(|word| word.starts_with("pg_temp"))
}

pub(crate) fn runs_expressions(command: &Command) -> bool {
    matches!(
        command,
        Command::Query
            | Command::Insert
            | Command::Update
            | Command::Delete
            | Command::Merge
            | Command::Truncate
            | Command::Explain
            | Command::Copy(_)
            | Command::Declare { .. }
            | Command::Ddl(_)
    )
}

/// The effects of the functions that a statement calls.
fn called(part: &Part, catalog: &Catalog) -> Effects {
    if matches!(part.command, Command::Ddl(_)) {
        return Effects::NONE;
    }
    let mut effects = Effects::NONE;
    for call in &part.outline.calls {
        effects |= of_call(call, &part.outline, catalog);
    }
    for name in &part.outline.keyword_calls {
        if catalog.function(None, name) != FunctionKnown::Unknown && !catalog.is_stateless(None, name) {
            effects |= hidden(&part.outline, catalog);
        }
    }
    match &part.settings {
        Some(settings) if !settings.is_empty() => {
            effects = effects.without(Effects::SETTING_OPAQUE) | Effects::SETTING;
            let seed = |name: &Argument| *name == Argument::Const("seed".into());
            if settings.iter().any(|call| seed(&call.name)) {
                effects |= Effects::SEED;
            }
        }
        _ => (),
    }
    effects
}

fn of_call(call: &ObjectName, outline: &Outline, catalog: &Catalog) -> Effects {
    let schema = call.schema.as_deref();
    let known = catalog.function(schema, &call.name);
    if known != FunctionKnown::Unknown && !catalog.is_stateless(schema, &call.name) {
        // A function of the server of that name may be meant as well.
        return hidden(outline, catalog) | special(call);
    }
    match of_server(call) {
        builtin::Function::Special(_) => special(call),
        builtin::Function::Unlisted
            if known == FunctionKnown::Unknown && !catalog.is_stateless(schema, &call.name) =>
        {
            HIDDEN
        }
        _ => Effects::NONE,
    }
}

fn of_server(call: &ObjectName) -> builtin::Function {
    match call.schema.as_deref() {
        None | Some("pg_catalog") => builtin::function(&call.name),
        Some(_) => builtin::Function::Unlisted,
    }
}

/// What a function of the server leaves behind, if it is one that does.
fn special(call: &ObjectName) -> Effects {
    match of_server(call) {
        builtin::Function::Special(effects) if effects.intersects(Effects::OPAQUE) => HIDDEN,
        builtin::Function::Special(effects) => effects,
        _ => Effects::NONE,
    }
}

/// Code that runs without being called by name: operators, types, fields, views and policies, or anything at all when
/// the catalog is not known.
pub(crate) fn runs_hidden_code(outline: &Outline, catalog: &Catalog) -> bool {
    if catalog.tainted().is_some() || !catalog.is_known() && touches_relations(outline) {
        return true;
    }
    let word = |word: &Name| catalog.is_untrusted_type(word) || catalog.reading_runs_code(word);
    outline.operators.iter().any(|symbol| catalog.is_untrusted_operator(symbol))
        || outline.words.iter().any(word)
        || outline.members.iter().any(|member| catalog.is_untrusted_member(member))
}

fn touches_relations(outline: &Outline) -> bool {
    ["from", "into", "table", "update", "truncate", "copy"].iter().any(|word| outline.has(word))
}
