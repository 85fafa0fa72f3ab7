//! What is asked: a statement, and who sends it with what around it.

use std::net::IpAddr;

use anyhow::Context;
use pgsplit_route::rules::Speaker;
use pgsplit_sql::scan;
use pgsplit_sql::tags::{Tags, decoded};

use crate::cli;

/// A statement and its circumstances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    pub(crate) sql: String,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application_name: String,
    pub(crate) client: Option<IpAddr>,
    pub(crate) search_path: Option<String>,
    /// Tags besides those of the statement, or in their place.
    pub(crate) tags: Vec<(String, String)>,
}

impl Question {
    /// A statement in no circumstances.
    pub(crate) fn plain(sql: &str) -> Self {
        Self { sql: sql.to_owned(), ..Self::default() }
    }

    /// As the command line asks.
    pub(crate) fn new(asked: &cli::Explain, sql: String) -> anyhow::Result<Self> {
        let mut tags = Vec::new();
        if let Some(route) = &asked.route {
            match route.trim().split_once(' ') {
                Some((method, path)) => {
                    tags.push(("method".to_owned(), method.to_owned()));
                    tags.push(("route".to_owned(), path.trim().to_owned()));
                }
                None => tags.push(("route".to_owned(), route.trim().to_owned())),
            }
        }
        for tag in &asked.tag {
            let (name, value) =
                tag.split_once('=').with_context(|| format!("--tag {tag}: NAME=VALUE is expected"))?;
            tags.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self {
            sql,
            user: asked.user.clone(),
            database: asked.database.clone(),
            application_name: asked.application_name.clone(),
            client: asked.client,
            search_path: asked.search_path.clone(),
            tags,
        })
    }

    pub(crate) fn speaker(&self) -> Speaker<'_> {
        Speaker {
            user: &self.user,
            database: &self.database,
            application_name: &self.application_name,
            client: self.client,
            share: None,
        }
    }

    /// All tags, and the same as the body of a comment.
    pub(crate) fn all_tags(&self) -> (Vec<(String, String)>, Vec<u8>) {
        let around = scan::around(self.sql.as_bytes());
        let tags = around.tags();
        let own = tags.iter().flat_map(Tags::iter);
        let mut all: Vec<(String, String)> = own
            .map(|tag| (decoded(tag.name).into_owned(), decoded(tag.value).into_owned()))
            .filter(|(name, _)| self.tags.iter().all(|(other, _)| other != name))
            .collect();
        all.extend(self.tags.iter().cloned());
        let pairs: Vec<String> =
            all.iter().map(|(name, value)| format!("{}='{}'", encoded(name), encoded(value))).collect();
        (all, pairs.join(",").into_bytes())
    }

    /// The word of the statement's hint.
    pub(crate) fn hint(&self) -> Option<&str> {
        scan::around(self.sql.as_bytes()).hint()
    }
}

/// URL-encoded, but for what is plain anyway.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:".contains(&byte);
    let encode = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
