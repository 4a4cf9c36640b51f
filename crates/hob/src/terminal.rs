//! What the terminals can show: colours, and bars that move. All of it goes to stderr; stdout
//! carries results only. Where stderr is no terminal, progress is a line at every tenth.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::live;
use crate::screens::top::canvas::Paint;
use crate::text;

/// Columns that screens are laid out for; where nobody looks, the most.
const COLUMNS_MIN: usize = 80;
const COLUMNS_MAX: usize = 120;

/// How much the person wants to see on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Colours and bars.
    Full,
    /// Bars without colours.
    NoColours,
    /// Lines only.
    Dumb,
}

/// What stands at each end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// A person types.
    pub(crate) stdin: bool,
    /// A person reads the results.
    pub(crate) stdout: bool,
    /// A person reads the messages, on something that can move the cursor.
    pub(crate) stderr: bool,
    looks: Looks,
}

impl Terminal {
    /// Looks at what stands there.
    pub(crate) fn detect(looks: Looks) -> Terminal {
        Terminal {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            looks,
        }
    }

    /// `text` in faint print on stderr, where it can be.
    pub(crate) fn faint(self, text: &str) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    /// `text` as an error's name on stderr.
    pub(crate) fn alarming(self, text: &str) -> String {
        self.styled(AnsiColor::Red.on_default().bold(), text)
    }

    /// Columns of a result: the terminal's, as far as tables and lines are good to read.
    pub(crate) fn columns(self) -> usize {
        let columns = if self.stdout { live::size().0 } else { COLUMNS_MAX };
        columns.clamp(COLUMNS_MIN, COLUMNS_MAX)
    }

    /// Whether a picture can be drawn over another.
    pub(crate) fn can_move_cursor(self) -> bool {
        self.looks != Looks::Dumb
    }

    /// `text` of a picture on stdout.
    pub(crate) fn painted(self, paint: Paint, text: &str) -> String {
        let style = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Faint => Style::new().dimmed(),
            Paint::Strong => Style::new().bold(),
            Paint::Bar => AnsiColor::Cyan.on_default(),
            Paint::Warning => AnsiColor::Yellow.on_default(),
            Paint::Alarm => AnsiColor::Red.on_default().bold(),
        };
        if self.stdout && self.looks == Looks::Full {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    fn styled(self, style: Style, text: &str) -> String {
        if self.stderr && self.looks == Looks::Full {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// A line to stderr. A reader that went away is no reason to fail.
    pub(crate) fn say(self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Text to stderr that goes on in the same line.
    pub(crate) fn hint(self, text: &str) {
        let _ = write!(io::stderr(), "{text}");
    }

    /// Progress of bytes.
    pub(crate) fn bytes_progress(self, label: &str) -> BytesProgress {
        BytesProgress {
            terminal: self,
            label: label.to_owned(),
            bar: None,
            tenths: Tenths::default(),
        }
    }
}

/// A bar, or lines.
pub(crate) struct BytesProgress {
    terminal: Terminal,
    label: String,
    bar: Option<ProgressBar>,
    tenths: Tenths,
}

impl BytesProgress {
    /// So many bytes are done; those of an earlier run do not count for the rate.
    pub(crate) fn update(&mut self, done: u64, total: Option<u64>, resumed: u64) {
        if !self.terminal.stderr || self.terminal.looks == Looks::Dumb {
            if let Some(line) = self.tenths.line(&self.label, done, total) {
                self.terminal.say(&line);
            }
            return;
        }
        let bar = match self.bar.take().filter(|bar| bar.length() == total) {
            Some(bar) => bar,
            None => ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
                .with_style(bar_style(total.is_some(), resumed))
                .with_message(self.label.clone()),
        };
        bar.set_position(done);
        self.bar = Some(bar);
    }

    /// Takes the bar away, so that the next line stands where it stood.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for BytesProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Bytes, rate and time left. indicatif's own rate would count what an earlier run had fetched.
fn bar_style(has_total: bool, resumed: u64) -> ProgressStyle {
    let template = if has_total {
        "{msg} [{bar:30}] {done} of {total}{pace}"
    } else {
        "{msg} {spinner} {done}{pace}"
    };
    // A line that cannot be formatted is left out; there is nobody to tell.
    ProgressStyle::with_template(template)
        .expect("the template is a constant")
        .progress_chars("=> ")
        .with_key("done", |state: &ProgressState, line: &mut dyn std::fmt::Write| {
            let _ = line.write_str(&text::bytes(state.pos()));
        })
        .with_key("total", |state: &ProgressState, line: &mut dyn std::fmt::Write| {
            let _ = line.write_str(&text::bytes(state.len().unwrap_or(0)));
        })
        .with_key("pace", move |state: &ProgressState, line: &mut dyn std::fmt::Write| {
            let fetched = state.pos().saturating_sub(resumed);
            let left = state.len().map(|len| len.saturating_sub(state.pos()));
            let _ = line.write_str(&pace(fetched, left, state.elapsed()));
        })
}

/// `, 2.5 MB/s, 1 min 05 s left`, once there is something to tell.
fn pace(fetched: u64, left: Option<u64>, elapsed: Duration) -> String {
    if fetched == 0 || elapsed < Duration::from_millis(200) {
        return String::new();
    }
    let rate = fetched as f64 / elapsed.as_secs_f64();
    let mut pace = format!(", {}/s", text::bytes(rate.round() as u64));
    if let Some(left) = left {
        let seconds = (left as f64 / rate).ceil() as u64;
        let told = match seconds {
            0..60 => format!("{seconds} s"),
            60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
            _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        };
        // Writing into a String cannot fail.
        let _ = write!(pace, ", {told} left");
    }
    pace
}

/// Which tenths of the way have been told.
#[derive(Debug, Default)]
struct Tenths {
    told: Option<u64>,
}

impl Tenths {
    /// The line to print at `done`, if another tenth is full. Without a total, each 100 MB counts
    /// as one.
    fn line(&mut self, label: &str, done: u64, total: Option<u64>) -> Option<String> {
        let tenth = match total {
            Some(0) => 10,
            Some(total) => done.min(total).saturating_mul(10) / total,
            None => done / 100_000_000,
        };
        if self.told.is_some_and(|told| told >= tenth) {
            return None;
        }
        self.told = Some(tenth);
        Some(match total {
            Some(total) => format!(
                "{label} {:>3} % ({} of {})",
                tenth * 10,
                text::bytes(done),
                text::bytes(total)
            ),
            None => format!("{label} {}", text::bytes(done)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Looks, Paint, Tenths, Terminal, pace};
    use std::time::Duration;

    #[test]
    fn pace_for_people() {
        let after = |seconds| Duration::from_secs(seconds);
        assert_eq!(pace(5_000_000, Some(10_000_000), after(2)), ", 2.5 MB/s, 4 s left");
        assert_eq!(pace(1_000_000, Some(65_000_000), after(1)), ", 1.0 MB/s, 1 min 05 s left");
        assert_eq!(pace(1_000, Some(7_260_000), after(1)), ", 1.0 kB/s, 2 h 01 min left");
        assert_eq!(pace(1_000, None, after(1)), ", 1.0 kB/s");
        assert_eq!(pace(0, Some(5), after(1)), "");
        assert_eq!(pace(5, Some(5), Duration::ZERO), "");
    }

    #[test]
    fn a_line_at_every_tenth() {
        let mut tenths = Tenths::default();
        let lines: Vec<String> =
            (0..=1000).filter_map(|i| tenths.line("x", i * 1000, Some(1_000_000))).collect();
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[0], "x   0 % (0 B of 1.0 MB)");
        assert_eq!(lines[3], "x  30 % (300.0 kB of 1.0 MB)");
        assert_eq!(lines[10], "x 100 % (1.0 MB of 1.0 MB)");
    }

    #[test]
    fn without_a_total_only_the_bytes() {
        let mut tenths = Tenths::default();
        assert_eq!(tenths.line("x", 5, None).as_deref(), Some("x 5 B"));
        assert_eq!(tenths.line("x", 99_000_000, None), None);
        assert_eq!(tenths.line("x", 200_000_000, None).as_deref(), Some("x 200.0 MB"));
        assert!(tenths.line("x", 0, Some(0)).is_some());
    }

    #[test]
    fn colours_only_for_a_terminal() {
        let colourful = Terminal { stdin: true, stdout: true, stderr: true, looks: Looks::Full };
        assert_eq!(colourful.faint("a"), "\u{1b}[2ma\u{1b}[0m");
        assert_eq!(Terminal { looks: Looks::NoColours, ..colourful }.faint("a"), "a");
        assert_eq!(Terminal { stderr: false, ..colourful }.alarming("a"), "a");
        assert_eq!(colourful.painted(Paint::Strong, "a"), "\u{1b}[1ma\u{1b}[0m");
        assert_eq!(colourful.painted(Paint::Plain, "a"), "a");
        for plain in [
            Terminal { looks: Looks::NoColours, ..colourful },
            Terminal { stdout: false, ..colourful },
        ] {
            assert_eq!(plain.painted(Paint::Alarm, "a"), "a");
        }
    }
}
