-- Makes relations.txt: the system tables and views that a standby answers as the primary does.
--   psql -At -f relations.sql | fold -s -w 108 | sed 's/ *$//' > relations.txt
-- Run it on the newest server at hand. Left out: what tells of one node, backend or transaction, and large objects,
-- whose writes no text names.
select string_agg(nspname || '.' || relname, ' ' order by nspname || '.' || relname collate "C")
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid < 16384 and relkind in ('r', 'v') and nspname in ('pg_catalog', 'information_schema')
  and relname !~ '^pg_stat(io)?_|^pg_replication|^pg_prepared_|^pg_available_|^pg_timezone_|^pg_largeobject'
  and relname not in ('pg_backend_memory_contexts', 'pg_config', 'pg_cursors', 'pg_file_settings',
    'pg_hba_file_rules', 'pg_ident_file_mappings', 'pg_locks', 'pg_sequences', 'pg_settings', 'pg_shmem_allocations')
   or c.oid < 16384 and relname in ('pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs')
