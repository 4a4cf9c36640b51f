//! What is in the store: importing, finding, listing, checking, removing, and what words mean.

use super::{Bench, names_in, sha256};
use crate::blobs::Blobs;
use crate::{Error, ModelSource, Result, Store};

/// A real model; different seeds differ in bytes and not in length.
fn model(seed: u64) -> Vec<u8> {
    testkit::TinyModel { seed, ..testkit::TinyModel::default() }.gguf()
}

fn import(bench: &Bench, file: &str, name: &str) -> Result<crate::Entry> {
    bench.store.import(&bench.path(file), name, 5, &bench.cancelled)
}

#[test]
fn an_imported_file_is_found_listed_checked_and_removed() {
    let bench = Bench::new();
    assert!(bench.store.list().unwrap().is_empty());
    assert!(names_in(bench.home.path()).is_empty(), "asking makes no folders");
    let file = bench.write("m.gguf", &model(1));
    let entry = import(&bench, "m.gguf", "My/Model:Q8").unwrap();
    let len = model(1).len() as u64;
    assert_eq!(
        (entry.name.as_str(), entry.size_bytes, entry.added_unix_s),
        ("my/model:q8", len, 5)
    );
    assert_eq!(entry.sha256, sha256(&model(1)));
    assert_eq!(entry.source, format!("imported from {}", file.display()));
    assert_eq!(bench.store.find("my/MODEL:q8").unwrap(), Some(entry.clone()));
    assert_eq!(bench.store.list().unwrap(), std::slice::from_ref(&entry));
    assert_eq!(bench.store.verify("my/model:q8", &bench.cancelled).unwrap(), entry);
    assert!(bench.store.remove("my/model:q8").unwrap());
    assert!(!bench.store.remove("my/model:q8").unwrap());
    assert!(bench.blobs().is_empty() && file.exists());
}

#[test]
fn two_names_share_bytes_until_the_last_goes() {
    let bench = Bench::new();
    bench.write("m.gguf", &model(1));
    import(&bench, "m.gguf", "a").unwrap();
    import(&bench, "m.gguf", "b").unwrap();
    import(&bench, "m.gguf", "b").unwrap();
    assert_eq!(bench.blobs().len(), 1);
    bench.store.remove("a").unwrap();
    assert_eq!(bench.blobs().len(), 1);
    bench.store.remove("b").unwrap();
    assert!(bench.blobs().is_empty());
}

#[test]
fn a_name_is_not_given_to_other_bytes() {
    let bench = Bench::new();
    bench.write("m.gguf", &model(1));
    bench.write("n.gguf", &model(2));
    let first = import(&bench, "m.gguf", "a").unwrap();
    let error = import(&bench, "n.gguf", "a").unwrap_err();
    assert!(matches!(&error, Error::NameTaken { name } if name == "a"), "{error}");
    assert_eq!(bench.store.find("a").unwrap(), Some(first));
    assert_eq!(bench.blobs().len(), 1, "the other bytes are not kept");
}

#[test]
fn what_is_no_model_is_not_taken_in() {
    let bench = Bench::new();
    let why = |bytes: &[u8]| {
        bench.write("x.gguf", bytes);
        import(&bench, "x.gguf", "x").unwrap_err().to_string()
    };
    assert!(why(b"").contains("empty"));
    assert!(why(b"<html>").contains("web page"));
    assert!(why(b"version https://git-lfs").contains("Git LFS"));
    assert!(why(b"PK\x03\x04").contains("no GGUF file"));
    let cut = why(&model(1)[..model(1).len() - 1000]);
    assert!(cut.contains("x.gguf"), "{cut}");
    assert!(import(&bench, "none.gguf", "x").unwrap_err().to_string().contains("no such file"));
    bench.write("m-00001-of-00002.gguf", &model(1));
    let error = import(&bench, "m-00001-of-00002.gguf", "x").unwrap_err().to_string();
    assert!(error.contains("m-00002-of-00002.gguf: this part"), "{error}");
    assert!(bench.blobs().is_empty());
}

#[test]
fn damage_is_seen() {
    let bench = Bench::new();
    bench.write("m.gguf", &model(1));
    let entry = import(&bench, "m.gguf", "a").unwrap();
    std::fs::remove_file(&entry.path).unwrap();
    std::fs::write(&entry.path, model(2)).unwrap();
    let error = bench.store.verify("a", &bench.cancelled).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    std::fs::write(&entry.path, &model(1)[1..]).unwrap();
    let whole = format!("should be a file of {} bytes", model(1).len());
    let error = bench.store.find("a").unwrap_err().to_string();
    assert!(error.contains(&whole) && error.contains("hob rm a"), "{error}");
    bench.write("models/manifests/a.json", b"{\"version\":1");
    assert!(matches!(bench.store.find("a"), Err(Error::Manifest { .. })));
    assert!(bench.store.list().unwrap().is_empty());
    assert!(bench.store.remove("a").unwrap());
}

#[test]
fn a_forged_manifest_reaches_no_other_folder() {
    let bench = Bench::new();
    let sha256 = "a".repeat(64);
    let refused = |name: &str, sha256: &str| {
        let file = format!("{{\"name\":\"{name}\",\"sha256\":\"{sha256}\",\"bytes\":1}}");
        let text = format!(
            "{{\"version\":1,\"name\":\"a\",\"files\":[{file}],\"source\":\"\",\"added_unix_s\":0}}"
        );
        bench.write("models/manifests/a.json", text.as_bytes());
        matches!(bench.store.find("a"), Err(Error::Manifest { .. }))
    };
    assert!(refused("m", "../../x") && refused("../m", &sha256) && refused("", &sha256));
    assert!(!refused("m", &sha256), "this one is only damaged");
}

#[test]
fn what_words_mean() {
    let bench = Bench::new();
    let file = bench.write("m.gguf", &model(1));
    import(&bench, "m.gguf", "mine").unwrap();
    let resolve = |spec: &str| bench.store.resolve(spec);
    let path = file.to_str().unwrap();
    assert!(matches!(resolve(path), Ok(ModelSource::File(found)) if found == file));
    assert!(matches!(resolve("Mine"), Ok(ModelSource::Entry(entry)) if entry.name == "mine"));
    for name in ["smollm2", "SmolLM2:135M"] {
        assert!(
            matches!(resolve(name), Ok(ModelSource::Catalog(row)) if row.names[0] == "smollm2")
        );
    }
    let Ok(ModelSource::Hub(hub)) = resolve("Owner/Repo:Q8_0") else { panic!("no hub") };
    assert_eq!(hub.to_string(), "Owner/Repo:Q8_0");
    for missing in ["./none", "/none/m.gguf", "m2.gguf", "a/b/c.gguf"] {
        assert!(matches!(resolve(missing), Err(Error::NoFile { .. })), "{missing}");
    }
    let folder = resolve(bench.home.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(folder.contains("it is a folder"), "{folder}");
    let error = resolve("smolm2").unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no model `smolm2`; did you mean `smollm2`?; known names: mine, smollm2; \
         a file: `hob import FILE --name NAME`; a hub repository: OWNER/NAME"
    );
}

#[test]
fn folders_that_cannot_be_written() {
    let bench = Bench::new();
    bench.write("m.gguf", &model(1));
    bench.write("models", b"a file");
    assert!(Store::open(bench.home.path()).unwrap_err().to_string().contains("a file stands"));
    for kind in [std::io::ErrorKind::PermissionDenied, std::io::ErrorKind::ReadOnlyFilesystem] {
        let path = bench.path("x");
        let text = Error::io_needing("writing", &path, kind.into(), Some(77)).to_string();
        let is_whole = text.contains(path.to_str().unwrap()) && text.contains("77 bytes");
        assert!(is_whole && text.contains("HOB_HOME"), "{text}");
    }
}

#[test]
fn disks_that_are_full() {
    let bench = Bench::new();
    let blobs = Blobs::new(bench.home.path().to_owned());
    blobs.check_room(1).unwrap();
    let text = blobs.check_room(1 << 60).unwrap_err().to_string();
    let is_whole =
        text.contains("1152921504606846976 bytes are needed") && text.contains("are free");
    assert!(is_whole && text.contains(bench.home.path().to_str().unwrap()), "{text}");
    // What the system says when it happens in the middle.
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = Error::io_needing("writing", &bench.path("blobs/x"), full, Some(5));
    assert!(matches!(error, Error::DiskFull { needed: 5, .. }), "{error}");
}
