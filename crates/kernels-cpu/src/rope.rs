//! Rotary position embedding, and writing rotated keys and values into the cache.

use tensor::{Batch, Rope, RopePairing};

use crate::isa::Isa;
use crate::kv::{Geometry, HeadMut, Layer, Stored};
use crate::norm::part_len;
use crate::simd::{Kernel, LANES, Simd};
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
pub(crate) fn write<E: Stored>(
    (isa, pool): (Isa, &Pool),
    layer: &mut Layer<E>,
    geometry: Geometry,
    (k, v): (&[f32], &[f32]),
    batch: &Batch<'_>,
) {
    let mut heads = layer.heads_mut(geometry);
    let write_head = |head: usize, parts: &mut [HeadMut<'_, E>]| {
        for to in parts {
            isa.run(Write { to, geometry, head, k, v, batch });
        }
    };
    if batch.tokens.len() < 4 {
        heads.chunks_mut(1).enumerate().for_each(|(head, parts)| write_head(head, parts));
    } else {
        pool.run_parts(&mut heads, 1, write_head);
    }
}

struct Write<'a, 'h, E> {
    to: &'a mut HeadMut<'h, E>,
    geometry: Geometry,
    head: usize,
    k: &'a [f32],
    v: &'a [f32],
    batch: &'a Batch<'a>,
}

impl<E: Stored> Kernel for Write<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (g, HeadMut { keys, values, key_scales, value_scales }) = (self.geometry, self.to);
        let scales = |dim: usize| g.groups(dim) * LANES;
        let (of_key, of_value) = (scales(g.head_dim_k), scales(g.head_dim_v));
        let mut row = 0;
        for span in self.batch.spans {
            for position in span.first_position..span.first_position + span.rows {
                let page = span.pages[position / g.page_len] as usize;
                let offset = position % g.page_len;
                let k = &self.k[(row * g.n_kv_heads + self.head) * g.head_dim_k..][..g.head_dim_k];
                let v = &self.v[(row * g.n_kv_heads + self.head) * g.head_dim_v..][..g.head_dim_v];
                let tile = page * g.tiles() + offset / LANES;
                let scales = &mut key_scales[tile * of_key..][..of_key];
                let to = (&mut keys[tile * g.key_tile()..][..g.key_tile()], scales);
                E::put_key(s, to, offset % LANES, k);
                let scales = &mut value_scales[tile * of_value..][..of_value];
                let to = (&mut values[page * g.value_page()..][..g.value_page()], scales);
                E::put_value(s, to, (offset, g.page_len), v);
                row += 1;
            }
        }
    }
}
