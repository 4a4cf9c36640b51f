//! From a machine's files to [`Facts`]. Nothing here fails: what is missing or damaged is left out.
//! A file of this folder reads what its name says.

mod disk;
pub(crate) mod dmi;
mod graphics;
pub(super) mod memory;
mod network;
mod processor;
mod system;

use super::facts::{Facts, House, Node, User};

/// Longest list of names that is looked through, e.g. of processes.
const NAMES_MAX: usize = 8192;

/// Where `hob run` keeps what was asked, in hob's folder.
const HISTORY: &str = "history.txt";

/// Files of a machine, this one or a recorded one. Paths are absolute; a missing file is `None`.
pub trait Source {
    /// What is in a file, at most its first MiB.
    fn bytes(&self, path: &str) -> Option<Vec<u8>>;
    /// Names in a folder, sorted; none when it is no folder.
    fn names(&self, folder: &str) -> Vec<String>;
    /// Where a link leads, as it is written there.
    fn link(&self, path: &str) -> Option<String>;
    /// Owner and permissions.
    fn node(&self, path: &str) -> Option<Node>;
}

impl Facts {
    /// Reads a machine; what hob knows of itself comes along.
    #[must_use]
    pub fn gather(source: &dyn Source, house: House) -> Facts {
        let files = Files { source };
        let system = system::read(&files);
        Facts {
            processor: processor::read(&files, system.uptime_s),
            memory: memory::read(&files),
            graphics: graphics::read(&files),
            nvidia: graphics::nvidia(&files),
            nodes: graphics::nodes(&files),
            disk: disk::read(&files, &house.home),
            user: user(&files),
            listeners: network::listeners(&files, house.port),
            home_nodes: ancestors(&house.home).filter_map(|path| source.node(path)).collect(),
            history: source.node(&format!("{}/{HISTORY}", house.home)),
            system,
            house,
        }
    }
}

/// A source with the kinds of reading that many facts share.
struct Files<'a> {
    source: &'a dyn Source,
}

impl Files<'_> {
    /// Text without spaces and line ends around it; other bytes than UTF-8 are replaced.
    fn text(&self, path: &str) -> Option<String> {
        let bytes = self.source.bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// A number of hexadecimal digits after `0x`.
    fn hexadecimal(&self, path: &str) -> Option<u64> {
        hexadecimal(&self.text(path)?)
    }

    /// Paths in a folder whose names begin so.
    fn paths(&self, folder: &str, start: &str) -> Vec<String> {
        let names = self.source.names(folder).into_iter().take(NAMES_MAX);
        names
            .filter(|name| name.starts_with(start))
            .map(|name| format!("{folder}/{name}"))
            .collect()
    }

    /// Last part of where a link leads: a driver's name.
    fn link_name(&self, path: &str) -> Option<String> {
        Some(self.source.link(path)?.rsplit('/').next()?.to_owned())
    }
}

/// Of `/proc/self/status`.
fn user(files: &Files<'_>) -> User {
    let status = files.text("/proc/self/status").unwrap_or_default();
    let numbers = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    // Real, effective, saved, of the file system: the last one opens files.
    let mut groups = numbers("Groups:");
    groups.extend(numbers("Gid:").get(3));
    User { uid: numbers("Uid:").get(3).copied(), groups }
}

/// A path and the folders above it, but for the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.starts_with('/').then_some(path), |path| parent(path))
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// The value of `Name: value` in lines.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// How many numbers a list such as `0-3,8` names.
fn list_len(text: &str) -> Option<u32> {
    let mut len = 0_u32;
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        len = len.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(len)
}

/// `avg60` and its like of a line of pressure: `some avg10=0.00 avg60=0.00 ...`.
fn pressure(text: &str, line: &str, average: &str) -> Option<f64> {
    let line = text.lines().find_map(|text| text.strip_prefix(line))?;
    let mut words = line.split_whitespace().filter_map(|word| word.split_once('='));
    words.find(|(name, _)| *name == average)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{ancestors, field, hexadecimal, list_len, pressure};

    #[test]
    fn lists_of_processors() {
        assert_eq!(list_len("0-3,8\n"), Some(5));
        assert_eq!(list_len("0"), Some(1));
        for damaged in ["", "3-1", "a", "0-", "0-4294967295"] {
            assert_eq!(list_len(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn small_parts() {
        assert_eq!(ancestors("/a/b").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(ancestors("relative").count(), 0);
        assert_eq!(hexadecimal("0x10de\n"), Some(0x10de));
        assert_eq!(hexadecimal("10de"), None);
        assert_eq!(field("a\nb : c d\n", "b"), Some("c d"));
        let text = "some avg10=1.00 avg60=19.42\nfull avg10=x";
        assert_eq!(pressure(text, "some", "avg60"), Some(19.42));
        assert_eq!(pressure(text, "full", "avg10"), None);
    }
}
