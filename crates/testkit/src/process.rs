//! The processes of a server, found by where they live: every PostgreSQL process works in its data
//! directory. That holds for orphans of a killed postmaster too, and cannot mistake a reused process id.

use std::{fs, path::Path, process::Command};

use rustix::process::{Pid, Signal, kill_process};

/// The ids of all processes whose working directory is `directory`. Empty where there is no /proc.
pub(crate) fn living_in(directory: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == directory)).collect()
}

/// Sends a signal; a process that is gone already is fine.
pub(crate) fn signal(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

/// Removes the System V segment that a killed postmaster left behind; its id is in postmaster.pid,
/// line 7. A postmaster that starts again in the same place does this itself.
pub(crate) fn remove_shared_memory(pid_file: &str) {
    let id = pid_file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let Some(id) = id {
        let _ = Command::new("ipcrm").args(["-m", id]).stderr(std::process::Stdio::null()).status();
    }
}
