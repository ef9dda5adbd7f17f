//! Sizes and times as people write them: `64MiB`, `250ms`.

use std::time::Duration;

/// `1024`, `64K`, `64KiB`, `1GB`: binary steps with or without the i, decimal ones with a B alone.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("{unit:?} is no unit of size: K, M, G, KiB, MiB, GiB, KB, MB, GB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no size, as 64MiB is"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text} is too large"))
}

/// The same, for what is held in memory.
pub(crate) fn memory_bytes(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?).map_err(|_| format!("{text} is too large"))
}

/// `10`, `10s`, `250ms`, `100us`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("{unit:?} is no unit of time: us, ms, s, m, h, d")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no time, as 250ms is"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| format!("{text}: {error}"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1GB"), Ok(1_000_000_000));
        assert_eq!(bytes("7"), Ok(7));
        assert!(bytes("7x").is_err() && bytes("").is_err() && bytes("99999999999T").is_err());
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert!(duration("soon").is_err() && duration("-1s").is_err());
    }
}
