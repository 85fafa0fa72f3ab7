//! The decision: facts about a statement, the state of its session and a view of the cluster in;
//! a target with its reason out.
//!
//! For: the table of reasons, the rules of the configuration, the view that the decision reads, marks of writes and what
//! a replica must have reached to be read from, balancing among the replicas that qualify.
//! Not for: finding out any of it. `pgsplit-sql` reads the text, `pgsplit-cluster` asks the servers and fills
//! the [`View`]; nothing here does I/O, has a clock of its own or awaits, so it can be table-tested, fuzzed and
//! asked from the command line.

mod balance;
mod decide;
mod hint;
mod latency;
mod level;
mod marks;
mod places;
mod progress;
mod reason;
pub mod retry;
pub mod rules;
mod samples;
mod seen;
mod spill;
mod view;

pub use balance::{Among, Balance, Excluded, Policy, pick};
pub use decide::{Asked, Decision, SessionView, Target, decide};
pub use hint::Hint;
pub use latency::Latency;
pub use level::Level;
pub use marks::{Durability, Marks, Need};
pub use places::Places;
pub use progress::Progress;
pub use reason::{PinReason, Reason};
pub use rules::{Aim, RuleId, Rules};
pub use samples::{Sample, Samples};
pub use seen::{Seen, Stay, Wanted};
pub use spill::{GLANCES, Glance, Spill, SpillLimits};
pub use view::{Lsn, MOST_NODES, Node, NodeId, NodeState, Role, View};
