//! Rotation in both pairings, near and far, of whole heads and of parts.

use super::cases::{Rng, Values, values};
use super::run::{Checker, host, input};
use super::tolerance;
use crate::{Backend, Batch, KvFormat, KvLayout, Result, Rope, RopePairing, Span};

const PAGE_LEN: usize = 16;
/// Query and key/value heads.
const HEADS: (usize, usize) = (6, 2);
/// Rows and first position of three sequences.
const SPANS: [(usize, usize); 3] = [(3, 0), (2, 5000), (2, 1_000_000)];
/// An angle may be off as it is at this position, beyond it too: a step of f32 would be 0.06 at the
/// millionth.
const ANGLES_TO: usize = 5001;

pub(super) fn run(check: &mut Checker<'_>) {
    for pairing in [RopePairing::Interleaved, RopePairing::Halves] {
        for (head_dim, dims) in [(64, 64), (64, 32), (80, 80), (128, 128), (80, 20), (64, 2)] {
            for (base, magnitude) in [(10_000.0, 1.0), (500_000.0, 0.75)] {
                let mut rope = Rope::new(pairing, head_dim, dims, base);
                rope.magnitude = magnitude;
                let case = format!("{pairing:?}, {dims} of {head_dim}, {base}, times {magnitude}");
                let result = rotate(check, &case, &rope);
                check.done("rope_kv_write", &case, result);
            }
        }
    }
}

/// Rotated `(q, k)`.
fn write(backend: &dyn Backend, rope: &Rope, qkv: [&[f32]; 3]) -> Result<(Vec<f32>, Vec<f32>)> {
    let head_dim = rope.head_dim;
    // The last page of each is its own; nothing else is written.
    let page_count = SPANS.len();
    let layout = KvLayout {
        n_layers: 1,
        n_kv_heads: HEADS.1,
        head_dim_k: head_dim,
        head_dim_v: head_dim,
        page_len: PAGE_LEN,
        page_count,
        format: KvFormat::F32,
    };
    let mut kv = backend.alloc_kv(&layout)?;
    let page_count_of = |(rows, first): &(usize, usize)| (first + rows).div_ceil(PAGE_LEN);
    let pages = (0..).zip(&SPANS).map(|(own, span)| vec![own; page_count_of(span)]);
    let pages: Vec<Vec<u32>> = pages.collect();
    let spans = SPANS.iter().zip(&pages).map(|((rows, first), pages)| Span {
        rows: *rows,
        first_position: *first,
        pages,
        state: 0,
    });
    let spans: Vec<Span<'_>> = spans.collect();
    let rows: usize = SPANS.iter().map(|(rows, _)| rows).sum();
    let tokens = vec![0; rows];
    let batch = Batch::decode(&tokens, &spans);
    let mut q = input(backend, qkv[0], HEADS.0 * head_dim)?;
    let mut k = input(backend, qkv[1], HEADS.1 * head_dim)?;
    let v = input(backend, qkv[2], HEADS.1 * head_dim)?;
    backend.rope_kv_write(&mut kv, 0, (&mut q, &mut k, &v), rope, &batch)?;
    Ok((host(backend, &q)?, host(backend, &k)?))
}

fn rotate(check: &mut Checker<'_>, case: &str, rope: &Rope) -> Result<()> {
    let mut rng = Rng(17);
    let rows = SPANS.iter().map(|(rows, _)| rows).sum();
    let [q, k, v] = [HEADS.0, HEADS.1, HEADS.1]
        .map(|heads| values(Values::Even, rows, heads * rope.head_dim, &mut rng));
    let found = write(check.backend, rope, [&q, &k, &v])?;
    let expected = write(&check.reference, rope, [&q, &k, &v])?;
    // The highest angle of a row bounds all of its pairs; values are below 1, pairs below 1.5.
    let highest = rope.inverse_frequencies.iter().copied().fold(0.0, f32::max);
    let positions: Vec<usize> =
        SPANS.iter().flat_map(|(rows, first)| (0..*rows).map(move |i| first + i)).collect();
    let bound = |row: usize| {
        let position = positions[row].min(ANGLES_TO);
        tolerance::rope(position as f64 * f64::from(highest), 1.5 * f64::from(rope.magnitude))
    };
    let turned = 2 * rope.inverse_frequencies.len();
    for (name, found, expected, heads) in
        [("q", &found.0, &expected.0, HEADS.0), ("k", &found.1, &expected.1, HEADS.1)]
    {
        let cols = heads * rope.head_dim;
        check.close("rope_kv_write", &format!("{name}: {case}"), (found, expected), |i| {
            // What does not turn does not change.
            if i % rope.head_dim < turned { bound(i / cols) } else { 0.0 }
        });
    }
    Ok(())
}
