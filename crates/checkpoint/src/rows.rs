//! Rows: which tensor of GGUF comes from which of the checkpoint, and how.

use crate::config::Config;
use crate::error::Told;
use crate::limits::HEADS_MAX;
use crate::recipe::Then;
use crate::views::View;

/// One tensor. In names `{l}` is the number of a layer, `{e}` that of an expert.
pub(crate) struct Row {
    /// GGUF's name.
    pub(crate) ours: &'static str,
    /// The checkpoint's.
    pub(crate) theirs: &'static str,
    pub(crate) how: How,
}

/// A row whose tensor is taken as it is.
pub(crate) const fn same(ours: &'static str, theirs: &'static str) -> Row {
    Row { ours, theirs, how: How::Same }
}

/// A row with a change.
pub(crate) const fn row(ours: &'static str, theirs: &'static str, how: How) -> Row {
    Row { ours, theirs, how }
}

/// How a tensor comes about. Shapes are slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As it is; with `{e}` in its name, that of all experts one after the other.
    Same,
    /// One more: a norm's weight that is kept as the difference from 1.
    PlusOne,
    /// `-exp(x)`, in the order of [`How::Tiled`] where that is wanted.
    MinusExp { tiled: bool },
    /// Rows of each query head: pairs that turn are halves of a head there and neighbours here.
    PairedQuery,
    /// The same of key heads.
    PairedKey,
    /// `[.., 2n, k]`: the first or second n rows.
    Half(usize),
    /// `[.., a, b]` as `[.., b, a]`.
    Turned,
    /// `[.., k, 2n]` as `[.., n, k]`: every other column from this one on, turned.
    TurnedTurns(usize),
    /// `[.., 2n]`: every other element from this one on.
    Turns(usize),
    /// `[.., n, blocks, 16]` of MXFP4, with `_scales` for `_blocks`: all rows.
    Blocks,
    /// Every other row of them from this one on.
    BlocksTurns(usize),
    /// `[heads (nope + v), latent]`: the keys' part as `[heads, latent, nope]`.
    LatentKey,
    /// The values' part as `[heads, v, latent]`.
    LatentValue,
    /// Queries, keys, values and gates group by group: queries, keys, values.
    GroupedInput,
    /// The gates of it.
    GroupedGate,
    /// Value heads group by group: the first of each group, then the second of each.
    Tiled,
    /// The same after queries and keys.
    TiledInput,
    /// The same of columns.
    TiledColumns,
}

/// Sizes that views depend on; 0 where a family has no such thing. All are at most [`HEADS_MAX`],
/// so that no product of two of them is beyond measure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    heads: usize,
    kv_heads: usize,
    /// Of a latent head: columns that do not turn, and of values.
    nope: usize,
    latent_v: usize,
    /// Of a delta net.
    groups: usize,
    value_heads: usize,
    key_dim: usize,
    value_dim: usize,
}

impl Sizes {
    /// Where nothing but heads is asked for.
    pub(crate) fn of_heads(heads: usize, kv_heads: usize) -> Sizes {
        Sizes { heads, kv_heads, ..Sizes::default() }
    }

    pub(crate) fn read(config: &Config) -> Told<Sizes> {
        let size =
            |key: &str| -> Told<usize> { Ok(config.whole(key, HEADS_MAX)?.unwrap_or(0) as usize) };
        let heads = size("num_attention_heads")?;
        Ok(Sizes {
            heads,
            kv_heads: match size("num_key_value_heads")? {
                0 => heads,
                kv_heads => kv_heads,
            },
            nope: size("qk_nope_head_dim")?,
            latent_v: size("v_head_dim")?,
            groups: size("linear_num_key_heads")?,
            value_heads: size("linear_num_value_heads")?,
            key_dim: size("linear_key_head_dim")?,
            value_dim: size("linear_value_head_dim")?,
        })
    }
}

/// What a view of a tensor gives.
pub(crate) struct Seen {
    pub(crate) shape: Vec<usize>,
    pub(crate) views: Vec<View>,
    pub(crate) then: Then,
}

impl How {
    /// The view of a tensor of this shape.
    ///
    /// # Errors
    /// When the shape is not one that this can be done with.
    pub(crate) fn see(self, shape: &[usize], sizes: &Sizes) -> Told<Seen> {
        let all: usize = shape.iter().product();
        let bad = || format!("its shape {shape:?} does not fit what config.json says");
        let seen = |shape: Vec<usize>, view| Seen { shape, views: vec![view], then: Then::Keep };
        let whole = || seen(squeezed(shape), View::whole(all));
        let even = |n: usize| n.is_multiple_of(2).then_some(n / 2).ok_or_else(bad);
        let found = match self {
            How::Same | How::Blocks | How::BlocksTurns(_) => whole(),
            How::PlusOne => Seen { then: Then::PlusOne, ..whole() },
            How::MinusExp { tiled } => {
                let how = if tiled { How::Tiled } else { How::Same };
                Seen { then: Then::MinusExp, ..how.see(shape, sizes)? }
            }
            How::PairedQuery | How::PairedKey => {
                let heads = if self == How::PairedQuery { sizes.heads } else { sizes.kv_heads };
                let [rows, rest @ ..] = shape else { return Err(bad()) };
                let k: usize = rest.iter().product();
                let half = even(part(*rows, heads).ok_or_else(bad)?)?;
                let loops = [(heads, 2 * half * k), (half, k), (2, half * k), (k, 1)];
                seen(shape.to_vec(), View::new(0, &loops))
            }
            How::Half(i) => {
                let [outer @ .., rows, k] = shape else { return Err(bad()) };
                let n = even(*rows)?;
                let loops = [(outer.iter().product(), rows * k), (n * k, 1)];
                let shape = [outer, &[n, *k]].concat();
                seen(shape, View::new(i * n * k, &loops))
            }
            How::Turned => {
                let [outer @ .., a, b] = shape else { return Err(bad()) };
                let loops = [(outer.iter().product(), a * b), (*b, 1), (*a, *b)];
                seen([outer, &[*b, *a]].concat(), View::new(0, &loops))
            }
            How::TurnedTurns(i) => {
                let [outer @ .., k, columns] = shape else { return Err(bad()) };
                let n = even(*columns)?;
                let loops = [(outer.iter().product(), k * columns), (n, 2), (*k, *columns)];
                seen([outer, &[n, *k]].concat(), View::new(i, &loops))
            }
            How::Turns(i) => {
                let [outer @ .., len] = shape else { return Err(bad()) };
                let n = even(*len)?;
                let loops = [(outer.iter().product(), *len), (n, 2)];
                seen([outer, &[n]].concat(), View::new(i, &loops))
            }
            How::LatentKey | How::LatentValue => {
                return self.latent(shape, sizes).ok_or_else(bad);
            }
            How::GroupedInput
            | How::GroupedGate
            | How::Tiled
            | How::TiledInput
            | How::TiledColumns => return self.delta_net(shape, sizes).ok_or_else(bad),
        };
        Ok(found)
    }

    fn latent(self, shape: &[usize], sizes: &Sizes) -> Option<Seen> {
        let (heads, nope, v) = (sizes.heads, sizes.nope, sizes.latent_v);
        let [rows, rank] = *shape else { return None };
        let each = part(rows, heads).filter(|each| *each == nope + v && nope > 0 && v > 0)?;
        let (shape, view) = if self == How::LatentKey {
            let loops = [(heads, each * rank), (rank, 1), (nope, rank)];
            (vec![heads, rank, nope], View::new(0, &loops))
        } else {
            let loops = [(heads, each * rank), (v * rank, 1)];
            (vec![heads, v, rank], View::new(nope * rank, &loops))
        };
        Some(Seen { shape, views: vec![view], then: Then::Keep })
    }

    fn delta_net(self, shape: &[usize], sizes: &Sizes) -> Option<Seen> {
        let Sizes { groups, value_heads, key_dim, value_dim, .. } = *sizes;
        let each = part(value_heads, groups)?;
        let [rows, rest @ ..] = shape else { return None };
        let (rows, k): (usize, usize) = (*rows, rest.iter().product());
        // A head is so many elements, and value heads begin at `start`.
        let tiled = |start: usize, head: usize| {
            View::new(start, &[(each, head), (groups, each * head), (head, 1)])
        };
        let (keys, values) = (groups * key_dim, value_heads * value_dim);
        let seen = |shape: Vec<usize>, views| Some(Seen { shape, views, then: Then::Keep });
        match self {
            How::GroupedInput | How::GroupedGate => {
                let group = 2 * key_dim + 2 * each * value_dim;
                (rows == groups * group).then_some(())?;
                let run = |first: usize, len: usize| {
                    View::new(first * k, &[(groups, group * k), (len * k, 1)])
                };
                let v = each * value_dim;
                if self == How::GroupedGate {
                    return seen(vec![values, k], vec![run(2 * key_dim + v, v)]);
                }
                let views = vec![run(0, key_dim), run(key_dim, key_dim), run(2 * key_dim, v)];
                seen(vec![2 * keys + values, k], views)
            }
            How::TiledInput => {
                (rows == 2 * keys + values).then_some(())?;
                let views = vec![View::whole(2 * keys * k), tiled(2 * keys * k, value_dim * k)];
                seen(squeezed(shape), views)
            }
            How::TiledColumns => {
                let [columns] = *rest else { return None };
                (columns == values).then_some(())?;
                let mut loops = vec![(rows, columns)];
                loops.extend(tiled(0, value_dim).loops);
                seen(shape.to_vec(), vec![View { start: 0, loops }])
            }
            _ => seen(squeezed(shape), vec![tiled(0, part(rows, value_heads)? * k)]),
        }
    }
}

/// `whole / parts`, where that is whole and there are any.
fn part(whole: usize, parts: usize) -> Option<usize> {
    (parts > 0 && whole > 0 && whole.is_multiple_of(parts)).then(|| whole / parts)
}

/// Without dimensions of 1 between others: `[n, 1, k]` is `[n, k]`.
fn squeezed(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [n, 1, k] => vec![n, k],
        _ => shape.to_vec(),
    }
}

/// What lies before the first layer and after the last.
pub(crate) const OUTSIDE: &[Row] = &[
    same("token_embd.weight", "model.embed_tokens.weight"),
    same("output_norm.weight", "model.norm.weight"),
    same("output.weight", "lm_head.weight"),
];

/// Norms before blocks.
pub(crate) const NORMS: &[Row] = &[
    same("blk.{l}.attn_norm.weight", "model.layers.{l}.input_layernorm.weight"),
    same("blk.{l}.ffn_norm.weight", "model.layers.{l}.post_attention_layernorm.weight"),
];

/// Queries and keys of attention whose pairs are halves of a head in GGUF too.
pub(crate) const QUERY_KEY: &[Row] = &[
    same("blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.q_proj.weight"),
    same("blk.{l}.attn_k.weight", "model.layers.{l}.self_attn.k_proj.weight"),
    same("blk.{l}.attn_q.bias", "model.layers.{l}.self_attn.q_proj.bias"),
    same("blk.{l}.attn_k.bias", "model.layers.{l}.self_attn.k_proj.bias"),
];

/// Queries and keys of attention whose pairs are neighbours in GGUF.
pub(crate) const QUERY_KEY_PAIRED: &[Row] = &[
    row("blk.{l}.attn_q.weight", "model.layers.{l}.self_attn.q_proj.weight", How::PairedQuery),
    row("blk.{l}.attn_k.weight", "model.layers.{l}.self_attn.k_proj.weight", How::PairedKey),
    row("blk.{l}.attn_q.bias", "model.layers.{l}.self_attn.q_proj.bias", How::PairedQuery),
    row("blk.{l}.attn_k.bias", "model.layers.{l}.self_attn.k_proj.bias", How::PairedKey),
];

/// Values and the way out of attention.
pub(crate) const VALUE_OUT: &[Row] = &[
    same("blk.{l}.attn_v.weight", "model.layers.{l}.self_attn.v_proj.weight"),
    same("blk.{l}.attn_v.bias", "model.layers.{l}.self_attn.v_proj.bias"),
    same("blk.{l}.attn_output.weight", "model.layers.{l}.self_attn.o_proj.weight"),
    same("blk.{l}.attn_output.bias", "model.layers.{l}.self_attn.o_proj.bias"),
];

/// Norms of queries and keys.
pub(crate) const QUERY_KEY_NORMS: &[Row] = &[
    same("blk.{l}.attn_q_norm.weight", "model.layers.{l}.self_attn.q_norm.weight"),
    same("blk.{l}.attn_k_norm.weight", "model.layers.{l}.self_attn.k_norm.weight"),
];

/// A gated block.
pub(crate) const DENSE: &[Row] = &[
    same("blk.{l}.ffn_gate.weight", "model.layers.{l}.mlp.gate_proj.weight"),
    same("blk.{l}.ffn_up.weight", "model.layers.{l}.mlp.up_proj.weight"),
    same("blk.{l}.ffn_down.weight", "model.layers.{l}.mlp.down_proj.weight"),
];

/// Experts, each in tensors of its own.
pub(crate) const EXPERTS: &[Row] = &[
    same("blk.{l}.ffn_gate_inp.weight", "model.layers.{l}.mlp.gate.weight"),
    same("blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.{e}.gate_proj.weight"),
    same("blk.{l}.ffn_up_exps.weight", "model.layers.{l}.mlp.experts.{e}.up_proj.weight"),
    same("blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.{e}.down_proj.weight"),
];

/// Experts in one tensor, as newer releases have them.
pub(crate) const EXPERTS_FUSED: &[Row] = &[
    row("blk.{l}.ffn_gate_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj", How::Half(0)),
    row("blk.{l}.ffn_up_exps.weight", "model.layers.{l}.mlp.experts.gate_up_proj", How::Half(1)),
    same("blk.{l}.ffn_down_exps.weight", "model.layers.{l}.mlp.experts.down_proj"),
];
