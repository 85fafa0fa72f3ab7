//! Statements that a client prepared before the catalog changed. A direct connection answers 0A000 when the change gives
//! them another result type, because the client may have cached the row description. A pooled connection on which the
//! statement does not exist would parse it anew and return rows of the new type without a word; so it is described there
//! first, and what it returns is compared with what the client was told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;
use pgsplit_sql::Effects;
use pgsplit_wire::{PgError, Status, build, sqlstate};

use crate::end::End;
use crate::link::{To, What, server_name};
use crate::prepared::Prepared;
use crate::relay::Relayed;
use crate::session::Session;

/// Makes the transaction fail as PostgreSQL's own error would.
const FAIL: &[u8] = b"DO $$BEGIN RAISE EXCEPTION 'cached plan must not change result type'; END$$";

impl Session {
    /// Describes those statements that the held connection does not have. True when one of them has changed, or cannot
    /// be prepared any more: then the client has been told, up to ReadyForQuery.
    pub(crate) async fn refuse_changed(&mut self, stale: &[Arc<Prepared>]) -> Result<bool, End> {
        let Some(mut link) = self.link.take_if(|link| link.status != Status::Failed) else {
            return Ok(false);
        };
        let mut asked = false;
        let told = stale.iter().filter(|prepared| prepared.described.load(Ordering::Relaxed) != 0);
        // What calls another by its name is told when that is there.
        for prepared in told.filter(|prepared| !prepared.facts.effects.contains(Effects::SQL_PREPARED)) {
            if link.server.prepared.get(&prepared.statement.id).is_none() {
                self.ensure(&mut link, &prepared.statement);
                build::describe_statement(&mut link.out, server_name(prepared.statement.id).as_bytes());
                link.owe(What::Describe { prepared: Some(prepared.clone()) }, To::Silent);
                asked = true;
            }
        }
        if asked {
            link.changed = false;
            link.sync();
        }
        self.link = Some(link);
        if !asked {
            return Ok(false);
        }
        self.ask().await?;
        if self.link.as_ref().is_some_and(|link| link.changed) {
            self.fail_changed().await?;
        } else if !self.state.errored {
            return Ok(false);
        }
        let status = self.link.as_ref().map_or(Status::Idle, |link| link.status);
        self.state.ready(status);
        build::ready(&mut self.outbox, status);
        Ok(true)
    }

    async fn fail_changed(&mut self) -> Result<(), End> {
        if let Some(link) = self.link.as_mut().filter(|link| link.status == Status::Transaction) {
            link.query(FAIL, To::Session);
            self.ask().await?;
            if let Some(link) = &mut self.link {
                link.fault = None;
            }
        }
        self.state.errored = true;
        // asyncpg and pgjdbc prepare again when they see this routine, and only then.
        PgError::error(sqlstate::FEATURE_NOT_SUPPORTED, "cached plan must not change result type")
            .routine("RevalidateCachedQuery")
            .encode(&mut self.outbox);
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), End> {
        match self.relay(false).await? {
            Relayed::Broken(why) => Err(self.lost(&why)),
            _ => Ok(()),
        }
    }
}

/// What a RowDescription says of names and types, as a number that is never 0. Formats and the tables that columns come from
/// are left out (`equalTupleDescs` in tupdesc.c does not compare them either). NoData has an empty body.
pub(crate) fn shape(description: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = FixedState::with_seed(3).build_hasher();
    let mut rest = description.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        let (name, tail) = rest.split_at(end + 1);
        let Some((fields, after)) = tail.split_first_chunk::<18>() else { break };
        hasher.write(name);
        // Table oid and column number, then type oid, length and modifier, then format.
        hasher.write(fields.get(6..16).unwrap_or_default());
        rest = after;
    }
    hasher.finish() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(name: &str, kind: u8, table: u8, format: u8) -> Vec<u8> {
        let mut out = vec![0, 1];
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, table, 0, 1, 0, 0, 0, kind, 0, 4, 255, 255, 255, 255, 0, format]);
        out
    }

    #[test]
    fn names_and_types_count() {
        let a = shape(&description("a", 23, 1, 0));
        assert_eq!(a, shape(&description("a", 23, 2, 1)));
        assert_ne!(a, shape(&description("b", 23, 1, 0)));
        assert_ne!(a, shape(&description("a", 25, 1, 0)));
        assert_ne!(a, shape(&[]));
    }
}
