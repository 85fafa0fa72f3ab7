//! Whom the servers run as, and how programs are run as that user. PostgreSQL refuses root, so a kit
//! started by root uses `postgres` or `nobody`; anyone else's servers run as themselves.

use std::{
    fs,
    io::{Read, Seek, Write},
    os::unix::{
        fs::chown,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use crate::{Error, wait};

/// The user that owns the servers and their files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    /// User and group to change to; `None` where nothing has to change.
    ids: Option<(u32, u32)>,
}

impl Owner {
    pub(crate) fn detect() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { ids: None });
        }
        let users = fs::read_to_string("/etc/passwd").map_err(Error::io("read", "/etc/passwd"))?;
        let ids = ["postgres", "nobody"].iter().find_map(|name| ids_of(&users, name));
        ids.map(|ids| Self { ids: Some(ids) }).ok_or(Error::NoUnprivilegedUser)
    }

    /// Hands a file or directory over to the servers' user.
    pub(crate) fn adopt(&self, path: &Path) -> Result<(), Error> {
        match self.ids {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)).map_err(Error::io("chown", path)),
            None => Ok(()),
        }
    }

    /// A command of the servers' user, in a directory that this user may enter, deaf to the terminal's
    /// Ctrl-C (a process group of its own), and free of the environment's PG variables.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).process_group(0).stdin(Stdio::null());
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid);
        }
        command
    }
}

fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    })
}

/// Runs a command to its end, with `input` on its standard input, and returns what it printed. It is
/// killed when `limit` is over. Files and not pipes carry the streams: nothing can block on a full one.
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| Error::Io { what: format!("run {program}"), source };
    let mut stdin = tempfile::tempfile().map_err(failed)?;
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).map_err(failed)?;
    let mut stdout = tempfile::tempfile().map_err(failed)?;
    let mut stderr = tempfile::tempfile().map_err(failed)?;
    command.stdin(stdin).stdout(stdout.try_clone().map_err(failed)?);
    command.stderr(stderr.try_clone().map_err(failed)?);

    let mut child = command.spawn().map_err(failed)?;
    let status = wait::until(&program, limit, || child.try_wait().map_err(failed));
    if status.is_err() {
        // It has had its time; that it cannot be killed would be news to nobody.
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = status?;
    if status.success() {
        return read_all(&mut stdout).map_err(failed);
    }
    let stderr = read_all(&mut stderr).map_err(failed)?.trim_end().to_owned();
    Err(Error::Command { program, status: describe(status), stderr })
}

fn read_all(file: &mut fs::File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ids_by_exact_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:,,,:/x:/bin/sh\n";
        assert_eq!(ids_of(users, "postgres"), Some((101, 104)));
        assert_eq!(ids_of(users, "nobody"), None);
    }

    #[test]
    fn a_failing_command_says_why_and_a_slow_one_is_killed() {
        let failing = run(Command::new("sh").args(["-c", "echo no >&2; exit 3"]), "", wait::LIMIT);
        assert_eq!(failing.unwrap_err().to_string(), "sh failed (exit code 3): no");
        let slow = run(&mut Command::new("cat"), "back", wait::LIMIT);
        assert_eq!(slow.unwrap(), "back");
        let slow = run(Command::new("sleep").arg("60"), "", Duration::from_millis(50));
        assert!(matches!(slow, Err(Error::TimeOut { .. })));
    }
}
