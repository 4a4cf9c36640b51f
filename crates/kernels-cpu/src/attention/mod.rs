//! Attention over the paged cache: online softmax over blocks of key tiles.
//!
//! **Invariant:** a row's result is a chain over blocks of 64 positions, kept apart in segments of
//! 512 that are merged in order. Both borders depend on the position alone, and masked positions
//! change nothing, so neither batch nor chunking nor threads can be seen in a result.
//! Blocks and segments that a window hides from a whole task are not visited.

mod codes;
mod floats;
mod softmax;
#[cfg(target_arch = "x86_64")]
mod tiles;

use std::ops::Range;

use tensor::{Batch, Span};

use self::floats::Converted;
use self::softmax::{Merge, NOTHING, State, soft_cap, softmax};
use crate::isa::Isa;
use crate::kv::{Geometry, Layer, Stored};
use crate::simd::{self, Kernel, LANES, Simd};
use crate::threads::{Parts, Pool};

/// Key tiles of a block.
const BLOCK_TILES: usize = 4;
/// Positions of a block.
const BLOCK: usize = BLOCK_TILES * LANES;
/// Key tiles of a segment.
const SEGMENT_TILES: usize = 32;
/// Query rows of one sequence that are computed together.
const QUERY_ROWS: usize = 16;
/// What one prefetch brings.
const LINE_BYTES: usize = 64;
/// Rows of the micro-kernel.
const ROWS: usize = 4;
/// What one call of attention is about.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub(crate) geometry: Geometry,
    pub(crate) n_heads: usize,
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
    /// Positions that a row sees at most.
    pub(crate) window: usize,
    /// `[n_heads]`.
    pub(crate) sinks: Option<&'a [f32]>,
    /// Whether a row sees its whole span; there is no window then.
    pub(crate) bidirectional: bool,
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
    is_prefill: bool,
    /// Behind the last position that a query sees.
    end: usize,
    kv_head: usize,
}

/// `out [rows, n_heads * head_dim_v]`.
pub(crate) fn attention<E: Cached>(
    (isa, pool): (Isa, &Pool),
    out: &mut [f32],
    heads: Heads<'_>,
    layer: &Layer<E>,
    batch: &Batch<'_>,
) {
    let out = Parts::new(out);
    let tasks = tasks(heads, batch);
    let segments = |task: &Task<'_>| {
        let tiles = task.tiles(heads);
        tiles.start / SEGMENT_TILES..tiles.end.div_ceil(SEGMENT_TILES)
    };
    let longest = tasks.iter().map(|task| segments(task).len()).max().unwrap_or(0);
    if longest <= 1 || tasks.len() >= 4 * pool.threads() {
        pool.run(tasks.len(), |index| {
            let task = &tasks[index];
            let mut state = State::new(heads, task);
            for segment in segments(task) {
                let state = &mut state;
                E::add_segment(isa, Segment { heads, layer, task, segment, state, merge: true });
            }
            state.write(&out, heads, task);
        });
        return;
    }
    let mut parts: Vec<(usize, usize, State)> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        parts.extend(segments(task).map(|segment| (index, segment, State::new(heads, task))));
    }
    pool.run_parts(&mut parts, 1, |_, parts| {
        for (index, segment, state) in parts {
            let (task, segment) = (&tasks[*index], *segment);
            E::add_segment(isa, Segment { heads, layer, task, segment, state, merge: false });
        }
    });
    let mut parts = parts.iter();
    for task in &tasks {
        let mut state = State::new(heads, task);
        for (_, _, part) in parts.by_ref().take(segments(task).len()) {
            isa.run(Merge { state: &mut state, part });
        }
        state.write(&out, heads, task);
    }
}

fn tasks<'a>(heads: Heads<'_>, batch: &Batch<'a>) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut row = 0;
    for span in batch.spans {
        let decode_rows = batch.decode_rows.saturating_sub(row).min(span.rows);
        // The longest first, so that the last chunks are the short ones.
        for (rows, is_prefill) in [(decode_rows..span.rows, true), (0..decode_rows, false)] {
            for first in rows.clone().step_by(QUERY_ROWS).rev() {
                let queries = QUERY_ROWS.min(rows.end - first);
                let (row, position) = (row + first, span.first_position + first);
                let end = if heads.bidirectional { span.rows } else { position + queries };
                let task =
                    |kv_head| Task { span, row, position, queries, is_prefill, end, kv_head };
                tasks.extend((0..heads.geometry.n_kv_heads).map(task));
            }
        }
        row += span.rows;
    }
    tasks
}

impl Task<'_> {
    /// The positions that its query at `position` sees.
    #[inline(always)]
    fn seen(&self, heads: &Heads<'_>, position: usize) -> Range<usize> {
        let end = if heads.bidirectional { self.end } else { position + 1 };
        end.saturating_sub(heads.window)..end
    }

    /// Key tiles from the first position that the first query sees to the last of the last query.
    fn tiles(&self, heads: Heads<'_>) -> Range<usize> {
        let page_len = heads.geometry.page_len;
        let tile = |position: usize| {
            position / page_len * page_len.div_ceil(LANES) + position % page_len / LANES
        };
        let first = self.seen(&heads, self.position).start;
        tile(first)..tile(self.end - 1) + 1
    }
}

pub(crate) struct Segment<'a, E> {
    heads: Heads<'a>,
    layer: &'a Layer<E>,
    task: &'a Task<'a>,
    segment: usize,
    state: &'a mut State,
    /// Into what `state` holds already, or instead of it.
    merge: bool,
}

/// What one segment's work reads and makes.
struct Work<Q> {
    /// Times the scale and over the cap.
    q: Q,
    /// `[rows]`: the sums of probabilities, lane by lane.
    sums: Vec<[f32; LANES]>,
    part: State,
}

/// A type of cache as attention reads it.
///
/// **Invariant:** however many rows are computed together, each one's results are the same bits.
pub(crate) trait Cached: Stored {
    /// One segment's work.
    fn add_segment(isa: Isa, segment: Segment<'_, Self>) {
        isa.run(segment);
    }

    /// Up to here each row tile converts what it reads on its way; more share one conversion.
    const DIRECT_ROWS: usize;
    /// Whether there are scales to find.
    const HAS_SCALES: bool;
    /// The query rows of a task as keys are multiplied with.
    type Queries;
    /// What many rows read.
    type Wide: Cached<Queries = Self::Queries>;

    /// From `q [rows][dim]`.
    fn queries(q: Vec<f32>, dim: usize) -> Self::Queries;

    fn widen<'a, S: Simd>(
        s: S,
        block: &Block<'a, Self>,
        converted: &'a mut Converted,
        g: Geometry,
    ) -> Block<'a, Self::Wide>;

    /// Products of the keys with query rows `row..row + R`. Asks for the keys of the next block
    /// bit by bit: the processor waits when too many lines are asked for at once.
    fn scores<S: Simd, const R: usize>(
        s: S,
        out: &mut [Scores; R],
        queries: (&Self::Queries, usize),
        blocks: (&Block<'_, Self>, Option<&Block<'_, Self>>),
        g: Geometry,
    );

    /// `out [R][tiles of head_dim_v] +=` the values, each times its probability. Asks for the
    /// values of the next block likewise.
    fn weigh<S: Simd, const R: usize>(
        s: S,
        out: &mut [[f32; LANES]],
        probabilities: &[Scores; R],
        blocks: (&Block<'_, Self>, Option<&Block<'_, Self>>),
        g: Geometry,
    );
}

/// Of the positions of a block.
type Scores = [[f32; LANES]; BLOCK_TILES];

/// The keys and values of up to four tiles of positions.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a, E> {
    /// First position and count of valid positions of each tile.
    tiles: [(usize, usize); BLOCK_TILES],
    /// `[head_dim_k]` of each tile; any other's where there is no tile.
    keys: [&'a [[E; LANES]]; BLOCK_TILES],
    /// Those without positions come last.
    values: [Run<'a, E>; BLOCK_TILES],
    /// Of quantised keys and values: of each tile the scales, `[groups of head_dim]` of f16.
    key_scales: [&'a [[u16; LANES]]; BLOCK_TILES],
    value_scales: [&'a [[u16; LANES]]; BLOCK_TILES],
}

/// The values of neighbouring positions.
#[derive(Clone, Copy)]
struct Run<'a, E> {
    /// `[tiles of head_dim_v][step]`.
    page: &'a [[E; LANES]],
    step: usize,
    /// Of the first position: row in a tile of the page, and column in the block.
    first: usize,
    column: usize,
    len: usize,
}

impl<E: Cached> Kernel for Segment<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (g, rows) = (self.heads.geometry, self.state.max.len());
        let width = g.value_tiles() * LANES;
        let part = if self.merge {
            State { max: vec![NOTHING; rows], sum: vec![0.0; rows], out: vec![0.0; rows * width] }
        } else {
            std::mem::replace(self.state, State { max: vec![], sum: vec![], out: vec![] })
        };
        let mut work = Work { q: self.queries(), sums: vec![[0.0; LANES]; rows], part };
        let mut converted = Converted::default();
        let tiles = self.block_tiles();
        let mut block = self.block(tile_range(&tiles, tiles.start));
        for first in tiles.clone().step_by(BLOCK_TILES) {
            let after = tile_range(&tiles, first).end;
            let next =
                if after < tiles.end { self.block(tile_range(&tiles, after)) } else { block };
            if rows <= E::DIRECT_ROWS {
                self.add_block(s, &mut work, (&block, Some(&next)));
            } else {
                self.add_block(s, &mut work, (&E::widen(s, &block, &mut converted, g), None));
            }
            block = next;
        }
        let mut part = work.part;
        for (sum, lanes) in part.sum.iter_mut().zip(&work.sums) {
            *sum = simd::sum(s, s.load(lanes));
        }
        if self.merge {
            Merge { state: self.state, part: &part }.run(s);
        } else {
            *self.state = part;
        }
    }
}

impl<'a, E: Cached> Segment<'a, E> {
    fn queries(&self) -> E::Queries {
        E::queries(self.query_values(), self.heads.geometry.head_dim_k)
    }

    /// The key tiles that its task sees of it: whole blocks, so that their borders depend on the
    /// position alone.
    fn block_tiles(&self) -> Range<usize> {
        let (start, seen) = (self.segment * SEGMENT_TILES, self.task.tiles(self.heads));
        let first = start.max(seen.start / BLOCK_TILES * BLOCK_TILES);
        first..(start + SEGMENT_TILES).min(seen.end)
    }

    /// `[rows][head_dim_k]`, times the scale and over the cap.
    fn query_values(&self) -> Vec<f32> {
        let (heads, dim) = (&self.heads, self.heads.geometry.head_dim_k);
        let group = heads.n_heads / heads.geometry.n_kv_heads;
        let scale = heads.scale / heads.soft_cap.unwrap_or(1.0);
        let mut q = Vec::with_capacity(self.task.queries * group * dim);
        for query in 0..self.task.queries {
            let first = (self.task.row + query) * heads.n_heads + self.task.kv_head * group;
            q.extend(heads.q[first * dim..][..group * dim].iter().map(|q| q * scale));
        }
        q
    }

    /// Where the tiles are in the cache.
    fn block(&self, tiles: Range<usize>) -> Block<'a, E> {
        let (g, layer) = (self.heads.geometry, self.layer);
        let end = self.task.end;
        let keys = &layer.keys[self.task.kv_head * g.keys()..][..g.keys()];
        let values = &layer.values[self.task.kv_head * g.values()..][..g.values()];
        let mut block = Block {
            tiles: [(0, 0); BLOCK_TILES],
            keys: [&[]; BLOCK_TILES],
            values: [Run { page: &[], step: 0, first: 0, column: 0, len: 0 }; BLOCK_TILES],
            key_scales: [&[]; BLOCK_TILES],
            value_scales: [&[]; BLOCK_TILES],
        };
        let mut run = 0;
        for (i, tile) in tiles.enumerate() {
            let (page, offset) = (tile / g.tiles(), tile % g.tiles() * LANES);
            let position = page * g.page_len + offset;
            let page = self.task.span.pages[page] as usize;
            let count = LANES.min(g.page_len - offset).min(end - position);
            block.tiles[i] = (position, count);
            let stored = page * g.tiles() + offset / LANES;
            block.keys[i..].fill(keys[stored * g.key_tile()..][..g.key_tile()].as_chunks().0);
            if E::HAS_SCALES {
                let scales = layer.scales(self.task.kv_head, g);
                block.key_scales[i..].fill(scales.keys(stored, g));
                block.value_scales[i..].fill(scales.values(stored, g));
            }
            let last = &mut block.values[run];
            if offset > 0 && last.len > 0 {
                // The page of the tile before.
                last.len += count;
                continue;
            }
            run += usize::from(last.len > 0);
            let page = &values[page * g.value_page()..][..g.value_page()];
            let (page, step) = (page.as_chunks().0, g.page_len);
            let (first, column) = (offset, i * LANES);
            block.values[run] = Run { page, step, first, column, len: count };
        }
        block
    }

    #[inline(always)]
    fn add_block<S: Simd, F: Cached<Queries = E::Queries>>(
        &self,
        s: S,
        work: &mut Work<E::Queries>,
        block: (&Block<'_, F>, Option<&Block<'_, F>>),
    ) {
        let (rows, (block, next)) = (work.part.max.len(), block);
        for row in (0..rows).step_by(ROWS) {
            let block = (block, next.filter(|_| row == 0));
            match rows - row {
                1 => self.add_rows::<S, F, 1>(s, (work, row), block),
                2 => self.add_rows::<S, F, 2>(s, (work, row), block),
                3 => self.add_rows::<S, F, 3>(s, (work, row), block),
                _ => self.add_rows::<S, F, ROWS>(s, (work, row), block),
            }
        }
    }

    /// Scores, probabilities and weighted values of `R` rows; asks for what the next block reads.
    #[inline(always)]
    fn add_rows<S: Simd, F: Cached<Queries = E::Queries>, const R: usize>(
        &self,
        s: S,
        (work, row): (&mut Work<E::Queries>, usize),
        (block, next): (&Block<'_, F>, Option<&Block<'_, F>>),
    ) {
        let g = self.heads.geometry;
        let group = self.heads.n_heads / g.n_kv_heads;
        let mut scores = [[[0.0; LANES]; BLOCK_TILES]; R];
        F::scores::<S, R>(s, &mut scores, (&work.q, row), (block, next), g);
        let width = g.value_tiles() * LANES;
        for (r, scores) in scores.iter_mut().enumerate() {
            let row = row + r;
            if let Some(cap) = self.heads.soft_cap {
                soft_cap(s, scores, cap);
            }
            let seen = self.task.seen(&self.heads, self.task.position + row / group);
            mask(scores, &block.tiles, seen);
            let out = &mut work.part.out[row * width..][..width];
            softmax(s, scores, (&mut work.part.max[row], &mut work.sums[row]), out);
        }
        let out = work.part.out[row * width..][..R * width].as_chunks_mut().0;
        F::weigh::<S, R>(s, out, &scores, (block, next), g);
    }
}

/// The block of key tiles from `first` on.
fn tile_range(tiles: &Range<usize>, first: usize) -> Range<usize> {
    first..tiles.end.min(first + BLOCK_TILES)
}

/// Leaves the scores of the positions `seen`.
#[inline(always)]
fn mask(
    scores: &mut [[f32; LANES]; BLOCK_TILES],
    tiles: &[(usize, usize); BLOCK_TILES],
    seen: Range<usize>,
) {
    for (scores, (position, count)) in scores.iter_mut().zip(*tiles) {
        let end = seen.end.saturating_sub(position).min(count);
        if end < LANES {
            scores[end..].fill(f32::NEG_INFINITY);
        }
    }
    if tiles[0].0 >= seen.start {
        return;
    }
    for (scores, (position, _)) in scores.iter_mut().zip(*tiles) {
        let hidden = seen.start.saturating_sub(position).min(LANES);
        scores[..hidden].fill(f32::NEG_INFINITY);
    }
}

/// Asks for neighbouring rows.
#[inline(always)]
fn prefetch<S: Simd, E>(s: S, rows: &[[E; LANES]]) {
    for row in rows.iter().step_by(LINE_BYTES / size_of::<[E; LANES]>()) {
        s.prefetch(std::ptr::from_ref(row).cast());
    }
}

impl<'a, E> Run<'a, E> {
    /// What each row weighs these values by.
    #[inline(always)]
    fn weights<'p, const R: usize>(&self, probabilities: &'p [Scores; R]) -> [&'p [f32]; R] {
        let mut weights: [&[f32]; R] = [&[]; R];
        for (weights, probabilities) in weights.iter_mut().zip(probabilities) {
            *weights = &probabilities.as_flattened()[self.column..][..self.len];
        }
        weights
    }

    /// `[len]` of 16 of the columns.
    #[inline(always)]
    fn tile(&self, tile: usize) -> &'a [[E; LANES]] {
        &self.page[tile * self.step + self.first..][..self.len]
    }

    /// Of the columns from 16 times `tile` on.
    #[inline(always)]
    fn four(&self, tile: usize) -> [&'a [[E; LANES]]; 4] {
        [self.tile(tile), self.tile(tile + 1), self.tile(tile + 2), self.tile(tile + 3)]
    }
}
