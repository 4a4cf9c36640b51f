//! Hostile files: each fault that llama.cpp's own test of GGUF lists, made by hand, and the word
//! that a person gets for it.

/// A file as raw bytes, so that anything can be wrong with it.
#[derive(Clone)]
struct Raw {
    magic: &'static [u8],
    version: u32,
    n_tensors: Option<u64>,
    n_keys: Option<u64>,
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
}

const F32: u32 = 0;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(name), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

fn tensor(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend(u32::try_from(shape.len()).expect("few").to_le_bytes());
    shape.iter().for_each(|dimension| bytes.extend(dimension.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

impl Raw {
    /// Two keys and two tensors of 8 floats, as they should be.
    fn sound() -> Raw {
        Raw {
            magic: b"GGUF",
            version: 3,
            n_tensors: None,
            n_keys: None,
            keys: vec![key("a", 4, &7_u32.to_le_bytes()), key("b", 8, &text("x"))],
            tensors: vec![tensor("t", &[8], F32, 0), tensor("u", &[4, 2], F32, 32)],
            data: 64,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.n_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.n_keys.unwrap_or(self.keys.len() as u64).to_le_bytes());
        self.keys.iter().chain(&self.tensors).for_each(|part| bytes.extend(part));
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }

    fn key(mut self, bytes: Vec<u8>) -> Raw {
        self.keys.push(bytes);
        self
    }

    fn tensor(mut self, bytes: Vec<u8>) -> Raw {
        self.tensors.push(bytes);
        self
    }
}

fn error(raw: &Raw) -> String {
    let bytes = raw.bytes();
    match gguf::parse(&bytes, bytes.len() as u64) {
        Ok(_) => "it was taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(cases: Vec<(&str, Raw, &str)>) {
    for (name, raw, words) in cases {
        let error = error(&raw);
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
    }
}

#[test]
fn the_sound_file_is_taken() {
    let bytes = Raw::sound().bytes();
    let header = gguf::parse(&bytes, bytes.len() as u64).expect("sound");
    assert_eq!(header.tensors.len(), 2);
    assert_eq!(header.metadata.u32("a").expect("a number"), Some(7));
    assert_eq!(header.tensors[1].offset, header.data_offset + 32);
    let aligned = Raw::sound().key(key("general.alignment", 4, &16_u32.to_le_bytes()));
    let bytes = aligned.bytes();
    assert_eq!(gguf::parse(&bytes, bytes.len() as u64).expect("sound").alignment, 16);
}

#[test]
fn bad_headers() {
    let sound = Raw::sound;
    check(vec![
        ("magic", Raw { magic: b"FUGG", ..sound() }, "not a GGUF file: it begins with \"FUGG\""),
        ("version 0", Raw { version: 0, ..sound() }, "version 0"),
        ("version 1", Raw { version: 1, ..sound() }, "version 1"),
        ("version 4", Raw { version: 4, ..sound() }, "version 4"),
        ("big endian", Raw { version: 3 << 24, ..sound() }, "big-endian"),
        ("too many tensors", Raw { n_tensors: Some(u64::MAX), ..sound() }, "tensors, and"),
        ("too many keys", Raw { n_keys: Some(u64::MAX), ..sound() }, "metadata keys, and"),
    ]);
    let bytes = Raw::sound().bytes();
    for len in [0, 3, 4, 12, 23, 30] {
        let error = gguf::parse(&bytes[..len], len as u64).expect_err("short").to_string();
        assert!(error.contains("truncated"), "{len}: {error}");
    }
}

#[test]
fn bad_keys() {
    let long = [&u64::MAX.to_le_bytes()[..], b"x"].concat();
    let alignment =
        |kind: u32, value: &[u8]| Raw::sound().key(key("general.alignment", kind, value));
    let array = |kind: u32, count: u64| {
        let head = [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
        Raw::sound().key(key("list", 9, &head))
    };
    check(vec![
        (
            "key size",
            Raw::sound().key(long.clone()),
            "a metadata key of 18446744073709551615 bytes",
        ),
        ("empty key", Raw::sound().key(key("", 4, &[0; 4])), "a metadata key is empty"),
        ("key not UTF-8", Raw::sound().key(vec![1, 0, 0, 0, 0, 0, 0, 0, 0xFF]), "not UTF-8"),
        ("type", Raw::sound().key(key("k", 77, &[0; 8])), "unknown type 77"),
        ("duplicate", Raw::sound().key(key("a", 4, &[0; 4])), "two metadata keys named a"),
        ("string size", Raw::sound().key(key("k", 8, &long)), "a string of 18446744073709551615"),
        ("bool", Raw::sound().key(key("k", 7, &[2])), "a bool with the value 2"),
        ("alignment 13", alignment(4, &13_u32.to_le_bytes()), "an alignment of 13"),
        ("alignment 0", alignment(4, &[0; 4]), "an alignment of 0"),
        ("alignment of a wrong type", alignment(8, &text("32")), "general.alignment is a string"),
        ("array count", array(4, u64::MAX), "values in an array"),
        ("array runs out", array(4, 1 << 20), "truncated"),
        ("array of strings runs out", array(8, 1 << 20), "string"),
        ("array type", array(77, 1), "unknown type 77"),
        ("array of arrays", array(9, 1), "an array of arrays"),
    ]);
}

#[test]
fn bad_tensors() {
    let with = |bytes: Vec<u8>| Raw::sound().tensor(bytes);
    let name = "n".repeat(64);
    let zero_dimensions = [text("v"), 0_u32.to_le_bytes().to_vec(), vec![0; 12]].concat();
    check(vec![
        ("name size", with(tensor(&name, &[8], F32, 64)), "a tensor's name of 64 bytes"),
        ("no name", with(tensor("", &[8], F32, 64)), "a tensor without a name"),
        ("no dimensions", with(zero_dimensions), "0 dimensions"),
        ("five dimensions", with(tensor("v", &[1; 5], F32, 64)), "5 dimensions"),
        ("zero", with(tensor("v", &[8, 0], F32, 64)), "a dimension of 0"),
        (
            "negative",
            with(tensor("v", &[u64::MAX], F32, 64)),
            "a dimension of 18446744073709551615",
        ),
        ("count overflow", with(tensor("v", &[1 << 32, 1 << 32], F32, 64)), "not whole F32 blocks"),
        ("bytes overflow", with(tensor("v", &[1 << 62], F32, 64)), "not whole F32 blocks"),
        (
            "end overflow",
            with(tensor("v", &[1 << 60], F32, u64::MAX - 31)),
            "beyond any file's end",
        ),
        ("half a block", with(tensor("v", &[31], 8, 64)), "not whole Q8_0 blocks"),
        ("type", with(tensor("v", &[8], 1234, 64)), "tensor v has type 1234, which hob cannot run"),
        (
            "type known",
            with(tensor("v", &[256], 41, 64)),
            "type Q1_0, which hob cannot run yet; a Q2_K",
        ),
        ("misaligned", with(tensor("v", &[8], F32, 65)), "begins at 65, not a multiple of 32"),
        ("duplicate", with(tensor("t", &[8], F32, 64)), "two tensors named t"),
        ("overlap", with(tensor("v", &[8], F32, 32)), "tensors u and v overlap"),
        ("beyond the end", with(tensor("v", &[8], F32, 1 << 20)), "truncated"),
        ("no data", Raw { data: 0, ..Raw::sound() }, "truncated"),
        ("too little data", Raw { data: 63, ..Raw::sound() }, "truncated"),
    ]);
}

/// Thousands of small lies about a sound file: whatever is believed lies inside it and apart.
#[test]
fn mutations_never_panic_and_never_reach_outside() {
    let seed = 20_261_121;
    let mut rng = testkit::rng(seed);
    let sound = testkit::TinyModel { n_layers: 1, ..testkit::TinyModel::default() }.gguf();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..4000 {
        let mut bytes = sound.clone();
        // Faults in the first bytes hit counts and names; the data that follows is never parsed.
        for _ in 0..=rng.below(4) {
            let at = usize::try_from(rng.below(12_000)).expect("small");
            bytes[at] = if rng.below(2) == 0 { 0xFF } else { rng.next_u64().to_le_bytes()[0] };
        }
        if rng.below(8) == 0 {
            bytes.truncate(usize::try_from(rng.below(bytes.len() as u64)).expect("small"));
        }
        match gguf::parse(&bytes, bytes.len() as u64) {
            Err(_) => refused += 1,
            Ok(header) => {
                taken += 1;
                let mut ends: Vec<(u64, u64)> =
                    header.tensors.iter().map(|t| (t.offset, t.offset + t.size_bytes)).collect();
                ends.sort_unstable();
                let apart = ends.windows(2).all(|pair| pair[0].1 <= pair[1].0);
                let inside = ends.iter().all(|(_, end)| *end <= bytes.len() as u64);
                assert!(apart && inside, "seed {seed}, round {round}");
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}
