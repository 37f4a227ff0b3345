//! What this process itself uses, under the names that every program has them.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};

use super::metrics::Seconds;

/// They are read when somebody wants to know.
pub struct Gauges {
    cpu: Seconds,
    memory: Gauge,
    files: Gauge,
}

impl Gauges {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let gauges = Self {
            cpu: Seconds::default(),
            memory: Gauge::default(),
            files: Gauge::default(),
        };
        registry.register(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds",
            gauges.cpu.clone(),
        );
        registry.register(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            gauges.memory.clone(),
        );
        registry.register(
            "process_open_fds",
            "Number of open file descriptors",
            gauges.files.clone(),
        );
        if let Some(started) = started() {
            let gauge: Gauge = Gauge::default();
            gauge.set(started);
            registry.register(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds",
                gauge,
            );
        }
        gauges
    }

    /// Reads them anew. What cannot be read stays as it was.
    pub fn refresh(&self) {
        if let Some(stat) = read_stat() {
            let seconds = (stat.user + stat.system) as f64 / clock_ticks_per_second() as f64;
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
            let bytes = stat.resident.saturating_mul(page_size() as u64);
            self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is read.
            self.files
                .set(i64::try_from(files.count()).unwrap_or(i64::MAX).saturating_sub(1));
        }
    }
}

struct Stat {
    user: u64,
    system: u64,
    started: u64,
    resident: u64,
}

fn read_stat() -> Option<Stat> {
    parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The name, the second field, is in parentheses and may hold anything.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse().ok();
    Some(Stat {
        user: field(14)?,
        system: field(15)?,
        started: field(22)?,
        resident: field(24)?,
    })
}

/// When this process began, seconds since 1970.
fn started() -> Option<i64> {
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    let ticks = read_stat()?.started / clock_ticks_per_second();
    boot.checked_add(i64::try_from(ticks).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_looks_like_fields_is_read_all_the_same() {
        let stat = parse("7 (a) b) S 1 7 7 0 -1 4194304 98 0 0 0 12 34 0 0 20 0 1 0 30691 3133440 412 1844").unwrap();
        assert_eq!(
            (stat.user, stat.system, stat.started, stat.resident),
            (12, 34, 30691, 412)
        );
        assert!(parse("7 (a) S 1").is_none());
    }

    #[test]
    fn this_process_has_figures() {
        let mut registry = Registry::default();
        let gauges = Gauges::register(&mut registry);
        gauges.refresh();
        assert!(gauges.memory.get() > 100_000 && gauges.files.get() > 2);
        let now = jiff::Timestamp::now().as_second();
        let started = started().unwrap();
        assert!((now - 3600 * 24..=now + 1).contains(&started), "{started}");
    }
}
