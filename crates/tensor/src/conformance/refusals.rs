//! What does not fit must be refused, not computed and not a panic.

use quant::FormatId;

use super::cases::{Matrix, Rng};
use super::run::{Checker, input};
use crate::{
    Activation, AttentionRule, Backend, Batch, KvFormat, KvLayout, Result, Rope, RopePairing, Span,
    WeightSource,
};

pub(super) fn run(check: &mut Checker<'_>) {
    let backend = check.backend;
    for (op, what, result) in
        [matrices(backend), rows(backend), cache(backend)].into_iter().flatten()
    {
        if result.is_ok() {
            check.fail(op, what, "was computed instead of refused".to_owned());
        }
    }
}

type Refusals = Vec<(&'static str, &'static str, Result<()>)>;

fn matrices(backend: &dyn Backend) -> Refusals {
    let matrix = Matrix::new(FormatId::Q8_0, (4, 32), &mut Rng(1));
    let source = matrix.source();
    let short = WeightSource { bytes: &matrix.bytes[1..], ..source };
    let ragged = WeightSource { k: 33, ..source };
    let mut refusals: Refusals = vec![
        ("prepare", "a byte too few", backend.prepare(&short).map(|_| ())),
        ("prepare", "no whole blocks", backend.prepare(&ragged).map(|_| ())),
    ];
    let (Ok(weight), Ok(x), Ok(wide)) =
        (backend.prepare(&source), input(backend, &[0.0; 64], 32), input(backend, &[0.0; 64], 64))
    else {
        return refusals;
    };
    let alloc = |rows, cols| backend.alloc(rows, cols);
    let multiply = |rows, cols, x| -> Result<()> {
        backend.matmul(&mut [&mut alloc(rows, cols)?], x, &[&weight])
    };
    refusals.extend([
        ("matmul", "x is too wide", multiply(2, 4, &wide)),
        ("matmul", "out is too narrow", multiply(2, 3, &x)),
        ("matmul", "out has no room", multiply(1, 4, &x)),
        ("matmul", "an output too few", backend.matmul(&mut [], &x, &[&weight])),
        (
            "gated",
            "x is too wide",
            alloc(1, 4).and_then(|mut out| {
                backend.gated(&mut out, &wide, (&weight, &weight), Activation::Silu)
            }),
        ),
        (
            "embed",
            "a token beyond the table",
            alloc(1, 32).and_then(|mut out| backend.embed(&mut out, &weight, &[4])),
        ),
        (
            "embed",
            "out is too narrow",
            alloc(1, 31).and_then(|mut out| backend.embed(&mut out, &weight, &[0])),
        ),
    ]);
    refusals
}

fn rows(backend: &dyn Backend) -> Refusals {
    let of = |rows: usize, cols: usize| input(backend, &vec![1.0; rows * cols], cols);
    let norm = || -> Result<()> { backend.rms_norm(&mut of(2, 8)?, &of(2, 8)?, &of(1, 7)?, 1e-5) };
    let fused = || -> Result<()> {
        backend.add_rms_norm(&mut of(2, 8)?, &mut of(2, 8)?, &of(1, 8)?, (&of(1, 8)?, 1e-5))
    };
    vec![
        ("alloc", "more than there is", backend.alloc(usize::MAX / 2, 8).map(|_| ())),
        ("upload", "a ragged row", of(2, 8).and_then(|mut x| backend.upload(&mut x, &[0.0; 7]))),
        ("upload", "no room", of(2, 8).and_then(|mut x| backend.upload(&mut x, &[0.0; 80]))),
        ("rms_norm", "a scale of another width", norm()),
        ("add_rms_norm", "a delta of fewer rows", fused()),
        ("add", "another width", of(2, 8).and_then(|mut x| backend.add(&mut x, &of(2, 7)?))),
        ("add_bias", "two rows", of(2, 8).and_then(|mut x| backend.add_bias(&mut x, &of(2, 8)?))),
        (
            "gather_rows",
            "a row that is not there",
            of(2, 8).and_then(|mut out| backend.gather_rows(&mut out, &of(2, 8)?, &[2])),
        ),
    ]
}

fn cache(backend: &dyn Backend) -> Refusals {
    let write = |layer: usize, first_position: usize, pages: &[u32], head_dim: usize| {
        let layout = KvLayout {
            n_layers: 1,
            n_kv_heads: 1,
            head_dim_k: 8,
            head_dim_v: 8,
            page_len: 4,
            page_count: 2,
            format: KvFormat::F32,
        };
        let mut kv = backend.alloc_kv(&layout)?;
        let rope = Rope::new(RopePairing::Halves, head_dim, head_dim, 1e4);
        let batch =
            Batch { tokens: &[0; 2], spans: &[Span { rows: 2, first_position, pages, state: 0 }] };
        let [mut q, mut k, v] = [(); 3].map(|()| input(backend, &[0.5; 16], 8));
        let (q, k, v) = (q.as_mut(), k.as_mut(), v.as_ref());
        let (Ok(q), Ok(k), Ok(v)) = (q, k, v) else { return Ok(()) };
        backend.rope_kv_write(&mut kv, layer, (q, k, v), &rope, &batch)?;
        let mut out = backend.alloc(2, 8)?;
        backend.attention(&mut out, q, (&kv, layer), &AttentionRule::causal(1.0), &batch)
    };
    vec![
        ("rope_kv_write", "a layer that is not there", write(1, 0, &[0], 8)),
        ("rope_kv_write", "a position without a page", write(0, 3, &[0], 8)),
        ("rope_kv_write", "a page that is not there", write(0, 0, &[2], 8)),
        ("rope_kv_write", "a head of another width", write(0, 0, &[0], 4)),
    ]
}
