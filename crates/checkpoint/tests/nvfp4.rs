//! Folders in NVFP4, as ModelOpt and as compressed-tensors write them: the model is the one whose
//! weights are codes times scales times factors, in F32.

mod loaded;
mod logits;
mod stored;

use std::path::Path;

use gguf::{GgufFile, TensorInfo};
use quant::FormatId;
use serde_json::{Value as Json, json};
use testkit::TinyCheckpoint;

use crate::stored::{Stored, in_f32, model, open, same_logits, values, write};

/// What a code is, without its sign.
const CODES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
/// Weights that share a scale.
const GROUP: usize = 16;

/// What writes such folders, and how.
#[derive(Clone, Copy, Debug)]
enum Writer {
    ModelOpt,
    /// As it was before `config.json` said so too.
    OlderModelOpt,
    CompressedTensors,
}

impl Writer {
    /// Says so in the folder and in the configuration that will be written there.
    fn say(self, folder: &Path, config: &mut Json) {
        config["quantization_config"] = match self {
            Writer::ModelOpt => json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}),
            Writer::OlderModelOpt => {
                say_beside(folder, "NVFP4");
                Json::Null
            }
            Writer::CompressedTensors => {
                json!({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"})
            }
        };
    }

    /// The tensors of a module: of codes, scales, the factor, and one of activations.
    fn tensors(self, module: &str, shape: &[u64], parts: (Vec<u8>, Vec<u8>, f32)) -> [Stored; 4] {
        let (codes, scales, factor) = parts;
        let [n, k] = *shape else { panic!("a matrix") };
        let (of_codes, of_factor, of_input, factor) = match self {
            Writer::ModelOpt | Writer::OlderModelOpt => {
                ("weight", "weight_scale_2", "input_scale", factor)
            }
            Writer::CompressedTensors => {
                ("weight_packed", "weight_global_scale", "input_global_scale", factor.recip())
            }
        };
        let named = |end: &str| format!("{module}{end}");
        let nan = f32::NAN.to_le_bytes().to_vec();
        [
            (named(of_codes), "U8", vec![n, k / 2], codes),
            (named("weight_scale"), "F8_E4M3", vec![n, k / GROUP as u64], scales),
            (named(of_factor), "F32", vec![1], factor.to_le_bytes().to_vec()),
            (named(of_input), "F32", vec![1], nan),
        ]
    }
}

/// ModelOpt's own file.
fn say_beside(folder: &Path, how: &str) {
    let said = json!({
        "producer": {"name": "modelopt", "version": "0.23.0"},
        "quantization": {"quant_algo": how, "kv_cache_quant_algo": "FP8", "group_size": 16},
    });
    std::fs::write(folder.join("hf_quant_config.json"), said.to_string()).expect("a folder");
}

/// E4M3 without its sign.
fn scale_of(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3), f32::from(byte & 7));
    (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7)
}

/// The folder's tensors in NVFP4, and what they come to. Factors are powers of two, so that
/// products with them are exact in either form.
fn quantised(of: &TinyCheckpoint, writer: Writer) -> (Vec<Stored>, TinyCheckpoint) {
    let (mut stored, mut values_of) = (Vec::new(), of.clone());
    let mut rng = testkit::rng(1);
    for (name, shape, values) in &mut values_of.tensors {
        let is_chosen = ["_proj.weight", ".w1.weight", ".w2.weight", ".w3.weight"];
        let is_matrix = shape.len() == 2 && shape[1].is_multiple_of(GROUP as u64);
        if !is_matrix || !is_chosen.iter().any(|end| name.ends_with(end)) {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            stored.push((name.clone(), "F32", shape.clone(), bytes));
            continue;
        }
        let factor = 2.0_f32.powi(-5 - (rng.next_u64() % 3) as i32);
        let codes: Vec<u8> = values.iter().map(|_| rng.next_u64() as u8 & 15).collect();
        // Normal numbers of 1/4 to 2.
        let scale = |_: &[f32]| 0x28 + (rng.next_u64() % 0x18) as u8;
        let scales: Vec<u8> = values.chunks(GROUP).map(scale).collect();
        for (i, (value, code)) in values.iter_mut().zip(&codes).enumerate() {
            let size = CODES[usize::from(code & 7)] * scale_of(scales[i / GROUP]) * factor;
            *value = if code & 8 == 0 { size } else { -size };
        }
        let packed = codes.chunks(2).map(|two| two[0] | two[1] << 4).collect();
        let module = name.strip_suffix("weight").expect("it ends so");
        stored.extend(writer.tensors(module, shape, (packed, scales, factor)));
    }
    (stored, values_of)
}

/// The values of a tensor times its factors; and whether it has any.
fn multiplied(file: &GgufFile, tensor: &TensorInfo) -> (Vec<f32>, bool) {
    let mut found = values(file, tensor);
    let Some(scale) = file.tensor(&tensor.name.replace(".weight", ".scale")) else {
        return (found, false);
    };
    let factors = values(file, scale);
    let each = found.len() / factors.len();
    for (found, factor) in found.chunks_exact_mut(each).zip(factors) {
        found.iter_mut().for_each(|value| *value *= factor);
    }
    (found, tensor.name.ends_with(".weight"))
}

fn same_model(name: &str, writer: Writer, wanted: [usize; 2]) {
    let (of, checkpoint) = model(name);
    let (stored, plain) = quantised(&checkpoint, writer);
    let mut config = checkpoint.config.clone();
    let folder = tempfile::tempdir().expect("a folder");
    writer.say(folder.path(), &mut config);
    write(folder.path(), (&config, &stored));
    let packed = open(folder.path());
    let (_folder, in_f32) = in_f32(&plain);
    let mut count = [0, 0];
    for tensor in in_f32.tensors() {
        let other = packed.tensor(&tensor.name).expect("the same tensors");
        assert_eq!(other.shape, tensor.shape, "{name}: {}", tensor.name);
        let (found, has_factor) = multiplied(&packed, other);
        let format =
            if tensor.shape[0].is_multiple_of(64) { FormatId::NVFP4 } else { FormatId::BF16 };
        assert!(!has_factor || other.format == format, "{name}: {}", tensor.name);
        count[usize::from(format == FormatId::BF16)] += usize::from(has_factor);
        assert!(found == values(&in_f32, tensor), "{name}, {writer:?}: {}", tensor.name);
    }
    assert_eq!(count, wanted, "{name}: matrices in NVFP4, and of rows that are no whole blocks");
    same_logits(&of, &packed, &in_f32);
}

#[test]
fn folders_in_nvfp4_are_what_their_factors_make_of_them() {
    for writer in [Writer::ModelOpt, Writer::CompressedTensors] {
        // Rows of queries and keys in another order; experts; gate and up in one matrix.
        same_model("llama", writer, [12, 2]);
        same_model("qwen3moe", writer, [12, 2]);
        same_model("phi3", writer, [6, 2]);
    }
    same_model("llama", Writer::OlderModelOpt, [12, 2]);
}

/// What `config.json` says goes first; what neither file says is not guessed.
#[test]
fn what_the_older_file_says_counts_where_the_other_says_nothing() {
    let (_, checkpoint) = model("llama");
    let (stored, _) = quantised(&checkpoint, Writer::OlderModelOpt);
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = checkpoint.config.clone();
    let error = |config: &Json| {
        write(folder.path(), (config, &stored));
        checkpoint::open(folder.path()).err().map(|error| error.to_string())
    };
    let said = error(&config).expect("nothing is said");
    assert!(said.contains("q_proj.weight is U8"), "{said}");
    say_beside(folder.path(), "FP8");
    let said = error(&config).expect("another type");
    let why = "hf_quant_config.json: weights quantised by \"modelopt\" as \"FP8\" cannot be run: ";
    assert!(said.contains(why), "{said}");
    Writer::ModelOpt.say(folder.path(), &mut config);
    assert_eq!(error(&config), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut Vec<Stored>), why: &str| {
        let (_, checkpoint) = model("llama");
        let (mut stored, _) = quantised(&checkpoint, Writer::ModelOpt);
        change(&mut stored);
        let mut config = checkpoint.config.clone();
        let folder = tempfile::tempdir().expect("a folder");
        Writer::ModelOpt.say(folder.path(), &mut config);
        write(folder.path(), (&config, &stored));
        let error = checkpoint::open(folder.path()).err().expect(why).to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    };
    fn at<'a>(stored: &'a mut [Stored], name: &str) -> &'a mut Stored {
        let found = stored.iter_mut().find(|(found, ..)| found.ends_with(name));
        found.expect("a tensor of this name")
    }
    let query = "layers.0.self_attn.q_proj.";
    let scales = format!("{query}weight_scale");
    let factor = format!("{query}weight_scale_2");
    refused(&|it| at(it, &factor).3 = vec![0; 4], "weight_scale_2 is no number above 0");
    refused(&|it| at(it, &scales).1 = "U8", "as U8: they do not fit each other");
    // Rows of 24 weights: half a scale.
    let ragged = |it: &mut Vec<Stored>| {
        let rows = at(it, &scales).2[0];
        (at(it, &scales).2, at(it, &scales).3) = (vec![rows, 1], vec![0; rows as usize]);
        let codes = at(it, &format!("{query}weight"));
        (codes.2, codes.3) = (vec![rows, 12], vec![0; 12 * rows as usize]);
    };
    refused(&ragged, "12] as U8 has scales model.layers.0.self_attn.q_proj.weight_scale");
    let gone = |it: &mut Vec<Stored>| it.retain(|(name, ..)| !name.ends_with(&scales));
    refused(&gone, "self_attn.q_proj.weight_scale is missing");
    let gone = |it: &mut Vec<Stored>| it.retain(|(name, ..)| !name.ends_with(&factor));
    refused(&gone, "self_attn.q_proj.weight is U8");
    let more = |it: &mut Vec<Stored>| {
        it.push(("model.norm.input_scale".to_owned(), "F32", vec![1], vec![0; 4]));
    };
    refused(&more, "tensor model.norm.input_scale has no place");
}
