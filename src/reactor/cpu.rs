//! Which CPUs are ours, how they lie in the machine, and staying on one of them.
//!
//! What Linux tells of a machine's layout is read from a folder (/sys/devices/system), so that machines we do
//! not have are folders of a test. Where it tells nothing, as in some containers, each CPU counts as a core
//! of its own on the only node.
//!
//! Invariant: nothing here names a CPU outside of our affinity mask.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::{fs, thread};

use core_affinity::CoreId;

const SYSTEM: &str = "/sys/devices/system";

/// A CPU, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub cpu: usize,
    /// The lowest CPU of the physical core; its others are siblings (SMT).
    pub core: usize,
    /// The NUMA node: which memory is near.
    pub node: usize,
}

/// The CPUs that we may run on. Empty only if the system says nothing.
pub fn ours() -> Vec<Place> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let cpus: Vec<_> = ids.into_iter().map(|core| core.id).collect();
    lie(Path::new(SYSTEM), &cpus)
}

/// How many of them the quota of our cgroup pays for; at least one.
pub fn paid() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread on `cpu`. False if the kernel refused.
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: cpu })
}

/// Where `cpus` lie, in the order in which they get work: each core's first CPU before any sibling, for two
/// siblings do the work of little more than one; within that, node by node.
pub fn lie(system: &Path, cpus: &[usize]) -> Vec<Place> {
    let nodes = nodes(&system.join("node"));
    let place = |cpu: usize| Place {
        cpu,
        core: core(&system.join(format!("cpu/cpu{cpu}/topology")), cpu),
        node: nodes.get(&cpu).copied().unwrap_or(0),
    };
    let mut cpus = cpus.to_vec();
    cpus.sort_unstable();
    cpus.dedup();
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut ranked: Vec<_> = cpus
        .into_iter()
        .map(place)
        .map(|place| {
            let rank = seen.entry(place.core).or_default();
            *rank += 1;
            (*rank, place)
        })
        .collect();
    ranked.sort_by_key(|(rank, place)| (*rank, place.node, place.cpu));
    ranked.into_iter().map(|(_, place)| place).collect()
}

/// One CPU of each physical core: the first that we may run on.
pub fn one_each_core(places: &[Place]) -> Vec<Place> {
    let mut seen = HashSet::new();
    places.iter().filter(|place| seen.insert(place.core)).copied().collect()
}

/// The lowest CPU of the core; before Linux 5.x the file had the older name.
fn core(topology: &Path, cpu: usize) -> usize {
    let siblings = ["core_cpus_list", "thread_siblings_list"].iter().find_map(|name| {
        let list = fs::read_to_string(topology.join(name)).ok()?;
        members(&list).into_iter().min()
    });
    siblings.unwrap_or(cpu)
}

/// The node of each CPU that has one.
fn nodes(folder: &Path) -> HashMap<usize, usize> {
    let mut nodes = HashMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("node")?.parse::<usize>().ok());
        if let (Some(node), Ok(list)) = (number, fs::read_to_string(entry.path().join("cpulist"))) {
            nodes.extend(members(&list).into_iter().map(|cpu| (cpu, node)));
        }
    }
    nodes
}

/// CPUs that one machine may have: Linux is built for at most so many.
const CPUS_MAX: usize = 8192;

/// The numbers of a list like `0-3,8,10-11`; what is none is left out.
fn members(list: &str) -> Vec<usize> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let bound = |text: &str| text.trim().parse().ok().filter(|cpu| *cpu < CPUS_MAX);
        Some(bound(first)?..=bound(last)?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A machine as a folder: the siblings of each core, and the CPUs of each node.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, file: &str, cores: &[&str], nodes: &[&str]) -> Self {
            let folder = std::env::temp_dir().join(format!("postern-cpu-{}-{name}", std::process::id()));
            let write = |path: PathBuf, text: &str| {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}\n")).unwrap();
            };
            for siblings in cores {
                for cpu in members(siblings) {
                    write(folder.join(format!("cpu/cpu{cpu}/topology/{file}")), siblings);
                }
            }
            for (node, cpus) in nodes.iter().enumerate() {
                write(folder.join(format!("node/node{node}/cpulist")), cpus);
            }
            fs::create_dir_all(folder.join("node/power")).unwrap();
            Self(folder)
        }

        /// (cpu, core, node) of each place in order.
        fn lies(&self, cpus: &str) -> Vec<(usize, usize, usize)> {
            told(&lie(&self.0, &members(cpus)))
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn told(places: &[Place]) -> Vec<(usize, usize, usize)> {
        places.iter().map(|place| (place.cpu, place.core, place.node)).collect()
    }

    #[test]
    fn lists_have_ranges() {
        for (list, want) in [
            ("0-3,8,10-11\n", &[0, 1, 2, 3, 8, 10, 11][..]),
            ("5", &[5]),
            ("\n", &[]),
            ("3-1,x,1-,7", &[7]),
            ("0-18446744073709551615", &[]),
        ] {
            assert_eq!(members(list), want, "{list:?}");
        }
    }

    /// As servers number them: the second siblings after all first ones.
    #[test]
    fn cores_come_before_siblings_and_nodes_in_order() {
        let cores = ["0,4", "1,5", "2,6", "3,7"];
        let machine = Machine::new("server", "core_cpus_list", &cores, &["0-1,4-5", "2-3,6-7"]);
        let first = [(0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 1)];
        let second = [(4, 0, 0), (5, 1, 0), (6, 2, 1), (7, 3, 1)];
        assert_eq!(machine.lies("0-7"), [first, second].concat());
        let places = lie(&machine.0, &members("0-7"));
        assert_eq!(told(&one_each_core(&places)), first);
        // Of a core whose first CPU is not ours, the second is as good.
        assert_eq!(machine.lies("1,4-6"), [(1, 1, 0), (4, 0, 0), (6, 2, 1), (5, 1, 0)]);
        assert_eq!(told(&one_each_core(&lie(&machine.0, &[1, 4, 5, 6]))), [(1, 1, 0), (4, 0, 0), (6, 2, 1)]);
    }

    /// As desktops and some clouds do: siblings are neighbours. Nodes may be interleaved.
    #[test]
    fn neighbours_may_be_siblings() {
        let machine =
            Machine::new("cloud", "thread_siblings_list", &["0-1", "2-3", "4-5"], &["2-3", "0-1,4-5"]);
        let want = [(2, 2, 0), (0, 0, 1), (4, 4, 1), (3, 2, 0), (1, 0, 1), (5, 4, 1)];
        assert_eq!(machine.lies("0-5"), want);
    }

    #[test]
    fn a_machine_that_says_nothing_has_a_core_for_each_cpu() {
        let machine = Machine::new("dumb", "core_cpus_list", &[], &[]);
        assert_eq!(machine.lies("3,1,1"), [(1, 1, 0), (3, 3, 0)]);
        assert_eq!(told(&lie(Path::new("/proc/no/such"), &[0])), [(0, 0, 0)]);
    }

    #[test]
    fn nothing_is_ours_that_is_not_in_the_mask() {
        let mask: Vec<_> = core_affinity::get_core_ids().unwrap().into_iter().map(|core| core.id).collect();
        let ours = ours();
        assert_eq!(ours.len(), mask.len());
        assert!(ours.iter().all(|place| mask.contains(&place.cpu)), "{ours:?} {mask:?}");
        assert!(paid() >= 1);
    }

    #[test]
    fn a_thread_can_be_pinned_to_each_of_our_cpus() {
        let pinned = thread::spawn(|| ours().into_iter().map(|place| pin(place.cpu)).collect::<Vec<_>>());
        let pinned = pinned.join().unwrap();
        assert!(!pinned.is_empty() && pinned.iter().all(|done| *done), "{pinned:?}");
    }
}
