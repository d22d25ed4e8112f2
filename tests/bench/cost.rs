//! What a measure costs in processor time, by program. Seconds of the clock depend on what else the machine does, these
//! hardly; and on two cores they say who would have to become faster.

use std::{collections::BTreeMap, fs};

/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time since the start, by program.
pub(crate) struct Cost(BTreeMap<String, f64>);

impl Cost {
    /// Of this process and all that descends from it.
    pub(crate) fn now() -> Self {
        let mut seconds = BTreeMap::new();
        for stat in family() {
            // What this process waited for are servers of earlier measures.
            let (name, ticks) = match stat.pid == std::process::id() {
                true => ("load generator".to_owned(), stat.own_ticks),
                false => (stat.name.clone(), stat.own_ticks + stat.children_ticks),
            };
            *seconds.entry(name).or_default() += ticks / TICKS_PER_SECOND;
        }
        Self(seconds)
    }

    /// The part since `earlier`, per piece of work, for people: the dearest first.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn since(&self, earlier: &Self, pieces: u64) -> String {
        let spent = self
            .0
            .iter()
            .map(|(name, now)| (name, (now - earlier.0.get(name).copied().unwrap_or(0.0)) * 1e6 / pieces as f64));
        let mut spent: Vec<_> = spent.filter(|(_, micros)| *micros >= 1.0).collect();
        spent.sort_by(|a, b| b.1.total_cmp(&a.1));
        let parts: Vec<String> = spent.iter().map(|(name, micros)| format!("{name} {micros:.0} us")).collect();
        parts.join(", ")
    }
}

/// Some of `/proc/<pid>/stat` (proc_pid_stat(5)).
struct Stat {
    pid: u32,
    parent: u32,
    name: String,
    own_ticks: f64,
    children_ticks: f64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may hold spaces and brackets itself.
        let (front, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            name: front.split_once('(')?.1.to_owned(),
            own_ticks: ticks(11) + ticks(12),
            children_ticks: ticks(13) + ticks(14),
        })
    }
}

/// This process and all that descends from it.
fn family() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let (mut family, mut others): (Vec<_>, Vec<_>) =
        ids.filter_map(Stat::of).partition(|stat| stat.pid == std::process::id());
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|stat| stat.pid) {
        family.extend(others.extract_if(.., |stat| stat.parent == parent));
        next += 1;
    }
    family
}

/// Resident memory in MiB of all that descends from this process.
pub(crate) fn resident_descendants() -> f64 {
    let descendants = family().into_iter().map(|stat| stat.pid).filter(|pid| *pid != std::process::id());
    descendants.filter_map(resident).map(|(now, _)| now).sum()
}

/// Resident memory of a process in MiB: now, and the most since [`forget_peak`].
pub(crate) fn resident(pid: u32) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    Some((kib("VmRSS:")? / 1024.0, kib("VmHWM:")? / 1024.0))
}

/// Lets the peak begin anew (proc(5), `clear_refs`).
pub(crate) fn forget_peak(pid: u32) -> std::io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}
