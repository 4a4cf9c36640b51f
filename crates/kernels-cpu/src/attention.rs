//! Causal attention over the paged cache: online softmax over blocks of key tiles.
//!
//! **Invariant:** a row's result is a chain over blocks of 64 positions, kept apart in segments of
//! 512 that are merged in order. Both borders depend on the position alone, and masked positions
//! change nothing, so neither batch nor chunking nor threads can be seen in a result.
#![expect(unsafe_code, reason = "threads write disjoint heads of one output")]

use tensor::{Batch, Span};

use crate::isa::Isa;
use crate::kv::{Element, Geometry, Layer};
use crate::simd::{self, Kernel, LANES, Simd, lanes_of};
use crate::threads::{Parts, Pool};

/// Key tiles of a block.
const BLOCK_TILES: usize = 4;
/// Positions of a block.
const BLOCK: usize = BLOCK_TILES * LANES;
/// Key tiles of a segment.
const SEGMENT_TILES: usize = 32;
/// Query rows of one sequence that are computed together.
const QUERY_ROWS: usize = 16;
/// Rows of the micro-kernel.
const ROWS: usize = 4;
/// The maximum before any score: finite, so that differences of it are no NaN.
const NOTHING: f32 = -1.0e30;

/// What one call of attention is about.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) geometry: Geometry,
    pub(crate) n_heads: usize,
    pub(crate) scale: f32,
    /// `[rows, n_heads * head_dim_k]`.
    pub(crate) q: &'a [f32],
}

/// Query rows `first..first + rows` of a span and the one KV head they read.
#[derive(Clone, Copy)]
struct Task<'a> {
    span: &'a Span<'a>,
    /// Batch row of the first query.
    row: usize,
    /// Position of the first query.
    position: usize,
    queries: usize,
    kv_head: usize,
}

/// Running softmax of `rows` (query, head) pairs.
#[derive(Clone)]
struct State {
    max: Vec<f32>,
    sum: Vec<f32>,
    /// `[rows][head_dim_v rounded up to 16]`, not yet divided by `sum`.
    out: Vec<f32>,
}

/// `out [rows, n_heads * head_dim_v]`.
pub(crate) fn attention<E: Element>(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    heads: Heads<'_>,
    layer: &Layer<E>,
    batch: &Batch<'_>,
) {
    let out = Parts::new(out);
    let tasks = tasks(heads.geometry.n_kv_heads, batch);
    let segments = |task: &Task<'_>| task.tiles(heads.geometry.page_len).div_ceil(SEGMENT_TILES);
    let longest = tasks.iter().map(segments).max().unwrap_or(0);
    if longest <= 1 || tasks.len() >= 4 * pool.threads() {
        pool.run(tasks.len(), |index| {
            let task = &tasks[index];
            let mut state = State::new(heads, task);
            for segment in 0..segments(task) {
                isa.run(Segment { heads, layer, task, segment, state: &mut state, merge: true });
            }
            state.write(&out, heads, task);
        });
        return;
    }
    let mut parts: Vec<(usize, usize, State)> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        parts.extend((0..segments(task)).map(|segment| (index, segment, State::new(heads, task))));
    }
    pool.run_parts(&mut parts, 1, |_, parts| {
        for (index, segment, state) in parts {
            let (task, segment) = (&tasks[*index], *segment);
            isa.run(Segment { heads, layer, task, segment, state, merge: false });
        }
    });
    let mut parts = parts.iter();
    for task in &tasks {
        let mut state = State::new(heads, task);
        for (_, _, part) in parts.by_ref().take(segments(task)) {
            isa.run(Merge { state: &mut state, part });
        }
        state.write(&out, heads, task);
    }
}

fn tasks<'a>(n_kv_heads: usize, batch: &Batch<'a>) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut row = 0;
    for span in batch.spans {
        // The longest first, so that the last chunks are the short ones.
        for first in (0..span.rows).step_by(QUERY_ROWS).rev() {
            let queries = QUERY_ROWS.min(span.rows - first);
            let (row, position) = (row + first, span.first_position + first);
            tasks.extend((0..n_kv_heads).map(|kv_head| Task {
                span,
                row,
                position,
                queries,
                kv_head,
            }));
        }
        row += span.rows;
    }
    tasks
}

impl Task<'_> {
    /// Key tiles up to the last query's position.
    fn tiles(&self, page_len: usize) -> usize {
        let last = self.position + self.queries - 1;
        last / page_len * page_len.div_ceil(LANES) + last % page_len / LANES + 1
    }
}

impl State {
    fn new(heads: Heads<'_>, task: &Task<'_>) -> State {
        let rows = task.queries * (heads.n_heads / heads.geometry.n_kv_heads);
        let width = heads.geometry.head_dim_v.next_multiple_of(LANES);
        State { max: vec![NOTHING; rows], sum: vec![0.0; rows], out: vec![0.0; rows * width] }
    }

    fn write(&self, out: &Parts<'_, f32>, heads: Heads<'_>, task: &Task<'_>) {
        let (group, dim) = (heads.n_heads / heads.geometry.n_kv_heads, heads.geometry.head_dim_v);
        let width = dim.next_multiple_of(LANES);
        for (i, values) in self.out.chunks_exact(width).enumerate() {
            let head = task.kv_head * group + i % group;
            let at = ((task.row + i / group) * heads.n_heads + head) * dim;
            // SAFETY: each (row, head) belongs to one task; the slice ends in this iteration.
            let out = unsafe { out.slice(at, dim) };
            for (out, value) in out.iter_mut().zip(values) {
                *out = value / self.sum[i];
            }
        }
    }
}

struct Segment<'a, E> {
    heads: Heads<'a>,
    layer: &'a Layer<E>,
    task: &'a Task<'a>,
    segment: usize,
    state: &'a mut State,
    /// Into what `state` holds already, or instead of it.
    merge: bool,
}

/// Memory of one segment's work.
struct Scratch {
    /// `[rows][head_dim_k]`, times the scale.
    q: Vec<f32>,
    /// `[BLOCK_TILES][head_dim_k][16]`.
    keys: Vec<f32>,
    /// `[BLOCK][width]`.
    values: Vec<f32>,
    /// `[rows][BLOCK]`: scores, then probabilities.
    scores: Vec<f32>,
    /// `[rows][16]`: the sums of probabilities, lane by lane.
    sums: Vec<f32>,
    /// First position and count of valid positions of each tile.
    tiles: [(usize, usize); BLOCK_TILES],
}

impl<E: Element> Kernel for Segment<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (g, rows) = (self.heads.geometry, self.state.max.len());
        let width = g.head_dim_v.next_multiple_of(LANES);
        let mut scratch = Scratch {
            q: self.queries(),
            keys: vec![0.0; BLOCK_TILES * g.key_tile()],
            values: vec![0.0; BLOCK * width],
            scores: vec![0.0; rows * BLOCK],
            sums: vec![0.0; rows * LANES],
            tiles: [(0, 0); BLOCK_TILES],
        };
        let mut part = if self.merge {
            State { max: vec![NOTHING; rows], sum: vec![0.0; rows], out: vec![0.0; rows * width] }
        } else {
            std::mem::replace(self.state, State { max: vec![], sum: vec![], out: vec![] })
        };
        let first = self.segment * SEGMENT_TILES;
        let last = (first + SEGMENT_TILES).min(self.task.tiles(g.page_len));
        for block in (first..last).step_by(BLOCK_TILES) {
            self.load_block(s, &mut scratch, block..last.min(block + BLOCK_TILES));
            let used = scratch.tiles.iter().filter(|tile| tile.1 > 0).count();
            multiply(s, &mut scratch.scores, &scratch.q, Right::keys(&scratch.keys, g));
            self.softmax(s, &mut scratch, &mut part);
            let right = Right::values(&scratch.values[..used * LANES * width], width);
            multiply(s, &mut part.out, &scratch.scores, right);
        }
        for (r, sums) in scratch.sums.as_chunks::<LANES>().0.iter().enumerate() {
            part.sum[r] = simd::sum(s, s.load(sums));
        }
        if self.merge {
            Merge { state: self.state, part: &part }.run(s);
        } else {
            *self.state = part;
        }
    }
}

impl<E: Element> Segment<'_, E> {
    fn queries(&self) -> Vec<f32> {
        let (heads, dim) = (&self.heads, self.heads.geometry.head_dim_k);
        let group = heads.n_heads / heads.geometry.n_kv_heads;
        let mut q = Vec::with_capacity(self.task.queries * group * dim);
        for query in 0..self.task.queries {
            let first = (self.task.row + query) * heads.n_heads + self.task.kv_head * group;
            q.extend(heads.q[first * dim..][..group * dim].iter().map(|q| q * heads.scale));
        }
        q
    }

    /// Converts the tiles of a block to f32 and notes where they stand.
    #[inline(always)]
    fn load_block<S: Simd>(&self, s: S, scratch: &mut Scratch, tiles: std::ops::Range<usize>) {
        let g = self.heads.geometry;
        let width = g.head_dim_v.next_multiple_of(LANES);
        let end = self.task.position + self.task.queries;
        scratch.tiles = [(0, 0); BLOCK_TILES];
        for (i, tile) in tiles.enumerate() {
            let (page, offset) = (tile / g.tiles(), tile % g.tiles() * LANES);
            let position = page * g.page_len + offset;
            let page = self.task.span.pages[page] as usize;
            let count = LANES.min(g.page_len - offset).min(end - position);
            scratch.tiles[i] = (position, count);
            let at =
                self.task.kv_head * g.keys() + (page * g.tiles() + offset / LANES) * g.key_tile();
            let keys = self.layer.keys[at..][..g.key_tile()].as_chunks::<LANES>().0;
            let out = &mut scratch.keys[i * g.key_tile()..][..g.key_tile()];
            for (out, keys) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(keys) {
                s.store(out, E::load(s, keys));
            }
            let at = self.task.kv_head * g.values() + (page * g.page_len + offset) * g.head_dim_v;
            let values = &self.layer.values[at..][..count * g.head_dim_v];
            let out = &mut scratch.values[i * LANES * width..][..LANES * width];
            for (out, values) in out.chunks_exact_mut(width).zip(values.chunks_exact(g.head_dim_v))
            {
                load_row(s, out, values);
            }
            out[count * width..].fill(0.0);
        }
    }

    /// Turns scores into probabilities and moves the running maximum and sums on.
    #[inline(always)]
    fn softmax<S: Simd>(&self, s: S, scratch: &mut Scratch, part: &mut State) {
        let group = self.heads.n_heads / self.heads.geometry.n_kv_heads;
        let width = self.heads.geometry.head_dim_v.next_multiple_of(LANES);
        let rows = scratch.scores.as_chunks_mut::<BLOCK>().0;
        for (r, scores) in rows.iter_mut().enumerate() {
            let end = self.task.position + r / group + 1;
            let tiles = scores.as_chunks_mut::<LANES>().0;
            for (scores, (position, count)) in tiles.iter_mut().zip(scratch.tiles) {
                let valid = end.saturating_sub(position).min(count);
                scores[valid..].fill(f32::NEG_INFINITY);
            }
            let highest = s.max(
                s.max(s.load(&tiles[0]), s.load(&tiles[1])),
                s.max(s.load(&tiles[2]), s.load(&tiles[3])),
            );
            let highest = s.highest(highest);
            let max = if highest > part.max[r] { highest } else { part.max[r] };
            let change = simd::exp(s, s.splat(part.max[r] - max));
            part.max[r] = max;
            let sums = scratch.sums[r * LANES..].first_chunk_mut().expect("a row of sums");
            let mut sum = s.mul(s.load(sums), change);
            for scores in tiles {
                let p = simd::exp(s, s.sub(s.load(scores), s.splat(max)));
                sum = s.add(sum, p);
                s.store(scores, p);
            }
            s.store(sums, sum);
            for out in part.out[r * width..][..width].as_chunks_mut::<LANES>().0 {
                s.store(out, s.mul(s.load(out), change));
            }
        }
    }
}

#[inline(always)]
fn load_row<S: Simd, E: Element>(s: S, out: &mut [f32], values: &[E]) {
    let (full, rest) = values.as_chunks::<LANES>();
    for (out, values) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(full) {
        s.store(out, E::load(s, values));
    }
    if !rest.is_empty() {
        let mut padded = [E::zeroed(); LANES];
        padded[..rest.len()].copy_from_slice(rest);
        let at = full.len() * LANES;
        s.store(out[at..].first_chunk_mut().expect("rows are padded"), E::load(s, &padded));
    }
}

/// A matrix `[depth][columns]` in tiles of 16 columns.
#[derive(Clone, Copy)]
struct Right<'a> {
    data: &'a [f32],
    depth: usize,
    /// From one tile of columns to the next.
    tile_step: usize,
    /// From one row to the next.
    row_step: usize,
    tiles: usize,
    /// From one row of the left matrix to the next.
    left_step: usize,
    /// Whether the product is added to what is there.
    add: bool,
}

impl<'a> Right<'a> {
    /// Keys: depth is the head width, columns are positions.
    fn keys(data: &'a [f32], g: Geometry) -> Right<'a> {
        let (depth, tile_step) = (g.head_dim_k, g.key_tile());
        let (tiles, left_step) = (BLOCK_TILES, g.head_dim_k);
        Right { data, depth, tile_step, row_step: LANES, tiles, left_step, add: false }
    }

    /// Values: depth is the positions of a block, columns are the head width.
    fn values(data: &'a [f32], width: usize) -> Right<'a> {
        let (depth, tiles) = (data.len() / width, width / LANES);
        Right { data, depth, tile_step: LANES, row_step: width, tiles, left_step: BLOCK, add: true }
    }
}

/// `out = left * right` or `out += left * right`; `out [rows][right.tiles * 16]`.
#[inline(always)]
fn multiply<S: Simd>(s: S, out: &mut [f32], left: &[f32], right: Right<'_>) {
    let cols = right.tiles * LANES;
    let row_tiles = out.chunks_mut(ROWS * cols).zip(left.chunks(ROWS * right.left_step));
    for (out, left) in row_tiles {
        match out.len() / cols {
            1 => multiply_rows::<S, 1>(s, out, left, right),
            2 => multiply_rows::<S, 2>(s, out, left, right),
            3 => multiply_rows::<S, 3>(s, out, left, right),
            _ => multiply_rows::<S, 4>(s, out, left, right),
        }
    }
}

#[inline(always)]
fn multiply_rows<S: Simd, const R: usize>(s: S, out: &mut [f32], left: &[f32], right: Right<'_>) {
    let mut tile = 0;
    while tile + 4 <= right.tiles {
        multiply_tile::<S, R, 4>(s, out, left, (right, tile));
        tile += 4;
    }
    while tile < right.tiles {
        multiply_tile::<S, R, 1>(s, out, left, (right, tile));
        tile += 1;
    }
}

/// `R` rows by `T` tiles, one chain over the depth for each value.
#[inline(always)]
fn multiply_tile<S: Simd, const R: usize, const T: usize>(
    s: S,
    out: &mut [f32],
    left: &[f32],
    (right, tile): (Right<'_>, usize),
) {
    let cols = right.tiles * LANES;
    let mut sums = [[s.splat(0.0); T]; R];
    if right.add {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = s.load(lanes_at(out, r * cols + (tile + t) * LANES));
            }
        }
    }
    let data = &right.data[tile * right.tile_step..];
    for i in 0..right.depth {
        let mut columns = [s.splat(0.0); T];
        for (t, column) in columns.iter_mut().enumerate() {
            *column = s.load(lanes_at(data, i * right.row_step + t * right.tile_step));
        }
        for r in 0..R {
            let x = s.splat(left[r * right.left_step + i]);
            for t in 0..T {
                sums[r][t] = s.fma(x, columns[t], sums[r][t]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            let out = &mut out[r * cols + (tile + t) * LANES..];
            s.store(out.first_chunk_mut().expect("rows are padded"), *sum);
        }
    }
}

#[inline(always)]
fn lanes_at(data: &[f32], at: usize) -> &[f32; LANES] {
    data[at..].first_chunk().expect("rows are padded")
}

struct Merge<'a> {
    state: &'a mut State,
    part: &'a State,
}

impl Kernel for Merge<'_> {
    type Output = ();

    /// Adds a later segment. A segment in which a row saw nothing leaves it as it was.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (state, part) = (self.state, self.part);
        let width = state.out.len() / state.max.len();
        for r in 0..state.max.len() {
            let (a, b) = (state.max[r], part.max[r]);
            let max = if b > a { b } else { a };
            let old = simd::exp(s, s.splat(a - max));
            let new = simd::exp(s, s.splat(b - max));
            state.max[r] = max;
            let sum = s.fma(s.splat(part.sum[r]), new, s.mul(s.splat(state.sum[r]), old));
            let mut lanes = [0.0; LANES];
            s.store(&mut lanes, sum);
            state.sum[r] = lanes[0];
            let out = &mut state.out[r * width..][..width];
            for (i, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let add = s.load(&lanes_of(&part.out[r * width..], i * LANES));
                s.store(out, s.fma(add, new, s.mul(s.load(out), old)));
            }
        }
    }
}
