//! Memory available to this process: the limit of its container, or all that the machine has.

use std::fs;
use std::path::Path;

/// Returns the memory in bytes that this process may use; `None` if the system does not report it.
pub(crate) fn available_bytes() -> Option<u64> {
    available_in(Path::new("/"))
}

/// Returns the smallest of the machine's memory (proc_meminfo(5)) and the limits of the process's control groups. A
/// container with a cgroup namespace of its own sees its group at the root of the file system; without one, the path
/// leads there.
fn available_in(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let groups = read("proc/self/cgroup");
    let limits = groups.lines().flat_map(|line| {
        // `hierarchy:controllers:path` (cgroups(7)); version 2 has the hierarchy 0 and no controllers.
        let mut parts = line.splitn(3, ':');
        let (hierarchy, controllers) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let path = parts.next().unwrap_or_default();
        let (folder, file) = match hierarchy {
            "0" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        // The limit of a parent applies to its children.
        let parents = Path::new(path.trim_start_matches('/')).ancestors();
        parents.filter_map(|group| read(&format!("{folder}/{}/{file}", group.display())).trim().parse().ok()).collect()
    });
    let meminfo = read("proc/meminfo");
    let total = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        kib.parse::<u64>().ok()?.checked_mul(1024)
    });
    // `max`, and version 1's largest number, are no limit: the machine's memory is less.
    limits.chain(total).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Returns the available memory, given these system files.
    fn available(name: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = std::env::temp_dir().join(format!("roundtable-memory-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let available = available_in(&root);
        let _ = fs::remove_dir_all(root);
        available
    }

    #[test]
    fn the_limit_of_the_container_counts_else_the_memory_of_the_machine() {
        let machine = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:        1 kB\n");
        let v2 = ("proc/self/cgroup", "0::/\n");
        let in_pod = ("proc/self/cgroup", "0::/pods/pod/server\n");
        let v1 = ("proc/self/cgroup", "12:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n");
        let one_gib = "1073741824\n";
        for (name, files, expected) in [
            ("none", &[machine][..], 16 * GIB),
            ("v2", &[machine, v2, ("sys/fs/cgroup/memory.max", one_gib)], GIB),
            ("v2-max", &[machine, v2, ("sys/fs/cgroup/memory.max", "max\n")], 16 * GIB),
            (
                "v2-parent",
                &[
                    machine,
                    in_pod,
                    ("sys/fs/cgroup/pods/pod/server/memory.max", "max\n"),
                    ("sys/fs/cgroup/pods/pod/memory.max", one_gib),
                ],
                GIB,
            ),
            ("v1", &[machine, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", one_gib)], GIB),
            ("v1-host", &[machine, v1, ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", one_gib)], GIB),
            (
                "v1-none",
                &[machine, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")],
                16 * GIB,
            ),
        ] {
            assert_eq!(available(name, files), Some(expected), "{name}");
        }
        assert_eq!(available("empty", &[]), None);
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
