//! The tensors that GGUF would have, each with its recipe, from a family's rows.

use std::collections::HashSet;
use std::ops::Range;

use gguf::TensorInfo;
use quant::FormatId;

use crate::config::Config;
use crate::error::{Told, shown};
use crate::families::{Family, Guesses};
use crate::keys::expert_count;
use crate::limits::{COUNT_MAX, EXPERTS_MAX, LAYERS_MAX};
use crate::mxfp4::CODES;
use crate::recipe::{Recipe, Then};
use crate::rows::{How, Row, Sizes};
use crate::sources::Sources;
use crate::views::View;

/// Matrices that no recipe of types makes smaller, and kernels want in F32.
const EXACT: &[&str] = &["ffn_gate_inp.weight", "ssm_conv1d.weight"];
/// Ends of names of tensors that are no weights: tables that follow from the configuration.
const NO_WEIGHTS: &[&str] = &[".rotary_emb.inv_freq"];

/// Ends of names beside matrices of 4 bits, in place of `weight`.
const NVFP4_BESIDE: &[&str] = &[
    "weight_scale",
    "weight_scale_2",
    "weight_global_scale",
    "input_scale",
    "input_global_scale",
    "k_scale",
    "v_scale",
];

/// The checkpoint's names of the first matrix and the last.
const EMBEDDINGS: &str = "model.embed_tokens.weight";
const OUTPUT: &str = "lm_head.weight";

/// Tensors and recipes, in the order of layers.
pub(crate) struct Directory<'a> {
    sources: &'a Sources,
    family: &'static Family,
    sizes: Sizes,
    layers: u64,
    /// Numbers of layers after them that guess further tokens.
    guessing: Range<u64>,
    experts: u64,
    /// Sources that a recipe takes, or that may be left alone.
    used: HashSet<usize>,
    names: HashSet<String>,
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) recipes: Vec<Recipe>,
}

impl<'a> Directory<'a> {
    pub(crate) fn read(
        sources: &'a Sources,
        family: &'static Family,
        config: &Config,
    ) -> Told<Directory<'a>> {
        let experts = expert_count(config);
        let layers = config.need("num_hidden_layers", LAYERS_MAX)?;
        let guessing = config.whole("num_nextn_predict_layers", LAYERS_MAX)?.unwrap_or(0);
        let mut directory = Directory {
            sources,
            family,
            sizes: Sizes::read(config)?,
            layers,
            guessing: layers..layers + guessing,
            experts: experts.map_or(Ok(0), |key| config.need(key, EXPERTS_MAX))?,
            used: HashSet::new(),
            names: HashSet::new(),
            tensors: Vec::new(),
            recipes: Vec::new(),
        };
        let tied = config.flag("tie_word_embeddings")?.unwrap_or(family.tied);
        let rows = || family.rows.iter().copied().flatten();
        let outside = rows().filter(|row| !row.ours.contains("{l}"));
        for row in outside.filter(|row| !(tied && row.ours == "output.weight")) {
            directory.add(row, 0)?;
        }
        for layer in 0..directory.layers {
            for row in rows().filter(|row| row.ours.contains("{l}")) {
                directory.add(row, layer)?;
            }
        }
        directory.has_ends(tied, config)?;
        directory.leave_alone(tied);
        directory.nothing_left()?;
        Ok(directory)
    }

    /// A tensor of these values.
    pub(crate) fn add_values(&mut self, name: &str, values: Vec<f32>) {
        self.put(name.to_owned(), (&[values.len()], FormatId::F32), Recipe::Values(values));
    }

    /// The tensor of a row, where its sources are there.
    fn add(&mut self, row: &Row, layer: u64) -> Told<()> {
        let theirs = row.theirs.replace("{l}", &layer.to_string());
        let sources = self.named(&theirs)?;
        let [first, ..] = *sources else { return Ok(()) };
        let ours = row.ours.replace("{l}", &layer.to_string());
        if !self.names.insert(ours.clone()) {
            return Err(format!("tensor {theirs} is there in two forms"));
        }
        let at = |why: String| format!("tensor {theirs}: {why}");
        if let How::Blocks | How::BlocksTurns(_) = row.how {
            let (shape, recipe) = self.blocks((first, &theirs), row.how).map_err(at)?;
            self.put(ours, (&shape, FormatId::MXFP4), recipe);
            return Ok(());
        }
        let format = self.sources.format(first)?;
        let dimensions = self.shape(first);
        let mut seen = row.how.see(&dimensions, &self.sizes).map_err(at)?;
        if row.theirs.contains("{e}") {
            seen.shape.insert(0, sources.len());
        }
        let is_small = seen.shape.len() == 1 || EXACT.iter().any(|end| ours.ends_with(end));
        if seen.then == Then::Keep && is_small && format != FormatId::F32 {
            seen.then = Then::Widen;
        }
        let len = dimensions.iter().product::<usize>() / format.block_len();
        let mut views: Vec<View> = seen.views.iter().map(View::joined).collect();
        let elements = views.iter().map(View::len).sum::<usize>().checked_mul(sources.len());
        if elements != Some(seen.shape.iter().product()) || elements == Some(0) {
            return Err(at(format!("its shape {dimensions:?} is none that it can have")));
        }
        if format.block_len() > 1 {
            views = in_blocks(&views, (format, seen.then)).map_err(at)?;
        }
        let factors: Vec<f32> =
            sources.iter().filter_map(|source| self.sources.factor(*source)).collect();
        let mut pieces = Vec::new();
        for source in sources {
            if self.shape(source) != dimensions || self.sources.format(source)? != format {
                return Err(at("its experts are of several shapes or types".to_owned()));
            }
            self.used.insert(source);
            for view in &views {
                view.check(len).map_err(at)?;
                pieces.push((source, view.clone()));
            }
        }
        let then = seen.then;
        let is_plain = then == Then::Keep && *pieces == [(first, View::whole(len))];
        let made = if then == Then::Keep { format } else { FormatId::F32 };
        let recipe = match is_plain {
            true => Recipe::Plain(first),
            false => Recipe::Gathered { pieces, format, then },
        };
        if !factors.is_empty() {
            self.add_values(&ours.replace(".weight", ".scale"), factors);
        }
        self.put(ours, (&seen.shape, made), recipe);
        Ok(())
    }

    /// The source of a name, or of all experts; none where it is not there.
    fn named(&self, theirs: &str) -> Told<Vec<usize>> {
        if !theirs.contains("{e}") {
            return Ok(self.sources.find(theirs).into_iter().collect());
        }
        let of = |expert: u64| theirs.replace("{e}", &expert.to_string());
        if self.sources.find(&of(0)).is_none() {
            return Ok(Vec::new());
        }
        let found = |expert| {
            let name = of(expert);
            self.sources.find(&name).ok_or_else(|| format!("tensor {name} is missing"))
        };
        (0..self.experts.max(1)).map(found).collect()
    }

    fn shape(&self, source: usize) -> Vec<usize> {
        self.sources.shape(source)
    }

    /// `[.., n, blocks, 16]` of codes, and as many scales.
    fn blocks(&mut self, (blocks, name): (usize, &str), how: How) -> Told<(Vec<usize>, Recipe)> {
        let name = name.replace("_blocks", "_scales");
        let scales = self.sources.find(&name).ok_or_else(|| format!("{name} is missing"))?;
        let (shape, of_scales) = (self.shape(blocks), self.shape(scales));
        let bytes = |i: usize| self.sources.all()[i].tensor.dtype == "U8";
        let [experts, rows, row, CODES] = *shape else {
            return Err(format!("its shape {shape:?} is not [experts, rows, blocks, {CODES}]"));
        };
        if of_scales != [experts, rows, row] || !(bytes(blocks) && bytes(scales)) || row == 0 {
            return Err(format!("its scales {name} do not fit it, or either is not U8"));
        }
        let pick = match how {
            How::BlocksTurns(first) => (first, 2),
            _ => (0, 1),
        };
        if !rows.is_multiple_of(pick.1) {
            return Err(format!("its shape {shape:?} has an odd number of rows"));
        }
        self.used.extend([blocks, scales]);
        let shape = vec![experts, rows / pick.1, row * 2 * CODES];
        Ok((shape, Recipe::Blocks { blocks, scales, pick, row }))
    }

    fn put(&mut self, name: String, (shape, format): (&[usize], FormatId), recipe: Recipe) {
        let values: u64 = shape.iter().map(|len| *len as u64).product();
        let size_bytes = values / format.block_len() as u64 * format.block_bytes() as u64;
        let shape = shape.iter().rev().map(|len| *len as u64).collect();
        let offset = self.recipes.len() as u64;
        self.tensors.push(TensorInfo { name, shape, format, shard: 0, offset, size_bytes });
        self.recipes.push(recipe);
    }

    /// What is known to be no part of the model that runs.
    fn leave_alone(&mut self, tied: bool) {
        for (i, source) in self.sources.all().iter().enumerate() {
            let name = &*source.name;
            let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next());
            let layer = layer.and_then(|layer| layer.parse::<u64>().ok());
            let guesses = match self.family.guesses {
                Guesses::None => false,
                Guesses::After => layer.is_some_and(|layer| self.guessing.contains(&layer)),
                Guesses::Apart => name.starts_with("mtp."),
            };
            let is_known = NO_WEIGHTS.iter().any(|end| name.ends_with(end))
                || (tied && name == OUTPUT)
                || self.is_scale(name)
                || self.is_beside(name)
                || guesses
                || source.is_left_out;
            if is_known {
                self.used.insert(i);
            }
        }
    }

    /// Whether it is the factors of a tensor that is read with them.
    fn is_scale(&self, name: &str) -> bool {
        let of = name.strip_suffix("_scale_inv").and_then(|of| self.sources.find(of));
        of.is_some_and(|of| self.sources.is_scaled(of))
    }

    /// Whether it is beside a tensor of 4 bits: scales and a factor that are read with it, and what
    /// activations, keys and values would be rounded by, which they are not here.
    fn is_beside(&self, name: &str) -> bool {
        NVFP4_BESIDE.iter().any(|end| {
            let of =
                name.strip_suffix(end).and_then(|of| self.sources.find(&format!("{of}weight")));
            of.is_some_and(|of| self.sources.factor(of).is_some())
        })
    }

    /// That the embeddings have a row for each token, and that there is a way out of the model.
    fn has_ends(&self, tied: bool, config: &Config) -> Told<()> {
        let rows = |i: usize| self.shape(i).first().copied().unwrap_or(0) as u64;
        if let (Some(found), Some(tokens)) =
            (self.sources.find(EMBEDDINGS).map(rows), config.whole("vocab_size", COUNT_MAX)?)
            && found != tokens
        {
            return Err(format!("vocab_size is {tokens}, and {EMBEDDINGS} has {found} rows"));
        }
        if !tied && self.sources.find(OUTPUT).is_none() {
            return Err(format!("tensor {OUTPUT} is missing, and tie_word_embeddings is false"));
        }
        Ok(())
    }

    fn nothing_left(&self) -> Told<()> {
        let left = |i: &usize| !self.used.contains(i);
        match (0..self.sources.all().len()).find(left) {
            None => Ok(()),
            Some(i) => Err(format!(
                "tensor {} has no place in a {}: it is made of what hob does not know",
                shown(&self.sources.all()[i].tensor.name),
                self.family.architecture
            )),
        }
    }
}

/// Views of whole blocks.
fn in_blocks(views: &[View], (format, then): (FormatId, Then)) -> Told<Vec<View>> {
    let blocks = views.iter().map(|view| view.in_blocks(format.block_len())).collect();
    let blocks: Option<Vec<View>> = blocks;
    let why = || format!("GGUF has it in an order or a type that its {} has not", format.name());
    blocks.filter(|_| then == Then::Keep).ok_or_else(why)
}
