//! The times of records: whether they are the producer's or the broker's, and how far the producer's may be from now.
//!
//! Hot path: with the producer's times (the default) three comparisons a batch. With the broker's a batch is copied and its
//! checksum computed anew; so is one whose latest time was not that of its records.

use bytes::{Bytes, BytesMut};
use wire::batch::{BatchHeader, stamp_log_append_time, stamp_max_timestamp};

use crate::error::AppendError;
use crate::options::LogSettings;

/// What acknowledges a batch whose producer gave the times.
pub(crate) const NO_APPEND_TIME: i64 = -1;

/// The batch as it is kept, and the time of all of its records where the broker gives it. A batch is judged by its first
/// record's time and by the latest: one that is compressed is not opened for it.
pub(crate) fn timed(
    settings: &LogSettings,
    batch: Bytes,
    header: &mut BatchHeader,
    now_ms: i64,
) -> Result<(Bytes, i64), AppendError> {
    if settings.log_append_time {
        let mut stamped = BytesMut::from(&batch[..]);
        stamp_log_append_time(&mut stamped, now_ms);
        if let Ok(found) = BatchHeader::parse(&stamped) {
            *header = found;
        }
        return Ok((stamped.freeze(), now_ms));
    }
    let BatchHeader { base_timestamp_ms: first_ms, max_timestamp_ms: last_ms, .. } = *header;
    let is_late = |bound: i64| last_ms > now_ms.saturating_add(bound);
    let is_early = |bound: i64| first_ms >= 0 && first_ms < now_ms.saturating_sub(bound);
    if settings.timestamp_after_ms_max.is_some_and(is_late) {
        return Err(AppendError::InvalidTimestamp { timestamp_ms: last_ms, now_ms });
    }
    if settings.timestamp_before_ms_max.is_some_and(is_early) {
        return Err(AppendError::InvalidTimestamp { timestamp_ms: first_ms, now_ms });
    }
    if BatchHeader::parse(&batch).is_ok_and(|found| found.max_timestamp_ms == last_ms) {
        return Ok((batch, NO_APPEND_TIME));
    }
    // Who validated the batch has mended its header: else looking by time, and retention, would not find it.
    let mut mended = BytesMut::from(&batch[..]);
    stamp_max_timestamp(&mut mended, last_ms);
    if let Ok(found) = BatchHeader::parse(&mended) {
        *header = found;
    }
    Ok((mended.freeze(), NO_APPEND_TIME))
}

#[cfg(test)]
mod tests {
    use wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef, check_stored, records, validate};

    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn batch_of(times: &[i64]) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None);
        for timestamp_ms in times {
            let record = RecordRef { timestamp_ms: *timestamp_ms, value: Some(b"x"), ..RecordRef::default() };
            builder.append(&record).unwrap();
        }
        builder.finish(ProducerStamp::NONE).unwrap()
    }

    fn judged(settings: &LogSettings, times: &[i64]) -> Result<(Bytes, i64), AppendError> {
        let batch = batch_of(times);
        let mut header = validate(&batch).unwrap();
        timed(settings, batch, &mut header, NOW_MS)
    }

    #[test]
    fn times_too_far_from_now_are_refused_on_either_side() {
        let settings = LogSettings {
            timestamp_before_ms_max: Some(1_000),
            timestamp_after_ms_max: Some(100),
            ..LogSettings::default()
        };
        for (times, good) in [
            (&[NOW_MS][..], true),
            (&[NOW_MS - 1_000, NOW_MS + 100], true),
            (&[NOW_MS - 1_001], false),
            (&[NOW_MS, NOW_MS + 101], false),
            (&[-1], true),
        ] {
            assert_eq!(judged(&settings, times).is_ok(), good, "{times:?}");
        }
        assert!(judged(&LogSettings::default(), &[i64::MAX]).is_ok());
    }

    #[test]
    fn a_batch_that_does_not_know_its_latest_time_is_kept_with_it() {
        let mut batch = batch_of(&[5, 9, 7]).to_vec();
        stamp_max_timestamp(&mut batch, -1);
        let mut header = validate(&batch).unwrap();
        let (kept, _) = timed(&LogSettings::default(), batch.into(), &mut header, NOW_MS).unwrap();
        assert_eq!(check_stored(&kept).unwrap().max_timestamp_ms, 9);
        assert_eq!((header.max_timestamp_ms, header.crc), (9, check_stored(&kept).unwrap().crc));
    }

    #[test]
    fn a_log_with_times_of_its_own_gives_every_record_the_same() {
        let settings = LogSettings { log_append_time: true, ..LogSettings::default() };
        let (batch, append_time_ms) = judged(&settings, &[5, 7]).unwrap();
        assert_eq!(append_time_ms, NOW_MS);
        check_stored(&batch).unwrap();
        let times: Vec<i64> = records(&batch).unwrap().map(|record| record.unwrap().timestamp_ms).collect();
        assert_eq!(times, [NOW_MS, NOW_MS]);
    }
}
