//! Prefill rows with AMX: queries, keys, probabilities and values are rounded to bf16, and tiles
//! add up products in f32.
#![expect(unsafe_code, reason = "calls of a function with target features")]

use bytemuck::Zeroable;

use super::softmax::{Merge, NOTHING, State, soft_cap, softmax};
use super::{BLOCK, BLOCK_TILES, Block, Scores, Segment, mask, tile_range};
use crate::activation::WIDE_ROWS;
use crate::codes::GROUP;
use crate::kv::{Element, Geometry};
use crate::prefill::{round_group, side_by_side};
use crate::simd::amx::{Amx, Tiles};
use crate::simd::avx512::Avx512;
use crate::simd::{self, Kernel, LANES, Line, Simd};

/// Groups of 32 positions of a block.
const GROUPS: usize = BLOCK / GROUP;
/// Lines of a tile of weights or of rows.
const TILE: usize = GROUP / 2;

/// One segment of a task of prefill rows.
pub(super) fn add_segment<E: Element>(amx: Amx, mut segment: Segment<'_, E>) {
    let mut registers = Tiles::new(amx);
    registers.set_columns(2 * GROUP);
    // SAFETY: `Amx` is also proof of these features.
    unsafe { run(amx.simd(), &registers, &mut segment) }
}

/// Keys and values of a block, and what becomes of a tile of rows.
struct Work {
    /// `[BLOCK_TILES][groups of head_dim_k][TILE]`: a line is two columns of 16 positions.
    keys: Vec<Line>,
    /// `[tiles of head_dim_v][GROUPS][TILE]`: a line is 16 columns of two positions.
    values: Vec<Line>,
    scores: Box<[[Line; BLOCK_TILES]; WIDE_ROWS]>,
    /// A line is 32 positions of a row.
    probabilities: Box<[[Line; WIDE_ROWS]; GROUPS]>,
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn run<E: Element>(s: Avx512, registers: &Tiles, segment: &mut Segment<'_, E>) {
    let (heads, task) = (segment.heads, segment.task);
    let (g, rows) = (heads.geometry, segment.state.max.len());
    let (width, padded) = (g.value_tiles() * LANES, rows.next_multiple_of(WIDE_ROWS));
    let mut part = if segment.merge {
        State { max: vec![NOTHING; rows], sum: vec![0.0; rows], out: Vec::new() }
    } else {
        std::mem::replace(segment.state, State { max: vec![], sum: vec![], out: vec![] })
    };
    part.out.resize(padded * width, 0.0);
    let queries = rounded(s, &segment.query_values(), g.head_dim_k);
    let groups = g.head_dim_k.div_ceil(GROUP);
    let mut sums = vec![[0.0; LANES]; rows];
    let mut work = Work {
        keys: vec![Line::zeroed(); BLOCK_TILES * groups * TILE],
        values: vec![Line::zeroed(); g.value_tiles() * GROUPS * TILE],
        scores: Box::new(Zeroable::zeroed()),
        probabilities: Box::new(Zeroable::zeroed()),
    };
    let group = heads.n_heads / g.n_kv_heads;
    let tiles = segment.block_tiles();
    for first in tiles.clone().step_by(BLOCK_TILES) {
        let block = segment.block(tile_range(&tiles, first));
        take_keys(s, &mut work.keys, &block, g);
        take_values(s, &mut work.values, &block, g);
        let row_tiles = queries.chunks_exact(groups * WIDE_ROWS);
        for (tile, queries) in row_tiles.enumerate() {
            registers.multiply_rows(&mut work.scores, queries, &work.keys);
            let first = tile * WIDE_ROWS;
            for r in 0..WIDE_ROWS.min(rows - first) {
                let row = first + r;
                let scores: &mut Scores = bytemuck::cast_mut(&mut work.scores[r]);
                if let Some(cap) = heads.soft_cap {
                    soft_cap(s, scores, cap);
                }
                mask(scores, &block.tiles, task.seen(&heads, task.position + row / group));
                let out = &mut part.out[row * width..][..width];
                softmax(s, scores, (&mut part.max[row], &mut sums[row]), out);
                let (values, _) = scores.as_flattened().as_chunks::<GROUP>();
                for (values, lines) in values.iter().zip(work.probabilities.iter_mut()) {
                    round_group(s, values, &mut lines[r]);
                }
            }
            let out = &mut part.out[first * width..][..WIDE_ROWS * width];
            registers.add_weighed(out, &work.probabilities, &work.values);
        }
    }
    part.out.truncate(rows * width);
    for (sum, lanes) in part.sum.iter_mut().zip(&sums) {
        *sum = simd::sum(s, s.load(lanes));
    }
    if segment.merge {
        Merge { state: segment.state, part: &part }.run(s);
    } else {
        *segment.state = part;
    }
}

/// `[row tiles][groups of dim][WIDE_ROWS]` of `x [rows][dim]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn rounded(s: Avx512, x: &[f32], dim: usize) -> Vec<Line> {
    let groups = dim.div_ceil(GROUP);
    let rows = (x.len() / dim).next_multiple_of(WIDE_ROWS);
    let mut lines = vec![Line::zeroed(); rows * groups];
    for (row, x) in x.chunks_exact(dim).enumerate() {
        for (g, x) in x.chunks(GROUP).enumerate() {
            let mut padded = [0.0; GROUP];
            padded[..x.len()].copy_from_slice(x);
            let at = (row / WIDE_ROWS * groups + g) * WIDE_ROWS + row % WIDE_ROWS;
            round_group(s, &padded, &mut lines[at]);
        }
    }
    lines
}

/// Those of positions that are not there stay what they were: their scores are masked.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn take_keys<E: Element>(s: Avx512, out: &mut [Line], block: &Block<'_, E>, g: Geometry) {
    let tiles = out.chunks_exact_mut(g.head_dim_k.div_ceil(GROUP) * TILE);
    for ((out, keys), (_, count)) in tiles.zip(block.keys).zip(block.tiles) {
        if count == 0 {
            continue;
        }
        let (pairs, rest) = keys[..g.head_dim_k].as_chunks::<2>();
        for (line, [low, high]) in out.iter_mut().zip(pairs) {
            s.store_line(line, side_by_side(E::load(s, low), E::load(s, high)));
        }
        if let [last] = rest {
            let line = &mut out[pairs.len()];
            s.store_line(line, side_by_side(E::load(s, last), s.splat(0.0)));
        }
    }
}

/// Zeros where there are no positions: their probabilities are zero, but what lies there may be
/// anything.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c,avx2")]
fn take_values<E: Element>(s: Avx512, out: &mut [Line], block: &Block<'_, E>, g: Geometry) {
    for (tile, out) in out.chunks_exact_mut(GROUPS * TILE).enumerate().take(g.value_tiles()) {
        let mut columns = [[0.0; LANES]; BLOCK];
        for run in block.values.iter().take_while(|run| run.len > 0) {
            for (column, values) in columns[run.column..].iter_mut().zip(run.tile(tile)) {
                s.store(column, E::load(s, values));
            }
        }
        for (line, [low, high]) in out.iter_mut().zip(columns.as_chunks::<2>().0) {
            s.store_line(line, side_by_side(s.load(low), s.load(high)));
        }
    }
}
