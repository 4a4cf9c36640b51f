//! Sizes, rates and times as the planner's screens write them.

/// `59.0 GiB`, as memory is counted.
pub(crate) fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib >= 0.095 || bytes == 0 {
        format!("{gib:.1} GiB")
    } else {
        format!("{:.0} MiB", gib * 1024.0)
    }
}

/// `4.7`, `46`, `1,950`: a rate with two digits or so.
pub(crate) fn rate(tps: f64) -> String {
    if tps < 9.95 { format!("{tps:.1}") } else { crate::text::grouped(tps.round() as u64) }
}

/// `0.3 s`, `12 s`, `4 min`, `2.1 h`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 99.5 {
        format!("{seconds:.0} s")
    } else if seconds < 5_400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// `8k`, `128k`, `1000`: positions.
pub(crate) fn positions(count: u64) -> String {
    match count {
        count if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{}M", count >> 20),
        count if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{}k", count >> 10),
        count => count.to_string(),
    }
}

/// `$4,699` or `$1,800 to 2,200`.
pub(crate) fn dollars([low, high]: [f64; 2]) -> String {
    let whole = |value: f64| crate::text::grouped(value.round() as u64);
    if high - low < 0.5 {
        format!("${}", whole(low))
    } else {
        format!("${} to {}", whole(low), whole(high))
    }
}

/// From `4096`, `128k` or `1M`: positions.
pub(crate) fn parse_positions(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.strip_suffix(['k', 'm']) {
        Some(digits) if lower.ends_with('k') => (digits, 1_u64 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (lower.as_str(), 1),
    };
    let count: Option<u64> = digits.parse().ok();
    count
        .and_then(|count| count.checked_mul(unit))
        .filter(|count| *count <= 1 << 40)
        .ok_or_else(|| "not a number of tokens: write 4096, 32k or 1M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{dollars, gib, parse_positions, positions, rate, seconds};

    #[test]
    fn numbers_are_short() {
        assert_eq!([gib(0), gib(50 << 20), gib(59 << 30)], ["0.0 GiB", "50 MiB", "59.0 GiB"]);
        assert_eq!([rate(4.66), rate(46.2), rate(1949.6)], ["4.7", "46", "1,950"]);
        assert_eq!([seconds(0.31), seconds(23.0), seconds(159.0)], ["0.3 s", "23 s", "3 min"]);
        assert_eq!([positions(1000), positions(131_072)], ["1000", "128k"]);
        assert_eq!(dollars([1800.0, 2200.0]), "$1,800 to 2,200");
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        for (text, count) in [("4096", 4096), ("32k", 32_768), ("128K", 131_072), ("1M", 1 << 20)] {
            assert_eq!(parse_positions(text), Ok(count));
        }
        for text in ["", "k", "-1", "1.5k", "99999999999999999999", "9999999999M"] {
            assert!(parse_positions(text).is_err(), "{text}");
        }
    }
}
