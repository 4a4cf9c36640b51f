//! One file from a web address into a partial file: resumed after a cut, bounded, hashed at the
//! end. The connection is read on a thread of its own, so that stopping never waits for a server.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use egress::{Http, Response};
use guard::Permit;
use serde::{Deserialize, Serialize};

use crate::blobs::{Blobs, Hashed, hash_file, remove_file};
use crate::gather::{Attempt, Fault, Watch};
use crate::limits::{
    CHUNK_BYTES, CHUNKS_WAITING_MAX, FILE_BYTES_MAX, IDLE_REQUESTS_MAX, LOOK_INTERVAL,
    MANIFEST_BYTES_MAX, REQUESTS_MAX,
};
use crate::{Error, PullEvent, hub};

/// What is fetched.
pub(crate) struct Wanted<'a> {
    pub(crate) url: &'a str,
    /// Bytes of the file, when known.
    pub(crate) bytes: Option<u64>,
    /// Its SHA-256, when known.
    pub(crate) sha256: Option<&'a str>,
    /// Where it gathers.
    pub(crate) partial: &'a Path,
}

/// How requests go out.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) http: Http,
    pub(crate) permit: Arc<Permit>,
}

/// What is remembered of an interrupted download, beside the partial file.
#[derive(Default, Serialize, Deserialize)]
struct Sidecar {
    url: String,
    etag: Option<String>,
}

enum Message {
    Head(Head),
    Chunk(Vec<u8>),
    End,
    Failed(String),
}

struct Head {
    refusal: Option<String>,
    status: u16,
    first: Option<u64>,
    total_bytes: Option<u64>,
    etag: Option<String>,
}

/// How one request ended.
enum Ended {
    Whole,
    /// What is there is of no use.
    StartOver,
    Cut(String),
}

/// Fetches until the hash fits. What has come stays when it is stopped or the connection is lost.
pub(crate) fn fetch(
    line: &Line,
    wanted: &Wanted<'_>,
    blobs: &Blobs,
    watch: &mut Watch<'_>,
) -> Attempt<Hashed> {
    let mut download = Download::new(wanted)?;
    let mut idle = 0;
    for _ in 0..REQUESTS_MAX {
        watch.check()?;
        let had = download.len;
        let ended = download.request(line, blobs, watch)?;
        let is_advanced = download.len > had;
        match ended {
            Ended::Whole => match download.verify(watch)? {
                Ok(hashed) => return Ok(hashed),
                // A part from an earlier time may be of another version of the file.
                Err(_) if download.resumed_bytes > 0 => download.resumed_bytes = 0,
                Err(why) => return Err(Fault::Answer(why)),
            },
            Ended::StartOver => {
                download.clear()?;
                idle += 1;
            }
            Ended::Cut(why) => {
                tracing::debug!(why, had = download.len, "cut");
                idle = if is_advanced { 0 } else { idle + 1 };
                if idle >= IDLE_REQUESTS_MAX {
                    return Err(Fault::Answer(why));
                }
            }
        }
        if idle > IDLE_REQUESTS_MAX {
            break;
        }
    }
    Err(Fault::Answer("the connection is cut again and again".to_owned()))
}

struct Download<'a> {
    wanted: &'a Wanted<'a>,
    sidecar_path: PathBuf,
    sidecar: Sidecar,
    /// Bytes in the partial file.
    len: u64,
    /// Of these, from an earlier run.
    resumed_bytes: u64,
}

impl<'a> Download<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Attempt<Download<'a>> {
        let sidecar_path = wanted.partial.with_extension("partial.json");
        let sidecar = read_sidecar(&sidecar_path).unwrap_or_default();
        let len = std::fs::metadata(wanted.partial).map_or(0, |meta| meta.len());
        let resumed_bytes = len;
        let mut download = Download { wanted, sidecar_path, sidecar, len, resumed_bytes };
        // Without a hash, only the server's mark tells whether the rest belongs to this part.
        let is_known = wanted.sha256.is_some() || download.mark().is_some();
        if !is_known || wanted.bytes.is_some_and(|bytes| len > bytes) {
            download.clear()?;
        }
        Ok(download)
    }

    /// The mark of the version that the part is of; a weak one does not promise the same bytes.
    fn mark(&self) -> Option<&str> {
        let etag = self.sidecar.etag.as_deref().filter(|etag| !etag.starts_with("W/"))?;
        (self.sidecar.url == self.wanted.url).then_some(etag)
    }

    fn clear(&mut self) -> Attempt<()> {
        remove_file(self.wanted.partial)?;
        remove_file(&self.sidecar_path)?;
        self.sidecar = Sidecar::default();
        (self.len, self.resumed_bytes) = (0, 0);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.wanted.bytes == Some(self.len)
    }

    fn request(&mut self, line: &Line, blobs: &Blobs, watch: &mut Watch<'_>) -> Attempt<Ended> {
        if self.is_whole() {
            return Ok(Ended::Whole);
        }
        let if_range = self.mark().filter(|_| self.len > 0).map(str::to_owned);
        let messages = start(line, self.wanted.url, self.len, if_range);
        let head = match receive(&messages, watch)? {
            Message::Head(head) => head,
            Message::Failed(why) => return Ok(Ended::Cut(why)),
            Message::Chunk(_) | Message::End => return Ok(Ended::Cut("no answer".to_owned())),
        };
        if let Some(ended) = self.judge(&head)? {
            return Ok(ended);
        }
        let total = self.wanted.bytes.or(head.total_bytes);
        blobs.check_room(total.unwrap_or(0).saturating_sub(self.len))?;
        self.sidecar = Sidecar { url: self.wanted.url.to_owned(), etag: head.etag };
        write_sidecar(&self.sidecar_path, &self.sidecar)?;
        watch.progress(self.len, total, self.resumed_bytes);
        self.receive_body(&messages, total, watch)
    }

    /// Whether the body is of use, and from which byte on it is.
    fn judge(&mut self, head: &Head) -> Attempt<Option<Ended>> {
        if head.status == 416 && self.len > 0 {
            let is_whole = self.wanted.bytes.is_none() && head.total_bytes == Some(self.len);
            return Ok(Some(if is_whole { Ended::Whole } else { Ended::StartOver }));
        }
        if let Some(why) = &head.refusal {
            let is_passing = head.status == 429 || head.status >= 500;
            let cut = Ended::Cut(why.clone());
            return if is_passing { Ok(Some(cut)) } else { Err(Fault::Answer(why.clone())) };
        }
        if let (Some(theirs), Some(ours)) = (head.total_bytes, self.wanted.bytes)
            && theirs != ours
        {
            let why = format!("the file there has {theirs} bytes, not {ours}: it is another one");
            return Err(Fault::Answer(why));
        }
        if head.total_bytes.is_some_and(|bytes| bytes > FILE_BYTES_MAX) {
            return Err(Fault::Answer("the file there is too big to be a model".to_owned()));
        }
        if head.status == 200 {
            // From the beginning, whether or not that was asked for.
            self.clear()?;
            return Ok(None);
        }
        let is_changed =
            self.mark().is_some() && head.etag.is_some() && self.mark() != head.etag.as_deref();
        let is_next = head.first == Some(self.len);
        Ok((is_changed || !is_next).then_some(Ended::StartOver))
    }

    fn receive_body(
        &mut self,
        messages: &Receiver<Message>,
        total: Option<u64>,
        watch: &mut Watch<'_>,
    ) -> Attempt<Ended> {
        let path = self.wanted.partial;
        let mut file = open_end(path)?;
        loop {
            match receive(messages, watch)? {
                Message::Chunk(chunk) => {
                    let len = self.len + chunk.len() as u64;
                    if len > total.unwrap_or(FILE_BYTES_MAX) {
                        self.clear()?;
                        return Err(Fault::Answer(
                            "it sends more bytes than the file has".to_owned(),
                        ));
                    }
                    let needed = total.map(|total| total.saturating_sub(self.len));
                    file.write_all(&chunk)
                        .map_err(|error| Error::io_needing("writing", path, error, needed))?;
                    self.len = len;
                    watch.progress(self.len, total, self.resumed_bytes);
                }
                Message::End if total.is_none_or(|total| total == self.len) => {
                    return Ok(Ended::Whole);
                }
                Message::End | Message::Head(_) => return Ok(self.cut(total, "it ended early")),
                Message::Failed(why) => return Ok(self.cut(total, &why)),
            }
        }
    }

    fn cut(&self, total: Option<u64>, why: &str) -> Ended {
        if self.is_whole() {
            return Ended::Whole;
        }
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        Ended::Cut(format!("the connection was lost after {}{of} bytes: {why}", self.len))
    }

    /// The outer result is for what stops everything, the inner says whether the bytes fit. Those
    /// that do not are removed.
    fn verify(&mut self, watch: &mut Watch<'_>) -> Attempt<Result<Hashed, String>> {
        (watch.tell)(PullEvent::Verifying { total_bytes: self.len });
        let hashed = hash_file(self.wanted.partial, watch.cancelled)?;
        match self.wanted.sha256 {
            Some(sha256) if sha256 != hashed.sha256 => {
                let resumed_bytes = self.resumed_bytes;
                self.clear()?;
                self.resumed_bytes = resumed_bytes;
                let found = &hashed.sha256;
                Ok(Err(format!("wrong bytes: their SHA-256 is {found}, not {sha256}; removed")))
            }
            _ => {
                remove_file(&self.sidecar_path)?;
                Ok(Ok(hashed))
            }
        }
    }
}

fn receive(messages: &Receiver<Message>, watch: &Watch<'_>) -> Attempt<Message> {
    loop {
        watch.check()?;
        match messages.recv_timeout(LOOK_INTERVAL) {
            Ok(message) => return Ok(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Message::Failed("the reading thread ended".to_owned()));
            }
        }
    }
}

fn start(line: &Line, url: &str, from: u64, if_range: Option<String>) -> Receiver<Message> {
    let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
    let (line, url) = (line.clone(), url.to_owned());
    std::thread::spawn(move || {
        let headers: Vec<(&str, &str)> =
            if_range.as_deref().map(|mark| ("if-range", mark)).into_iter().collect();
        // Sending fails when nobody listens any more: then there is nothing left to do.
        let _ = match line.http.get(&line.permit, &url, from, &headers) {
            Ok(answer) => pump(answer, &sender),
            Err(error) => sender.send(Message::Failed(error.to_string())),
        };
    });
    receiver
}

fn pump(
    answer: Response,
    to: &SyncSender<Message>,
) -> Result<(), std::sync::mpsc::SendError<Message>> {
    to.send(Message::Head(head_of(&answer)))?;
    let mut body = answer.body;
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        match body.read(&mut chunk) {
            Ok(0) => return to.send(Message::End),
            Ok(len) => {
                chunk.truncate(len);
                to.send(Message::Chunk(chunk))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return to.send(Message::Failed(error.to_string())),
        }
    }
}

fn head_of(answer: &Response) -> Head {
    let range = answer.content_range;
    let in_range = range.and_then(|range| range.total_bytes);
    let total_bytes = if answer.status == 200 { answer.content_length } else { in_range };
    Head {
        refusal: hub::refusal(answer),
        status: answer.status,
        first: range.and_then(|range| range.first),
        total_bytes,
        etag: answer.etag.clone(),
    }
}

fn open_end(path: &Path) -> Attempt<File> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    Ok(file.map_err(|error| Error::io("writing", path, error))?)
}

fn read_sidecar(path: &Path) -> Option<Sidecar> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write_sidecar(path: &Path, sidecar: &Sidecar) -> Attempt<()> {
    let text = serde_json::to_vec(sidecar).expect("plain data always becomes JSON");
    std::fs::write(path, text).map_err(|error| Error::io("writing", path, error))?;
    Ok(())
}
