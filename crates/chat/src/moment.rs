//! Date and time as a template may print them: the caller says what time it is.

use std::fmt::Write as _;

/// A point in local time. Values outside their ranges are printed as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Year.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, 1 to 31.
    pub day: u32,
    /// Hour, 0 to 23.
    pub hour: u32,
    /// Minute, 0 to 59.
    pub minute: u32,
    /// Second, 0 to 60.
    pub second: u32,
}

/// Where nobody says what time it is, prompts are the same every day: the day that Llama 3's own
/// template names.
impl Default for Moment {
    fn default() -> Moment {
        Moment { year: 2024, month: 7, day: 26, hour: 0, minute: 0, second: 0 }
    }
}

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Moment {
    /// Python's `strftime` in English. `%-d` and its kind drop leading zeros; what is not known
    /// stands as it is.
    pub(crate) fn format(self, format: &str) -> String {
        let mut out = String::with_capacity(format.len() * 2);
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let mut rest = letters.clone();
            let mut code = rest.next();
            let bare = code == Some('-');
            if bare {
                code = rest.next();
            }
            match code.and_then(|code| self.field(code)) {
                Some(field) if bare && field.starts_with(['0', ' ']) && field.len() == 2 => {
                    out.push_str(&field[1..]);
                }
                Some(field) => out.push_str(&field),
                None => {
                    out.push('%');
                    continue;
                }
            }
            letters = rest;
        }
        out
    }

    fn field(self, code: char) -> Option<String> {
        let month = MONTHS[(self.month.clamp(1, 12) - 1) as usize];
        let day = DAYS[(self.days().rem_euclid(7)) as usize];
        let hour = if self.hour.is_multiple_of(12) { 12 } else { self.hour % 12 };
        let two = |number: u32| format!("{number:02}");
        Some(match code {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => two(self.month),
            'd' => two(self.day),
            'e' => format!("{:2}", self.day),
            'B' => month.to_owned(),
            'b' | 'h' => month[..3].to_owned(),
            'A' => day.to_owned(),
            'a' => day[..3].to_owned(),
            'H' => two(self.hour),
            'I' => two(hour),
            'M' => two(self.minute),
            'S' => two(self.second),
            'p' => (if self.hour < 12 { "AM" } else { "PM" }).to_owned(),
            'F' => self.format("%Y-%m-%d"),
            'T' => self.format("%H:%M:%S"),
            'j' => {
                let first = Moment { month: 1, day: 1, ..self };
                let mut out = String::new();
                let number = self.days() - first.days() + 1;
                write!(out, "{number:03}").expect("memory");
                out
            }
            '%' => "%".to_owned(),
            _ => return None,
        })
    }

    /// Days since a Monday, by the Gregorian calendar. Years are counted from March, so that the
    /// leap day is their last; a month's days before it are then (153 m + 2) / 5.
    fn days(self) -> i64 {
        let month = i64::from(self.month.clamp(1, 12));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let since_march = (month + 9) % 12;
        let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days = 365 * year + leaps + (153 * since_march + 2) / 5 + i64::from(self.day);
        // 0000-03-01 was a Wednesday.
        days + 1
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        let moment = Moment { year: 2025, month: 3, day: 9, hour: 14, minute: 5, second: 7 };
        for (format, wanted) in [
            ("%d %b %Y", "09 Mar 2025"),
            ("%A, %B %-d", "Sunday, March 9"),
            ("%a %j %y", "Sun 068 25"),
            ("%F %T %I %p", "2025-03-09 14:05:07 02 PM"),
            ("100% %q %", "100% %q %"),
            ("%%Y", "%Y"),
        ] {
            assert_eq!(moment.format(format), wanted, "{format}");
        }
        assert_eq!(Moment::default().format("%A %d"), "Friday 26");
        let leap = Moment { year: 2024, month: 2, day: 29, ..moment };
        assert_eq!(leap.format("%a %j"), "Thu 060");
        let broken = Moment { year: i32::MIN, month: 0, day: 99, ..moment };
        assert!(broken.format("%A %b %j").contains("Jan"));
    }
}
