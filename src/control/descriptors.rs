//! Open files: how many there may be, and what fits into that.
//!
//! A limit that is too low is no reason not to serve (HAProxy, too, reckons at start how many connections fit).
//! Whoever then comes above it hears 421 instead of waiting in the kernel for somebody else to go, and what the
//! program opens for itself (next hops, logs, name servers) finds a descriptor while clients flood it.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::check::{self, worker_size};
use crate::limits::{PROCESS_DESCRIPTORS, WorkerSize, worker_descriptors};
use crate::policy::settings::Config;
use crate::service::notice::say;

/// Descriptors that the whole process may need.
pub fn needed(config: &Config, workers: usize) -> usize {
    check::descriptors(config).saturating_mul(workers).saturating_add(PROCESS_DESCRIPTORS)
}

/// Raises the limit of open files to what is needed, as far as we may, and takes as many connections at a time as
/// fit into what we got.
pub(super) fn settle(config: Arc<Config>, workers: usize) -> Arc<Config> {
    let needed = needed(&config, workers);
    let allowed = raise(needed);
    if allowed >= needed {
        return config;
    }
    let connections = fitting(&config, workers, allowed);
    say(format_args!(
        "{needed} open files may be needed, {allowed} are allowed: each worker takes {connections} connections at a \
         time. Raise RLIMIT_NOFILE (LimitNOFILE= in the unit)"
    ));
    let mut config = Arc::unwrap_or_clone(config);
    config.workers.connections = connections;
    Arc::new(config)
}

/// Gives how many are allowed now.
fn raise(needed: usize) -> usize {
    let wanted = needed as u64;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return needed;
    }
    // The upper limit is an administrator's word, even where we might raise it.
    let possible = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit { current: Some(possible), maximum: now.maximum };
    let is_raised = setrlimit(Resource::Nofile, raised).is_ok();
    let have = if is_raised { possible } else { now.current.unwrap_or(wanted) };
    usize::try_from(have).unwrap_or(needed)
}

/// How many connections a worker may take so that all descriptors together are not more than `allowed`.
///
/// A quarter stays for the process beside its workers, and for those who are told to come again; next hops get
/// what they may have, up to half of a worker's.
fn fitting(config: &Config, workers: usize, allowed: usize) -> usize {
    let listeners = config.listeners.iter().map(|listener| listener.addresses.len()).sum();
    let others = worker_descriptors(WorkerSize { connections: 0, ..worker_size(config) }, listeners);
    let each = (allowed - PROCESS_DESCRIPTORS.min(allowed / 4)) / workers.max(1);
    each.saturating_sub(others.min(each / 2)).clamp(1, config.workers.connections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::read;

    fn demo() -> Config {
        read("demo.toml", include_str!("../../appliance/demo.toml")).unwrap()
    }

    #[test]
    fn connections_fit_into_what_is_allowed() {
        for (workers, allowed) in [(1, 20), (1, 256), (1, 1024), (2, 1024), (4, 4096), (8, 65_536), (64, 256)]
        {
            let config = demo();
            let connections = fitting(&config, workers, allowed);
            assert!(connections >= 1);
            assert!(connections * workers <= allowed.max(workers), "{connections} of {allowed}");
        }
        let fits = |allowed| fitting(&demo(), 1, allowed);
        assert!((64..192).contains(&fits(256)), "{}", fits(256));
        assert_eq!(fits(needed(&demo(), 1)), demo().workers.connections, "all that was asked for");
        assert!(fits(256) < fits(1024) && fits(1024) < fits(8192));
    }
}
