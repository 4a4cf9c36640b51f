//! Headers as they should be, and as someone who means harm would write them.

use std::path::Path;

use super::{Headers, Index, Parsed, SafeTensor, file_header, open_headers, parse};

/// A file with this list, followed by so many bytes.
fn file(list: &str, data: usize) -> Vec<u8> {
    let mut bytes = (list.len() as u64).to_le_bytes().to_vec();
    bytes.extend(list.as_bytes());
    bytes.extend(std::iter::repeat_n(0, data));
    bytes
}

fn tensor(
    name: &str,
    dtype: &'static str,
    shape: &[u64],
    (offset, bytes): (u64, u64),
) -> SafeTensor {
    SafeTensor { name: name.to_owned(), dtype, shape: shape.to_vec(), offset, bytes }
}

#[track_caller]
fn read(bytes: &[u8]) -> Vec<SafeTensor> {
    match parse(bytes, Some(bytes.len() as u64)) {
        Ok(Parsed::Whole(tensors)) => tensors,
        Ok(Parsed::Needs(needed)) => panic!("{needed} bytes are needed"),
        Err(why) => panic!("{why}"),
    }
}

/// The list is refused, for this reason.
#[track_caller]
fn refused(list: &str, data: usize, why: &str) {
    let bytes = file(list, data);
    match parse(&bytes, Some(bytes.len() as u64)) {
        Err(found) => {
            assert!(found.contains(why), "{found}");
            assert!(found.len() < 512 && !found.contains(char::is_control), "{found:?}");
        }
        Ok(_) => panic!("{list} was taken"),
    }
}

const TWO: &str = r#"{"__metadata__":{"format":"pt"},
    "b":{"dtype":"F8_E4M3","shape":[3,2],"data_offsets":[8,14]},
    "a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}"#;

#[test]
fn a_list_of_tensors() {
    let data = 8 + TWO.len() as u64;
    let expected =
        [tensor("b", "F8_E4M3", &[3, 2], (data + 8, 6)), tensor("a", "BF16", &[4], (data, 8))];
    assert_eq!(read(&file(TWO, 14)), expected);
    assert_eq!(read(&file("{}", 0)), []);
    assert_eq!(read(&file(r#"{"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}"#, 8)).len(), 1);
}

#[test]
fn a_beginning_says_how_much_is_needed() {
    let bytes = file(TWO, 14);
    for len in [0, 7] {
        assert!(matches!(parse(&bytes[..len], None), Ok(Parsed::Needs(8))), "{len}");
    }
    let whole = 8 + TWO.len();
    assert!(matches!(parse(&bytes[..whole - 1], None), Ok(Parsed::Needs(n)) if n == whole as u64));
    assert!(matches!(parse(&bytes[..whole], None), Ok(Parsed::Whole(_))));
}

#[test]
fn lengths_that_lie() {
    let long = |length: u64| [length.to_le_bytes().as_slice(), b"{}"].concat();
    for length in [3, 100_000_001, u64::MAX, 1 << 63] {
        assert!(parse(&long(length), Some(10)).is_err(), "{length}");
    }
    // Each of these is below what can be counted; behind a header they are not.
    let (each, mut list) = ((1_u64 << 61) - 1, Vec::new());
    for i in 0..8 {
        let [begin, end] = [i * each, (i + 1) * each];
        let entry = format!("\"dtype\":\"U8\",\"shape\":[{each}],\"data_offsets\":[{begin},{end}]");
        list.push(format!("\"{i}\":{{{entry}}}"));
    }
    let why = parse(&file(&format!("{{{}}}", list.join(",")), 0), None).unwrap_err();
    assert!(why.contains("18446744073709551608 bytes: no file has so many"), "{why}");
    refused(TWO, 13, "its tensors take 14 bytes, and 13 are there");
    refused(TWO, 15, "its tensors take 14 bytes, and 15 are there");
}

#[test]
fn lists_that_lie() {
    let one = |entry: &str| format!("{{\"a\":{entry}}}");
    let of = |dtype: &str, shape: &str, offsets: &str| {
        one(&format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}"))
    };
    refused(&of("BF16", "[4]", "[0,7]"), 7, "does not take the bytes 0 to 7");
    refused(&of("BF16", "[4]", "[8,0]"), 8, "does not take the bytes 8 to 0");
    refused(&of("BF16", "[4]", "[2,10]"), 10, "begins at 2, and 0 is next");
    refused(&of("BF16", "[9223372036854775807,4]", "[0,8]"), 8, "does not take the bytes");
    refused(&of("BF16", "[1,1,1,1,1,1,1,1,4]", "[0,8]"), 8, "more than 8 dimensions");
    // With nothing in them the other dimensions could be anything.
    refused(&of("U8", "[0,4,1152921504606846976,16]", "[0,0]"), 0, "16] holds nothing");
    refused(&of("BF16", "[0,9223372036854775808,4]", "[0,0]"), 0, "4] holds nothing");
    refused(&of("Q4_K", "[4]", "[0,8]"), 8, "a type \"Q4_K\" that hob does not know");
    refused(&of("BF16", "[-4]", "[0,8]"), 8, "invalid value");
    refused(&of("BF16", "[4.0]", "[0,8]"), 8, "invalid type");
    refused(&one("{\"dtype\":\"BF16\",\"shape\":[4]}"), 8, "missing field");
    refused(
        &one("{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8],\"x\":1}"),
        8,
        "unknown",
    );
    let entry = "{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}";
    refused(&format!("{{\"a\":{entry},\"a\":{entry}}}"), 8, "two tensors named a");
    refused(&format!("{{\"a\":{entry},\"b\":{entry}}}"), 8, "begins at 0, and 8 is next");
    refused(&format!("{{\"{}\":{entry}}}", "x".repeat(1025)), 8, "a name too long");
    refused(&format!("{{\"a\":{entry}"), 8, "its header");
    let steering = format!("{{\"a\\n\\u001b[31m\":{entry}}}");
    refused(&steering, 8, "control characters: a\\n\\u{1b}[31m");
    let unknown = format!("{{\"dtype\":\"BF16\",\"\\u001b{}\":1}}", "y".repeat(4096));
    refused(&one(&unknown), 8, "unknown field `\\u{1b}yyy");
    refused("[]", 0, "no list of tensors");
    refused(" {}", 0, "no list of tensors");
    let deep = "[".repeat(100_000);
    refused(&one(&deep), 0, "its header");
}

#[test]
fn indices_that_lie() {
    let parsed =
        |file: &str| Index::parse(format!("{{\"weight_map\":{{\"a\":{file:?}}}}}").as_bytes());
    assert_eq!(parsed("m-00001.safetensors").unwrap().files(), ["m-00001.safetensors"]);
    for name in [
        "../m.safetensors",
        "/etc/m.safetensors",
        "a/m.safetensors",
        "m.bin",
        "",
        "c:m.safetensors",
    ] {
        let error = parsed(name).unwrap_err();
        assert!(error.contains("which is none beside it"), "{error}");
    }
    for name in ["a\\n\\u001b[31m".to_owned(), "x".repeat(6_000_000)] {
        let text = format!("{{\"weight_map\":{{\"{name}\":\"m.safetensors\"}}}}");
        let error = Index::parse(text.as_bytes()).unwrap_err();
        assert!(error.contains("a name ") && error.len() < 512, "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    let map: Vec<String> = (0..1001).map(|i| format!("\"{i}\":\"{i}.safetensors\"")).collect();
    let many = format!("{{\"weight_map\":{{{}}}}}", map.join(","));
    assert!(Index::parse(many.as_bytes()).unwrap_err().contains("more than 1000 files"));
    assert!(Index::parse(b"{}").is_err() && Index::parse(b"").is_err());
}

fn one_tensor(name: &str) -> Vec<u8> {
    file(&format!("{{\"{name}\":{{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}}}"), 8)
}

/// The names of all tensors, or why there are none.
fn names(path: &Path) -> Result<Vec<String>, String> {
    let opened: Result<Headers<()>, _> = open_headers(path);
    let names = |it: Headers<()>| it.tensors.into_iter().map(|tensor| tensor.name).collect();
    opened.map(names).map_err(|error| error.to_string())
}

#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).unwrap();
    let all = || names(folder.path());
    write("model.safetensors", &one_tensor("a"));
    assert!(all().unwrap_err().contains("config.json is missing beside it"));
    write("config.json", b"null");
    assert_eq!(all().unwrap(), ["a"]);
    assert_eq!(names(&at("model.safetensors")).unwrap(), ["a"]);
    // Where there is an index its files are the model, whichever of them is named; with the usual
    // file beside them nobody knows which is meant.
    let index = r#"{"weight_map":{"b":"m-1.safetensors","c":"m-2.safetensors"}}"#;
    write("model.safetensors.index.json", index.as_bytes());
    write("m-1.safetensors", &one_tensor("b"));
    assert!(all().unwrap_err().contains("of other files are in it: name one file"));
    assert_eq!(names(&at("model.safetensors")).unwrap(), ["a"]);
    std::fs::remove_file(at("model.safetensors")).unwrap();
    let error = all().unwrap_err();
    assert!(error.contains("m-2.safetensors") && error.contains("put all parts"), "{error}");
    write("m-2.safetensors", &one_tensor("x"));
    assert!(all().unwrap_err().contains("tensor c is in none of its files"));
    write("m-2.safetensors", &one_tensor("b"));
    assert!(all().unwrap_err().contains("two files have the tensor b"));
    write("m-2.safetensors", &one_tensor("c"));
    assert_eq!(all().unwrap(), ["b", "c"]);
    assert_eq!(names(&at("m-2.safetensors")).unwrap(), ["b", "c"]);
    write("config.json", b"{}");
    assert!(all().unwrap_err().contains("config.json: invalid type"));
    write("config.json", b"null");
    std::fs::remove_file(at("model.safetensors.index.json")).unwrap();
    assert!(all().unwrap_err().contains("name one of them"));
    // However many files of other kinds there are.
    (0..1100).for_each(|i| write(&format!("{i}.txt"), b""));
    assert!(all().unwrap_err().contains("name one of them"));
    std::fs::remove_file(at("m-1.safetensors")).unwrap();
    assert_eq!(all().unwrap(), ["c"]);
    write("m-2.safetensors", b"");
    let error = all().unwrap_err();
    assert!(error.contains("it has 0 bytes, and a header takes 8"), "{error}");
}

#[test]
fn a_file_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let whole = one_tensor("a");
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert!(file_header(&path).is_err(), "{len} bytes");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(
        file_header(&path).unwrap(),
        [tensor("a", "BF16", &[4], (whole.len() as u64 - 8, 8))]
    );
}
