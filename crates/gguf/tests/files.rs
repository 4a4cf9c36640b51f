//! Files on disk: what is written is read again, parts of a split model belong together, and
//! every fault names the file.

use std::path::Path;

use gguf::{Array, GgufFile, Value, Writer};
use quant::FormatId;
use testkit::TinyModel;

fn every_value() -> Vec<(&'static str, Value)> {
    let text = |text: &str| text.to_owned();
    vec![
        ("u8", Value::U8(255)),
        ("i8", Value::I8(-1)),
        ("u16", Value::U16(65_535)),
        ("i16", Value::I16(-2)),
        ("u32", Value::U32(u32::MAX)),
        ("i32", Value::I32(i32::MIN)),
        ("f32", Value::F32(0.5)),
        ("bool", Value::Bool(true)),
        ("string", Value::String(text("ä\n漢"))),
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f64", Value::F64(-0.25)),
        ("u8s", Value::Array(Array::U8(vec![1, 2]))),
        ("i8s", Value::Array(Array::I8(vec![-1]))),
        ("u16s", Value::Array(Array::U16(vec![3]))),
        ("i16s", Value::Array(Array::I16(vec![-3]))),
        ("u32s", Value::Array(Array::U32(vec![]))),
        ("i32s", Value::Array(Array::I32(vec![-4, 4]))),
        ("f32s", Value::Array(Array::F32(vec![1.5]))),
        ("bools", Value::Array(Array::Bool(vec![true, false]))),
        ("strings", Value::Array(Array::String(["", "x"].iter().collect()))),
        ("u64s", Value::Array(Array::U64(vec![9]))),
        ("i64s", Value::Array(Array::I64(vec![-9]))),
        ("f64s", Value::Array(Array::F64(vec![2.5]))),
    ]
}

fn write(writer: &Writer, path: &Path) {
    writer.write_to(&mut std::fs::File::create(path).expect("a file")).expect("written");
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.gguf");
    let mut writer = Writer::new();
    for (key, value) in every_value() {
        writer.metadata(key, value);
    }
    let bytes: Vec<u8> = (0..68).collect();
    writer.tensor("q", &[32, 2], FormatId::Q8_0, bytes.clone());
    writer.tensor("f", &[3], FormatId::F32, vec![7; 12]);
    write(&writer, &path);
    let file = GgufFile::open(&path).expect("opens");
    let found: Vec<(&str, &Value)> = file.metadata().iter().collect();
    let wanted = every_value();
    assert_eq!(found, wanted.iter().map(|(key, value)| (*key, value)).collect::<Vec<_>>());
    let tensor = file.tensor("q").expect("q");
    assert_eq!((tensor.n(), tensor.k(), &*file.bytes(tensor)), (2, 32, &bytes[..]));
    assert_eq!(*file.bytes(file.tensor("f").expect("f")), [7; 12]);
    assert_eq!(file.version(), Some(3));
}

/// A model of three files with a tensor each.
/// Two tensors, one of them made while the file is written: `made` bytes of 7.
fn announced(made: usize) -> std::io::Result<Vec<u8>> {
    let (mut writer, mut out) = (Writer::new(), Vec::new());
    assert_eq!(writer.announce("later", &[3, 2], FormatId::F16), 12);
    writer.tensor("now", &[2], FormatId::F32, vec![1, 2, 3, 4, 5, 6, 7, 8]);
    writer.write_with(&mut out, |name, format, out| {
        assert_eq!((name, format), ("later", FormatId::F16));
        out.write_all(&vec![7; made])
    })?;
    Ok(out)
}

#[test]
fn a_tensor_can_be_made_while_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("announced.gguf");
    std::fs::write(&path, announced(12).expect("as long as announced")).expect("a file");
    let file = GgufFile::open(&path).expect("a whole file");
    let bytes = |name| file.bytes(file.tensor(name).expect("a tensor"));
    assert_eq!((&*bytes("later"), &*bytes("now")), (&[7; 12][..], &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    let error = announced(11).expect_err("too short");
    assert_eq!(error.to_string(), "later: 11 bytes were made, not 12");
    let mut writer = Writer::new();
    writer.announce("never", &[4], FormatId::F32);
    writer.write_to(&mut Vec::new()).expect_err("its bytes never came");
}

fn split(folder: &Path) {
    for number in 1..=3_u16 {
        let mut writer = Writer::new();
        writer
            .metadata("split.no", Value::U16(number - 1))
            .metadata("split.count", Value::U16(3))
            .metadata("split.tensors.count", Value::I32(3))
            .tensor(&format!("t{number}"), &[1], FormatId::F32, vec![0; 4]);
        write(&writer, &folder.join(format!("m-{number:05}-of-00003.gguf")));
    }
}

#[test]
fn a_split_model_opens_from_its_first_file() {
    let folder = tempfile::tempdir().expect("a folder");
    split(folder.path());
    let file = GgufFile::open(&folder.path().join("m-00001-of-00003.gguf")).expect("opens");
    assert_eq!(file.paths().len(), 3);
    let names: Vec<&str> = file.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["t1", "t2", "t3"]);
    assert_eq!(file.tensors()[2].shard, 2);
}

fn fault(path: &Path) -> String {
    GgufFile::open(path).map(|_| ()).expect_err("a fault").to_string()
}

#[test]
fn a_split_model_in_disorder_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    split(folder.path());
    let second = fault(&folder.path().join("m-00002-of-00003.gguf"));
    assert!(second.contains("part 2") && second.contains("m-00001-of-00003.gguf"), "{second}");
    std::fs::remove_file(folder.path().join("m-00003-of-00003.gguf")).expect("removed");
    let missing = fault(&folder.path().join("m-00001-of-00003.gguf"));
    assert!(missing.contains("m-00003-of-00003.gguf"), "{missing}");
    let renamed = folder.path().join("renamed.gguf");
    std::fs::copy(folder.path().join("m-00001-of-00003.gguf"), &renamed).expect("copied");
    let renamed = fault(&renamed);
    assert!(renamed.contains("one of 3 files; keep the names"), "{renamed}");
}

#[test]
fn every_fault_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    let whole = TinyModel::default().gguf();
    for (bytes, words) in [
        (&whole[..whole.len() / 2], "truncated"),
        (&whole[..100], "truncated"),
        (&b""[..], "truncated"),
        (&b"this is a text"[..], "not a GGUF file"),
    ] {
        std::fs::write(&path, bytes).expect("written");
        let fault = fault(&path);
        assert!(fault.contains("m.gguf") && fault.contains(words), "{fault}");
    }
    assert!(fault(folder.path()).contains("it is not a file"), "{}", fault(folder.path()));
    assert!(fault(&folder.path().join("none.gguf")).contains("none.gguf"));
}
