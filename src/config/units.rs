//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `250ms`, `10s`, `2m` or `1h`: a whole number and one unit. `None` for anything else, or for more than ten years.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let total = number.checked_mul(milliseconds)?;
    (total <= 10 * 366 * 24 * 3_600_000).then(|| Duration::from_millis(total))
}

/// Reads a number of bytes: `512B`, `512KiB`, `32MiB` or `1GiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Prints a duration the way it is written in the configuration.
pub(super) fn print_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds >= size && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    format!("{milliseconds}ms")
}

/// Prints a size the way it is written in the configuration.
pub(super) fn print_bytes(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_back_as_they_were_printed() {
        for text in ["250ms", "1s", "90s", "2m", "1h", "36h"] {
            assert_eq!(duration(text).map(print_duration).as_deref(), Some(text));
        }
        for text in ["512B", "1KiB", "32MiB", "1GiB"] {
            assert_eq!(bytes(text).map(print_bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn refuses_what_is_not_a_duration_or_a_size() {
        for text in ["", "s", "10", "10 s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "MiB", "1MB", "-1", "18446744073709551615GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
