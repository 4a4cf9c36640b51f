//! A hub's repositories: what `OWNER/NAME[:FILE or TYPE]` means, which files there are, which of
//! them to fetch and from which address.

use std::io::Read;

use egress::{Http, Response};
use guard::Permit;
use serde::Deserialize;

use crate::CatalogRow;
use crate::gather::{Attempt, Fault};
use crate::limits::{FILE_BYTES_MAX, HUB_LIST_BYTES_MAX, MODEL_FILES_MAX};
use crate::local::SplitName;
use crate::manifest::{is_file_name, is_sha256};
use crate::name::Name;

/// Types in the order they are taken when none is asked for.
const TYPES_PREFERRED: &[&str] = &[
    "Q4_K_M", "Q4_K_S", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0",
    "Q3_K_M", "Q2_K", "BF16", "F16", "F32",
];

/// A repository on a hub and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSpec {
    /// `owner/name`, as it is spelled there.
    pub repository: String,
    /// A file's name or a type such as `Q8_0`; `Q4_K_M` or the next best when none.
    pub wanted: Option<String>,
}

impl HubSpec {
    /// Reads `OWNER/NAME` or `OWNER/NAME:WANTED`.
    #[must_use]
    pub fn parse(text: &str) -> Option<HubSpec> {
        Name::parse(text).ok()?;
        let (repository, wanted) = match text.split_once(':') {
            Some((repository, wanted)) => (repository, Some(wanted)),
            None => (text, None),
        };
        let is_repository = repository.split('/').count() == 2;
        let is_wanted = wanted.is_none_or(|wanted| is_file_name(wanted) && !wanted.contains(':'));
        (is_repository && is_wanted).then(|| HubSpec {
            repository: repository.to_owned(),
            wanted: wanted.map(str::to_owned),
        })
    }
}

impl std::fmt::Display for HubSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.wanted {
            Some(wanted) => write!(f, "{}:{wanted}", self.repository),
            None => write!(f, "{}", self.repository),
        }
    }
}

/// A file on a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Path in the repository.
    pub(crate) path: String,
    /// Bytes, when the hub says.
    pub(crate) bytes: Option<u64>,
    /// SHA-256, when the hub says.
    pub(crate) sha256: Option<String>,
}

impl RemoteFile {
    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Where a file of a repository is fetched.
pub(crate) fn file_url(endpoint: &str, repository: &str, file: &str) -> String {
    let file: Vec<String> = file.split('/').map(encoded).collect();
    format!("{endpoint}/{repository}/resolve/main/{}", file.join("/"))
}

/// Where a row's file is fetched; none when no hub has it.
pub(crate) fn row_url(endpoint: &str, row: &CatalogRow) -> Option<String> {
    row.hub.as_ref().map(|hub| file_url(endpoint, hub.repository, hub.file))
}

/// The GGUF files of a repository.
pub(crate) fn list(
    http: &Http,
    permit: &Permit,
    endpoint: &str,
    repository: &str,
) -> Attempt<Vec<RemoteFile>> {
    let url = format!("{endpoint}/api/models/{repository}?blobs=true");
    let answer = http.get(permit, &url, 0, &[("accept", "application/json")])?;
    if let Some(why) = refusal(&answer) {
        return Err(Fault::Answer(why));
    }
    let mut text = Vec::new();
    let read = answer.body.take(HUB_LIST_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| Fault::Answer(format!("its list of files was cut off: {error}")))?;
    if text.len() as u64 > HUB_LIST_BYTES_MAX {
        return Err(Fault::Answer("its list of files is too long".to_owned()));
    }
    files_in(&text)
}

/// What an answer that brings no file means; none when it is one.
pub(crate) fn refusal(answer: &Response) -> Option<String> {
    let why = match answer.status {
        200 | 206 => return None,
        401 | 403 => "it wants an account there (HTTP 401/403): the model is private or gated, or \
            there is none of that name"
            .to_owned(),
        404 => "there is no such repository or file (HTTP 404)".to_owned(),
        429 => "it is asked too often (HTTP 429): try again later".to_owned(),
        status @ 500..=599 => format!("it has trouble of its own (HTTP {status})"),
        status => format!("it answered HTTP {status}"),
    };
    Some(why)
}

/// The files to fetch: one, or all parts of a split one.
pub(crate) fn choose(files: &[RemoteFile], wanted: Option<&str>) -> Attempt<Vec<RemoteFile>> {
    // A projector belongs to a model and is none.
    let models: Vec<&RemoteFile> =
        files.iter().filter(|file| !file.name().to_lowercase().contains("mmproj")).collect();
    let chosen = match wanted {
        Some(wanted) => models
            .iter()
            .find(|file| is_called(file, wanted))
            .or_else(|| models.iter().find(|file| has_type(file, wanted))),
        None => TYPES_PREFERRED
            .iter()
            .find_map(|kind| models.iter().find(|file| has_type(file, kind)))
            .or(models.first()),
    };
    let Some(chosen) = chosen else {
        return Err(Fault::Answer(nothing_chosen(&models, wanted)));
    };
    let Some(split) = SplitName::parse(&chosen.path) else {
        return Ok(vec![(*chosen).clone()]);
    };
    let parts = split.names().map(|name| {
        let part = models.iter().find(|file| file.path == name).map(|file| (*file).clone());
        part.ok_or_else(|| Fault::Answer(format!("the part {name} of the model is missing there")))
    });
    parts.collect()
}

fn nothing_chosen(models: &[&RemoteFile], wanted: Option<&str>) -> String {
    if models.is_empty() {
        return "the repository has no GGUF file: look for one whose name ends with -GGUF"
            .to_owned();
    }
    let names: Vec<&str> = models.iter().take(12).map(|file| file.name()).collect();
    let wanted = wanted.unwrap_or_default();
    format!("no file there is `{wanted}`; there are: {}", names.join(", "))
}

fn is_called(file: &RemoteFile, wanted: &str) -> bool {
    file.path.eq_ignore_ascii_case(wanted) || file.name().eq_ignore_ascii_case(wanted)
}

/// Whether `kind` stands in the name between separators, so that `Q4_K` is not found in `IQ4_K_M`.
fn has_type(file: &RemoteFile, kind: &str) -> bool {
    let (name, kind) = (file.path.to_lowercase(), kind.to_lowercase());
    let is_border = |c: Option<char>| c.is_none_or(|c| matches!(c, '-' | '.' | '/'));
    name.match_indices(&kind).any(|(at, found)| {
        let before = name[..at].chars().next_back();
        is_border(before) && is_border(name[at + found.len()..].chars().next())
    })
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

fn files_in(text: &[u8]) -> Attempt<Vec<RemoteFile>> {
    let listing: Listing = serde_json::from_slice(text).map_err(|error| {
        Fault::Answer(format!("its list of files cannot be read ({error}): is it a model hub?"))
    })?;
    let is_gguf = |file: &Sibling| file.rfilename.to_lowercase().ends_with(".gguf");
    let is_sound = |file: &RemoteFile| {
        file.path.split('/').all(is_file_name) && file.bytes.is_none_or(|n| n <= FILE_BYTES_MAX)
    };
    let files = listing.siblings.into_iter().filter(is_gguf).map(|file| {
        let (sha256, size) = file.lfs.map_or((None, None), |lfs| (lfs.sha256, lfs.size));
        RemoteFile {
            path: file.rfilename,
            bytes: size.or(file.size),
            sha256: sha256.filter(|sha256| is_sha256(sha256)),
        }
    });
    let mut files: Vec<RemoteFile> = files.filter(is_sound).take(MODEL_FILES_MAX * 4).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// One part of a path, as addresses spell it.
fn encoded(part: &str) -> String {
    let mut text = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{HubSpec, RemoteFile, choose, file_url, files_in};
    use crate::gather::Fault;

    fn check(names: &[&str], wanted: Option<&str>, expect: &[&str]) {
        let file = |name: &&str| RemoteFile { path: (*name).to_owned(), bytes: None, sha256: None };
        let files: Vec<RemoteFile> = names.iter().map(file).collect();
        let chosen = choose(&files, wanted).unwrap();
        let chosen: Vec<&str> = chosen.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(chosen, expect);
    }

    #[test]
    fn specs() {
        let spec = HubSpec::parse("Owner/Repo-GGUF:Q8_0").unwrap();
        assert_eq!(
            (spec.repository.as_str(), spec.wanted.as_deref()),
            ("Owner/Repo-GGUF", Some("Q8_0"))
        );
        assert_eq!(spec.to_string(), "Owner/Repo-GGUF:Q8_0");
        assert_eq!(HubSpec::parse("o/r").unwrap().wanted, None);
        for none in ["smollm2", "a/b/c", "a/../b", "/a/b", "a/b:", "a/b:c:d", "a b/c"] {
            assert_eq!(HubSpec::parse(none), None, "{none}");
        }
    }

    #[test]
    fn choosing() {
        let files = ["m-IQ4_K_M.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf"];
        check(&files, None, &["m-Q4_K_M.gguf"]);
        check(&files, Some("q8_0"), &["m-Q8_0.gguf"]);
        check(&files, Some("M-IQ4_K_M.gguf"), &["m-IQ4_K_M.gguf"]);
        check(&["only.gguf"], None, &["only.gguf"]);
        let split = ["Q4_0/m-00001-of-00002.gguf", "Q4_0/m-00002-of-00002.gguf", "x-Q8_0.gguf"];
        check(&split, None, &split[..2]);
        check(&split, Some("Q4_0"), &split[..2]);
    }

    #[test]
    fn nothing_to_choose_says_what_there_is() {
        let file = RemoteFile { path: "m-Q8_0.gguf".to_owned(), bytes: None, sha256: None };
        let Err(Fault::Answer(why)) = choose(&[file], Some("Q2_K")) else { panic!("chosen") };
        assert_eq!(why, "no file there is `Q2_K`; there are: m-Q8_0.gguf");
        let Err(Fault::Answer(why)) = choose(&[], None) else { panic!("chosen") };
        assert!(why.contains("no GGUF file"), "{why}");
    }

    #[test]
    fn listings() {
        let sha256 = "a".repeat(64);
        let lfs = format!("{{\"sha256\":\"{sha256}\",\"size\":9}}");
        let text = format!(
            "{{\"siblings\":[{{\"rfilename\":\"README.md\"}},{{\"rfilename\":\"../x.gguf\"}},\
             {{\"rfilename\":\"b.gguf\",\"size\":7}},\
             {{\"rfilename\":\"a.gguf\",\"size\":1,\"lfs\":{lfs}}}]}}"
        );
        let files = files_in(text.as_bytes()).unwrap();
        let file = |path: &str, bytes, sha256| RemoteFile { path: path.to_owned(), bytes, sha256 };
        assert_eq!(files, [file("a.gguf", Some(9), Some(sha256)), file("b.gguf", Some(7), None)]);
        assert!(files_in(b"<html>").is_err());
    }

    #[test]
    fn addresses() {
        let url = file_url("https://hub.example", "o/r", "a b/m#.gguf");
        assert_eq!(url, "https://hub.example/o/r/resolve/main/a%20b/m%23.gguf");
    }
}
