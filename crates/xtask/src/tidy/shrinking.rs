//! Lists of what fails never grow: each is compared with what it was a commit ago. A row has a name
//! and then its reason, which may be reworded, or a count, which may only fall.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Rules;
use super::files::rust_files;
use crate::shell::{command, root};

/// Written so that this file does not find itself.
const PROMISE: &str = concat!("may only ", "shrink");
/// Where in a row of Markdown the name ends and the compiler's words begin.
const REASON: &str = ": JSON schema: ";

/// How often a name fails.
type Names = BTreeMap<String, usize>;
/// `(file, list)`.
type List<'r> = (&'r str, &'r str);

pub(crate) fn check(rules: &Rules) -> Result<Vec<String>> {
    let mut findings = unnamed(rules)?;
    let files = rules.shrinking.keys().map(String::as_str);
    let Some(before) = Before::of(files.chain(["layers.toml"])) else {
        println!("── tidy: no history here, so lists of what fails are not compared with it");
        return Ok(findings);
    };
    let old_rules = before.read("layers.toml").context("no layers.toml in the commit before")?;
    let old_rules: Rules = toml::from_str(&old_rules)?;
    let old = |(file, list): List<'_>| names(file, &before.read(file)?, list);
    let is_in = |rules: &Rules, (file, list): List<'_>| {
        rules.shrinking.get(file).is_some_and(|lists| lists.iter().any(|other| other == list))
    };
    // A list that goes as another comes was renamed or moved.
    let gone = lists(&old_rules).filter(|list| !is_in(rules, *list)).filter_map(old);
    let gone: Names = gone.flatten().collect();
    for (file, list) in lists(rules) {
        let text = std::fs::read_to_string(root().join(file))?;
        let Some(new) = names(file, &text, list) else {
            findings.push(format!("{file}: no list {list}, which layers.toml names: strike it"));
            continue;
        };
        match old((file, list)) {
            Some(old) => findings.extend(grown(file, list, &old, &new)),
            None if !gone.is_empty() => findings.extend(grown(file, list, &gone, &new)),
            // The list of a suite that is new begins with what fails then.
            None => {}
        }
    }
    findings.extend(super::raised(&old_rules.limits, &rules.limits));
    Ok(findings)
}

fn lists(rules: &Rules) -> impl Iterator<Item = List<'_>> {
    let of_file = |(file, lists)| std::iter::repeat(file).zip(lists);
    rules
        .shrinking
        .iter()
        .flat_map(of_file)
        .map(|(file, list): (&String, &String)| (&**file, &**list))
}

/// What a list has that it had not.
fn grown(file: &str, list: &str, old: &Names, new: &Names) -> Vec<String> {
    let had = |name: &str| old.get(name).copied().unwrap_or(0);
    let more = new.iter().filter(|(name, count)| **count > had(name));
    more.map(|(name, _)| {
        format!("{file}: `{name}` is new in {list}, which {PROMISE}: make it pass, and strike it")
    })
    .collect()
}

/// Lists whose comments promise what nothing would hold them to.
fn unnamed(rules: &Rules) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in rust_files(&root().join("crates"))? {
        let text = std::fs::read_to_string(&path)?;
        let file = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        for below in text.split(PROMISE).skip(1) {
            let list = below.split("const ").nth(1).and_then(|name| name.split(':').next());
            let list = list.unwrap_or_default();
            if !lists(rules).any(|other| other == (&file, list)) {
                findings.push(format!("{file}: {list} {PROMISE}: name it in layers.toml"));
            }
        }
    }
    Ok(findings)
}

/// The commit that lists are compared with.
struct Before(&'static str);

impl Before {
    /// The last commit where a file differs from it, else the one before: a commit is looked at
    /// both while it is made and when it has been made. None without a history.
    fn of<'f>(files: impl Iterator<Item = &'f str>) -> Option<Self> {
        let is = |args: &[&str]| Some(command("git").args(args).output().ok()?.status.success());
        let mut diff = vec!["diff", "--quiet", "HEAD", "--"];
        diff.extend(files);
        let before = if is(&diff)? { "HEAD^" } else { "HEAD" };
        let commit = format!("{before}^{{commit}}");
        is(&["rev-parse", "--quiet", "--verify", &commit])?.then_some(Self(before))
    }

    /// None where the commit has no such file.
    fn read(&self, file: &str) -> Option<String> {
        let found = command("git").args(["show", &format!("{}:{file}", self.0)]).output().ok()?;
        found.status.success().then(|| String::from_utf8(found.stdout).ok())?
    }
}

/// The names of a list, where the text has it.
fn names(file: &str, text: &str, list: &str) -> Option<Names> {
    if file.ends_with(".md") { names_of_markdown(text, list) } else { names_of_rust(text, list) }
}

fn names_of_markdown(text: &str, list: &str) -> Option<Names> {
    let (_, after) = text.split_once(&format!("<!-- {list} -->\n"))?;
    let rows = after.lines().take_while(|line| *line != "<!-- end -->");
    let name = |row: &str| row.split(REASON).next().unwrap_or(row).to_owned();
    Some(counted(rows.filter_map(|row| row.strip_prefix("* ")).map(|row| (name(row), 1))))
}

fn names_of_rust(text: &str, list: &str) -> Option<Names> {
    let (_, after) = text.split_once(&format!("const {list}: "))?;
    let (_, rows) = after.split_once("= &[")?;
    let name = |mut row: Vec<String>| match row.len() {
        0 | 1 => (row.concat(), 1),
        _ => {
            let count = row.pop().and_then(|last| last.parse().ok()).unwrap_or(1);
            (row.join(", "), count)
        }
    };
    Some(counted(rows_of_rust(rows).into_iter().map(name)))
}

fn counted(rows: impl Iterator<Item = (String, usize)>) -> Names {
    let mut names = Names::new();
    for (name, count) in rows {
        *names.entry(name).or_default() += count;
    }
    names
}

/// The fields of each row up to the bracket that ends the list, without quotes, white space between
/// them, and comments.
fn rows_of_rust(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut depth) = (Vec::new(), Vec::new(), String::new(), 1);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                while let Some(inner) = letters.next().filter(|inner| *inner != '"') {
                    field.push(inner);
                    field.extend(letters.next_if(|_| inner == '\\'));
                }
            }
            '/' if letters.peek() == Some(&'/') => {
                letters.by_ref().find(|letter| *letter == '\n');
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth > 1 => {
                row.extend(Some(std::mem::take(&mut field)).filter(|f| !f.is_empty()))
            }
            ',' => {}
            letter if !letter.is_whitespace() => field.push(letter),
            _ => {}
        }
        if depth == 0 || (depth == 1 && letter == ',') {
            row.extend(Some(std::mem::take(&mut field)).filter(|field| !field.is_empty()));
            rows.extend(Some(std::mem::take(&mut row)).filter(|row: &Vec<_>| !row.is_empty()));
        }
        if depth == 0 {
            break;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: &str = r#"
const OTHER: &[&str] = &["x"];
const DIFFER: &[(&str, usize, &str)] = &[
    ("a, \"b\"", 1, KEYS),
    // Why this one.
    (
        "c",
        2,
        "a reason, with a comma",
    ),
];
const COUNTED: &[(&str, usize)] = &[("a", 3), ("b", 1)];
const PLAIN: &[&str] = &[];
"#;

    #[test]
    fn rows_have_names() {
        let names = |list| {
            let names = names("x.rs", RUST, list)?;
            Some(names.into_iter().map(|(name, count)| format!("{name} {count}")).collect())
        };
        let is = |list, wanted: &[&str]| {
            let found: Option<Vec<String>> = names(list);
            assert_eq!(found, Some(wanted.iter().map(|name| (*name).to_owned()).collect()));
        };
        is("DIFFER", &[r#"a, \"b\", 1 1"#, "c, 2 1"]);
        is("COUNTED", &["a 3", "b 1"]);
        is("OTHER", &["x 1"]);
        is("PLAIN", &[]);
        assert_eq!(names("MISSING"), None::<Vec<String>>);
        let markdown =
            "<!-- refused -->\n* a: b: JSON schema: at #\n* c: accepted\n<!-- end -->\n* d";
        let names = super::names("x.md", markdown, "refused").unwrap();
        assert_eq!(names.keys().collect::<Vec<_>>(), ["a: b", "c: accepted"]);
    }

    #[test]
    fn a_list_that_grows_is_found() {
        let of = |rows: &str| names("x.rs", &format!("const L: X = &[{rows}];"), "L").unwrap();
        let grown = |old, new| grown("x.rs", "L", &of(old), &of(new)).len();
        assert_eq!(grown(r#"("a", "why"), ("b", "why")"#, r#"("b", "another reason")"#), 0);
        assert_eq!(grown(r#"("a", "why")"#, r#"("b", "why")"#), 1);
        assert_eq!(grown(r#"("a", 2)"#, r#"("a", 1)"#), 0);
        assert_eq!(grown(r#"("a", 2)"#, r#"("a", 3)"#), 1);
    }
}
