//! Which CPUs are ours, and staying on one of them.

use std::thread;

use core_affinity::CoreId;

/// The CPUs a worker may be pinned to: those of the affinity mask, and no more of them than the
/// cgroup's quota pays for. Never empty.
pub fn usable() -> Vec<usize> {
    let paid = thread::available_parallelism().map_or(1, usize::from);
    let mut cpus: Vec<_> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    cpus.truncate(paid);
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Keeps the calling thread on `cpu`. False if the kernel refused.
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}

#[cfg(test)]
mod tests {
    use super::{pin, usable};

    #[test]
    fn a_thread_can_be_pinned_to_each_usable_cpu() {
        let pinned = std::thread::spawn(|| usable().into_iter().map(pin).collect::<Vec<_>>());
        let pinned = pinned.join().unwrap();
        assert!(!pinned.is_empty() && pinned.iter().all(|done| *done), "{pinned:?}");
    }
}
