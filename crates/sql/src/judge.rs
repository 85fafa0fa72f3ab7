//! From what a text says and what a catalog knows to the verdict: the other half of the proof.

use std::sync::Arc;

use crate::analyse::{Part, builtin_is_harmless};
use crate::builtin;
use crate::catalog::{Catalog, FunctionKnown, RelationKnown};
use crate::facts::{NotRead, ObjectName};
use crate::outline::Outline;
use crate::query::Shape;

/// What a proved read depends on.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Anything: the system catalogs, or the body of a function.
    pub(crate) any: bool,
    pub(crate) names: Vec<ObjectName>,
}

/// Whether a call may write rows: it is neither trusted nor a built-in function.
pub(crate) fn may_write(call: &ObjectName, catalog: &Catalog) -> bool {
    let schema = call.schema.as_deref();
    match (catalog.configured(schema, &call.name), catalog.function(schema, &call.name)) {
        (Some(trusted), _) => !trusted,
        (None, FunctionKnown::Untrusted) => true,
        (None, FunctionKnown::Trusted) => false,
        (None, FunctionKnown::Unknown) => {
            schema.is_some_and(|schema| schema != "pg_catalog")
                || builtin::function(&call.name) == builtin::Function::Unlisted
                || writes_large_objects(&call.name)
        }
    }
}

/// Large objects are rows of a system table.
fn writes_large_objects(builtin: &str) -> bool {
    builtin == "lowrite"
        || builtin.starts_with("lo_") && !matches!(builtin, "lo_get" | "lo_tell" | "lo_lseek")
}

/// What a statement reads if it is proved to be a read, or why it is not.
pub(crate) fn judge(part: &Part, catalog: &Catalog) -> Result<Reads, NotRead> {
    let shape = part.shape.as_ref().map_err(Clone::clone)?;
    let any = asks_catalog(&part.outline) || catalog.mentions_readers(&part.outline);
    let mut reads = Reads { any, names: Vec::new() };
    for relation in &shape.relations {
        reads.any |= self::relation(relation, shape, catalog, &mut reads.names)?;
    }
    unnamed(&part.outline, catalog)?;
    for call in &shape.functions {
        reads.any |= function(call, part, shape, catalog)?;
    }
    Ok(reads)
}

fn distrust(name: &str) -> NotRead {
    NotRead::Function(Arc::from(name))
}

/// Code that runs without being named by a call, and, once more, every name before a parenthesis: should the syntax
/// tree have hidden a call, the tokens did not.
fn unnamed(outline: &Outline, catalog: &Catalog) -> Result<(), NotRead> {
    if let Some(why) = catalog.tainted() {
        return Err(NotRead::Function(why.clone()));
    }
    if !catalog.is_known() && (!outline.operators.is_empty() || !outline.calls.is_empty()) {
        return Err(distrust("catalog-unknown"));
    }
    if let Some(symbol) = outline.operators.iter().find(|symbol| catalog.is_untrusted_operator(symbol)) {
        return Err(distrust(symbol));
    }
    for (keyword, symbol) in [("like", "~~"), ("ilike", "~~*"), ("similar", "~")] {
        if outline.has(keyword) && catalog.is_untrusted_operator(symbol) {
            return Err(distrust(symbol));
        }
    }
    if let Some(word) = outline.words.iter().find(|word| catalog.is_untrusted_type(word)) {
        return Err(distrust(word));
    }
    if let Some(member) = outline.members.iter().find(|member| catalog.is_untrusted_member(member)) {
        return Err(distrust(member));
    }
    let keyword =
        outline.keyword_calls.iter().find(|name| catalog.function(None, name) == FunctionKnown::Untrusted);
    if let Some(name) = keyword {
        return Err(distrust(name));
    }
    let special = |name: &ObjectName| matches!(builtin::function(&name.name), builtin::Function::Special(_));
    let hidden = outline.calls.iter().find(|call| {
        let schema = call.schema.as_deref();
        catalog.configured(schema, &call.name) != Some(true)
            && (special(call) && schema.is_none_or(|s| s == "pg_catalog")
                || catalog.function(schema, &call.name) == FunctionKnown::Untrusted)
    });
    hidden.map_or(Ok(()), |call| Err(refused(&call.name)))
}

/// Whether a statement looks into the system catalogs by other ways than naming one of their tables.
fn asks_catalog(outline: &Outline) -> bool {
    const TYPES: [&str; 10] = [
        "regclass",
        "regcollation",
        "regconfig",
        "regdictionary",
        "regnamespace",
        "regoper",
        "regoperator",
        "regproc",
        "regrole",
        "regtype",
    ];
    const FUNCTIONS: [&str; 6] = [
        "col_description",
        "format_type",
        "obj_description",
        "row_security_active",
        "shobj_description",
        "aclexplode",
    ];
    let function = |name: &str| {
        ["pg_", "has_", "to_reg"].iter().any(|prefix| name.starts_with(prefix)) || FUNCTIONS.contains(&name)
    };
    TYPES.iter().any(|name| outline.has(name))
        || outline.has("regprocedure")
        || outline.calls.iter().any(|c| function(&c.name))
}

/// Whether a trusted function reads what its name does not show.
fn function(call: &ObjectName, part: &Part, shape: &Shape, catalog: &Catalog) -> Result<bool, NotRead> {
    let schema = call.schema.as_deref();
    match catalog.configured(schema, &call.name) {
        Some(true) => return Ok(true),
        Some(false) => return Err(distrust(&call.name)),
        None => (),
    }
    let builtin = builtin_is_harmless(call, shape, &part.outline);
    match catalog.function(schema, &call.name) {
        FunctionKnown::Untrusted => Err(distrust(&call.name)),
        FunctionKnown::Trusted if builtin || not_builtin(&call.name) => Ok(true),
        FunctionKnown::Unknown if builtin => Ok(false),
        _ => Err(refused(&call.name)),
    }
}

/// The reason for a call that is not trusted: changes of settings are the session's own.
fn refused(name: &str) -> NotRead {
    if matches!(name, "set_config" | "setseed") { NotRead::Session } else { distrust(name) }
}

/// Whether a name is certain to be no built-in function that could be meant instead of a trusted user's function.
fn not_builtin(name: &str) -> bool {
    builtin::function(name) == builtin::Function::Unlisted
}

/// Notes a relation that is read. True if it is a table of the system catalogs, or may read what its name does not show.
fn relation(
    name: &ObjectName,
    shape: &Shape,
    catalog: &Catalog,
    names: &mut Vec<ObjectName>,
) -> Result<bool, NotRead> {
    let schema = name.schema.as_deref();
    match catalog.relation(schema, &name.name) {
        RelationKnown::Harmless => {
            names.push(name.clone());
            names.extend(catalog.read_with(schema, &name.name).cloned());
            Ok(catalog.reading_reaches_further(schema, &name.name))
        }
        RelationKnown::HarmlessSystem => Ok(true),
        RelationKnown::Unknown if schema.is_none() && shape.with.contains(&name.name) => Ok(false),
        RelationKnown::Unknown | RelationKnown::Bad => Err(NotRead::Relation(Arc::from(&*name.name))),
    }
}
