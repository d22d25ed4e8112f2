//! Who descends from a process, read from /proc.

use crate::reaper::MARK;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;

/// A process, told apart from a later one that got the same id by the moment it started (clock ticks after boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pid: Pid,
    started: u64,
}

impl Member {
    /// A zombie has ended; only its parent has not asked yet.
    pub(crate) fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != "Z")
    }
}

/// The fields of `/proc/<pid>/stat` that matter here (proc_pid_stat(5)).
struct Stat {
    state: String,
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in brackets, which may hold spaces and brackets; the state is the third.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Self {
            state: (*fields.first()?).to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The living descendants of a process, without itself.
pub(crate) fn descendants(ancestor: Pid) -> Vec<Member> {
    let mut children: BTreeMap<i32, Vec<Member>> = BTreeMap::new();
    for pid in processes() {
        if let Some(stat) = Stat::of(pid) {
            children.entry(stat.parent).or_default().push(Member { pid, started: stat.started });
        }
    }
    let mut family = children.remove(&ancestor.as_raw()).unwrap_or_default();
    let mut next = 0;
    while let Some(member) = family.get(next) {
        family.extend(children.remove(&member.pid.as_raw()).unwrap_or_default());
        next += 1;
    }
    family
}

/// Every live process whose environment carries the mark. Processes that are not ours to read cannot carry it.
pub(crate) fn marked(mark: &str) -> Vec<Member> {
    let wanted = format!("{MARK}={mark}");
    let carries = |pid: &Pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let found = processes().filter(carries);
    found.filter_map(|pid| Stat::of(pid).map(|stat| Member { pid, started: stat.started })).collect()
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}
