//! What must not change a model's numbers: how a sequence is cut into steps, and who else is there.

mod support;

use gguf::Value;
use model::Mixer;
use quant::FormatId;
use support::{PAGE_LEN, bits, file, load, options, step};
use tensor::{Batch, Span};
use testkit::TinyModel;

fn tokens(seed: u64, len: usize) -> Vec<u32> {
    let mut rng = testkit::rng(seed);
    (0..len).map(|_| u32::try_from(rng.next_u64() % 256).expect("below 256")).collect()
}

#[test]
fn whole_chunked_and_one_by_one_are_the_same_bits() {
    // Formats with different block lengths, and the wide ones that need 256 columns.
    let wide = |format| TinyModel { format, d: 256, ffn: 256, ..TinyModel::default() };
    for tiny in [
        TinyModel::default(),
        TinyModel { tied: true, seed: 2, ..TinyModel::default() },
        TinyModel { format: FormatId::F32, n_kv_heads: 1, ..TinyModel::default() },
        TinyModel { format: FormatId::Q4_1, n_kv_heads: 4, ..TinyModel::default() },
        TinyModel { format: FormatId::IQ4NL, ..TinyModel::default() },
        TinyModel { format: FormatId::MXFP4, ..TinyModel::default() },
        TinyModel { format: FormatId::NVFP4, ..TinyModel::default() },
        wide(FormatId::IQ1M),
        wide(FormatId::IQ2XXS),
        wide(FormatId::IQ3S),
        wide(FormatId::IQ4XS),
        wide(FormatId::Q4K),
        wide(FormatId::Q6K),
    ] {
        let file = file(&tiny.writer());
        let mut model = load(&file, &options());
        let tokens = tokens(tiny.seed, 41);
        let whole = step(&mut model, &tokens, 0, &[5, 0, 9, 2, 7, 30]);
        assert_eq!(whole.len(), tokens.len() * tiny.vocab as usize);
        assert!(whole.iter().all(|logit| logit.is_finite()));
        assert!(whole[0] != whole[1], "logits say something");
        for chunk in [1, 3, PAGE_LEN, 40] {
            let mut cut = Vec::new();
            for (i, tokens) in tokens.chunks(chunk).enumerate() {
                cut.extend(step(&mut model, tokens, i * chunk, &[31, 4, 1, 20, 3, 6]));
            }
            assert_eq!(bits(&cut), bits(&whole), "chunks of {chunk}, {tiny:?}");
        }
    }
}

#[test]
fn neighbours_do_not_show() {
    let file = file(&TinyModel::default().writer());
    let mut model = load(&file, &options());
    let sequences = [tokens(1, 9), tokens(2, 1), tokens(3, 30)];
    let pages = [vec![3, 1], vec![8], vec![10, 12, 11, 9]];
    let alone: Vec<Vec<f32>> = sequences
        .iter()
        .zip(&pages)
        .map(|(tokens, pages)| step(&mut model, tokens, 0, pages))
        .collect();
    let span =
        |s: usize| Span { rows: sequences[s].len(), first_position: 0, pages: &pages[s], state: 0 };
    let empty = Span { rows: 0, first_position: 0, pages: &[], state: 0 };
    let spans = [span(2), empty, span(0), span(1)];
    let all = [&sequences[2][..], &sequences[0], &sequences[1]].concat();
    let rows: Vec<u32> = (0..40).collect();
    let mut logits = Vec::new();
    model.forward((&Batch::decode(&all, &spans), &[]), &rows, &mut logits).unwrap();
    let expected = [&alone[2][..], &alone[0], &alone[1]].concat();
    assert_eq!(bits(&logits), bits(&expected));
    // Some rows, in any order and more than once.
    let vocab = model.spec().vocab;
    model.forward((&Batch::decode(&all, &spans), &[]), &[39, 0, 0], &mut logits).unwrap();
    let row = |r: usize| &expected[r * vocab..][..vocab];
    assert_eq!(bits(&logits), bits(&[row(39), row(0), row(0)].concat()));
    model.forward((&Batch::decode(&[], &[]), &[]), &[], &mut logits).unwrap();
    assert!(logits.is_empty());
}

#[test]
fn biases_are_added() {
    let tiny = TinyModel { n_layers: 1, ..TinyModel::default() };
    let with = |value: f32| {
        let mut writer = tiny.writer();
        for (name, len) in [("attn_q", 64), ("attn_k", 32), ("attn_v", 32), ("attn_output", 64)] {
            let bytes = (0..len).flat_map(|_| value.to_le_bytes()).collect();
            writer.tensor(&format!("blk.0.{name}.bias"), &[len], FormatId::F32, bytes);
        }
        let file = file(&writer);
        let mut model = load(&file, &options());
        let Mixer::Attention(spec) = model.spec().layers[0].mixer else { panic!("attention") };
        assert!(spec.input_biases && spec.output_bias);
        step(&mut model, &[1, 2, 3], 0, &[0])
    };
    let none = step(&mut load(&file(&tiny.writer()), &options()), &[1, 2, 3], 0, &[0]);
    assert_eq!(with(0.0), none);
    assert_ne!(with(0.5), none);
}

#[test]
fn rope_factors_and_scaling_slow_the_turning() {
    let tiny = TinyModel::default();
    let frequencies = |writer: &gguf::Writer| {
        model::spec(&file(writer)).expect("sound").ropes.remove(0).inverse_frequencies
    };
    let plain = frequencies(&tiny.writer());
    assert_eq!(plain.len(), 8);
    let mut writer = tiny.writer();
    let bytes = (0..8_u8).flat_map(|i| f32::from(1_u8 << i).to_le_bytes()).collect();
    writer.tensor("rope_freqs.weight", &[8], FormatId::F32, bytes);
    let slowed: Vec<f32> =
        plain.iter().zip(0_u8..).map(|(f, i)| f / f32::from(1_u8 << i)).collect();
    assert_eq!(frequencies(&writer), slowed);
    let mut writer = tiny.writer();
    writer.metadata("llama.rope.scaling.type", Value::String("linear".to_owned()));
    writer.metadata("llama.rope.scaling.factor", Value::F32(4.0));
    let slowed: Vec<f32> = plain.iter().map(|frequency| frequency / 4.0).collect();
    assert_eq!(frequencies(&writer), slowed);
}
