//! The figures of a run.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Percentiles of latency, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyMicroseconds {
    /// Half are faster.
    pub p50: f64,
    /// One in ten is slower.
    pub p90: f64,
    /// One in a hundred is slower.
    pub p99: f64,
    /// One in a thousand is slower.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl LatencyMicroseconds {
    pub(crate) fn of(latency_ns: &Histogram<u64>) -> Self {
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        let at = |quantile| micros(latency_ns.value_at_quantile(quantile));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: micros(latency_ns.max()) }
    }
}

/// What a run reached. As JSON: one object with these fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Records within the measured time: acknowledged, or received.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// The measured time.
    pub seconds: f64,
    /// `records / seconds`
    pub records_per_second: f64,
    /// `bytes / seconds`
    pub bytes_per_second: f64,
    /// Records refused, failed or damaged, in the whole run.
    pub errors: u64,
    /// The first error, in words.
    pub first_error: Option<String>,
    /// See [`crate::Mode`] for what is measured.
    pub latency_us: LatencyMicroseconds,
    /// Processor time of the broker for 10^9 bytes; `None` when it runs elsewhere.
    pub broker_cpu_seconds_per_gb: Option<f64>,
    /// Records whose content and order were checked; `None` without `verify`.
    pub verified_records: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:>12} records  {:>10}  in {:.2} s",
            self.records,
            size(self.bytes as f64),
            self.seconds
        )?;
        writeln!(
            formatter,
            "{:>12.0} records/s  {:>8}/s",
            self.records_per_second,
            size(self.bytes_per_second)
        )?;
        let LatencyMicroseconds { p50, p90, p99, p999, max } = self.latency_us;
        write!(formatter, "     latency ")?;
        for (name, value) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)] {
            write!(formatter, " {name} {:.2?} ", Duration::from_nanos((value * 1_000.0) as u64))?;
        }
        writeln!(formatter)?;
        if let Some(cpu) = self.broker_cpu_seconds_per_gb {
            writeln!(formatter, "  broker CPU  {cpu:.3} s per GB")?;
        }
        if let Some(verified) = self.verified_records {
            writeln!(formatter, "    verified  {verified} records")?;
        }
        write!(formatter, "      errors  {}", self.errors)?;
        match &self.first_error {
            Some(error) => write!(formatter, " (first: {error})"),
            None => Ok(()),
        }
    }
}

fn size(bytes: f64) -> String {
    if bytes >= 1e9 { format!("{:.2} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}
