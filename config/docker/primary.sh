#!/usr/bin/env bash
# Run once by the postgres image, on the primary's new and empty cluster: roles, replication slots, and
# the line that lets replicas in.
set -euo pipefail

psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v app="$APP_PASSWORD" -v pgsplit="$PGSPLIT_PASSWORD" -v replication="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication';
CREATE ROLE pgsplit LOGIN PASSWORD :'pgsplit' IN ROLE pg_monitor;
CREATE ROLE app LOGIN PASSWORD :'app';

SELECT pg_create_physical_replication_slot(name, true) FROM unnest(ARRAY['replica1', 'replica2']) AS name;

-- In template1 too: privileges on a shared catalog are kept per database, and a new database starts
-- with the template's.
GRANT SELECT ON pg_authid TO pgsplit;
\connect template1
GRANT SELECT ON pg_authid TO pgsplit;
\connect postgres
CREATE DATABASE app OWNER app;
SQL

echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
