//! Which weights of a folder are of few bits, and what they are multiplied with.

use std::path::Path;

use crate::config::Config;
use crate::error::{Told, shown};
use crate::headers::{CONFIG, small_file};
use crate::limits::CONFIG_BYTES_MAX;
use crate::sources::Sources;
use crate::{Error, Result};

/// Where ModelOpt says how it quantised; of older folders the only place.
const MODELOPT: &str = "hf_quant_config.json";

/// Joins weights of 8 and 4 bits with their factors; refuses what else may be quantised.
pub(crate) fn join(config: &Config, folder: &Path, sources: &mut Sources) -> Result<()> {
    let beside = folder.join(MODELOPT);
    if config.has("quantization_config") || !beside.is_file() {
        return by_config(config, sources).map_err(|why| Error::at(&folder.join(CONFIG), why));
    }
    let said = Config::parse(&small_file(&beside, CONFIG_BYTES_MAX)?);
    let how = said.and_then(|said| said.part("quantization"));
    how.and_then(|how| by_modelopt(&how, sources)).map_err(|why| Error::at(&beside, why))
}

/// By what `config.json` says.
fn by_config(config: &Config, sources: &mut Sources) -> Told<()> {
    let how = config.part("quantization_config")?;
    match how.text("quant_method")? {
        None | Some("mxfp4") => Ok(()),
        Some("fp8") => {
            let block = how.wholes("weight_block_size")?.unwrap_or_default();
            let [rows @ 1..=65_536, columns @ 1..=65_536] = *block else {
                let why = "weight_block_size must be two sizes: fetch a release in BF16 or as GGUF";
                return Err(why.to_owned());
            };
            let scaled: Vec<(usize, usize)> = (0..sources.all().len())
                .filter_map(|by| {
                    let of = sources.all()[by].name.strip_suffix("_scale_inv")?;
                    Some((sources.find(of)?, by))
                })
                .collect();
            let block = (rows as usize, columns as usize);
            scaled.into_iter().try_for_each(|(of, by)| sources.scaled(of, by, block))
        }
        Some("modelopt") => by_modelopt(&how, sources),
        Some("compressed-tensors") if how.text("format")? == Some("nvfp4-pack-quantized") => {
            four_bits(sources, ("weight_packed", "weight_global_scale", f32::recip))
        }
        Some(other) => Err(refusal(&shown(other))),
    }
}

/// By ModelOpt's own words, which are the same in either file.
fn by_modelopt(how: &Config, sources: &mut Sources) -> Told<()> {
    match how.text("quant_algo")? {
        None => Ok(()),
        Some("NVFP4") => four_bits(sources, ("weight", "weight_scale_2", |factor| factor)),
        Some(other) => Err(refusal(&format!("modelopt\" as \"{}", shown(other)))),
    }
}

fn refusal(how: &str) -> String {
    format!("weights quantised by \"{how}\" cannot be run: fetch a release in BF16, or as GGUF")
}

/// Joins weights of 4 bits with their scales and factors, by the ends of their names and what makes
/// a factor of what is written.
fn four_bits(
    sources: &mut Sources,
    (codes, factor, make): (&str, &str, fn(f32) -> f32),
) -> Told<()> {
    let of_factor = |by: usize| Some((sources.all()[by].name.strip_suffix(factor)?.to_owned(), by));
    let found: Vec<(String, usize)> = (0..sources.all().len()).filter_map(of_factor).collect();
    for (module, by) in found {
        let beside = |end: &str| {
            let name = format!("{module}{end}");
            sources.find(&name).ok_or_else(|| format!("tensor {} is missing", shown(&name)))
        };
        let (of, scales) = (beside(codes)?, beside("weight_scale")?);
        let is_one = sources.all()[by].tensor.dtype == "F32" && sources.stored(by).len() == 4;
        let bytes = <[u8; 4]>::try_from(sources.stored(by)).unwrap_or_default();
        let value = make(f32::from_le_bytes(bytes));
        if !(is_one && value.is_finite() && value > 0.0) {
            let name = shown(&sources.all()[by].tensor.name);
            return Err(format!("tensor {name} is no number above 0 in F32: fetch it again"));
        }
        sources.packed(of, (scales, value))?;
        if codes != "weight" {
            sources.alias(format!("{module}weight"), of)?;
        }
    }
    Ok(())
}
