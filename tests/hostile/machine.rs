//! Load of the machine, so that load of other processes is not attributed to the server.

use std::fs;
use std::time::{Duration, Instant};

/// Unit of the kernel's processor times (`USER_HZ`, proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// Processor time used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    at: Instant,
    all: Duration,
    own: Duration,
}

impl Usage {
    /// Measures the whole machine, and the server together with this process.
    pub fn now(server: u32) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        let ticks: Vec<u32> =
            stat.lines().next().unwrap().split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
        // All except idle, I/O wait, and guest times, which are contained in the others.
        let all = [0, 1, 2, 5, 6, 7].into_iter().map(|at| ticks[at]).sum::<u32>() * TICK;
        Self { at: Instant::now(), all, own: cpu(server) + cpu(std::process::id()) }
    }

    /// Returns whether other processes have used more than a fifth of the machine since then.
    pub fn was_shared(&self, server: u32) -> bool {
        let now = Self::now(server);
        let others = (now.all - self.all).saturating_sub(now.own - self.own);
        others > (now.at - self.at) * cores() / 5
    }
}

/// Returns the processor time that a process has used.
pub fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may contain spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum::<u32>() * TICK
}

pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}
