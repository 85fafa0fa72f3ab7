//! One question to one node: what are you, and how far?
//!
//! Works on PostgreSQL 13 to 18 for a role with `pg_monitor` and nothing else. Not for: judging the answers, which
//! needs those of all nodes together.

use std::time::Duration;

use pgsplit_route::Lsn;
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Row, Statement};

use crate::connect::Control;
use crate::error::Error;
use crate::positions::Position;

/// A primary's timeline stands in the name of its current WAL file; a replica's is what its receiver streams. The
/// control file's timelines are older or equal, as they change with the next restart point, but survive the receiver.
const QUERY: &str = "
SELECT r.recovering,
       (SELECT system_identifier FROM pg_control_system()),
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8,
       CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
       CASE WHEN r.recovering THEN (SELECT received_tli FROM pg_stat_wal_receiver)
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int4 END,
       greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                (SELECT min_recovery_end_timeline FROM pg_control_recovery())),
       CASE WHEN r.recovering
            THEN (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::int8 END,
       current_setting('server_version_num')::int4,
       current_setting('max_connections')::int4 - current_setting('superuser_reserved_connections')::int4
           - coalesce(nullif(current_setting('reserved_connections', true), '')::int4, 0),
       pg_has_role(current_user, 'pg_read_all_stats', 'usage')
  FROM (SELECT pg_is_in_recovery() AS recovering OFFSET 0) r";

/// The short question: only how far.
const SAMPLE: &str = "
SELECT CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
       CASE WHEN r.recovering THEN NULL ELSE pg_current_wal_insert_lsn() END,
       current_setting('synchronous_commit') = 'off'
  FROM (SELECT pg_is_in_recovery() AS recovering OFFSET 0) r";

/// What a node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// It is a standby.
    pub(crate) in_recovery: bool,
    /// `system_identifier`: the same for all nodes that descend from one `initdb`.
    pub(crate) system: u64,
    /// When its postmaster started, in microseconds since 1970. Positions do not outlive it.
    pub(crate) started: i64,
    /// Replayed (standby) or flushed (primary); none before a standby has replayed anything.
    pub(crate) position: Option<Lsn>,
    /// The timeline that it writes or streams; none for a standby that streams nothing at the moment.
    pub(crate) timeline: Option<u32>,
    /// A timeline that it has certainly reached.
    pub(crate) control_timeline: u32,
    /// Age of the newest commit that the standby replayed: an upper bound of its lag.
    pub(crate) replay_age: Option<Duration>,
    /// `server_version_num`.
    pub(crate) version: u32,
    /// Connections that ordinary roles may open.
    pub(crate) connection_limit: u32,
    /// The login may see the statistics that tell a replica's timeline.
    pub(crate) monitor: bool,
}

/// A control connection with the question prepared.
pub(crate) struct Prober {
    control: Control,
    question: Statement,
    sample: Statement,
}

impl Prober {
    pub(crate) async fn new(control: Control) -> Result<Self, Error> {
        let question = control.prepare(QUERY).await?;
        let sample = control.prepare(SAMPLE).await?;
        Ok(Self { control, question, sample })
    }

    /// Asks. The caller sets the deadline and drops the prober after a failure.
    pub(crate) async fn ask(&self) -> Result<Answer, Error> {
        let row = self.control.query_one(&self.question, &[]).await?;
        answer(&row)
    }

    /// Asks how far the node is. The same holds for the caller.
    pub(crate) async fn sample(&self) -> Result<Position, Error> {
        let row = self.control.query_one(&self.sample, &[]).await?;
        let lsn = |index| -> Result<Option<Lsn>, Error> {
            Ok(row.try_get::<_, Option<PgLsn>>(index)?.map(|lsn| Lsn(lsn.into())))
        };
        Ok(match (lsn(0)?, lsn(1)?) {
            (Some(flushed), Some(inserted)) => {
                Position::Primary { flushed, inserted, asynchronous: row.try_get(2)? }
            }
            (Some(replayed), None) => Position::Standby { replayed },
            (None, _) => Position::Nothing,
        })
    }
}

fn answer(row: &Row) -> Result<Answer, Error> {
    let count = |index: usize| -> Result<u32, Error> {
        Ok(u32::try_from(row.try_get::<_, i32>(index)?).unwrap_or_default())
    };
    Ok(Answer {
        in_recovery: row.try_get(0)?,
        // PostgreSQL shows the unsigned identifier as a signed number.
        system: row.try_get::<_, i64>(1)?.cast_unsigned(),
        started: row.try_get(2)?,
        position: row.try_get::<_, Option<PgLsn>>(3)?.map(|lsn| Lsn(lsn.into())),
        timeline: row.try_get::<_, Option<i32>>(4)?.map(i32::cast_unsigned).filter(|timeline| *timeline > 0),
        control_timeline: row.try_get::<_, i32>(5)?.cast_unsigned(),
        replay_age: row
            .try_get::<_, Option<i64>>(6)?
            .map(|age| Duration::from_millis(u64::try_from(age).unwrap_or_default())),
        version: count(7)?,
        connection_limit: count(8)?,
        monitor: row.try_get(9)?,
    })
}
