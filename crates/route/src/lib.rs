//! The decision: facts about a statement, the state of its session and a view of the cluster in;
//! a target with its reason out.
//!
//! For: the table of reasons, the rules of the configuration, the view that the decision reads, balancing among the replicas that qualify.
//! Not for: finding out any of it. `pgsplit-sql` reads the text, `pgsplit-cluster` asks the servers and fills
//! the [`View`]; nothing here does I/O, has a clock of its own or awaits, so it can be table-tested, fuzzed and
//! asked from the command line.

mod balance;
mod decide;
mod reason;
pub mod rules;
mod view;

pub use balance::{Among, Excluded, pick};
pub use decide::{Asked, Decision, SessionView, Target, decide};
pub use reason::{PinReason, Reason};
pub use rules::{Aim, RuleId, Rules};
pub use view::{Lsn, Node, NodeId, NodeState, Role, View};
