//! Lines with paint on them: what `hob top` is drawn with. A terminal turns paint into colours; a
//! test and a pipe see the letters alone.

/// What a stretch of text is meant to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    /// Names of things, in the background.
    Faint,
    /// Figures that are looked for first.
    Strong,
    /// Bars and histories.
    Bar,
    /// Something that costs speed.
    Warning,
    /// Something that failed.
    Alarm,
}

/// One line, in stretches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Paint, String)>);

impl Line {
    /// Adds text. What comes from elsewhere may hold control characters, which would move the
    /// terminal's cursor: they are shown as `?`.
    pub(crate) fn put(mut self, paint: Paint, text: &str) -> Line {
        let clean = |letter: char| if letter.is_control() { '?' } else { letter };
        self.0.push((paint, text.chars().map(clean).collect()));
        self
    }

    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// As wide as `width`: filled with spaces, or cut with a sign that it is.
    pub(crate) fn fit(self, width: usize) -> Line {
        let own = self.width();
        if own <= width {
            return self.put(Paint::Plain, &" ".repeat(width - own));
        }
        let mut left = width.saturating_sub(1);
        let mut cut = Line::default();
        for (paint, text) in self.0 {
            let kept: String = text.chars().take(left).collect();
            left -= kept.chars().count();
            cut.0.push((paint, kept));
        }
        cut.put(Paint::Faint, if width > 0 { "…" } else { "" })
    }

    fn then(mut self, other: Line) -> Line {
        self.0.extend(other.0);
        self
    }

    /// The letters alone.
    pub(crate) fn plain(&self) -> String {
        self.styled(&|_, text| text.to_owned()).trim_end().to_owned()
    }

    /// The letters as `style` dresses them.
    pub(crate) fn styled(&self, style: &dyn Fn(Paint, &str) -> String) -> String {
        self.0.iter().map(|(paint, text)| style(*paint, text)).collect()
    }
}

/// Two blocks side by side, the left one `width` wide.
pub(crate) fn beside(left: Vec<Line>, right: Vec<Line>, width: usize) -> Vec<Line> {
    let height = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let pair = |_| {
        let left = left.next().unwrap_or_default().fit(width);
        left.put(Paint::Plain, "  ").then(right.next().unwrap_or_default())
    };
    (0..height).map(pair).collect()
}

/// A share from 0 to 1 as a bar of `width` columns.
pub(crate) fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last values as heights below the highest of them; the newest stands rightmost.
pub(crate) fn spark(values: &[f64], width: usize) -> String {
    let last = &values[values.len().saturating_sub(width)..];
    let most = last.iter().copied().fold(0.0, f64::max);
    let height = |value: &f64| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        HEIGHTS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1]
    };
    let blank = " ".repeat(width - last.len());
    blank + &last.iter().map(height).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::{Line, Paint, bar, beside, spark};

    fn line(text: &str) -> Line {
        Line::default().put(Paint::Plain, text)
    }

    #[test]
    fn lines_are_cut_with_a_sign_and_filled_with_nothing() {
        assert_eq!(line("abcdef").put(Paint::Bar, "gh").fit(7).plain(), "abcdef…");
        assert_eq!(line("abc").fit(6).width(), 6);
        assert_eq!(line("abc").fit(0).plain(), "");
        assert_eq!(line("a\u{1b}[2Jb\n").plain(), "a?[2Jb?");
    }

    #[test]
    fn blocks_stand_side_by_side() {
        let both = beside(vec![line("a"), line("long")], vec![line("b")], 3);
        let plain: Vec<String> = both.iter().map(Line::plain).collect();
        assert_eq!(plain, ["a    b", "lo…"]);
    }

    #[test]
    fn bars_and_histories() {
        assert_eq!([bar(0.5, 4), bar(7.0, 2), bar(-1.0, 2)], ["██░░", "██", "░░"]);
        assert_eq!(spark(&[9.0, 0.0, 1.0, 4.0, 8.0], 4), "▁▁▄█");
        assert_eq!(spark(&[0.0, 0.0], 3), " ▁▁");
    }
}
