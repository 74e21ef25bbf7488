//! What this process has used of the host.

use rustix::time::{ClockId, clock_gettime};

/// The most memory that it had, in KiB; `None` where the system does not say.
pub(super) fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The CPU time of all its threads, in milliseconds.
pub(super) fn cpu_ms() -> Option<u64> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let millis = u64::try_from(time.tv_nsec).ok()? / 1_000_000;
    seconds.checked_mul(1_000)?.checked_add(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        assert!(cpu_ms().is_some());
        #[cfg(target_os = "linux")]
        assert!(peak_memory_kib().unwrap() > 100);
    }
}
