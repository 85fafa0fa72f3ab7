//! What is known of the functions, relations and settings that come with PostgreSQL.
//!
//! Allow-lists: a name that is not on them is not trusted. `functions.sql` and `relations.sql` beside this file make
//! them from a running server.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::effects::Effects;

type Names = LazyLock<HashSet<&'static str, foldhash::fast::RandomState>>;

static FUNCTIONS: Names = LazyLock::new(|| include_str!("functions.txt").split_ascii_whitespace().collect());
static RELATIONS: Names = LazyLock::new(|| include_str!("relations.txt").split_ascii_whitespace().collect());

/// What is known of a built-in function by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Safe on a standby, with the same answer.
    Harmless,
    /// Harmless if its literal argument names a harmless setting: `current_setting`.
    Setting,
    /// Harmless unless it is asked about transaction identifiers: `age`.
    Age,
    /// Not for a standby, with these effects on the session.
    Special(Effects),
    /// Not a built-in function, or one that is not trusted and has no effect on the session.
    Unlisted,
}

/// What is known of a built-in function, by its folded name.
pub fn function(name: &str) -> Function {
    if FUNCTIONS.contains(name) {
        return Function::Harmless;
    }
    match name {
        "current_setting" => Function::Setting,
        "age" => Function::Age,
        _ => special(name).map_or(Function::Unlisted, Function::Special),
    }
}

fn special(name: &str) -> Option<Effects> {
    Some(match name {
        "set_config" => Effects::SETTING_OPAQUE,
        "setseed" => Effects::SEED,
        "nextval" | "setval" => Effects::SEQUENCE_USE,
        "currval" | "lastval" => Effects::SEQUENCE_ASK,
        "pg_advisory_lock"
        | "pg_advisory_lock_shared"
        | "pg_try_advisory_lock"
        | "pg_try_advisory_lock_shared" => Effects::ADVISORY_LOCK,
        "pg_advisory_unlock" | "pg_advisory_unlock_shared" | "pg_advisory_unlock_all" => {
            Effects::MAY_END_STATE
        }
        "pg_advisory_xact_lock"
        | "pg_advisory_xact_lock_shared"
        | "pg_try_advisory_xact_lock"
        | "pg_try_advisory_xact_lock_shared" => Effects::LOCKING,
        "lo_open" | "lo_creat" | "lo_create" | "lo_import" | "loread" | "lowrite" | "pg_export_snapshot" => {
            Effects::TX_STATE
        }
        "ts_stat" | "ts_rewrite" => Effects::OPAQUE,
        "pg_backup_start"
        | "pg_start_backup"
        | "pg_create_logical_replication_slot"
        | "pg_create_physical_replication_slot"
        | "pg_copy_logical_replication_slot"
        | "pg_copy_physical_replication_slot"
        | "pg_replication_origin_session_setup"
        | "dblink_connect"
        | "dblink_connect_u" => Effects::OTHER_STATE,
        "pg_import_system_collations" => Effects::DDL,
        // Volatile or node-local, without a trace in the session.
        "pg_notify" | "txid_current" | "version" | "pg_terminate_backend" | "pg_cancel_backend" => {
            Effects::NONE
        }
        _ if runs_sql(name) => Effects::OPAQUE,
        _ if inert_prefix(name) => Effects::NONE,
        _ => return None,
    })
}

/// Functions that run SQL given as a string, or over whole tables.
fn runs_sql(name: &str) -> bool {
    ["query_to_xml", "cursor_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Names that only the server may take (`pg_` is reserved for schemas and roles, not for functions, but PostgreSQL's own
/// functions of these families leave nothing in the session).
fn inert_prefix(name: &str) -> bool {
    [
        "brin_",
        "gin_clean_",
        "inet_client_",
        "inet_server_",
        "lo_",
        "mxid_",
        "pg_backend_",
        "pg_blocking_",
        "pg_collation_",
        "pg_conf_",
        "pg_control_",
        "pg_current_",
        "pg_database_",
        "pg_indexes_size",
        "pg_is_",
        "pg_last_",
        "pg_listening_",
        "pg_logical_emit_",
        "pg_ls_",
        "pg_my_temp_",
        "pg_postmaster_",
        "pg_promote",
        "pg_read_",
        "pg_relation_",
        "pg_reload_",
        "pg_rotate_",
        "pg_safe_snapshot_",
        "pg_sequence_last_",
        "pg_show_all_",
        "pg_stat_file",
        "pg_stat_get_",
        "pg_stat_reset",
        "pg_stat_clear_",
        "pg_stat_force_",
        "pg_switch_wal",
        "pg_table_size",
        "pg_tablespace_",
        "pg_total_relation_",
        "pg_wal_",
        "pg_walfile_",
        "pg_xact_",
        "txid_current_",
        "txid_status",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Whether a system relation is harmless, given its schema (`pg_catalog` or `information_schema`) and name.
pub fn relation(schema: &str, name: &str) -> bool {
    RELATIONS.contains(format!("{schema}.{name}").as_str())
}

/// Whether `current_setting` of this setting answers on a replica as on the primary: the session's own settings, which
/// are replayed there, custom ones among them, and those that the cluster as a whole has.
pub fn setting(name: &str) -> bool {
    const SAME: [&str; 31] = [
        "application_name",
        "block_size",
        "bytea_output",
        "client_encoding",
        "client_min_messages",
        "datestyle",
        "default_text_search_config",
        "default_transaction_isolation",
        "extra_float_digits",
        "integer_datetimes",
        "intervalstyle",
        "is_superuser",
        "jit",
        "lc_collate",
        "lc_ctype",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
        "lock_timeout",
        "max_function_args",
        "max_identifier_length",
        "max_index_keys",
        "role",
        "row_security",
        "search_path",
        "server_encoding",
        "session_authorization",
        "standard_conforming_strings",
        "statement_timeout",
        "timezone",
        "xmloption",
    ];
    let name = name.to_ascii_lowercase();
    match name.split_once('.') {
        Some((prefix, _)) => prefix != "pgsplit" && !prefix.starts_with("pg_"),
        None => SAME.contains(&&*name),
    }
}
