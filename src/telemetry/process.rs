//! `process_*`: the kernel's figures about this process, under the names that Prometheus' own libraries use.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Collector that reads /proc at each scrape. Figures that are not available, as on systems other than Linux, are left
/// out.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// Seconds since the Unix epoch.
    started: f64,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: start_time().unwrap_or(now).as_secs_f64() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut show = |name: &str, help: &str, unit: Option<Unit>, metric: &dyn Shown| {
            let encoder = encoder.encode_descriptor(name, help, unit.as_ref(), metric.kind())?;
            metric.show(encoder)
        };
        let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        if let Some(stat) = Stat::read() {
            let cpu = ConstCounter::new(stat.cpu.as_secs_f64());
            show("process_cpu", "Total user and system CPU time.", Some(Unit::Seconds), &cpu)?;
            let memory = "Resident memory size.";
            show("process_resident_memory", memory, Some(Unit::Bytes), &gauge(stat.resident_bytes))?;
            let memory = "Virtual memory size.";
            show("process_virtual_memory", memory, Some(Unit::Bytes), &gauge(stat.virtual_bytes))?;
            show("process_threads", "Number of threads.", None, &gauge(stat.threads))?;
        }
        if let Some(open) = open_files() {
            show("process_open_fds", "Number of open file descriptors; each connection is one.", None, &gauge(open))?;
        }
        if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
            show("process_max_fds", "Maximum number of open file descriptors (ulimit -n).", None, &gauge(soft))?;
        }
        let started = ConstGauge::new(self.started);
        show("process_start_time", "Start time of the process since the Unix epoch.", Some(Unit::Seconds), &started)
    }
}

/// Metric of any type.
trait Shown {
    fn kind(&self) -> MetricType;
    fn show(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error>;
}

impl<M: EncodeMetric> Shown for M {
    fn kind(&self) -> MetricType {
        self.metric_type()
    }

    fn show(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.encode(encoder)
    }
}

/// Fields of /proc/self/stat: proc_pid_stat(5).
struct Stat {
    cpu: Duration,
    threads: u64,
    /// Time since the machine's start.
    started: Duration,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is a name that may contain spaces and brackets; the third one follows its last bracket.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = |count: u64| Duration::from_secs_f64(count as f64 / rustix::param::clock_ticks_per_second() as f64);
        Some(Self {
            cpu: ticks(field(14)? + field(15)?),
            threads: field(20)?,
            started: ticks(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as u64,
        })
    }
}

fn start_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Duration::from_secs(boot) + Stat::read()?.started)
}

fn open_files() -> Option<u64> {
    let folder = std::path::Path::new("/proc/self/fd");
    // The size is the count from Linux 6.2 on. Older kernels report 0, and each file is counted.
    match std::fs::metadata(folder).ok()?.len() {
        // The folder itself is open while it is read.
        0 => Some((std::fs::read_dir(folder).ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}
