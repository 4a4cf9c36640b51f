//! Pulling from a hub that cuts, stalls, lies and changes its mind.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use super::server::{Fault, Hub, Served};
use super::{Bench, model_bytes, sha256, whys};
use crate::{Error, Peeked, PullEvent};

const LEN: usize = 300_000;

fn served(name: &'static str, seed: u8) -> Served {
    Served { name, bytes: model_bytes(seed, LEN), is_listed_fully: true }
}

fn hub(faults: Vec<Fault>) -> Hub {
    Hub::start(vec![served("m-Q4_K_M.gguf", 1)], faults)
}

/// The file comes whole in spite of `faults`; returns the ranges that were asked for.
fn comes_whole(faults: Vec<Fault>) -> Vec<Option<String>> {
    let (bench, hub) = (Bench::new(), hub(faults));
    let (entry, told) = bench.pull("o/m", &hub.endpoint);
    let entry = entry.unwrap();
    assert_eq!(std::fs::read(&entry.path).unwrap(), model_bytes(1, LEN));
    assert_eq!(bench.blobs(), [format!("sha256-{}", entry.sha256)], "nothing is left behind");
    assert!(matches!(told.last(), Some(PullEvent::Done { path }) if *path == entry.path));
    assert_eq!((entry.name.as_str(), entry.added_unix_s), ("o/m", 7));
    hub.asked().into_iter().map(|asked| asked.range).collect()
}

/// No file comes; returns what the hub is said to have answered.
fn comes_not(faults: Vec<Fault>) -> String {
    let (bench, hub) = (Bench::new(), hub(faults));
    let (entry, _) = bench.pull("o/m", &hub.endpoint);
    let Err(Error::NoSource { answers, .. }) = entry else { panic!("{entry:?}") };
    assert_eq!(bench.blobs(), Vec::<String>::new());
    assert!(bench.store.find("o/m").unwrap().is_none());
    answers[1].why.clone()
}

fn from(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn a_sound_hub() {
    assert_eq!(comes_whole(vec![]), [None]);
}

#[test]
fn a_cut_is_resumed_where_it_was() {
    let cuts = vec![Fault::CutAfter(100_000), Fault::CutAfter(50_000)];
    assert_eq!(comes_whole(cuts), [None, from(100_000), from(150_000)]);
}

#[test]
fn small_pieces_are_put_together() {
    assert_eq!(comes_whole(vec![Fault::Drip(777)]), [None]);
}

#[test]
fn a_hub_in_trouble_is_asked_again() {
    assert_eq!(
        comes_whole(vec![Fault::Status("503 Busy"), Fault::CutAfter(0)]),
        [None, None, None]
    );
}

#[test]
fn a_server_without_ranges_starts_over() {
    let faults = vec![Fault::CutAfter(100_000), Fault::IgnoreRange];
    assert_eq!(comes_whole(faults), [None, from(100_000)]);
}

#[test]
fn a_redirect_is_followed_with_its_range() {
    let to = "/o/m/resolve/elsewhere/m-Q4_K_M.gguf".to_owned();
    let faults = vec![Fault::CutAfter(9), Fault::Redirect(to)];
    assert_eq!(comes_whole(faults), [None, from(9), from(9)]);
}

#[test]
fn circles_of_redirects_end() {
    let to = || Fault::Redirect("/o/m/resolve/main/m-Q4_K_M.gguf".to_owned());
    let why = comes_not((0..30).map(|_| to()).collect());
    assert!(why.contains("redirects more than"), "{why}");
}

#[test]
fn a_redirect_to_plain_http_elsewhere_is_refused() {
    let why = comes_not((0..3).map(|_| Fault::Redirect("http://h.example/".to_owned())).collect());
    assert!(why.contains("not encrypted"), "{why}");
}

#[test]
fn wrong_bytes_are_removed() {
    let why = comes_not(vec![Fault::WrongBytes]);
    assert!(why.contains("wrong bytes") && why.contains(&sha256(&model_bytes(1, LEN))), "{why}");
}

#[test]
fn a_missing_file() {
    let why = comes_not(vec![Fault::Status("404 Not Found")]);
    assert!(why.contains("404"), "{why}");
}

#[test]
fn a_length_that_lies() {
    let why = comes_not(vec![Fault::Length(LEN - 1)]);
    assert!(why.contains("299999 bytes, not 300000"), "{why}");
    let why = comes_not(vec![Fault::Length(LEN + 1)]);
    assert!(why.contains("300001 bytes, not 300000"), "{why}");
}

#[test]
fn a_missing_repository_and_no_hub_at_all() {
    let bench = Bench::new();
    let (entry, told) = bench.pull("o/other", &hub(vec![]).endpoint);
    assert!(matches!(entry, Err(Error::NoSource { .. })));
    assert!(whys(&told)[1].contains("404"), "{told:?}");
    // Port 9 on loopback: nobody is there, and it says so at once.
    let (entry, told) = bench.pull("o/m", "http://127.0.0.1:9");
    let text = entry.unwrap_err().to_string();
    assert!(whys(&told)[1].contains("cannot be reached"), "{told:?}");
    assert!(text.contains("hob import FILE --name NAME"), "{text}");
}

#[test]
fn what_came_before_is_not_asked_for_again() {
    let bench = Bench::new();
    let hub = hub(vec![Fault::CutAfter(1000)]);
    for _ in 0..3 {
        hub.fail_next(Fault::CutAfter(0));
    }
    let (entry, told) = bench.pull("o/m", &hub.endpoint);
    assert!(matches!(entry, Err(Error::NoSource { .. })), "{entry:?}");
    assert!(whys(&told)[1].contains("lost after 1000 of 300000 bytes"), "{told:?}");
    assert_eq!(bench.blobs().iter().filter(|name| name.ends_with(".partial")).count(), 1);
    let (entry, told) = bench.pull("o/m", &hub.endpoint);
    assert_eq!(std::fs::read(entry.unwrap().path).unwrap(), model_bytes(1, LEN));
    let asked = hub.asked();
    let last = asked.last().unwrap();
    assert_eq!((last.range.clone(), last.if_range.as_deref()), (from(1000), Some("\"one\"")));
    assert_eq!(bench.blobs().len(), 1);
    let first = told.iter().find_map(|event| match event {
        PullEvent::Progress { done_bytes, total_bytes, resumed_bytes } => {
            Some((*done_bytes, *total_bytes, *resumed_bytes))
        }
        _ => None,
    });
    assert_eq!(first, Some((1000, Some(LEN as u64), 1000)));
}

#[test]
fn a_part_of_another_version_is_thrown_away() {
    // The list tells no hash: only the server's mark shows that the file has changed.
    let unlisted = |seed| Served { is_listed_fully: false, ..served("m.gguf", seed) };
    let bench = Bench::new();
    let hub = Hub::start(vec![unlisted(1)], vec![Fault::CutAfter(1000)]);
    (0..3).for_each(|_| hub.fail_next(Fault::CutAfter(0)));
    bench.pull("o/m", &hub.endpoint).0.unwrap_err();
    hub.change(vec![unlisted(2)], "\"two\"");
    let entry = bench.pull("o/m", &hub.endpoint).0.unwrap();
    assert_eq!(std::fs::read(entry.path).unwrap(), model_bytes(2, LEN));
    assert_eq!(hub.asked().last().unwrap().if_range.as_deref(), Some("\"one\""));
}

#[test]
fn a_spoilt_part_is_fetched_again() {
    let (bench, hub) = (Bench::new(), hub(vec![]));
    let sha256 = sha256(&model_bytes(1, LEN));
    bench.write(&format!("models/blobs/sha256-{sha256}.partial"), &[0; 5000]);
    let entry = bench.pull("o/m", &hub.endpoint).0.unwrap();
    assert_eq!(std::fs::read(entry.path).unwrap(), model_bytes(1, LEN));
    let ranges: Vec<_> = hub.asked().into_iter().map(|asked| asked.range).collect();
    assert_eq!(ranges, [from(5000), None]);
}

#[test]
fn a_part_beyond_the_end_is_answered_416() {
    let unlisted = Served { is_listed_fully: false, ..served("m.gguf", 1) };
    let bench = Bench::new();
    let hub = Hub::start(vec![unlisted], vec![]);
    let url = format!("{}/o/m/resolve/main/m.gguf", hub.endpoint);
    let stem = format!("models/blobs/url-{}.partial", sha256(url.as_bytes()));
    bench.write(&stem, &vec![0; LEN + 5]);
    let sidecar = format!("{{\"url\":\"{url}\",\"etag\":\"\\\"one\\\"\"}}");
    bench.write(&format!("{stem}.json"), sidecar.as_bytes());
    let entry = bench.pull("o/m", &hub.endpoint).0.unwrap();
    assert_eq!(std::fs::read(entry.path).unwrap(), model_bytes(1, LEN));
    let ranges: Vec<_> = hub.asked().into_iter().map(|asked| asked.range).collect();
    assert_eq!(ranges, [from(LEN + 5), None]);
}

#[test]
fn a_page_is_no_model() {
    let page = Served { name: "m.gguf", bytes: b"<html>sign in".to_vec(), is_listed_fully: false };
    let bench = Bench::new();
    let (entry, told) = bench.pull("o/m", &Hub::start(vec![page], vec![]).endpoint);
    assert!(entry.is_err() && whys(&told)[1].contains("web page"), "{told:?}");
    assert!(bench.blobs().is_empty());
}

#[test]
fn stopping_keeps_the_part_even_while_the_hub_is_silent() {
    let (_hold, held) = channel();
    let (bench, hub) = (Bench::new(), hub(vec![Fault::Hold(held)]));
    let mut done = 0;
    let entry = bench.store.pull("o/m", &bench.options(&hub.endpoint), &mut |event| {
        if let PullEvent::Progress { done_bytes, .. } = event {
            done = done_bytes;
            bench.cancelled.store(done as usize == LEN / 2, Ordering::Relaxed);
        }
    });
    assert!(matches!(entry, Err(Error::Cancelled)), "{entry:?}");
    bench.cancelled.store(false, Ordering::Relaxed);
    assert_eq!(done as usize, LEN / 2);
    let entry = bench.pull("o/m", &hub.endpoint).0.unwrap();
    assert_eq!(std::fs::read(entry.path).unwrap(), model_bytes(1, LEN));
    assert_eq!(hub.asked().last().unwrap().range, from(LEN / 2));
}

#[test]
fn two_at_once_fetch_once() {
    let (go_on, held) = channel();
    let (bench, hub) = (Bench::new(), hub(vec![Fault::Hold(held)]));
    let (fetching, is_fetching) = channel();
    let (bench, endpoint) = (&bench, hub.endpoint.as_str());
    std::thread::scope(|scope| {
        let first = scope.spawn(move || {
            bench.store.pull("o/m", &bench.options(endpoint), &mut |event| {
                if matches!(event, PullEvent::Progress { .. }) {
                    let _ = fetching.send(());
                }
            })
        });
        is_fetching.recv().unwrap();
        let mut waits = Vec::new();
        let second = bench.store.pull("o/m", &bench.options(endpoint), &mut |event| {
            if let PullEvent::Source { what, .. } = event {
                waits.push(what);
                let _ = go_on.send(());
            }
        });
        assert_eq!(second.unwrap(), first.join().unwrap().unwrap());
        let me = format!("waiting for another hob (process {})", std::process::id());
        assert!(waits.len() == 1 && waits[0].starts_with(&me), "{waits:?}");
    });
    assert_eq!(hub.asked().len(), 1);
}

#[test]
fn all_parts_of_a_split_come() {
    let parts = vec![served("m-00001-of-00002.gguf", 1), served("m-00002-of-00002.gguf", 2)];
    let bench = Bench::new();
    let hub = Hub::start(parts, vec![]);
    let (entry, told) = bench.pull("O/M", &hub.endpoint);
    assert!(entry.is_err(), "a hub's names have upper and lower case");
    assert!(!told.is_empty());
    let (entry, told) = bench.pull("o/m", &hub.endpoint);
    let entry = entry.unwrap();
    assert_eq!((entry.files.len(), entry.size_bytes), (2, 2 * LEN as u64));
    assert!(entry.path.ends_with("splits/o+m/m-00001-of-00002.gguf"), "{:?}", entry.path);
    let second = entry.path.with_file_name("m-00002-of-00002.gguf");
    assert_eq!(std::fs::read(second).unwrap(), model_bytes(2, LEN));
    let most = told.iter().filter_map(|event| match event {
        PullEvent::Progress { done_bytes, total_bytes, .. } => Some((*done_bytes, *total_bytes)),
        _ => None,
    });
    assert_eq!(most.max(), Some((2 * LEN as u64, Some(2 * LEN as u64))));
    assert!(bench.store.remove("o/m").unwrap());
    assert!(bench.blobs().is_empty() && !entry.path.exists());
}

/// Looks at a model whose header is longer than what is asked for first when `padding` is; returns
/// the ranges that were asked for.
fn looked_at(padding: usize, faults: Vec<Fault>) -> Vec<Option<String>> {
    let bench = Bench::new();
    let (mut writer, mut bytes) = (gguf::Writer::new(), Vec::new());
    let text = |len: usize| gguf::Value::String("x".repeat(len));
    writer.metadata("general.architecture", text(5));
    writer.metadata("general.description", text(padding));
    writer.tensor("w", &[32, 2], quant::FormatId::F32, vec![0; 256]);
    writer.write_to(&mut bytes).unwrap();
    let file = Served { name: "m-Q4_K_M.gguf", bytes, is_listed_fully: true };
    let hub = Hub::start(vec![file], faults);
    let spec = crate::HubSpec::parse("o/m").unwrap();
    let peeked = bench.store.peek::<()>(&spec, &bench.options(&hub.endpoint)).unwrap();
    let Peeked::Gguf(headers, None) = peeked else { panic!("{peeked:?}") };
    assert_eq!(bench.blobs(), Vec::<String>::new(), "nothing is kept");
    assert_eq!((headers.len(), headers[0].tensors[0].size_bytes), (1, 256));
    hub.asked().into_iter().map(|asked| asked.range).collect()
}

fn between(first: usize, last: usize) -> Option<String> {
    Some(format!("bytes={first}-{last}"))
}

#[test]
fn a_header_is_looked_at_by_ranges() {
    const FIRST: usize = 4 << 20;
    assert_eq!(looked_at(10, vec![]), [between(0, FIRST - 1)]);
    // A longer one is asked for from where the first part ended.
    let long = looked_at(FIRST + 10, vec![]);
    assert_eq!(long, [between(0, FIRST - 1), between(FIRST, 4 * FIRST - 1)]);
    // A server that knows no ranges begins anew.
    let ignored = vec![Fault::IgnoreRange, Fault::IgnoreRange];
    assert_eq!(looked_at(FIRST + 10, ignored).len(), 2);
}

#[test]
fn a_header_is_not_looked_at_offline() {
    // Whether loopback may be asked is `guard`'s to say; another host may not.
    let bench = Bench::new();
    let spec = crate::HubSpec::parse("o/m").unwrap();
    let mut options = bench.options("https://hub.invalid");
    options.policy.offline = true;
    let refused = bench.store.peek::<()>(&spec, &options).unwrap_err().to_string();
    assert!(refused.contains("offline"), "{refused}");
}

/// A repository without GGUF files.
fn checkpoint_hub(faults: Vec<Fault>) -> Hub {
    let shard = |tensor: &str| {
        let entry = "{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}";
        let list = format!("{{\"{tensor}\":{entry}}}");
        [(list.len() as u64).to_le_bytes().as_slice(), list.as_bytes(), &[0; 8]].concat()
    };
    let index = r#"{"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
    let file = |name, bytes: &[u8]| Served { name, bytes: bytes.to_vec(), is_listed_fully: true };
    Hub::start(
        vec![
            file("config.json", b"7"),
            file("model.safetensors.index.json", index.as_bytes()),
            file("m-1.safetensors", &shard("a")),
            file("m-2.safetensors", &shard("b")),
        ],
        faults,
    )
}

fn peeked(hub: &Hub) -> crate::Result<Peeked<u32>> {
    let bench = Bench::new();
    let spec = crate::HubSpec::parse("o/m").unwrap();
    bench.store.peek::<u32>(&spec, &bench.options(&hub.endpoint))
}

#[test]
fn safetensors_are_looked_at_by_ranges() {
    let hub = checkpoint_hub(vec![]);
    let Peeked::Safetensors(checkpoint) = peeked(&hub).unwrap() else { panic!("no GGUF is there") };
    let tensors: Vec<_> =
        checkpoint.tensors.iter().map(|it| (it.name.as_str(), it.bytes)).collect();
    assert_eq!((checkpoint.config, tensors), (7, vec![("a", 8), ("b", 8)]));
    let ranges: Vec<_> = hub.asked().into_iter().map(|asked| asked.range).collect();
    // Two small files whole, then the beginnings of the others.
    assert_eq!(ranges, [None, None, between(0, 262_143), between(0, 262_143)]);
}

#[test]
fn a_checkpoint_that_lies() {
    let none = Hub::start(vec![], vec![]);
    let error = peeked(&none).unwrap_err().to_string();
    assert!(error.contains("neither a GGUF file nor a config.json"), "{error}");
    // A whole shard in the wrong bytes is a header of nonsense.
    let error = peeked(&checkpoint_hub(vec![Fault::Drip(1), Fault::Drip(9), Fault::WrongBytes]));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("m-1.safetensors: its header: a header of"), "{error}");
    let error = peeked(&checkpoint_hub(vec![Fault::Status("403 Forbidden")])).unwrap_err();
    assert!(error.to_string().contains("wants an account"), "{error}");
}

#[test]
fn a_projector_beside_a_model_is_looked_at_too() {
    let written = |architecture: &str| {
        let (mut writer, mut bytes) = (gguf::Writer::new(), Vec::new());
        writer.metadata("general.architecture", gguf::Value::String(architecture.to_owned()));
        writer.tensor("w", &[32, 2], quant::FormatId::F32, vec![0; 256]);
        writer.write_to(&mut bytes).unwrap();
        bytes
    };
    let file = |name, bytes| Served { name, bytes, is_listed_fully: true };
    let files = vec![
        file("m-Q4_K_M.gguf", written("llama")),
        file("mmproj-BF16.gguf", written("other")),
        file("mmproj-F16.gguf", written("clip")),
        file("mmproj-F32.gguf", written("other")),
    ];
    let Peeked::Gguf(headers, Some(beside)) = peeked(&Hub::start(files, vec![])).unwrap() else {
        panic!("both are there")
    };
    assert_eq!((headers.len(), beside.name.as_str()), (1, "mmproj-F16.gguf"));
    let architecture = beside.header.metadata.str("general.architecture").unwrap();
    assert_eq!(architecture, Some("clip"));
}
