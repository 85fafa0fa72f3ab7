//! Takes the cluster away when its owner could not: a shell that waits for the end of a pipe. The end
//! comes when the owner dies in whatever way, `kill -9` included.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{Error, wait};

#[derive(Debug)]
pub(crate) struct Guardian(Child);

impl Guardian {
    /// Watches over `directory` and every process that works in it.
    pub(crate) fn of(directory: &Path) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        // A process group of its own: Ctrl-C in the owner's terminal is not for the guardian.
        command.args(["-s", "--"]).arg(directory).process_group(0);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guardian =
            command.spawn().map(Self).map_err(Error::io("start the guardian of", directory))?;
        if let Some(pipe) = guardian.0.stdin.as_mut() {
            let script = include_bytes!("guardian.sh");
            pipe.write_all(script).map_err(Error::io("instruct the guardian of", directory))?;
        }
        Ok(guardian)
    }
}

impl Drop for Guardian {
    /// Closes the pipe. Nothing is left to do then, or the guardian does it.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = wait::until("the guardian's end", wait::LIMIT, || Ok(self.0.try_wait().ok().flatten()));
    }
}
