#!/usr/bin/env bash
# The replicas' entrypoint, in front of the postgres image's own: an empty data directory is filled by
# a base backup of the primary, which -R makes a standby that streams through its slot.
set -euo pipefail

export PGPASSWORD=$REPLICATION_PASSWORD

# The mark tells a finished backup from an interrupted one, which is begun again.
if [ ! -f "$PGDATA/.complete" ]; then
    install -d -o postgres -g postgres -m 0700 "$PGDATA"
    find "$PGDATA" -mindepth 1 -delete
    gosu postgres pg_basebackup -h primary -U replicator -D "$PGDATA" -R -S "$REPLICA_NAME" -c fast
    gosu postgres touch "$PGDATA/.complete"
fi

unset PGPASSWORD
exec docker-entrypoint.sh postgres -cmax_wal_senders=10 -cmax_replication_slots=10 -ccluster_name="$REPLICA_NAME"
