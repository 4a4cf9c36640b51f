//! What does not fit must be refused, not computed and not a panic.

use quant::FormatId;

use super::cases::{Matrix, Rng};
use super::run::{Checker, input};
use crate::{
    Activation, AttentionRule, Backend, Batch, ExpertBiases, Experts, Gating, GroupWorth, Groups,
    HeadColumns, KvFormat, KvLayout, Result, Rope, RopePairing, Routing, Span, Weight,
    WeightSource,
};

pub(super) fn run(check: &mut Checker<'_>) {
    let backend = check.backend;
    for (op, what, result) in
        [matrices(backend), rows(backend), cache(backend), heads(backend), mixtures(backend)]
            .into_iter()
            .flatten()
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
            "gated",
            "up is another shape",
            alloc(2, 4).and_then(|mut out| {
                let other = Matrix::new(FormatId::Q8_0, (5, 32), &mut Rng(1));
                let other = backend.prepare(&other.source())?;
                backend.gated(&mut out, &x, (&weight, &other), Activation::Silu)
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
    let layer = |scale: usize, bias: usize| -> Result<()> {
        let (scale, bias) = (of(1, scale)?, of(1, bias)?);
        backend.layer_norm(&mut of(2, 8)?, &of(2, 8)?, (&scale, &bias), 1e-5)
    };
    let fused = || -> Result<()> {
        backend.add_rms_norm(&mut of(2, 8)?, &mut of(2, 8)?, &of(1, 8)?, (&of(1, 8)?, 1e-5))
    };
    vec![
        ("alloc", "more than there is", backend.alloc(usize::MAX / 2, 8).map(|_| ())),
        ("upload", "a ragged row", of(2, 8).and_then(|mut x| backend.upload(&mut x, &[0.0; 7]))),
        ("upload", "no room", of(2, 8).and_then(|mut x| backend.upload(&mut x, &[0.0; 80]))),
        ("rms_norm", "a scale of another width", norm()),
        ("layer_norm", "a scale of another width", layer(7, 8)),
        ("layer_norm", "a bias of another width", layer(8, 7)),
        ("add_rms_norm", "a delta of fewer rows", fused()),
        (
            "rms_norm_heads",
            "heads that do not fill a row",
            of(2, 8).and_then(|mut x| backend.rms_norm_heads(&mut x, &of(1, 3)?, 1e-5)),
        ),
        (
            "rms_norm_heads",
            "two scales",
            of(2, 8).and_then(|mut x| backend.rms_norm_heads(&mut x, &of(2, 4)?, 1e-5)),
        ),
        (
            "add_rows",
            "another width",
            of(2, 8).and_then(|mut x| backend.add_rows(&mut x, &of(2, 7)?, &[1.0; 2])),
        ),
        (
            "add_rows",
            "a factor too few",
            of(2, 8).and_then(|mut x| backend.add_rows(&mut x, &of(2, 8)?, &[1.0])),
        ),
        (
            "gate",
            "another width",
            of(2, 8).and_then(|mut x| backend.gate(&mut x, &of(2, 7)?, Activation::Silu)),
        ),
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
    let layout = KvLayout {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim_k: 8,
        head_dim_v: 8,
        page_len: 4,
        page_count: 2,
        format: KvFormat::F32,
    };
    let run = |layer: usize,
               (first_position, pages): (usize, &[u32]),
               head_dim: usize,
               rule: &AttentionRule<'_>| {
        let mut kv = backend.alloc_kv(&layout)?;
        let rope = Rope::new(RopePairing::Halves, head_dim, head_dim, 1e4);
        let spans = [Span { rows: 2, first_position, pages, state: 0 }];
        let batch = Batch::decode(&[0; 2], &spans);
        let [mut q, mut k, v] = [(); 3].map(|()| input(backend, &[0.5; 16], 8));
        let (q, k, v) = (q.as_mut(), k.as_mut(), v.as_ref());
        let (Ok(q), Ok(k), Ok(v)) = (q, k, v) else { return Ok(()) };
        backend.rope_kv_write(&mut kv, layer, (q, k, v), &rope, &batch)?;
        let mut out = backend.alloc(2, 8)?;
        backend.attention(&mut out, q, (&kv, layer), rule, &batch)
    };
    let causal = AttentionRule::causal(1.0);
    let wide = |head_dim_k, head_dim_v| {
        let layout = KvLayout { head_dim_k, head_dim_v, format: KvFormat::Q8_0, ..layout.clone() };
        backend.alloc_kv(&layout).map(|_| ())
    };
    let ruled = |rule: &AttentionRule<'_>| run(0, (0, &[0]), 8, rule);
    let both_ways = |first, window| {
        let pages: &[u32] = &[0, 1];
        run(0, (first, pages), 8, &AttentionRule { window, bidirectional: true, ..causal })
    };
    let sunk = |rows: usize, n_heads: usize| -> Result<()> {
        let sinks = input(backend, &vec![0.0; rows * n_heads], n_heads)?;
        ruled(&AttentionRule { sinks: Some(&sinks), ..causal })
    };
    vec![
        ("alloc_kv", "keys of no whole blocks", wide(80, 64)),
        ("alloc_kv", "values of no whole blocks", wide(64, 80)),
        ("rope_kv_write", "a layer that is not there", run(1, (0, &[0]), 8, &causal)),
        ("rope_kv_write", "a position without a page", run(0, (3, &[0]), 8, &causal)),
        ("rope_kv_write", "a page that is not there", run(0, (0, &[2]), 8, &causal)),
        ("rope_kv_write", "a head of another width", run(0, (0, &[0]), 4, &causal)),
        (
            "attention",
            "a window of no position",
            ruled(&AttentionRule { window: Some(0), ..causal }),
        ),
        ("attention", "a part of a sequence both ways", both_ways(1, None)),
        ("attention", "a window both ways", both_ways(0, Some(2))),
        ("attention", "a sink too many", sunk(1, 2)),
        ("attention", "sinks of two layers", sunk(2, 1)),
    ]
}

fn heads(backend: &dyn Backend) -> Refusals {
    let columns = |first, stride, len| HeadColumns { first, stride, len };
    let whole = columns(0, 32, 32);
    let copy = |to, from, n_heads| -> Result<()> {
        let (mut out, x) = (backend.alloc(2, 64)?, input(backend, &[1.0; 128], 64)?);
        backend.copy_heads((&mut out, to), (&x, from), n_heads)
    };
    let multiply = |to, from, n_heads: usize, rows| -> Result<()> {
        let matrix = Matrix::new(FormatId::Q8_0, (32, 32), &mut Rng(1));
        let weights = (0..n_heads).map(|_| backend.prepare(&matrix.source()));
        let weights: Vec<Weight> = weights.collect::<Result<_>>()?;
        let (mut out, x) = (backend.alloc(rows, 64)?, input(backend, &[1.0; 128], 64)?);
        backend.matmul_heads((&mut out, to), (&x, from), &weights)
    };
    vec![
        ("copy_heads", "heads of two widths", copy(columns(0, 32, 31), whole, 2)),
        ("copy_heads", "a head beyond out", copy(columns(1, 32, 32), whole, 2)),
        ("copy_heads", "a head beyond x", copy(whole, columns(0, 33, 32), 2)),
        ("matmul_heads", "a head of another width", multiply(columns(0, 32, 31), whole, 2, 2)),
        ("matmul_heads", "an input of another width", multiply(whole, columns(0, 32, 31), 2, 2)),
        ("matmul_heads", "a head beyond out", multiply(columns(1, 32, 32), whole, 2, 2)),
        ("matmul_heads", "a weight too many", multiply(whole, whole, 3, 2)),
        ("matmul_heads", "out has no room", multiply(whole, whole, 2, 1)),
    ]
}

/// Two of four experts.
const ROUTING: Routing =
    Routing { used: 2, gating: Gating::Softmax, normalised: true, scale: 1.0, groups: None };

/// Four experts of `[64, 32]` with one thing wrong, or `count` scores, or an output of `d`.
fn mix(
    backend: &dyn Backend,
    (d, count): (usize, usize),
    spoil: impl FnOnce(&mut Experts) -> Result<()>,
) -> Result<()> {
    let mut rng = Rng(1);
    let mut weights = |n, k| -> Result<Vec<Weight>> {
        let matrices = (0..4).map(|_| Matrix::new(FormatId::Q8_0, (n, k), &mut rng));
        matrices.map(|matrix| backend.prepare(&matrix.source())).collect()
    };
    let mut experts = Experts {
        gate: weights(64, 32)?,
        up: weights(64, 32)?,
        down: weights(32, 64)?,
        biases: None,
        activation: Activation::Silu,
        routing: ROUTING,
        selection_bias: None,
    };
    spoil(&mut experts)?;
    let x = input(backend, &[1.0; 64], 32)?;
    let scores = input(backend, &vec![1.0; 2 * count], count)?;
    backend.experts(&mut backend.alloc(2, d)?, &x, &scores, &experts)
}

fn mixtures(backend: &dyn Backend) -> Refusals {
    let spoilt = |spoil: fn(&mut Experts)| {
        mix(backend, (32, 4), |experts| {
            spoil(experts);
            Ok(())
        })
    };
    let routed = |routing: Routing| {
        mix(backend, (32, 4), |experts| {
            experts.routing = routing;
            Ok(())
        })
    };
    let grouped = |count, used| {
        let groups = Some(Groups { count, used, worth: GroupWorth::Best });
        routed(Routing { groups, ..ROUTING })
    };
    let biased = |cols: [usize; 3]| {
        mix(backend, (32, 4), |experts| {
            let [gate, up, down] = cols.map(|cols| backend.alloc(4, cols));
            experts.biases = Some(ExpertBiases { gate: gate?, up: up?, down: down? });
            Ok(())
        })
    };
    vec![
        ("experts", "out is too wide", mix(backend, (33, 4), |_| Ok(()))),
        ("experts", "a score too few", mix(backend, (32, 3), |_| Ok(()))),
        ("experts", "none is used", routed(Routing { used: 0, ..ROUTING })),
        ("experts", "more are used than there are", routed(Routing { used: 5, ..ROUTING })),
        ("experts", "groups of unequal size", grouped(3, 1)),
        ("experts", "no group is used", grouped(2, 0)),
        ("experts", "groups of too few", grouped(4, 1)),
        ("experts", "biases of another width", biased([64, 63, 32])),
        (
            "experts",
            "a matrix too few",
            spoilt(|experts| {
                experts.up.pop();
            }),
        ),
        (
            "experts",
            "gates for downs",
            spoilt(|experts| std::mem::swap(&mut experts.gate, &mut experts.down)),
        ),
        (
            "experts",
            "a selection bias too few",
            spoilt(|experts| experts.selection_bias = Some(vec![0.0; 3])),
        ),
    ]
}
