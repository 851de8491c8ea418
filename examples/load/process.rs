//! Resource usage of the measured server, read from the kernel, so that any program can be measured.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Timeout from start to listening.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Process on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub libc::pid_t);

impl Process {
    /// Finds the process that listens on a TCP port. Returns `None` if it cannot be found, for example because it is on
    /// another machine or belongs to another user.
    pub fn listening_on(port: u16) -> Option<Self> {
        let sockets: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| table.lines().filter_map(|line| listener(line, port)).collect::<Vec<_>>())
            .collect();
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            holds(&entry.path(), &sockets).then_some(Self(pid))
        })
    }

    /// Returns the CPU time of all threads so far, in user and kernel mode, including threads that have ended.
    pub fn cpu(self) -> io::Result<Duration> {
        let mut clock = 0;
        // SAFETY: both calls only write to the local variable that they are given.
        let time = unsafe {
            let error = libc::clock_getcpuclockid(self.0, &mut clock);
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let mut time = std::mem::zeroed::<libc::timespec>();
            if libc::clock_gettime(clock, &mut time) != 0 {
                return Err(io::Error::last_os_error());
            }
            time
        };
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Returns the resident memory in KiB, without the kernel's socket buffers. `smaps_rollup` counts pages exactly;
    /// the cheaper `statm` may be off by hundreds of them.
    pub fn rss_kib(self) -> io::Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0))?;
        rollup
            .lines()
            .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or_else(|| io::Error::other("smaps_rollup has no line Rss"))
    }
}

/// Returns the `socket:[inode]` of a line of `/proc/net/tcp` if it is a listener on `port`.
fn listener(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == LISTEN && u16::from_str_radix(local, 16) == Ok(port);
    listens.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|link| sockets.iter().any(|socket| link == Path::new(socket))))
}

/// Child process that is killed on drop.
pub struct Running {
    child: Child,
    /// The process to measure.
    pub process: Process,
}

impl Running {
    /// Starts a command and waits until it listens on `port`. Its output goes to standard error, because standard
    /// output is for results.
    pub async fn start(command: &mut Command, port: u16) -> Result<Self, String> {
        let shown = format!("{command:?}");
        let child =
            command.stdin(Stdio::null()).stdout(io::stderr()).spawn().map_err(|error| format!("{shown}: {error}"))?;
        let process = Process(child.id() as libc::pid_t);
        let mut running = Self { child, process };
        let deadline = Instant::now() + START_TIMEOUT;
        while Process::listening_on(port).is_none_or(|found| found.0 != process.0) {
            if let Ok(Some(status)) = running.child.try_wait() {
                return Err(format!("{shown}: ended at once, {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("{shown}: does not listen on port {port}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a loopback address on which nothing listens at the moment.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Allows this process and its children to open `wanted` files. Only root can exceed the hard limit.
pub fn allow_open_files(wanted: u64) -> io::Result<()> {
    // SAFETY: both calls only use the local variable that they are given.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        if limit.rlim_cur >= wanted {
            return Ok(());
        }
        limit.rlim_cur = wanted;
        limit.rlim_max = limit.rlim_max.max(wanted);
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
