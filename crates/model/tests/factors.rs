//! Factors that files keep beside their matrices: a model whose weights are NVFP4 with factors is
//! the one whose weights are what these blocks come to, times the factors, in F32.

mod support;

use gguf::{GgufFile, TensorInfo, Writer};
use quant::FormatId;
use support::{file, load, options, step};
use testkit::reference_models;

/// What rounding costs: the one multiplies weights with the factor, the other products of weights
/// that were; logits reach some tens.
const TOLERANCE: f32 = 1e-4;
/// Matrices that are looked up or not multiplied with.
const WITHOUT: &[&str] = &["token_embd", "ssm_conv1d"];

/// The factors of a tensor: one, or one for each of a stack; none for what is no matrix.
fn factors(i: usize, tensor: &TensorInfo) -> Vec<f32> {
    let is_matrix = tensor.shape.len() > 1 && tensor.name.ends_with(".weight");
    if !is_matrix || WITHOUT.iter().any(|name| tensor.name.contains(name)) {
        return Vec::new();
    }
    let mut rng = testkit::rng(i as u64);
    let count = tensor.shape.get(2).copied().unwrap_or(1);
    (0..count).map(|_| 1.0 + 0.5 * rng.f32()).collect()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The file with factors beside its matrices.
fn with_factors(of: &GgufFile, inputs: bool) -> Writer {
    let mut made = Writer::new();
    for (key, value) in of.metadata().iter() {
        made.metadata(key, value.clone());
    }
    for (i, tensor) in of.tensors().iter().enumerate() {
        made.tensor(&tensor.name, &tensor.shape, tensor.format, of.bytes(tensor).into_owned());
        let factors = factors(i, tensor);
        let mut beside = |end: &str, values: &[f32]| {
            let name = tensor.name.replace(".weight", end);
            made.tensor(&name, &[values.len() as u64], FormatId::F32, bytes_of(values));
        };
        if !factors.is_empty() {
            beside(".scale", &factors);
        }
        if !factors.is_empty() && inputs {
            beside(".input_scale", &vec![f32::NAN; factors.len()]);
        }
    }
    made
}

/// The file with matrices in F32, times their factors where those are wanted.
fn multiplied(of: &GgufFile, wanted: bool) -> Writer {
    let mut made = Writer::new();
    for (key, value) in of.metadata().iter() {
        made.metadata(key, value.clone());
    }
    for (i, tensor) in of.tensors().iter().enumerate() {
        let mut values = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
        tensor.format.dequantize_row(&of.bytes(tensor), &mut values);
        let factors = factors(i, tensor);
        let each = values.len() / factors.len().max(1);
        for (values, factor) in values.chunks_exact_mut(each).zip(&factors).filter(|_| wanted) {
            values.iter_mut().for_each(|value| *value *= factor);
        }
        made.tensor(&tensor.name, &tensor.shape, FormatId::F32, bytes_of(&values));
    }
    made
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst: f32, (a, b)| {
        let error = (a - b).abs();
        if error.is_nan() { f32::NAN } else { worst.max(error) }
    })
}

#[test]
fn products_are_multiplied_with_the_factors_of_their_matrices() {
    for model in reference_models() {
        let of = file(&model.writer(FormatId::NVFP4));
        let logits = |writer: &Writer| {
            let made = file(writer);
            step(&mut load(&made, &options()), &model.tokens, 0, &[3, 0, 7, 5])
        };
        let found = logits(&with_factors(&of, true));
        let off = worst(&found, &logits(&multiplied(&of, true)));
        let moved = worst(&found, &logits(&multiplied(&of, false)));
        println!("{:16} {off:.1e}, without factors {moved:.1e}", model.name);
        assert!(off <= TOLERANCE, "{} is off by {off}", model.name);
        assert!(moved > 100.0 * TOLERANCE, "{}: factors move only {moved}", model.name);
    }
}

#[test]
fn factors_that_cannot_be_are_refused() {
    let models = reference_models();
    let refused = |model: &str, (name, values): (&str, &[f32]), why: &str| {
        let model = models.iter().find(|it| it.name == model).expect("a fixture of this name");
        let mut writer = model.writer(FormatId::NVFP4);
        writer.tensor(name, &[values.len() as u64], FormatId::F32, bytes_of(values));
        let error = model::spec(&file(&writer)).expect_err(why).to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    };
    let (query, gates) = ("blk.0.attn_q.scale", "blk.0.ffn_gate_exps.scale");
    refused("llama", (query, &[0.0]), "a value of the tensor blk.0.attn_q.scale is 0");
    refused("llama", (query, &[f32::NAN]), "blk.0.attn_q.scale is NaN, but must be a number");
    refused("llama", (query, &[1.0; 2]), "blk.0.attn_q.scale is [2]");
    refused("qwen3moe", (gates, &[1.0]), "blk.0.ffn_gate_exps.scale is [1]");
    refused("llama", ("token_embd.scale", &[1.0]), "token_embd.scale is a factor of embeddings");
    refused("llama_tied", ("output.scale", &[1.0]), "output.scale has no place");
    refused("llama", ("blk.0.attn_norm.scale", &[1.0]), "blk.0.attn_norm.scale is a factor of");
    refused("llama", ("blk.0.telepathy.scale", &[1.0]), "telepathy.scale has no place");
}
