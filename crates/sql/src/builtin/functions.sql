-- Makes functions.txt: the built-in functions that are harmless on a standby and answer there as on the primary.
--   psql -At -f functions.sql | fold -s -w 108 | sed 's/ *$//' > functions.txt
-- Run it on the newest server at hand and keep the names that a newer list lacks; a function that is not listed is not trusted.
--
-- All functions of a name count as one, because a parser sees names. Left out: everything volatile but for a few; what
-- tells of one node, backend or transaction; what runs SQL from a string; what is for the server's own use.
with names as (
  select proname::text as name, bool_or(provolatile = 'v') as volatile
  from pg_proc
  where oid < 16384 and pronamespace = 'pg_catalog'::regnamespace and prokind in ('f', 'a', 'w')
  group by 1
  having not bool_or(prorettype in ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'cstring'::regtype,
                                    'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype,
                                    'tsm_handler'::regtype, 'table_am_handler'::regtype)
                     or 'internal'::regtype = any (proargtypes::oid[]) or 'cstring'::regtype = any (proargtypes::oid[]))
), harmless as (
  select name from names
  where not volatile
    and name !~ '^pg_stat_get_|^binary_upgrade_|_validator$|^pg_event_trigger_|^pg_ls_|^pg_control_|^pg_replication_|^pg_walfile_'
    and name !~ '^(table|schema|database|query|cursor)_to_xml'
    and name !~ '^(txid|pg)_current_(xact_id|snapshot)|^txid_current|^inet_(server|client)_'
    and name not in ('age', 'amvalidate', 'current_setting', 'mxid_age', 'pg_available_extension_versions',
      'pg_available_extensions', 'pg_backend_pid', 'pg_conf_load_time', 'pg_config', 'pg_cursor',
      'pg_extension_update_paths', 'pg_filenode_relation', 'pg_get_replication_slots', 'pg_is_other_temp_schema',
      'pg_listening_channels', 'pg_my_temp_schema', 'pg_postmaster_start_time', 'pg_prepared_statement',
      'pg_relation_filenode', 'pg_relation_filepath', 'pg_settings_get_flags', 'pg_show_all_settings',
      'pg_tablespace_databases', 'pg_tablespace_location', 'pg_timezone_abbrevs', 'pg_timezone_names', 'ts_rewrite',
      'version')
  union
  -- Volatile, and safe.
  select unnest(array['clock_timestamp', 'current_query', 'gen_random_uuid', 'pg_partition_ancestors',
    'pg_partition_tree', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'random', 'timeofday'])
  union
  -- What the grammar knows by itself.
  select unnest(array['array', 'coalesce', 'current_catalog', 'current_date', 'current_role', 'current_time',
    'current_timestamp', 'greatest', 'grouping', 'least', 'localtime', 'localtimestamp', 'nullif', 'row', 'treat', 'user',
    'json', 'json_array', 'json_arrayagg', 'json_exists', 'json_objectagg', 'json_query', 'json_scalar',
    'json_serialize', 'json_value', 'xmlagg', 'xmlconcat', 'xmlexists', 'xmlforest', 'xmlparse', 'xmlpi', 'xmlroot',
    'xmlserialize'])
  union
  -- New in 16 to 18.
  select unnest(array['any_value', 'array_reverse', 'array_sample', 'array_shuffle', 'array_sort', 'casefold', 'crc32',
    'crc32c', 'date_add', 'date_subtract', 'erf', 'erfc', 'gamma', 'jsonb_path_query', 'json_strip_nulls', 'lgamma',
    'pg_basetype', 'pg_get_acl', 'pg_input_error_info', 'pg_input_is_valid', 'pg_split_walfile_name', 'random_normal',
    'range_agg', 'system_user', 'to_bin', 'to_oct', 'to_regtypemod', 'unicode_assigned', 'uuid_extract_timestamp',
    'uuid_extract_version', 'uuidv4', 'uuidv7', 'xmltext'])
)
select string_agg(name, ' ' order by name collate "C") from harmless
