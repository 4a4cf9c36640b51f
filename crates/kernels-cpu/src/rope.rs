//! Rotary position embedding, and writing rotated keys and values into the cache.

use tensor::{Batch, Rope, RopePairing};

use crate::isa::Isa;
use crate::kv::{Element, Geometry, Layer};
use crate::norm::part_len;
use crate::simd::{Kernel, LANES, Simd, lanes_of};
use crate::threads::Pool;

/// Cosines and sines of a batch's rows, kept because every layer of a step asks for the same.
#[derive(Default)]
pub(crate) struct Angles {
    frequencies: Vec<f32>,
    magnitude: f32,
    positions: Vec<usize>,
    /// `[rows][pairs]`, `(cos, sin)` times the magnitude.
    table: Vec<(f32, f32)>,
}

impl Angles {
    /// Makes the table for these rows unless it is there already.
    pub(crate) fn update(&mut self, pool: &Pool, rope: &Rope, batch: &Batch<'_>) {
        let positions: Vec<usize> = batch.rows().map(|(_, position)| position).collect();
        let same = self.frequencies == rope.inverse_frequencies
            && self.magnitude == rope.magnitude
            && self.positions == positions;
        if same {
            return;
        }
        let pairs = rope.inverse_frequencies.len();
        self.table.clear();
        self.table.resize(positions.len() * pairs, (0.0, 0.0));
        pool.run_parts(&mut self.table, pairs.max(1) * 16, |part, table| {
            for (row, table) in table.chunks_exact_mut(pairs).enumerate() {
                let position = positions[part * 16 + row] as f64;
                for (pair, frequency) in table.iter_mut().zip(&rope.inverse_frequencies) {
                    let (sin, cos) = (position * f64::from(*frequency)).sin_cos();
                    let magnitude = f64::from(rope.magnitude);
                    *pair = ((cos * magnitude) as f32, (sin * magnitude) as f32);
                }
            }
        });
        self.frequencies.clone_from(&rope.inverse_frequencies);
        self.magnitude = rope.magnitude;
        self.positions = positions;
    }

    fn row(&self, row: usize) -> &[(f32, f32)] {
        let pairs = self.frequencies.len();
        &self.table[row * pairs..][..pairs]
    }
}

/// Rotates every head of every row of `x [rows, heads * head_dim]`.
pub(crate) fn rotate(pool: &Pool, x: &mut [f32], cols: usize, (rope, angles): (&Rope, &Angles)) {
    let len = part_len(cols);
    pool.run_parts(x, len, |part, x| {
        for (row, x) in x.chunks_exact_mut(cols).enumerate() {
            let angles = angles.row(part * (len / cols) + row);
            for head in x.chunks_exact_mut(rope.head_dim) {
                rotate_head(head, rope.pairing, angles);
            }
        }
    });
}

fn rotate_head(head: &mut [f32], pairing: RopePairing, angles: &[(f32, f32)]) {
    match pairing {
        RopePairing::Interleaved => {
            for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        }
        RopePairing::Halves => {
            let (first, second) = head.split_at_mut(angles.len());
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(angles) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

/// Writes rotated `k` and `v` of all rows into a layer. One thread writes all rows of a head, so
/// threads never share memory, whatever the page tables say.
pub(crate) fn write<E: Element>(
    (isa, pool): (Isa, &Pool),
    layer: &mut Layer<E>,
    geometry: Geometry,
    (k, v): (&[f32], &[f32]),
    batch: &Batch<'_>,
) {
    let heads = layer
        .keys
        .chunks_exact_mut(geometry.keys().max(1))
        .zip(layer.values.chunks_exact_mut(geometry.values().max(1)));
    let mut heads: Vec<(&mut [E], &mut [E])> = heads.collect();
    let write_head = |head: usize, parts: &mut [(&mut [E], &mut [E])]| {
        for (keys, values) in parts {
            isa.run(Write { keys, values, geometry, head, k, v, batch });
        }
    };
    if batch.tokens.len() < 4 {
        heads.chunks_mut(1).enumerate().for_each(|(head, parts)| write_head(head, parts));
    } else {
        pool.run_parts(&mut heads, 1, write_head);
    }
}

struct Write<'a, E> {
    keys: &'a mut [E],
    values: &'a mut [E],
    geometry: Geometry,
    head: usize,
    k: &'a [f32],
    v: &'a [f32],
    batch: &'a Batch<'a>,
}

impl<E: Element> Kernel for Write<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.geometry;
        let mut row = 0;
        for span in self.batch.spans {
            for position in span.first_position..span.first_position + span.rows {
                let page = span.pages[position / g.page_len] as usize;
                let offset = position % g.page_len;
                let k = &self.k[(row * g.n_kv_heads + self.head) * g.head_dim_k..][..g.head_dim_k];
                let v = &self.v[(row * g.n_kv_heads + self.head) * g.head_dim_v..][..g.head_dim_v];
                let tile = (page * g.tiles() + offset / LANES) * g.key_tile();
                let tile = &mut self.keys[tile..][..g.key_tile()];
                scatter(s, tile, offset % LANES, k);
                let page = &mut self.values[page * g.value_page()..][..g.value_page()];
                for (tile, page) in page.chunks_exact_mut(g.page_len * LANES).enumerate() {
                    let out = page[offset * LANES..].first_chunk_mut().expect("within the page");
                    E::store(s, out, s.load(&lanes_of(v, tile * LANES)));
                }
                row += 1;
            }
        }
    }
}

#[inline(always)]
fn scatter<S: Simd, E: Element>(s: S, tile: &mut [E], lane: usize, k: &[f32]) {
    for start in (0..k.len()).step_by(LANES) {
        let mut stored = [E::zeroed(); LANES];
        E::store(s, &mut stored, s.load(&lanes_of(k, start)));
        let columns = tile[start * LANES..].chunks_exact_mut(LANES);
        for (column, value) in columns.zip(stored) {
            column[lane] = value;
        }
    }
}
