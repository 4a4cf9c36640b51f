//! Keys and values kept as floats: converted in registers, or once for many rows.

use super::{BLOCK, BLOCK_TILES, Block, Cached, LINE_BYTES, Run, Scores, Segment};
use crate::blocked::has_tiles;
use crate::isa::Isa;
use crate::kv::{Element, Geometry, Load};
use crate::simd::{LANES, Simd};

/// One segment's work on prefill rows, where there are tiles.
fn add_by_tiles<E: Element>(isa: Isa, segment: Segment<'_, E>) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(amx) => super::tiles::add_segment(amx, segment),
        _ => unreachable!("segment {} without tiles", segment.segment),
    }
}

/// A block that was converted to f32.
#[derive(Default)]
pub(crate) struct Converted {
    /// `[BLOCK_TILES][head_dim_k]`.
    keys: Vec<[f32; LANES]>,
    /// `[tiles of head_dim_v][BLOCK]`.
    values: Vec<[f32; LANES]>,
}

impl<E: Element> Cached for E {
    fn add_segment(isa: Isa, segment: Segment<'_, E>) {
        if segment.task.is_prefill && has_tiles(isa) {
            add_by_tiles(isa, segment);
        } else {
            isa.run(segment);
        }
    }

    const DIRECT_ROWS: usize = 8;
    const HAS_SCALES: bool = false;
    /// `[rows][head_dim_k]`.
    type Queries = Vec<f32>;
    type Wide = f32;

    fn queries(q: Vec<f32>, _: usize) -> Vec<f32> {
        q
    }

    #[inline(always)]
    fn widen<'a, S: Simd>(
        s: S,
        block: &Block<'a, E>,
        converted: &'a mut Converted,
        g: Geometry,
    ) -> Block<'a, f32> {
        converted.fill(s, block, g)
    }

    #[inline(always)]
    fn scores<S: Simd, const R: usize>(
        s: S,
        out: &mut [Scores; R],
        (queries, row): (&Vec<f32>, usize),
        (block, next): (&Block<'_, E>, Option<&Block<'_, E>>),
        g: Geometry,
    ) {
        let mut left: [&[f32]; R] = [&[]; R];
        for (r, left) in left.iter_mut().enumerate() {
            *left = &queries[(row + r) * g.head_dim_k..][..g.head_dim_k];
        }
        if R * BLOCK_TILES <= S::SUMS {
            let next = next.map(|next| next.keys.map(<[_]>::as_ptr));
            multiply::<S, E, R, BLOCK_TILES>(s, (out, 0), (&left, &block.keys), next);
        } else {
            for (tile, keys) in block.keys.iter().enumerate() {
                let next = next.map(|next| [next.keys[tile].as_ptr()]);
                multiply::<S, E, R, 1>(s, (out, tile), (&left, &[*keys]), next);
            }
        }
    }

    #[inline(always)]
    fn weigh<S: Simd, const R: usize>(
        s: S,
        out: &mut [[f32; LANES]],
        probabilities: &[Scores; R],
        (block, next): (&Block<'_, E>, Option<&Block<'_, E>>),
        g: Geometry,
    ) {
        for (i, run) in block.values.iter().enumerate().take_while(|(_, run)| run.len > 0) {
            let left = run.weights(probabilities);
            let next = next.map(|next| next.values[i]).filter(|next| next.len > 0);
            let (tiles, mut tile) = (g.value_tiles(), 0);
            while R * 4 <= S::SUMS && tile + 4 <= tiles {
                let next = next.map(|next| next.four(tile).map(<[_]>::as_ptr));
                accumulate::<S, E, R, 4>(s, (out, tile), (&left, &run.four(tile)), next);
                tile += 4;
            }
            while tile < tiles {
                let next = next.map(|next| [next.tile(tile).as_ptr()]);
                accumulate::<S, E, R, 1>(s, (out, tile), (&left, &[run.tile(tile)]), next);
                tile += 1;
            }
        }
    }
}

impl Converted {
    #[inline(always)]
    fn fill<'a, S: Simd, E: Element>(
        &'a mut self,
        s: S,
        block: &Block<'_, E>,
        g: Geometry,
    ) -> Block<'a, f32> {
        self.keys.resize(BLOCK_TILES * g.head_dim_k, [0.0; LANES]);
        self.values.resize(g.value_tiles() * BLOCK, [0.0; LANES]);
        let (mut tiles, mut len) = ([(0, 0); BLOCK_TILES], 0);
        for (i, keys) in self.keys.chunks_exact_mut(g.head_dim_k).enumerate() {
            tiles[i] = block.tiles[i];
            if tiles[i].1 > 0 {
                convert(s, keys, block.keys[i]);
            }
        }
        for run in block.values.iter().take_while(|run| run.len > 0) {
            for (tile, values) in self.values.chunks_exact_mut(BLOCK).enumerate() {
                // Pages that end within a tile leave gaps, whose probabilities are zero.
                values[len..run.column].fill([0.0; LANES]);
                convert(s, &mut values[run.column..][..run.len], run.tile(tile));
            }
            len = run.column + run.len;
        }
        let mut keys: [&[[f32; LANES]]; BLOCK_TILES] = [&[]; BLOCK_TILES];
        for (keys, tile) in keys.iter_mut().zip(self.keys.chunks_exact(g.head_dim_k)) {
            *keys = tile;
        }
        let none = Run { page: &[][..], step: 0, first: 0, column: 0, len: 0 };
        let all = Run { page: &self.values[..], step: BLOCK, len, ..none };
        let scales: [&[[u16; LANES]]; BLOCK_TILES] = [&[]; BLOCK_TILES];
        let values = [all, none, none, none];
        Block { tiles, keys, values, key_scales: scales, value_scales: scales }
    }
}

#[inline(always)]
fn convert<S: Simd, E: Element>(s: S, out: &mut [[f32; LANES]], from: &[[E; LANES]]) {
    for (out, from) in out.iter_mut().zip(from) {
        s.store(out, E::load(s, from));
    }
}

/// Where what is read after some columns begins.
type Next<E, const T: usize> = Option<[*const [E; LANES]; T]>;

/// `out[r][tile..] = left * right`; asks for `next` as it goes.
#[inline(always)]
fn multiply<S: Simd, E: Element, const R: usize, const T: usize>(
    s: S,
    (out, tile): (&mut [[[f32; LANES]; BLOCK_TILES]; R], usize),
    factors: (&[&[f32]; R], &[&[[E; LANES]]; T]),
    next: Next<E, T>,
) {
    let mut sums = [[s.splat(0.0); T]; R];
    add_products(s, &mut sums, factors, next);
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out[tile..].iter_mut().zip(sums) {
            s.store(out, sum);
        }
    }
}

/// `out[r][tile..] += left * right`, for `out [R][tiles]`; asks for `next` as it goes.
#[inline(always)]
pub(super) fn accumulate<S: Simd, E: Load, const R: usize, const T: usize>(
    s: S,
    (out, tile): (&mut [[f32; LANES]], usize),
    factors: (&[&[f32]; R], &[&[[E; LANES]]; T]),
    next: Next<E, T>,
) {
    let tiles = out.len() / R;
    let mut sums = [[s.splat(0.0); T]; R];
    for (out, sums) in out.chunks_exact(tiles).zip(&mut sums) {
        for (out, sum) in out[tile..].iter().zip(sums) {
            *sum = s.load(out);
        }
    }
    add_products(s, &mut sums, factors, next);
    for (out, sums) in out.chunks_exact_mut(tiles).zip(sums) {
        for (out, sum) in out[tile..].iter_mut().zip(sums) {
            s.store(out, sum);
        }
    }
}

/// `sums[r][t] += left[r] . right[t]`, one chain over the depth for each lane.
#[inline(always)]
fn add_products<S: Simd, E: Load, const R: usize, const T: usize>(
    s: S,
    sums: &mut [[S::F; T]; R],
    (left, right): (&[&[f32]; R], &[&[[E; LANES]]; T]),
    next: Next<E, T>,
) {
    // Slices of one known length need no checks in the loop.
    let depth = right[0].len();
    let (mut left, mut right, mut chains) = (*left, *right, *sums);
    for left in &mut left {
        *left = &left[..depth];
    }
    for right in &mut right {
        *right = &right[..depth];
    }
    // A line at a time: a check at every row would cost as much as a product.
    let rows = LINE_BYTES / size_of::<[E; LANES]>();
    let whole = depth - depth % rows;
    for first in (0..whole).step_by(rows) {
        if let Some(next) = next {
            for next in next {
                s.prefetch(next.wrapping_add(first).cast());
            }
        }
        for i in first..first + rows {
            add_row(s, &mut chains, (&left, &right), i);
        }
    }
    for i in whole..depth {
        add_row(s, &mut chains, (&left, &right), i);
    }
    *sums = chains;
}

/// What row `i` adds to [`add_products`].
#[inline(always)]
fn add_row<S: Simd, E: Load, const R: usize, const T: usize>(
    s: S,
    chains: &mut [[S::F; T]; R],
    (left, right): (&[&[f32]; R], &[&[[E; LANES]]; T]),
    i: usize,
) {
    let mut columns = [s.splat(0.0); T];
    for t in 0..T {
        columns[t] = E::load(s, &right[t][i]);
    }
    for r in 0..R {
        let x = s.splat(left[r][i]);
        for t in 0..T {
            chains[r][t] = s.fma(x, columns[t], chains[r][t]);
        }
    }
}
