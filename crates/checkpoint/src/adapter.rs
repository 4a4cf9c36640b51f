//! Low-rank adapters as the library PEFT writes them, a folder with `adapter_config.json` and
//! `adapter_model.safetensors`, seen as the GGUF file of the same adapter. Rows of the base's
//! family say which tensor is beside which, and in what order its rows are.

use std::collections::HashSet;
use std::path::Path;

use gguf::{GgufFile, Metadata, TensorInfo, Value};
use quant::FormatId;

use crate::config::Config;
use crate::error::{Told, shown_message};
use crate::families::images::{self, Meaning};
use crate::families::{self, Family};
use crate::headers::{Files, small_file};
use crate::limits::{CONFIG_BYTES_MAX, LAYERS_MAX};
use crate::open::assembled;
use crate::recipe::{Recipe, Then};
use crate::rows::{How, Row, Sizes};
use crate::sources::Sources;
use crate::views::View;
use crate::{Error, Result};

/// Name of the configuration in an adapter's folder.
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of the file of its tensors.
const ADAPTER_MODEL: &str = "adapter_model.safetensors";
/// What stands before the base's own names.
const PREFIX: &str = "base_model.model.";

/// Whether a path means an adapter of this form: the folder, or its file of tensors.
#[must_use]
pub fn is_adapter(path: &Path) -> bool {
    folder_of(path).join(ADAPTER_CONFIG).is_file()
        && (path.is_dir() || path.file_name().is_some_and(|name| name == ADAPTER_MODEL))
}

fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }
}

/// Opens an adapter as a GGUF file, for a base with this metadata. What is added is scaled already:
/// its `adapter.lora.alpha` is 0, which says so.
///
/// # Errors
/// When a file is missing, damaged or forged, or the adapter does what cannot be done here, by the
/// name of the tensor or field.
pub fn open_adapter(path: &Path, base: &Metadata) -> Result<GgufFile> {
    let folder = folder_of(path).to_owned();
    let config_path = folder.join(ADAPTER_CONFIG);
    let at_config = |why: String| Error::at(&config_path, shown_message(&why));
    let config = Config::parse(&small_file(&config_path, CONFIG_BYTES_MAX)?).map_err(at_config)?;
    let scaling = Scaling::read(&config).map_err(at_config)?;
    let parts = vec![folder.join(ADAPTER_MODEL)];
    let mut sources = Sources::open(&Files { folder, parts, index: None })?;
    sources.rename(meaning).map_err(|why| Error::at(path, why))?;
    let base = Base::read(base).map_err(|why| Error::at(path, why))?;
    let mut pairs = Pairs { sources: &sources, scaling, used: HashSet::new(), made: Vec::new() };
    pairs.read(&base).map_err(|why| Error::at(path, why))?;
    let (tensors, recipes) = pairs.made.into_iter().unzip();
    let mut metadata = Metadata::new();
    let text = |text: &str| Value::String(text.to_owned());
    metadata.insert("general.type", text("adapter"));
    metadata.insert("general.architecture", text(base.family.architecture));
    metadata.insert("adapter.type", text("lora"));
    metadata.insert("adapter.lora.alpha", Value::F32(0.0));
    Ok(assembled(metadata, tensors, (sources, recipes)))
}

/// What the name of a tensor means: one of an adapter that was trained beside a model of images and
/// text has the name that it would have beside the text alone.
fn meaning(name: &str) -> Meaning {
    let alone = name.strip_prefix(PREFIX).and_then(images::alone);
    Meaning::Text(alone.map_or_else(|| name.to_owned(), |alone| format!("{PREFIX}{alone}")))
}

/// What must be known of the base.
struct Base {
    family: &'static Family,
    layers: u64,
    sizes: Sizes,
}

impl Base {
    fn read(metadata: &Metadata) -> Told<Base> {
        let name = metadata.str_required("general.architecture").map_err(|e| e.to_string())?;
        let family = families::of_architecture(name).ok_or_else(|| {
            format!("adapters in this form are not known for {name}: convert it to GGUF")
        })?;
        let count = |key: &str| metadata.u32(&format!("{name}.{key}")).map_err(|e| e.to_string());
        let heads = count("attention.head_count")?.unwrap_or(0) as usize;
        let kv_heads = count("attention.head_count_kv")?.map_or(heads, |count| count as usize);
        let layers = u64::from(count("block_count")?.unwrap_or(0)).min(LAYERS_MAX);
        Ok(Base { family, layers, sizes: Sizes::of_heads(heads, kv_heads) })
    }
}

/// How much of each pair is added.
struct Scaling {
    alpha: f64,
    /// For modules whose names end so.
    alphas: Vec<(String, f64)>,
    by_root: bool,
}

impl Scaling {
    /// Refuses what changes more than a plain pair does.
    fn read(config: &Config) -> Told<Scaling> {
        let kind = config.text("peft_type")?.unwrap_or("nothing");
        if kind != "LORA" {
            return Err(format!("peft_type is {kind}: only LORA is known"));
        }
        let unknown = |key: &str| format!("{key} is not known here: only plain LoRA is");
        for key in ["use_dora", "use_qalora", "fan_in_fan_out", "lora_bias", "arrow_config"] {
            if config.has(key) && config.flag(key) != Ok(Some(false)) {
                return Err(unknown(key));
            }
        }
        for key in ["layer_replication", "alora_invocation_tokens", "megatron_config"] {
            if config.has(key) {
                return Err(unknown(key));
            }
        }
        if config.maybe_text("bias").is_some_and(|bias| bias != "none") {
            return Err(unknown("bias"));
        }
        // These put other weights into the base before they add to it.
        let init = config.maybe_text("init_lora_weights").unwrap_or("default").to_lowercase();
        if ["pissa", "olora", "corda", "loftq"].iter().any(|kind| init.starts_with(kind)) {
            return Err(format!("init_lora_weights is {init}: convert it to a plain LoRA"));
        }
        let alpha = config.float("lora_alpha")?.ok_or("lora_alpha is missing")?;
        let pattern = config.part("alpha_pattern")?;
        let alphas = pattern.keys().map(|module| {
            if module.contains(['^', '$', '*', '+', '?', '(', '[', '{', '|', '\\']) {
                let shown: String = module.chars().take(64).collect();
                return Err(format!("alpha_pattern has the expression {shown:?}: give names"));
            }
            let alpha = pattern.float(module)?.ok_or("alpha_pattern has a module without one")?;
            Ok((images::alone(module).unwrap_or_else(|| module.to_owned()), alpha))
        });
        let by_root = config.flag("use_rslora")?.unwrap_or(false);
        Ok(Scaling { alpha, alphas: alphas.collect::<Told<_>>()?, by_root })
    }

    /// Of a module and its rank.
    fn of(&self, module: &str, rank: u64) -> Told<f32> {
        let is_for = |name: &str| {
            let before = module.strip_suffix(name);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let own = self.alphas.iter().find(|(name, _)| is_for(name));
        let alpha = own.map_or(self.alpha, |(_, alpha)| *alpha);
        let rank = rank as f64;
        let scale = (alpha / if self.by_root { rank.sqrt() } else { rank }) as f32;
        if scale.is_finite() { Ok(scale) } else { Err(format!("alpha of {module} is {alpha}")) }
    }
}

/// The tensors of an adapter as GGUF has them.
struct Pairs<'a> {
    sources: &'a Sources,
    scaling: Scaling,
    used: HashSet<usize>,
    made: Vec<(TensorInfo, Recipe)>,
}

impl Pairs<'_> {
    fn read(&mut self, base: &Base) -> Told<()> {
        let rows = || base.family.rows.iter().copied().flatten();
        for row in rows() {
            let layers = if row.ours.contains("{l}") { base.layers } else { 1 };
            for layer in 0..layers {
                self.add(row, layer, &base.sizes)?;
            }
        }
        let left = (0..self.sources.all().len()).find(|i| !self.used.contains(i));
        let Some(left) = left else { return Ok(()) };
        let (name, family) = (&self.sources.all()[left].tensor.name, base.family.architecture);
        Err(format!(
            "tensor {name} cannot be applied to a {family}: only pairs beside matrices can"
        ))
    }

    /// The pair beside the tensor of a row, where it is there.
    fn add(&mut self, row: &Row, layer: u64, sizes: &Sizes) -> Told<()> {
        let named = |name: &str| name.replace("{l}", &layer.to_string());
        let (ours, theirs) = (named(row.ours), named(row.theirs));
        let Some(module) = theirs.strip_suffix(".weight") else { return Ok(()) };
        let find = |part: &str| self.sources.find(&format!("{PREFIX}{module}.{part}.weight"));
        let (down, up) = match (find("lora_A"), find("lora_B")) {
            (None, None) => return Ok(()),
            (Some(down), Some(up)) => (down, up),
            _ => return Err(format!("of {module} only one of lora_A and lora_B is there")),
        };
        let is_plain = matches!(row.how, How::Same | How::PairedQuery | How::PairedKey);
        if !is_plain {
            return Err(format!("{module} is kept in another order here: convert it to GGUF"));
        }
        let (of_down, of_up) = (self.matrix(down)?, self.matrix(up)?);
        if of_down[0] != of_up[1] || of_down[0] == 0 {
            return Err(format!("{module}: lora_A is {of_down:?} and lora_B is {of_up:?}"));
        }
        let at = |why: String| format!("{module}: lora_B: {why}");
        let shape = of_up.map(|len| len as usize);
        let seen = row.how.see(&shape, sizes).map_err(at)?;
        let views: Vec<View> = seen.views.iter().map(View::joined).collect();
        views.iter().try_for_each(|view| view.check(shape[0] * shape[1])).map_err(at)?;
        let scale = self.scaling.of(module, of_down[0])?;
        let pieces = |source, views: Vec<View>| views.into_iter().map(|it| (source, it)).collect();
        let all = vec![View::whole((of_down[0] * of_down[1]) as usize)];
        let down_pieces = (pieces(down, all), self.sources.format(down)?, Then::Widen);
        let up_pieces = (pieces(up, views), self.sources.format(up)?, Then::Times(scale));
        self.put(format!("{ours}.lora_a"), of_down, down_pieces);
        self.put(format!("{ours}.lora_b"), of_up, up_pieces);
        self.used.extend([down, up]);
        Ok(())
    }

    fn matrix(&self, source: usize) -> Told<[u64; 2]> {
        let tensor = &self.sources.all()[source].tensor;
        let shape = <[u64; 2]>::try_from(&*tensor.shape);
        shape.map_err(|_| format!("tensor {} is {:?} and no matrix", tensor.name, tensor.shape))
    }

    /// All in F32: adapters are small.
    fn put(
        &mut self,
        name: String,
        [rows, columns]: [u64; 2],
        (pieces, format, then): (Vec<(usize, View)>, FormatId, Then),
    ) {
        let (format_made, offset) = (FormatId::F32, self.made.len() as u64);
        let tensor = TensorInfo {
            name,
            shape: vec![columns, rows],
            format: format_made,
            shard: 0,
            offset,
            size_bytes: rows * columns * format_made.block_bytes() as u64,
        };
        self.made.push((tensor, Recipe::Gathered { pieces, format, then }));
    }
}
