//! The figures of a measurement, for people (a table) and for programs (serde).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// Which of the broker's accesses a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Journal,
    Segment,
    Read,
}

impl Part {
    pub(super) fn operation(self) -> &'static str {
        match self {
            Self::Journal => "a journal write",
            Self::Segment => "a segment write",
            Self::Read => "a read",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Journal => "journal",
            Self::Segment => "segment",
            Self::Read => "read",
        })
    }
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    pub part: Part,
    /// Of one operation.
    pub operation_bytes: usize,
    pub in_flight: usize,
    pub operations: usize,
    pub p50_us: f64,
    pub p99_us: f64,
    pub operations_per_second: f64,
    /// Millions of bytes a second.
    pub megabytes_per_second: f64,
}

impl Measurement {
    /// The latencies are sorted.
    pub(super) fn new(
        part: Part,
        operation_bytes: usize,
        in_flight: usize,
        elapsed: Duration,
        latencies: &[Duration],
    ) -> Self {
        let operations_per_second = latencies.len() as f64 / elapsed.as_secs_f64();
        Self {
            part,
            operation_bytes,
            in_flight,
            operations: latencies.len(),
            p50_us: quantile_us(latencies, 0.50),
            p99_us: quantile_us(latencies, 0.99),
            operations_per_second,
            megabytes_per_second: operations_per_second * operation_bytes as f64 / 1e6,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.operations as u64 * self.operation_bytes as u64
    }
}

/// The smallest value that at least this part of all values do not exceed; 0 of none.
fn quantile_us(sorted: &[Duration], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| value.as_secs_f64() * 1e6)
}

/// What a disk can do for a broker.
#[derive(Clone, Debug, Serialize)]
pub struct DiskReport {
    pub folder: PathBuf,
    pub file_system: String,
    pub device: String,
    pub rows: Vec<Measurement>,
}

impl DiskReport {
    fn row(&self, part: Part, operation_bytes: usize) -> Option<&Measurement> {
        self.rows.iter().find(|row| row.part == part && row.operation_bytes == operation_bytes)
    }
}

impl fmt::Display for DiskReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {} on {}", self.folder.display(), self.file_system, self.device)?;
        writeln!(formatter)?;
        writeln!(
            formatter,
            "part         KiB  in flight      p50 us      p99 us   operations/s        MB/s"
        )?;
        for row in &self.rows {
            writeln!(
                formatter,
                "{:<8} {:>7} {:>10} {:>11.0} {:>11.0} {:>14.0} {:>11.0}",
                row.part,
                row.operation_bytes >> 10,
                row.in_flight,
                row.p50_us,
                row.p99_us,
                row.operations_per_second,
                row.megabytes_per_second
            )?;
        }
        let Some(small) = self.row(Part::Journal, 4 << 10) else { return Ok(()) };
        writeln!(formatter)?;
        writeln!(
            formatter,
            "A record that is produced alone waits at least {:.0} us for the disk (99 of 100: {:.0} us).",
            small.p50_us, small.p99_us
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert!((quantile_us(&values, 0.50) - 50.0).abs() < 1e-6);
        assert!((quantile_us(&values, 0.99) - 99.0).abs() < 1e-6);
        assert!((quantile_us(&values[..1], 0.99) - 1.0).abs() < 1e-6);
        assert!(quantile_us(&[], 0.5) < 1e-9);
    }
}
