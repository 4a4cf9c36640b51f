//! A real model against an independent implementation, and its memory.

mod support;

use model::{FeedForward, KvShape, LoadOptions};
use support::{load, open, options, step};

/// One position of the fixture.
struct Expected {
    position: usize,
    argmax: usize,
    logsumexp: f64,
    /// Largest |logit| of the whole row.
    highest: f64,
    logits: Vec<(usize, f64)>,
}

/// Parses what `tools/reference/smollm2_logits.py` wrote: tokens and positions.
fn fixture() -> (Vec<u32>, Vec<Expected>) {
    let text = include_str!("fixtures/smollm2_logits.txt");
    let (mut tokens, mut rows) = (Vec::new(), Vec::<Expected>::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (first, rest) = line.split_once(' ').expect("two words");
        match first {
            "tokens" => tokens = rest.split(' ').map(|id| id.parse().expect("a number")).collect(),
            "position" => rows.push(Expected {
                position: rest.parse().expect("a number"),
                argmax: 0,
                logsumexp: 0.0,
                highest: 0.0,
                logits: Vec::new(),
            }),
            "argmax" => {
                rows.last_mut().expect("a position first").argmax = rest.parse().expect("a number")
            }
            "logsumexp" => {
                rows.last_mut().expect("a position first").logsumexp =
                    rest.parse().expect("a number")
            }
            "highest" => {
                rows.last_mut().expect("a position first").highest = rest.parse().expect("a number")
            }
            token => {
                let logit = (token.parse().expect("a number"), rest.parse().expect("a number"));
                rows.last_mut().expect("a position first").logits.push(logit);
            }
        }
    }
    (tokens, rows)
}

/// Every logit of the fixture within 1e-4 of the row's largest |logit|: numpy sums in f32 through
/// 30 layers, so that a logit's error goes with the scale of all of them and not with its own.
#[test]
fn logits_are_those_of_numpy() {
    let (tokens, rows) = fixture();
    let file = open(&testkit::smollm2_required());
    let mut model = load(&file, &options());
    assert_eq!(model.parameters(), 134_515_008);
    let logits = step(&mut model, &tokens, 0, &[2, 0, 1]);
    let vocab = model.spec().vocab;
    assert_eq!((rows.len(), vocab), (3, 49_152));
    for expected in rows {
        let row = &logits[expected.position * vocab..][..vocab];
        let argmax = (0..vocab).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert_eq!(argmax, expected.argmax, "position {}", expected.position);
        assert!(expected.logits.len() == 200 && expected.highest > 1.0);
        let bound = 1e-4 * expected.highest;
        let sum: f64 = row.iter().map(|logit| (f64::from(*logit) - expected.highest).exp()).sum();
        let logsumexp = sum.ln() + expected.highest;
        assert!((logsumexp - expected.logsumexp).abs() <= bound, "{logsumexp}");
        for (token, logit) in expected.logits {
            let error = (f64::from(row[token]) - logit).abs();
            let position = expected.position;
            assert!(error <= bound, "token {token} at {position}: {} not {logit}", row[token]);
        }
    }
}

#[test]
fn headers_say_what_it_is() {
    let file = open(&testkit::smollm2_required());
    let spec = model::spec(&file).unwrap();
    assert_eq!((spec.layers.len(), spec.d, spec.vocab), (30, 576, 49_152));
    let FeedForward::Dense(dense) = spec.layers[29].feed_forward else { panic!("dense") };
    assert_eq!((spec.layers[0].mixer.n_heads(), dense.ffn), (9, 1536));
    let kv = KvShape { n_kv_heads: 3, head_dim_k: 64, head_dim_v: 64 };
    assert_eq!(spec.kv_shape(), (Some(kv), 30));
    assert_eq!((spec.context_len, spec.tied), (8192, true));
    let options = LoadOptions { context_len: 2048, kv_page_count: 256, ..options() };
    let need = model::memory_need(&file, &options, &tensor::reference::Reference::new()).unwrap();
    // 30 layers of 3 heads of 64 keys and 64 values, 4 bytes each, for 2048 positions.
    assert_eq!(need.kv_bytes, 30 * 3 * 128 * 4 * 2048);
    let tensors: u64 = file.tensors().iter().map(|tensor| tensor.size_bytes).sum();
    assert_eq!(need.weights_bytes, tensors);
}
