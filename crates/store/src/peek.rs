//! Looking at a hub's model without fetching it: the headers of its files, by ranges.

use std::io::Read;

use checkpoint::{
    CONFIG, CONFIG_BYTES_MAX, Headers, INDEX, INDEX_BYTES_MAX, Index, Parsed, SINGLE, SafeTensor,
};
use gguf::{Error as GgufError, Header};
use serde::de::DeserializeOwned;

use crate::fetch::Line;
use crate::gather::{Attempt, Fault};
use crate::hub::{self, HubSpec, RemoteFile};
use crate::limits::{HEAD_BYTES_FIRST, HEAD_BYTES_MAX, SHORT_HEAD_BYTES_FIRST};
use crate::pull::{Pull, PullOptions};
use crate::{Error, Result, SourceAnswer, Store};

/// How much more is asked for when a header is longer.
const GROWTH: u64 = 4;

/// A model of a hub by its headers; `C` is what the caller wants of a `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub enum Peeked<C> {
    /// GGUF files, one header each, and what lies beside them.
    Gguf(Vec<Header>, Option<Beside>),
    /// A repository without GGUF files.
    Safetensors(Headers<C>),
}

/// A projector in the same repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Beside {
    /// Its file.
    pub name: String,
    /// Its header.
    pub header: Header,
}

/// How far the beginning of a file could be read.
enum Progress<T> {
    Whole(T),
    Needs(u64),
}

impl Store {
    /// The headers of a model of a hub; nothing is kept.
    ///
    /// # Errors
    /// What the hub answered, or that it may not be asked.
    pub fn peek<C: DeserializeOwned>(
        &self,
        spec: &HubSpec,
        options: &PullOptions<'_>,
    ) -> Result<Peeked<C>> {
        let endpoint = options.hub_endpoint.trim_end_matches('/');
        let looked = || -> Attempt<Peeked<C>> {
            let line = Pull::line(options, endpoint)?;
            let files = hub::list(&line.http, &line.permit, endpoint, &spec.repository)?;
            let desk = Desk { line, endpoint, repository: &spec.repository };
            if files.is_empty() && spec.wanted.is_none() {
                return desk.checkpoint().map(Peeked::Safetensors);
            }
            let chosen = hub::choose(&files, spec.wanted.as_deref())?;
            let headers = chosen.iter().map(|file| desk.gguf(file, HEAD_BYTES_FIRST));
            Ok(Peeked::Gguf(headers.collect::<Attempt<_>>()?, desk.projector(&files)?))
        };
        looked().map_err(|fault| match fault {
            Fault::Fatal(error) => error,
            Fault::Answer(why) => {
                let what = format!("the hub, {endpoint}/{}", spec.repository);
                let answers = vec![SourceAnswer { what, why }];
                Error::NoSource { spec: spec.to_string(), answers }
            }
        })
    }
}

/// One repository that is asked.
struct Desk<'a> {
    line: Line,
    endpoint: &'a str,
    repository: &'a str,
}

impl Desk<'_> {
    fn gguf(&self, file: &RemoteFile, first: u64) -> Attempt<Header> {
        self.header(&file.path, (file.bytes, first), |head, total| {
            match gguf::parse(head, total.unwrap_or(u64::MAX)) {
                Ok(header) => Ok(Progress::Whole(header)),
                Err(GgufError::Truncated { needed, .. }) => Ok(Progress::Needs(needed)),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// The projector of a repository: where there are several, the one of 16 bits that most people
    /// take.
    fn projector(&self, files: &[RemoteFile]) -> Attempt<Option<Beside>> {
        let name = |file: &RemoteFile| file.name().to_lowercase();
        let is_one = |file: &&RemoteFile| name(file).contains("mmproj");
        let rank = |file: &&RemoteFile| {
            let (name, of) = (name(file), ["-f16", "bf16", "f16", "q8_0"]);
            (of.iter().position(|kind| name.contains(kind)).unwrap_or(of.len()), file.path.clone())
        };
        let Some(file) = files.iter().filter(is_one).min_by_key(rank) else { return Ok(None) };
        let header = self.gguf(file, SHORT_HEAD_BYTES_FIRST)?;
        Ok(Some(Beside { name: file.name().to_owned(), header }))
    }

    fn checkpoint<C: DeserializeOwned>(&self) -> Attempt<Headers<C>> {
        let none = "the repository has neither a GGUF file nor a config.json: it is no language \
            model in safetensors";
        let config = self.small_file(CONFIG, CONFIG_BYTES_MAX)?;
        let config = config.ok_or_else(|| Fault::Answer(none.to_owned()))?;
        let config = checkpoint::parse_config(&config).map_err(Fault::Answer)?;
        let Some(index) = self.small_file(INDEX, INDEX_BYTES_MAX)? else {
            let tensors = self.tensors(SINGLE)?;
            return Ok(Headers { config, tensors });
        };
        let index = Index::parse(&index).map_err(Fault::Answer)?;
        let mut tensors = Vec::new();
        for file in index.files() {
            tensors.extend(self.tensors(file)?);
        }
        index.check(&tensors).map_err(Fault::Answer)?;
        Ok(Headers { config, tensors })
    }

    fn tensors(&self, file: &str) -> Attempt<Vec<SafeTensor>> {
        self.header(file, (None, SHORT_HEAD_BYTES_FIRST), |head, total| {
            Ok(match checkpoint::parse(head, total)? {
                Parsed::Whole(tensors) => Progress::Whole(tensors),
                Parsed::Needs(needed) => Progress::Needs(needed),
            })
        })
    }

    /// A whole file that is short; none where there is none.
    fn small_file(&self, file: &str, most: u64) -> Attempt<Option<Vec<u8>>> {
        let url = hub::file_url(self.endpoint, self.repository, file);
        let answer = self.line.http.get(&self.line.permit, &url, 0, &[])?;
        if answer.status == 404 {
            return Ok(None);
        }
        if let Some(why) = hub::refusal(&answer) {
            return Err(Fault::Answer(why));
        }
        let mut text = Vec::new();
        let read = answer.body.take(most + 1).read_to_end(&mut text);
        read.map_err(|error| Fault::Answer(format!("{file} was cut off: {error}")))?;
        if text.len() as u64 > most {
            return Err(Fault::Answer(format!("{file} is longer than {most} bytes")));
        }
        Ok(Some(text))
    }

    /// Asks for more and more of a file's beginning until its header is whole.
    fn header<T>(
        &self,
        file: &str,
        (listed_bytes, first): (Option<u64>, u64),
        parse: impl Fn(&[u8], Option<u64>) -> std::result::Result<Progress<T>, String>,
    ) -> Attempt<T> {
        let url = hub::file_url(self.endpoint, self.repository, file);
        let (mut head, mut total) = (Vec::new(), listed_bytes);
        let mut wanted = first;
        loop {
            let range = format!("bytes={}-{}", head.len(), wanted - 1);
            let answer = self.line.http.get(&self.line.permit, &url, 0, &[("range", &range)])?;
            if let Some(why) = hub::refusal(&answer) {
                return Err(Fault::Answer(format!("{file}: {why}")));
            }
            if answer.status == 200 {
                // No ranges there: it begins anew.
                head.clear();
                total = total.or(answer.content_length);
            }
            total = total.or_else(|| answer.content_range.and_then(|range| range.total_bytes));
            let more = wanted - head.len() as u64;
            let read = answer.body.take(more).read_to_end(&mut head);
            read.map_err(|error| Fault::Answer(format!("its header was cut off: {error}")))?;
            let len = head.len() as u64;
            let is_whole = total.is_some_and(|total| len >= total);
            let fault = |why: String| Fault::Answer(format!("{file}: its header: {why}"));
            match parse(&head, total).map_err(fault)? {
                Progress::Whole(header) => return Ok(header),
                Progress::Needs(needed)
                    if !is_whole && len == wanted && wanted < HEAD_BYTES_MAX =>
                {
                    wanted = needed.max(GROWTH * wanted).min(HEAD_BYTES_MAX);
                }
                Progress::Needs(needed) => {
                    return Err(fault(format!("{needed} bytes are needed and {len} came")));
                }
            }
        }
    }
}
