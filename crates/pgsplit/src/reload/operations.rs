//! What the console asks for.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pgsplit_admin::console::{Change, Fault, Loaded, Moved, Operations, RuleLine, Setting};
use pgsplit_config::RuleMode;
use pgsplit_session::Later;

use super::{Operator, diff, difference};
use crate::explain;
use crate::explain::Question;

/// The console's handle.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) Arc<Operator>);

/// 55000, `object_not_in_prerequisite_state`.
const REFUSED: &str = "55000";

/// The first line as the message, all of it as the detail.
fn fault(message: &str, text: String) -> Fault {
    Fault::new(REFUSED, message).detail(text)
}

impl Operations for Asked {
    fn admits(&self, user: &str) -> bool {
        let now = self.0.in_force.load();
        user == now.config.auth.user || now.config.admin_users.iter().any(|name| name == user)
    }

    fn settings(&self) -> Vec<Setting> {
        difference::settings(&self.0.effective())
    }

    fn loaded(&self) -> Loaded {
        let now = self.0.in_force.load();
        Loaded {
            file: self.0.path.display().to_string(),
            hash: now.hash,
            at: now.at,
            refused: self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            unconfirmed: *self.0.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn rules(&self) -> Vec<RuleLine> {
        let now = self.0.in_force.load();
        let line = |rule: &pgsplit_config::Rule| RuleLine {
            name: rule.name.clone(),
            matching: rule.matching.summary(),
            target: rule.target.as_ref().map(ToString::to_string),
            mode: if rule.mode == RuleMode::Enforce { "enforce" } else { "shadow" },
        };
        now.config.rules.iter().map(line).collect()
    }

    fn explain<'a>(&'a self, database: &'a str, sql: &'a str) -> Later<'a, Result<Vec<String>, Fault>> {
        Box::pin(async move {
            let config = &self.0.in_force.load_full().config;
            let question = Question { database: database.to_owned(), ..Question::plain(sql) };
            let (cluster, rules) = (self.0.proxy.cluster(), self.0.proxy.rules());
            let moment = self.0.proxy.moment();
            let text = explain::running(cluster, config, rules, moment, &question).await;
            let text = text.map_err(|error| Fault::new(REFUSED, format!("{error:#}")))?;
            Ok(text.lines().map(str::to_owned).collect())
        })
    }

    fn reload(&self, confirm: Option<Duration>) -> Later<'_, Result<Vec<Change>, Fault>> {
        Box::pin(async move {
            let done = self.0.reload(confirm).await;
            done.map_err(|text| fault("not reloaded: the old configuration stays in force", text))
        })
    }

    fn confirm(&self) -> Later<'_, Result<(), Fault>> {
        Box::pin(async move { self.0.confirm().await.map_err(|text| Fault::new(REFUSED, text)) })
    }

    fn diff<'a>(&'a self, text: &'a str) -> Later<'a, Result<Vec<Moved>, Fault>> {
        Box::pin(async move {
            let moved = diff::diff(&self.0, text).await;
            moved.map_err(|text| fault("the configuration cannot be compared", text))
        })
    }
}
