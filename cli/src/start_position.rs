//! Where `consume --from` begins.

use std::time::{SystemTime, UNIX_EPOCH};

use corelog_client::StartAt;

use crate::quantity;

/// `earliest`, `latest`, an offset, or a time: `2026-11-24T10:00:00Z`, `2026-11-24`, `10m` ago.
pub(crate) fn parse(text: &str) -> Result<StartAt, String> {
    match text {
        "earliest" => return Ok(StartAt::Earliest),
        "latest" => return Ok(StartAt::Latest),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        return if offset < 0 {
            Err("an offset is not negative".to_owned())
        } else {
            Ok(StartAt::Offset(offset))
        };
    }
    if text.as_bytes().get(4) == Some(&b'-') {
        return utc_ms(text)
            .map(StartAt::Time)
            .ok_or_else(|| format!("{text:?} is no time in UTC, as 2026-11-24T10:00:00Z is"));
    }
    let ago = quantity::duration(text).map_err(|_| {
        format!("{text:?} is none of earliest, latest, an offset, a time (2026-11-24T10:00:00Z, or 10m ago)")
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = now.saturating_sub(ago).as_millis();
    Ok(StartAt::Time(i64::try_from(then).unwrap_or(i64::MAX)))
}

/// `YYYY-MM-DD` or `YYYY-MM-DDThh:mm[:ss[.mmm]]`, with or without a Z.
fn utc_ms(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let (time, milliseconds) = match time.split_once('.') {
        Some((time, digits)) if digits.len() == 3 => (time, digits.parse::<u16>().ok()?),
        Some(_) => return None,
        None => (time, 0),
    };
    let numbers = |text: &str, by: char| text.split(by).map(str::parse).collect::<Result<Vec<i64>, _>>().ok();
    let date = numbers(date, '-')?;
    let mut time = numbers(time, ':')?;
    time.resize(3, 0);
    let (&[year, month, day], &[hour, minute, second]) = (&date[..], &time[..]) else { return None };
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    in_range.then_some(seconds * 1000 + i64::from(milliseconds))
}

/// Years begin in March here, so that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between the first of March of year 0 and 1970.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_words_offsets_and_times() {
        assert_eq!(parse("earliest"), Ok(StartAt::Earliest));
        assert_eq!(parse("42"), Ok(StartAt::Offset(42)));
        assert_eq!(parse("1970-01-02"), Ok(StartAt::Time(86_400_000)));
        assert_eq!(parse("2000-02-29T12:00:00Z"), Ok(StartAt::Time(951_825_600_000)));
        assert_eq!(parse("1970-01-01T00:00:01.234Z"), Ok(StartAt::Time(1_234)));
        assert!(matches!(parse("10m"), Ok(StartAt::Time(_))));
        for wrong in ["-1", "yesterday", "2026-13-01", "2026-11-24T25:00", "2026-11-24T10:00:00.5"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
