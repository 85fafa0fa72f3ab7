//! Patroni's REST interface as a source of hints: when what a member says of itself changes, every node is asked at once.
//!
//! A hint and no authority: whatever it says, roles are what the servers answer. So little is read of it, and a member that
//! cannot be reached changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::cluster::Shared;

/// Time between two questions to a member, and the longest that one may take.
const EVERY: Duration = Duration::from_millis(500);
/// The longest answer that is read.
const MOST: u64 = 64 * 1024;
/// Patroni's port when none is given.
const PORT: u16 = 8008;

/// What a member says of itself, as far as it matters: status, role, state, timeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Said {
    status: String,
    values: [Option<String>; 3],
}

/// Asks one member again and again, until cancelled.
pub(crate) async fn watch(shared: Arc<Shared>, url: String) {
    let mut last: Option<Said> = None;
    let mut reached = true;
    loop {
        let answer = timeout(EVERY, ask(&url)).await;
        if let Ok(Ok(text)) = answer {
            let said = read(&text);
            if last.as_ref().is_some_and(|last| *last != said) {
                tracing::info!(target: "cluster", url, ?said, "a hint from Patroni: asking all nodes");
                shared.kick_all();
            }
            last = Some(said);
            reached = true;
        } else if std::mem::take(&mut reached) {
            tracing::warn!(target: "cluster", url, "Patroni does not answer");
            // Its node may be gone with it.
            shared.kick_all();
        }
        sleep(EVERY).await;
    }
}

async fn ask(url: &str) -> std::io::Result<String> {
    let host = authority(url);
    let mut stream =
        match host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?))) {
            Some(at) => TcpStream::connect(at).await?,
            None => TcpStream::connect((host, PORT)).await?,
        };
    let request = format!("GET /patroni HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Host and port of an address.
fn authority(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split('/').next().unwrap_or(rest)
}

fn read(answer: &str) -> Said {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    Said { status, values: ["role", "state", "timeline"].map(|key| value(body, key)) }
}

/// The first value of this key: a word or a number. Good enough to see that it has changed.
fn value(json: &str, key: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{key}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find([',', '}', ']', '\n'])?;
    Some(rest.get(..end)?.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6\r\n\r\n\
        {\"state\": \"running\", \"role\": \"replica\", \"server_version\": 150018, \"timeline\": 3, \
        \"xlog\": {\"received_location\": 67108960}, \"patroni\": {\"version\": \"4.1.0\", \"name\": \"n1\"}}";

    #[test]
    fn what_matters_is_read_and_nothing_else() {
        let said = read(ANSWER);
        let values = ["replica", "running", "3"].map(|value| Some(value.to_owned()));
        assert_eq!(said, Said { status: "200".into(), values });
        assert_eq!(read(&ANSWER.replace("67108960", "67109999")), said, "positions change all the time");
        assert_ne!(read(&ANSWER.replace("replica", "primary")), said);
        assert_ne!(read(&ANSWER.replace(": 3,", ": 4,")), said);
        for nonsense in ["", "HTTP", "\r\n\r\n{\"role\"", "\r\n\r\n{\"role\":", "x\r\n\r\n\"state\": \u{1}"] {
            read(nonsense);
        }
    }

    #[test]
    fn addresses_with_and_without_everything() {
        assert_eq!(authority("http://10.0.0.1:8008/"), "10.0.0.1:8008");
        assert_eq!(authority("db1.internal"), "db1.internal");
    }
}
