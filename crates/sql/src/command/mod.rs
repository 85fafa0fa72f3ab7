//! The commands that the scanner owns: recognised in full from tokens, never by sqlparser.
//!
//! A parser that misses `BEGIN … NOT DEFERRABLE` or `SET CONSTRAINTS` is no excuse for losing track of a transaction,
//! so everything that controls transactions or session state is read here. A command is only named when its whole
//! text was understood; otherwise it is [`Command::Unknown`].

mod cursor;
mod database;
mod parse;
mod set;

pub(crate) use cursor::{Cursor, identifier, string_value, truncated};
pub use database::vacated;
pub use parse::parse;

/// A name as PostgreSQL folds it: lower case unless quoted, at most 63 bytes.
pub type Name = Box<str>;

/// One statement's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing but blanks and comments.
    Empty,
    /// BEGIN or START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT or END.
    Commit {
        /// AND CHAIN: the next transaction begins at once.
        chain: bool,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(Name),
    /// `RELEASE [SAVEPOINT]`.
    Release(Name),
    /// `ROLLBACK TO [SAVEPOINT]`.
    RollbackTo(Name),
    /// SET TRANSACTION with modes.
    SetTransaction(TransactionModes),
    /// SET TRANSACTION SNAPSHOT.
    SetTransactionSnapshot,
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetSessionCharacteristics(TransactionModes),
    /// PREPARE TRANSACTION.
    PrepareTransaction,
    /// COMMIT PREPARED.
    CommitPrepared,
    /// ROLLBACK PREPARED.
    RollbackPrepared,
    /// SET of a setting, also in its special forms (TIME ZONE, NAMES, SCHEMA, ROLE, SESSION AUTHORIZATION, SEED …).
    Set {
        /// SET LOCAL.
        local: bool,
        /// The setting's name in lower case, dots included.
        name: Name,
        /// What it is set to.
        value: SetValue,
    },
    /// SET CONSTRAINTS.
    SetConstraints,
    /// RESET of one setting.
    Reset(Name),
    /// RESET ALL.
    ResetAll,
    /// DISCARD.
    Discard(Discard),
    /// PREPARE name AS.
    Prepare {
        /// The statement's name.
        name: Name,
    },
    /// EXECUTE name.
    Execute {
        /// The statement's name.
        name: Name,
    },
    /// DEALLOCATE name, or ALL when there is none.
    Deallocate(Option<Name>),
    /// DECLARE … CURSOR.
    Declare {
        /// The cursor's name.
        name: Name,
        /// WITH HOLD.
        hold: bool,
    },
    /// FETCH.
    Fetch,
    /// MOVE.
    Move,
    /// CLOSE name, or ALL when there is none.
    CloseCursor(Option<Name>),
    /// LISTEN.
    Listen(Name),
    /// UNLISTEN channel, or `*` when there is none.
    Unlisten(Option<Name>),
    /// NOTIFY.
    Notify,
    /// LOAD.
    Load,
    /// LOCK TABLE.
    Lock,
    /// CHECKPOINT.
    Checkpoint,
    /// COPY.
    Copy(CopyDirection),
    /// SHOW of a setting, or `all`.
    Show(Name),
    /// EXPLAIN.
    Explain,
    /// SELECT, VALUES, TABLE, WITH, or one of them in parentheses.
    Query,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// TRUNCATE.
    Truncate,
    /// CALL.
    Call,
    /// DO.
    Do,
    /// CREATE, ALTER, DROP, GRANT, REVOKE, COMMENT and others that change the catalog; the first keyword in lower case.
    Ddl(Name),
    /// VACUUM, ANALYZE, CLUSTER and REINDEX; the first keyword in lower case.
    Utility(Name),
    /// Not understood; the first keyword in lower case, or empty when there is none.
    Unknown(Name),
}

impl Command {
    /// VACUUM.
    pub fn is_vacuum(&self) -> bool {
        matches!(self, Command::Utility(keyword) if **keyword == *"vacuum")
    }

    /// The keywords that stand for the command, in upper case, except where the first keyword is all that is known of
    /// it; queries of all forms are SELECT.
    pub fn keywords(&self) -> &str {
        match self {
            Command::Empty => "EMPTY",
            Command::Begin(_) => "BEGIN",
            Command::Commit { .. } => "COMMIT",
            Command::Rollback { .. } => "ROLLBACK",
            Command::Savepoint(_) => "SAVEPOINT",
            Command::Release(_) => "RELEASE",
            Command::RollbackTo(_) => "ROLLBACK TO",
            Command::SetTransaction(_) | Command::SetTransactionSnapshot => "SET TRANSACTION",
            Command::SetSessionCharacteristics(_) => "SET SESSION CHARACTERISTICS",
            Command::PrepareTransaction => "PREPARE TRANSACTION",
            Command::CommitPrepared => "COMMIT PREPARED",
            Command::RollbackPrepared => "ROLLBACK PREPARED",
            Command::Set { .. } => "SET",
            Command::SetConstraints => "SET CONSTRAINTS",
            Command::Reset(_) | Command::ResetAll => "RESET",
            Command::Discard(_) => "DISCARD",
            Command::Prepare { .. } => "PREPARE",
            Command::Execute { .. } => "EXECUTE",
            Command::Deallocate(_) => "DEALLOCATE",
            Command::Declare { .. } => "DECLARE",
            Command::Fetch => "FETCH",
            Command::Move => "MOVE",
            Command::CloseCursor(_) => "CLOSE",
            Command::Listen(_) => "LISTEN",
            Command::Unlisten(_) => "UNLISTEN",
            Command::Notify => "NOTIFY",
            Command::Load => "LOAD",
            Command::Lock => "LOCK",
            Command::Checkpoint => "CHECKPOINT",
            Command::Copy(_) => "COPY",
            Command::Show(_) => "SHOW",
            Command::Explain => "EXPLAIN",
            Command::Query => "SELECT",
            Command::Insert => "INSERT",
            Command::Update => "UPDATE",
            Command::Delete => "DELETE",
            Command::Merge => "MERGE",
            Command::Truncate => "TRUNCATE",
            Command::Call => "CALL",
            Command::Do => "DO",
            Command::Ddl(keyword) | Command::Utility(keyword) | Command::Unknown(keyword) => keyword,
        }
    }
}

/// The modes of a transaction as far as they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionModes {
    /// ISOLATION LEVEL.
    pub isolation: Option<Isolation>,
    /// READ ONLY is true, READ WRITE is false.
    pub read_only: Option<bool>,
    /// DEFERRABLE is true, NOT DEFERRABLE is false.
    pub deferrable: Option<bool>,
}

impl TransactionModes {
    /// These, with what is said later in their place.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            isolation: later.isolation.or(self.isolation),
            read_only: later.read_only.or(self.read_only),
            deferrable: later.deferrable.or(self.deferrable),
        }
    }
}

/// A transaction isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED, which PostgreSQL runs as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

/// What a SET sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// TO DEFAULT.
    Default,
    /// FROM CURRENT.
    FromCurrent,
    /// The value flattened as PostgreSQL does it, so that `set_config(name, value, …)` has the same effect.
    Value(String),
    /// A value that cannot be flattened with certainty.
    Opaque,
}

/// What is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// DISCARD ALL.
    All,
    /// DISCARD PLANS.
    Plans,
    /// DISCARD SEQUENCES.
    Sequences,
    /// DISCARD TEMP or TEMPORARY.
    Temp,
}

/// Where the data of a COPY comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyDirection {
    /// FROM STDIN.
    In,
    /// TO STDOUT of a table or a query.
    Out,
    /// FROM or TO a file or a program on the server.
    Server,
}
