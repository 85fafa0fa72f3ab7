//! The queries that fill [`super::Rows`], one for each kind of row, with the columns in the order of its struct's fields.
//!
//! They run as an ordinary role on the primary, on PostgreSQL 13 and newer, and every column is of type `int8`, `text`,
//! `bool`, `int8[]` or `text[]`. Objects below oid 16384 come with the server and are in the lists of
//! [`crate::builtin`]. Rows are ordered, so that an unchanged catalog gives equal rows.

/// One row of [`super::FunctionRow`] a function of a user or an extension.
pub const FUNCTIONS: &str = r"
select p.oid::int8, n.nspname::text, p.proname::text, p.prokind::text, l.lanname::text, p.provolatile::text,
       exists (select from pg_catalog.pg_depend d
               where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
               and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass),
       case when l.lanname not in ('c', 'internal') then p.prosrc end,
       array(select distinct coalesce(nullif(case when t.typcategory = 'A' then t.typelem end, 0), t.oid)::int8
             from pg_catalog.pg_type t
             where t.oid >= 16384
             and t.oid = any (p.proargtypes::oid[] || coalesce(p.proallargtypes, '{}') || p.prorettype)
             order by 1),
       exists (select from pg_catalog.pg_type t where t.oid = p.proargtypes[0] and t.typtype in ('c', 'd', 'p'))
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where p.oid >= 16384 and n.nspname !~ '^pg_temp_'
order by p.oid";

/// One row of [`super::RelationRow`] a table, view, materialized view, foreign table or sequence of a user.
///
/// Temporary ones are left out: a session that has one is pinned, and to others they do not exist.
pub const RELATIONS: &str = r"
select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relispopulated
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
order by c.oid";

/// One row of [`super::TreeRow`] an object with stored expressions.
///
/// pg_depend does not record the built-in functions that a view calls, so the node trees are searched instead. A tree is
/// written out only where it calls `current_setting` (oids 2077 and 3294), as the names that it asks for are wanted then:
/// that locks the tables which a view or a function reads, and somebody's LOCK ... NOWAIT might meet it.
pub const TREES: &str = r"
with tree (owner, oid, body, source) as (
  select 'view', c.oid, r.ev_action::text,
         case when r.ev_action::text ~ ':funcid (2077|3294) ' then pg_catalog.pg_get_viewdef(c.oid) end
  from pg_catalog.pg_rewrite r join pg_catalog.pg_class c on c.oid = r.ev_class
  where c.relkind = 'v' and r.rulename = '_RETURN' and c.oid >= 16384 and c.relpersistence <> 't'
  union all
  select 'policy', p.polrelid, pg_catalog.concat(p.polqual, p.polwithcheck),
         case when pg_catalog.concat(p.polqual, p.polwithcheck) ~ ':funcid (2077|3294) '
              then pg_catalog.concat_ws(' ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                                        pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) end
  from pg_catalog.pg_policy p
  union all
  select 'write', d.adrelid, d.adbin::text, null
  from pg_catalog.pg_attrdef d where d.adrelid >= 16384
  union all
  select 'write', c.conrelid, c.conbin::text, null
  from pg_catalog.pg_constraint c where c.conrelid >= 16384 and c.conbin is not null
  union all
  select 'write', i.indrelid, pg_catalog.concat(i.indexprs, i.indpred), null
  from pg_catalog.pg_index i where i.indrelid >= 16384 and (i.indexprs is not null or i.indpred is not null)
  union all
  select 'write', t.tgrelid, t.tgqual::text, null
  from pg_catalog.pg_trigger t where t.tgrelid >= 16384 and t.tgqual is not null and t.tgenabled <> 'D'
  union all
  select 'write', p.partrelid, p.partexprs::text, null
  from pg_catalog.pg_partitioned_table p where p.partexprs is not null
  union all
  select 'write', a.attrelid, d.typdefaultbin::text, null
  from pg_catalog.pg_attribute a join pg_catalog.pg_type d on d.oid = a.atttypid
  where a.attrelid >= 16384 and a.attnum > 0 and not a.attisdropped and d.typdefaultbin is not null
  union all
  select 'domain', c.contypid, c.conbin::text, pg_catalog.pg_get_constraintdef(c.oid)
  from pg_catalog.pg_constraint c where c.contypid >= 16384 and c.conbin is not null
  union all
  select 'arguments', p.oid, p.proargdefaults::text, pg_catalog.pg_get_expr(p.proargdefaults, 0)
  from pg_catalog.pg_proc p where p.oid >= 16384 and p.proargdefaults is not null
  union all
  select 'body', p.oid, pg_catalog.to_jsonb(p) ->> 'prosqlbody',
         case when pg_catalog.to_jsonb(p) ->> 'prosqlbody' ~ ':funcid (2077|3294) '
              then pg_catalog.pg_get_functiondef(p.oid) end
  from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
  where p.oid >= 16384 and l.lanname = 'sql' and p.prosrc = '' and p.prokind in ('f', 'p')
), mention (owner, oid, source, locks, writes, kind, id) as (
  select t.owner, t.oid, t.source, t.body ~ ':hasForUpdate true', t.body ~ ':commandType [02-9]',
         case when m[1] in ('funcid', 'opfuncid', 'aggfnoid', 'winfnoid') then 'function'
              when m[1] in ('opno', 'eqop', 'sortop') then 'operator'
              when m[1] = 'relid' then 'relation' else 'type' end, m[2]::int8
  from tree t
  left join lateral pg_catalog.regexp_matches(t.body,
    ':(funcid|opfuncid|aggfnoid|winfnoid|relid|opno|eqop|sortop|[a-z]*type) (\d+)', 'g') m on true
)
select m.owner, m.oid::int8, coalesce(pg_catalog.bool_or(m.locks), false), coalesce(pg_catalog.bool_or(m.writes), false),
       coalesce(pg_catalog.array_agg(distinct m.id) filter (where m.kind = 'function' and m.id >= 16384), '{}'),
       coalesce(pg_catalog.array_agg(distinct f.proname::text) filter (where f.oid < 16384), '{}'),
       coalesce(pg_catalog.array_agg(distinct m.id) filter (where m.kind = 'operator' and m.id >= 16384), '{}'),
       coalesce(pg_catalog.array_agg(distinct m.id) filter (where m.kind = 'relation' and m.id >= 16384), '{}'),
       coalesce(pg_catalog.array_agg(distinct n.nspname::text || '.' || c.relname::text) filter (where c.oid < 16384), '{}'),
       coalesce(pg_catalog.array_agg(distinct m.id) filter (where m.kind = 'type' and m.id >= 16384), '{}'),
       case when pg_catalog.bool_or(f.proname = 'current_setting') then pg_catalog.string_agg(distinct m.source, ' ') end
from mention m
left join pg_catalog.pg_proc f on f.oid = m.id and m.kind = 'function'
left join pg_catalog.pg_class c on c.oid = m.id and m.kind = 'relation'
left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
group by m.owner, m.oid
order by m.owner, m.oid";

/// One row of [`super::OperatorRow`] an operator of a user or an extension.
pub const OPERATORS: &str = r"
select o.oid::int8, o.oprname::text, o.oprcode::oid::int8, p.proname::text
from pg_catalog.pg_operator o
join pg_catalog.pg_proc p on p.oid = o.oprcode
where o.oid >= 16384
order by o.oid";

/// One row of [`super::CastRow`] a cast by function of a user or an extension.
pub const CASTS: &str = r"
select c.castsource::int8, c.casttarget::int8, c.castcontext::text, c.castfunc::int8, p.proname::text
from pg_catalog.pg_cast c
join pg_catalog.pg_proc p on p.oid = c.castfunc
where c.oid >= 16384
order by c.oid";

/// One row of [`super::TypeRow`] a type of a user or an extension that has code of its own or contains such types.
///
/// Enumerations and array types have none; an array stands for its elements.
pub const TYPES: &str = r"
with part (oid, id) as (
  select t.oid, t.typbasetype from pg_catalog.pg_type t where t.typtype = 'd'
  union
  select r.rngtypid, r.rngsubtype from pg_catalog.pg_range r
  union
  select c.reltype, a.atttypid
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.atttypid >= 16384 and a.attnum > 0 and not a.attisdropped and c.reltype <> 0 and c.relpersistence <> 't'
), code (oid, id) as (
  select t.oid, f.id
  from pg_catalog.pg_type t
  cross join lateral (values (t.typinput::oid), (t.typoutput::oid), (t.typreceive::oid), (t.typsend::oid),
    (t.typmodin::oid), (t.typmodout::oid)) f (id)
  union
  select r.rngtypid, f.id
  from pg_catalog.pg_range r cross join lateral (values (r.rngcanonical::oid), (r.rngsubdiff::oid)) f (id)
), parts (oid, ids) as (
  select p.oid, pg_catalog.array_agg(distinct coalesce(nullif(case when e.typcategory = 'A' then e.typelem end, 0), e.oid)::int8)
  from part p join pg_catalog.pg_type e on e.oid = p.id
  where e.oid >= 16384
  group by p.oid
), functions (oid, ids) as (
  select c.oid, pg_catalog.array_agg(distinct c.id::int8) from code c where c.id >= 16384 group by c.oid
), known as (
  select t.oid, n.nspname, t.typname, t.typrelid,
         coalesce(p.ids, '{}') as parts, coalesce(f.ids, '{}') as functions
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  left join parts p on p.oid = t.oid left join functions f on f.oid = t.oid
  where t.oid >= 16384 and t.typtype in ('b', 'c', 'd', 'e', 'r') and t.typcategory <> 'A'
    and n.nspname !~ '^pg_(temp|toast_temp)_'
)
select k.oid::int8, k.nspname::text, k.typname::text, k.typrelid::int8, k.parts, k.functions
from known k
where k.parts <> '{}' or k.functions <> '{}' or k.typrelid = 0
   or exists (select from pg_catalog.pg_cast c where k.oid in (c.castsource, c.casttarget) and c.castfunc >= 16384)
order by k.oid";

/// One row of [`super::SupportRow`] a function behind a btree or hash operator class of a user or an extension.
pub const OPERATOR_CLASSES: &str = r"
select x.id::int8, p.proname::text
from (
  select a.amprocfamily, a.amproc::oid from pg_catalog.pg_amproc a where a.oid >= 16384
  union
  select a.amopfamily, o.oprcode::oid
  from pg_catalog.pg_amop a join pg_catalog.pg_operator o on o.oid = a.amopopr
  where a.oid >= 16384
) x (family, id)
join pg_catalog.pg_opfamily f on f.oid = x.family
join pg_catalog.pg_am m on m.oid = f.opfmethod and m.amname in ('btree', 'hash')
join pg_catalog.pg_proc p on p.oid = x.id
group by 1, 2
order by 1, 2";

/// One row of [`super::AggregateRow`] a function behind an aggregate of a user or an extension.
pub const AGGREGATES: &str = r"
select a.aggfnoid::oid::int8, f.id::int8, p.proname::text
from pg_catalog.pg_aggregate a
cross join lateral (values (a.aggtransfn::oid), (a.aggfinalfn::oid), (a.aggcombinefn::oid), (a.aggserialfn::oid),
  (a.aggdeserialfn::oid), (a.aggmtransfn::oid), (a.aggminvtransfn::oid), (a.aggmfinalfn::oid)) f (id)
join pg_catalog.pg_proc p on p.oid = f.id
where a.aggfnoid::oid >= 16384
group by 1, 2, 3
order by 1, 2";

/// One row of [`super::TriggerRow`] a user trigger that is not disabled.
pub const TRIGGERS: &str = r"
select t.tgrelid::int8, t.tgfoid::int8, p.proname::text
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid
where not t.tgisinternal and t.tgenabled <> 'D'
order by t.tgrelid, t.tgfoid, t.oid";

/// One row of [`super::RuleRow`] a relation with rewrite rules besides a view's own.
pub const RULES: &str = r"
select distinct r.ev_class::int8
from pg_catalog.pg_rewrite r
where r.ev_class >= 16384 and r.rulename <> '_RETURN' and r.ev_enabled <> 'D'
order by 1";

/// One row of [`super::EdgeRow`] a pair of relations of which one reaches the other.
pub const EDGES: &str = r"
select 'inherits', i.inhparent::int8, i.inhrelid::int8
from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhparent
where c.relkind in ('r', 'p', 'f')
union
select 'cascade', k.confrelid::int8, k.conrelid::int8
from pg_catalog.pg_constraint k
where k.contype = 'f' and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))
order by 1, 2, 3";

/// One name a custom setting that a function's source mentions, or that is set while it runs, so that a session's state can
/// be asked for it. What sources do not name is `reach`'s.
///
/// `pg_settings` does not list custom settings. A quoted name with a dot in a function that calls `set_config` is taken
/// for one, as is the name in a SET; too many do no harm.
pub const CUSTOM_SETTINGS: &str = r"
with source (text) as (
  select pg_catalog.lower(p.prosrc) from pg_catalog.pg_proc p
  join pg_catalog.pg_language l on l.oid = p.prolang
  where p.oid >= 16384 and l.lanname not in ('c', 'internal') and p.prosrc ~* '\mset(_config)?\M'
)
select distinct m[1] from source, pg_catalog.regexp_matches(source.text, '''([a-z_][a-z0-9_$]*\.[a-z0-9_$.]+)''', 'g') m
union
select distinct m[1] from source,
  pg_catalog.regexp_matches(source.text, '\mset\s+(?:session\s+|local\s+)?([a-z_][a-z0-9_$]*\.[a-z0-9_$.]+)', 'g') m
union
select pg_catalog.lower(pg_catalog.split_part(c, '=', 1)) from pg_catalog.pg_proc p, pg_catalog.unnest(p.proconfig) c
where p.oid >= 16384 and pg_catalog.split_part(c, '=', 1) like '%.%'
order by 1";

/// Whether code that the database keeps (functions, defaults, checks, views, rules, policies) asks for `currval` or
/// `lastval`, which have the oids 1575 and 2559.
pub const ASKS_SEQUENCES: &str = r"
select exists (select from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
               where p.oid >= 16384 and l.lanname not in ('c', 'internal') and p.prosrc ~* '\m(currval|lastval)\M')
    or exists (select from pg_catalog.pg_attrdef where adbin::text ~ ':funcid (1575|2559) ')
    or exists (select from pg_catalog.pg_constraint where conbin::text ~ ':funcid (1575|2559) ')
    or exists (select from pg_catalog.pg_rewrite where oid >= 16384 and ev_action::text ~ ':funcid (1575|2559) ')
    or exists (select from pg_catalog.pg_policy where concat(polqual, polwithcheck) ~ ':funcid (1575|2559) ')";

/// Whether changes of the catalog run code: an event trigger.
pub const EVENT_TRIGGERS: &str = r"
select exists (select from pg_catalog.pg_event_trigger where evtenabled <> 'D')";

/// Whether a commit may be asynchronous though neither the server's own setting nor the session's text says so: a role or
/// a database has `synchronous_commit` off, or a function sets it. What is set for this very role hides the server's own.
pub const ASYNCHRONOUS: &str = r"
select exists (select from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
               where c like 'synchronous_commit=%'
               and (c not in ('synchronous_commit=on', 'synchronous_commit=local', 'synchronous_commit=remote_write',
                              'synchronous_commit=remote_apply')
                    or s.setrole = (select r.oid from pg_catalog.pg_roles r where r.rolname = current_user)))
    or exists (select from pg_catalog.pg_proc p
               where p.oid >= 16384
               and (p.prosrc ~* 'synchronous_commit' or p.proconfig::text ~* 'synchronous_commit'))";
