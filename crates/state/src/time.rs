//! The time of creation as text.

use std::time::{SystemTime, UNIX_EPOCH};

/// `time` in UTC as RFC 3339 writes it, with nanoseconds: `2026-01-31T23:59:59.000000001Z`. A time before 1970 (a
/// clock that was never set) is given as 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since_epoch.subsec_nanos())
}

/// Year, month and day of a number of days after 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from 1 March, so that the leap day is the last day of a year; then the months' lengths from
/// March on repeat with a period of 153 days in five months. A cycle of 400 years has 146 097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * cycle + year_of_cycle + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn known_times() {
        // The seconds are those of date(1).
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (1_709_251_199, 999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (1_709_251_200, 0, "2024-03-01T00:00:00.000000000Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(seconds, nanoseconds)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut yesterday = date(0);
        for day in 1..146_097 {
            let today = date(day);
            let next = (yesterday.0, yesterday.1, yesterday.2 + 1);
            let month = (yesterday.0, yesterday.1 + 1, 1);
            assert!(today == next || today == month || today == (yesterday.0 + 1, 1, 1), "{yesterday:?} {today:?}");
            assert!(today.2 <= 31 && today.1 <= 12 && yesterday.2 >= 28 || today.2 != 1, "{yesterday:?} {today:?}");
            yesterday = today;
        }
        assert_eq!(date(146_097), (2370, 1, 1));
    }
}
