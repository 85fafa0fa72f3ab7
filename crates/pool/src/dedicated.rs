//! Connections that are one client's own and never a pool's: those that speak the replication protocol.

use std::sync::Arc;

use pgsplit_net::Stream;
use pgsplit_route::NodeId;

use crate::cancel::CancelTarget;
use crate::error::OpenError;
use crate::login::{self, Credentials, Who};
use crate::params::Params;
use crate::users::Environment;

/// A server connection of one client, logged in and ready. A server counts it under `max_wal_senders` and not under
/// `max_connections`, so no pool counts it either.
#[derive(Debug)]
pub struct Dedicated {
    /// The socket.
    pub stream: Stream,
    /// What the server has reported.
    pub params: Params,
    /// What it takes to cancel what it does.
    pub cancel: Arc<CancelTarget>,
}

impl Dedicated {
    /// Logs in to a node as `user` with a client's own start-up parameters, `user` among them.
    ///
    /// # Errors
    /// The node is not known, cannot be reached, or refuses.
    pub async fn open(
        environment: &Environment,
        node: NodeId,
        user: &[u8],
        credentials: &Credentials,
        parameters: &[(&[u8], &[u8])],
    ) -> Result<Self, OpenError> {
        let view = environment.view.load_full();
        let node = view
            .node(node)
            .ok_or_else(|| OpenError::Protocol { node: String::new(), why: "the node is gone" })?;
        let opened = login::log_in(environment, Who { user, credentials }, node, parameters).await;
        let opened = opened.inspect_err(|error| {
            if error.is_node_failure() {
                environment.report.node_failed(node.id, error);
            }
        })?;
        Ok(Self { stream: opened.stream, params: opened.params, cancel: Arc::new(opened.cancel) })
    }
}
