//! Numbers, ages, tables and shell words, as people read them. Pure.

/// `98.4 MB`: decimal, as download pages and disks count.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// `93.81 MiB`: binary with two digits, as llama-bench prints sizes.
pub(crate) fn mebibytes(count: u64) -> String {
    let mib = count as f64 / f64::from(1 << 20);
    if mib >= 1024.0 { format!("{:.2} GiB", mib / 1024.0) } else { format!("{mib:.2} MiB") }
}

/// `134.52 M`, as llama-bench prints parameters.
pub(crate) fn parameters(count: u64) -> String {
    let millions = count as f64 / 1e6;
    if millions >= 1000.0 {
        format!("{:.2} B", millions / 1000.0)
    } else if millions >= 0.01 {
        format!("{millions:.2} M")
    } else {
        count.to_string()
    }
}

/// `134,515,008`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // A value that would round up to a whole step belongs to the next unit.
    while value >= step - 0.05 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    if unit == 0 { format!("{value} {}", units[0]) } else { format!("{value:.1} {}", units[unit]) }
}

/// `3 days ago`, from seconds.
pub(crate) fn age(seconds: u64) -> String {
    let steps = [
        ("year", 31_557_600),
        ("month", 2_629_800),
        ("day", 86_400),
        ("hour", 3_600),
        ("minute", 60),
    ];
    for (unit, length) in steps {
        let count = seconds / length;
        if count > 0 {
            return format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
        }
    }
    "just now".to_owned()
}

/// Which side of a column its cells stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Lines with aligned columns, two spaces apart, without trailing spaces.
pub(crate) fn table(sides: &[Side], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..sides.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(sides).zip(&widths);
        let cells: Vec<String> =
            cells.map(|((cell, side), width)| pad(cell, *side, *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Columns of words that are narrower than this are hard to read.
const WORDS_MIN: usize = 20;

/// [`table`] in at most so many columns where words allow it: the widest cells of words go on in
/// further lines, and where that does not do, columns of `spare` are left out, first the first,
/// which a line then says.
pub(crate) fn table_within(
    width: usize,
    sides: &[Side],
    rows: &[Vec<String>],
    spare: &[(usize, &str)],
) -> Vec<String> {
    let (mut sides, mut rows, mut left_out) = (sides.to_vec(), rows.to_vec(), Vec::new());
    let mut spare = spare.to_vec();
    let limits = loop {
        let found = limits(width, &sides, &rows);
        if found.is_some() || spare.is_empty() {
            break found;
        }
        let (column, name) = spare.remove(0);
        left_out.push(name);
        sides.remove(column);
        rows.iter_mut().for_each(|row| drop(row.remove(column)));
        for (later, _) in &mut spare {
            *later -= usize::from(*later > column);
        }
    };
    let rows = limits.map_or(rows.clone(), |limits| unrolled(&rows, &limits));
    let mut lines = table(&sides, &rows);
    if !left_out.is_empty() {
        lines.push(format!("  (no room in {width} columns for {})", left_out.join(", ")));
    }
    lines
}

/// How wide each column may be so that the table is not too wide; none where that cannot be.
fn limits(width: usize, sides: &[Side], rows: &[Vec<String>]) -> Option<Vec<usize>> {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let length = |text: &str| text.chars().count();
    let longest = |column: usize| cells(column).map(|cell| length(cell)).max().unwrap_or_default();
    let word = |column: usize| {
        let words = cells(column).flat_map(|cell| cell.split(' ').map(move |word| (cell, word)));
        words.map(|(cell, word)| length(&hanging(cell)) + length(word)).max().unwrap_or_default()
    };
    let least: Vec<usize> = (0..sides.len()).map(|column| word(column).max(WORDS_MIN)).collect();
    let mut limits: Vec<usize> = (0..sides.len()).map(longest).collect();
    let gaps = 2 * sides.len().saturating_sub(1);
    while limits.iter().sum::<usize>() + gaps > width {
        let can_shrink =
            |column: &usize| sides[*column] == Side::Left && limits[*column] > least[*column];
        let widest = (0..sides.len()).filter(can_shrink).max_by_key(|column| limits[*column])?;
        limits[widest] -= 1;
    }
    Some(limits)
}

/// What lines of a cell begin with after its first.
fn hanging(cell: &str) -> String {
    let first = cell.len() - cell.trim_start().len();
    if first > 0 { " ".repeat(first + 2) } else { String::new() }
}

/// Rows whose cells are no wider than their columns: what is longer goes on in rows below.
fn unrolled(rows: &[Vec<String>], limits: &[usize]) -> Vec<Vec<String>> {
    let row = |row: &Vec<String>| {
        let cells = row.iter().zip(limits);
        let parts: Vec<Vec<String>> =
            cells.map(|(cell, limit)| wrapped(cell, &hanging(cell), *limit)).collect();
        let height = parts.iter().map(Vec::len).max().unwrap_or_default();
        let line = |at: usize| parts.iter().map(move |parts| parts.get(at).cloned());
        (0..height).map(|at| line(at).map(Option::unwrap_or_default).collect()).collect::<Vec<_>>()
    };
    rows.iter().flat_map(row).collect()
}

/// Lines of at most so many characters where words allow it: what is longer goes on below, further
/// in than it began.
pub(crate) fn within(lines: Vec<String>, width: usize) -> Vec<String> {
    let line = |line: String| {
        let first = line.len() - line.trim_start().len();
        wrapped(&line, &" ".repeat(first + 4), width)
    };
    lines.into_iter().flat_map(line).collect()
}

/// A paragraph in lines of at most `width` characters where words allow it, all but the first
/// indented.
pub(crate) fn wrapped(text: &str, indent: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut is_begun = false;
    for (place, word) in text.split(' ').enumerate() {
        let line = lines.last_mut().expect("there is always one");
        if is_begun && line.chars().count() + 1 + word.chars().count() > width {
            line.truncate(line.trim_end().len());
            lines.push(format!("{indent}{word}"));
        } else {
            line.push_str(if place > 0 { " " } else { "" });
            line.push_str(word);
        }
        is_begun |= !word.is_empty();
    }
    lines
}

/// `cell` with spaces up to `width` characters.
pub(crate) fn pad(cell: &str, side: Side, width: usize) -> String {
    match side {
        Side::Left => format!("{cell:<width$}"),
        Side::Right => format!("{cell:>width$}"),
    }
}

/// `word` as a shell takes it back, quoted only where needed.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if word.contains(['"', '$', '`', '\\', '!']) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    format!("\"{word}\"")
}

/// The mean and the sample standard deviation; 0 for less than two samples.
pub(crate) fn mean_and_deviation(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    if samples.is_empty() {
        return (0.0, 0.0);
    }
    let mean = samples.iter().sum::<f64>() / count;
    if samples.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::{Side, age, bytes, grouped, mean_and_deviation, mebibytes, parameters};
    use super::{shell_word, table, table_within, wrapped};

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(98_362_432), "98.4 MB");
        assert_eq!(bytes(999_990), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(mebibytes(98_362_432), "93.81 MiB");
        assert_eq!(mebibytes(3 << 30), "3.00 GiB");
        assert_eq!(parameters(134_515_008), "134.52 M");
        assert_eq!(parameters(7_241_732_096), "7.24 B");
        assert_eq!(parameters(17), "17");
        assert_eq!(grouped(134_515_008), "134,515,008");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
    }

    #[test]
    fn ages() {
        assert_eq!(age(0), "just now");
        assert_eq!(age(60), "1 minute ago");
        assert_eq!(age(7_200), "2 hours ago");
        assert_eq!(age(86_399), "23 hours ago");
        assert_eq!(age(3 * 86_400), "3 days ago");
        assert_eq!(age(31_557_600), "1 year ago");
    }

    #[test]
    fn tables_align() {
        let rows = [["NAME", "SIZE"], ["smollm2", "98.4 MB"], ["ü", "1 B"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(table(&[Side::Left, Side::Right], &rows).join("\n"), @r"
        NAME        SIZE
        smollm2  98.4 MB
        ü            1 B
        ");
    }

    #[test]
    fn tables_that_are_too_wide_wrap_their_words_or_lose_what_matters_least() {
        let rows = [
            ["model", "quant", "size", "licence"],
            ["gpt-oss-120b", "MXFP4", "59 GiB", "apache-2.0 with a policy of use beside it"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let (left, right) = (Side::Left, Side::Right);
        let sides = [left, left, right, left];
        let at = |width, spare| table_within(width, &sides, &rows, spare).join("\n");
        assert_eq!(at(80, &[]), table(&sides, &rows).join("\n"));
        insta::assert_snapshot!(at(60, &[]), @"
        model         quant    size  licence
        gpt-oss-120b  MXFP4  59 GiB  apache-2.0 with a policy of use
                                     beside it
        ");
        insta::assert_snapshot!(at(50, &[(1, "quant"), (2, "size")]), @"
        model         quant    size  licence
        gpt-oss-120b  MXFP4  59 GiB  apache-2.0 with a
                                     policy of use beside
                                     it
        ");
    }

    #[test]
    fn paragraphs_keep_their_words_and_first_spaces() {
        let text = "  one two three four";
        assert_eq!(wrapped(text, "    ", 12), ["  one two", "    three", "    four"]);
        assert_eq!(wrapped(text, "", 80), [text]);
        assert_eq!(wrapped("a_word_longer_than_that b", "", 5), ["a_word_longer_than_that", "b"]);
    }

    #[test]
    fn words_for_the_shell() {
        assert_eq!(shell_word("smollm2"), "smollm2");
        assert_eq!(shell_word("Why is the sky blue?"), "\"Why is the sky blue?\"");
        assert_eq!(shell_word("it's $5"), "'it'\\''s $5'");
        assert_eq!(shell_word(""), "\"\"");
    }

    #[test]
    fn deviation_is_of_the_sample() {
        let (mean, deviation) = mean_and_deviation(&[2.0, 4.0, 4.0, 6.0]);
        assert_eq!(mean, 4.0);
        assert!((deviation - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(mean_and_deviation(&[5.0]), (5.0, 0.0));
        assert_eq!(mean_and_deviation(&[]), (0.0, 0.0));
    }
}
