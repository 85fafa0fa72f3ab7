//! What the scripts in Rust share: connecting, and writing down what comes.

use std::fmt::{Debug, Display, Write};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls};

/// A connected client, and the task that carries its messages.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Connected {
    /// Ends the session and waits until the server has heard of it.
    pub(crate) async fn close(self) {
        drop(self.client);
        self.task.await.unwrap();
    }

    /// Waits until that many notices or notifications have come, and takes them.
    pub(crate) async fn heard(&self, count: usize) -> Vec<String> {
        while self.heard.lock().unwrap().len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

pub(crate) async fn connect(config: &Config) -> Result<Connected, Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let task = tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            let text = match message {
                AsyncMessage::Notice(notice) => {
                    format!(
                        "{} {} {} {:?}",
                        notice.severity(),
                        notice.code().code(),
                        notice.message(),
                        notice.detail()
                    )
                }
                AsyncMessage::Notification(news) => format!("{}: {}", news.channel(), news.payload()),
                _ => continue,
            };
            told.lock().unwrap().push(text);
        }
    });
    Ok(Connected { client, heard, task })
}

/// The transcript.
#[derive(Default)]
pub(crate) struct Transcript(String);

impl Transcript {
    pub(crate) fn section(&mut self, name: &str) {
        writeln!(self.0, "== {name}").unwrap();
    }

    pub(crate) fn show(&mut self, label: impl Display, value: impl Debug) {
        writeln!(self.0, "  {label}: {value:?}").unwrap();
    }

    /// A value, or all that an application may look at in an error.
    pub(crate) fn attempt<T: Debug>(&mut self, label: impl Display, outcome: Result<T, Error>) {
        match outcome {
            Ok(value) => self.show(label, value),
            Err(error) => match error.as_db_error() {
                Some(db) => self.show(
                    label,
                    (
                        (
                            db.severity(),
                            db.code().code(),
                            db.message(),
                            db.detail(),
                            db.hint(),
                            db.position(),
                        ),
                        (db.where_(), db.schema(), db.table(), db.column(), db.datatype(), db.constraint()),
                    ),
                ),
                None => self.show(label, error.to_string()),
            },
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}
