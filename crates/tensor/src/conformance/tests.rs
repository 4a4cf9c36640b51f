//! The net itself: the reference passes, and every deliberate bug is caught where it is.

use quant::FormatId;

use super::run::Checker;
use super::{attention, delta_net, experts, heads, matmul, prefill, refusals, rope, rows, run};
use crate::reference::Reference;
use crate::{
    Activation, AttentionRule, Backend, Batch, DeltaInputs, DeltaNet, Experts, HeadColumns,
    HeadOrder, HostBuffer, KvCache, KvFormat, KvLayout, Result, Rope, RopePairing, Span,
    StateCache, StateLayout, Tensor, Weight, WeightSource,
};

#[test]
fn the_reference_agrees_with_itself() {
    let failures = run(&Reference::new());
    assert!(failures.is_empty(), "{} failures, first: {}", failures.len(), failures[0]);
}

/// A mistake that a backend might make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Loses the last input column of rows beyond the 32nd.
    MatmulTail,
    /// Prefill rows are rounded in another way where there are no decode rows.
    PrefillKind,
    /// The last bit of the first row tells whether it had neighbours.
    MatmulNeighbours,
    /// Gives the second output the first weight.
    MatmulSwapped,
    /// Half the sigmoid's slope.
    SwigluSlope,
    /// Takes every activation for SiLU.
    ActivationSwapped,
    /// Cuts off at the cap.
    SoftCapCuts,
    /// The mean of the whole row.
    HeadNormWhole,
    /// Heads lie side by side.
    HeadStride,
    /// Every expert counts 1.
    ExpertWeight,
    /// Experts without their biases.
    ExpertBias,
    /// No epsilon.
    NormEps,
    /// Leaves the residual as it was.
    NormResidual,
    /// Always pairs halves.
    RopePairing,
    /// Takes the whole head although only a part turns.
    RopePart,
    /// Writes one layer for all.
    CacheLayer,
    /// Keeps 16 bits of what was to be 8.
    CacheFormat,
    /// One scale for a whole head.
    CacheScale,
    /// Sees one position ahead.
    AttentionAhead,
    /// Ignores the page table.
    AttentionPages,
    /// Query heads in turns instead of groups; shows only where heads share.
    AttentionGroups,
    /// Softmax of 1 % too small scores.
    AttentionScale,
    /// A window of one position more.
    AttentionWindow,
    /// Multiplies what lies behind the window by zero.
    AttentionBehind,
    /// Scores as they are.
    AttentionCap,
    /// Softmax without sinks.
    AttentionSink,
    /// Only what came before.
    AttentionOneWay,
    /// Leaves the mean in.
    LayerNormMean,
    /// Forgets the bias.
    LayerNormBias,
    /// Takes one GELU for the other.
    GeluSwapped,
    /// Row `i + 1`.
    EmbedNext,
    /// Clamps what is out of range.
    GatherClamps,
    /// Says one byte less than it takes.
    PreparedBytes,
    /// Begins with what an earlier sequence left.
    StateKept,
    /// Mistakes another sequence's state for its own in steps of one row.
    StateShared,
    /// Takes tiled heads for grouped ones.
    StateOrder,
    /// Gates by the row's first gate.
    SigmoidFirst,
    /// Multiplies rows without a factor by zero.
    RowsTimesZero,
    /// Rounds gates that are kept once more.
    GateRounded,
}

type Part = fn(&mut Checker<'_>);

/// Bug, operation that must be named, and the part of the conformance run that finds it.
const BUGS: [(Bug, &str, Part); 40] = [
    (Bug::StateOrder, "delta_net", delta_net::run),
    (Bug::StateKept, "delta_net", delta_net::run),
    (Bug::StateShared, "delta_net", delta_net::run),
    (Bug::SigmoidFirst, "sigmoid_gate", delta_net::run),
    (Bug::MatmulTail, "matmul", one_format),
    (Bug::PrefillKind, "matmul", |check| prefill::run_format(check, FormatId::Q4_0)),
    (Bug::MatmulNeighbours, "matmul", one_format),
    (Bug::MatmulSwapped, "matmul", one_format),
    (Bug::RowsTimesZero, "add_rows", rows::run),
    (Bug::GateRounded, "gate", one_format),
    (Bug::SwigluSlope, "gated", one_format),
    (Bug::PreparedBytes, "prepare", one_format),
    (Bug::ActivationSwapped, "gated", |check| matmul::run_format(check, FormatId::Q8_0)),
    (Bug::SoftCapCuts, "soft_cap", rows::run),
    (Bug::HeadNormWhole, "rms_norm_heads", heads::run),
    (Bug::HeadStride, "matmul_heads", heads::run),
    (Bug::HeadStride, "copy_heads", heads::run),
    (Bug::ExpertWeight, "experts", experts::run),
    (Bug::ExpertBias, "experts", experts::run),
    (Bug::NormEps, "rms_norm", rows::run),
    (Bug::NormResidual, "add_rms_norm", rows::run),
    (Bug::EmbedNext, "embed", rows::run),
    (Bug::GatherClamps, "gather_rows", refusals::run),
    (Bug::RopePairing, "rope_kv_write", rope::run),
    (Bug::RopePart, "rope_kv_write", rope::run),
    (Bug::CacheLayer, "attention", attention::run),
    (Bug::CacheFormat, "attention", attention::run),
    (Bug::CacheScale, "attention", attention::run),
    (Bug::AttentionAhead, "attention", attention::run),
    (Bug::AttentionPages, "attention", attention::run),
    (Bug::AttentionGroups, "attention", attention::run),
    (Bug::AttentionScale, "attention", attention::run),
    (Bug::AttentionWindow, "attention", attention::run_ruled),
    (Bug::AttentionBehind, "attention", attention::run_ruled),
    (Bug::AttentionCap, "attention", attention::run_ruled),
    (Bug::AttentionOneWay, "attention", attention::run_bidirectional),
    (Bug::LayerNormMean, "layer_norm", rows::run),
    (Bug::LayerNormBias, "layer_norm", rows::run),
    (Bug::GeluSwapped, "activate", rows::run),
    (Bug::AttentionSink, "attention", attention::run_ruled),
];

fn one_format(check: &mut Checker<'_>) {
    matmul::run_format(check, FormatId::Q4_0);
}

#[test]
fn every_bug_is_caught_and_named() {
    for (bug, op, part) in BUGS {
        let broken = Broken { inner: Reference::new(), bug };
        let mut check = Checker::new(&broken);
        part(&mut check);
        let caught = check.failures.iter().any(|failure| failure.op == op);
        assert!(caught, "{bug:?} went through: {:?}", check.failures);
    }
}

/// The reference with one bug.
struct Broken {
    inner: Reference,
    bug: Bug,
}

impl Broken {
    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }
}

impl Backend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
    fn description(&self) -> String {
        format!("{:?}", self.bug)
    }
    fn alloc(&self, rows: usize, cols: usize) -> Result<Tensor> {
        self.inner.alloc(rows, cols)
    }
    fn alloc_kv(&self, layout: &KvLayout) -> Result<KvCache> {
        if self.has(Bug::CacheFormat) && layout.format == KvFormat::Q8_0 {
            return self.inner.alloc_kv(&KvLayout { format: KvFormat::F16, ..layout.clone() });
        }
        self.inner.alloc_kv(layout)
    }
    fn prepared_bytes(&self, source: &WeightSource<'_>) -> usize {
        self.inner.prepared_bytes(source) - usize::from(self.has(Bug::PreparedBytes))
    }
    fn prepare(&self, source: &WeightSource<'_>) -> Result<Weight> {
        self.inner.prepare(source)
    }
    fn upload(&self, out: &mut Tensor, values: &[f32]) -> Result<()> {
        self.inner.upload(out, values)
    }
    fn download(&self, out: &mut Vec<f32>, x: &Tensor) -> Result<()> {
        self.inner.download(out, x)
    }
    fn embed(&self, out: &mut Tensor, table: &Weight, tokens: &[u32]) -> Result<()> {
        let next = u32::from(self.has(Bug::EmbedNext));
        let tokens: Vec<u32> =
            tokens.iter().map(|token| if *token == 5 { token + next } else { *token }).collect();
        self.inner.embed(out, table, &tokens)
    }
    fn rms_norm(&self, out: &mut Tensor, x: &Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        let eps = if self.has(Bug::NormEps) { 0.0 } else { eps };
        self.inner.rms_norm(out, x, scale, eps)
    }
    fn add_rms_norm(
        &self,
        out: &mut Tensor,
        residual: &mut Tensor,
        delta: &Tensor,
        norm: (&Tensor, f32),
    ) -> Result<()> {
        let before = residual.host()?.to_vec();
        self.inner.add_rms_norm(out, residual, delta, norm)?;
        if self.has(Bug::NormResidual) {
            residual.host_mut()?.copy_from_slice(&before);
        }
        Ok(())
    }
    fn layer_norm(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        (scale, bias): (&Tensor, &Tensor),
        eps: f32,
    ) -> Result<()> {
        if self.has(Bug::LayerNormMean) {
            self.inner.rms_norm(out, x, scale, eps)?;
            return self.inner.add_bias(out, bias);
        }
        let none = Tensor::host_zeros(1, bias.cols());
        let bias = if self.has(Bug::LayerNormBias) { &none } else { bias };
        self.inner.layer_norm(out, x, (scale, bias), eps)
    }
    fn activate(&self, x: &mut Tensor, activation: Activation) -> Result<()> {
        self.inner.activate(x, self.swapped(activation))
    }
    fn add(&self, residual: &mut Tensor, delta: &Tensor) -> Result<()> {
        self.inner.add(residual, delta)
    }
    fn add_rows(&self, out: &mut Tensor, delta: &Tensor, factors: &[f32]) -> Result<()> {
        self.inner.add_rows(out, delta, factors)?;
        if self.has(Bug::RowsTimesZero) {
            let cols = out.cols();
            for (i, (out, delta)) in out.host_mut()?.iter_mut().zip(delta.host()?).enumerate() {
                *out += if factors[i / cols] == 0.0 { 0.0 * delta } else { 0.0 };
            }
        }
        Ok(())
    }
    fn gate(&self, gate: &mut Tensor, up: &Tensor, activation: Activation) -> Result<()> {
        if self.has(Bug::GateRounded) {
            let rounded = |x: &mut f32| *x = f32::from_bits(x.to_bits() & !1);
            gate.host_mut()?.iter_mut().for_each(rounded);
        }
        self.inner.gate(gate, up, activation)
    }
    fn add_bias(&self, x: &mut Tensor, bias: &Tensor) -> Result<()> {
        self.inner.add_bias(x, bias)
    }
    fn matmul(&self, outs: &mut [&mut Tensor], x: &Tensor, weights: &[&Weight]) -> Result<()> {
        if self.has(Bug::MatmulTail) && x.rows() > 32 {
            let k = x.cols();
            let mut values = x.host()?.to_vec();
            values.chunks_exact_mut(k).skip(32).for_each(|row| row[k - 1] = 0.0);
            return self.inner.matmul(outs, &Tensor::host_from(values, k), weights);
        }
        self.inner.matmul(outs, x, weights)?;
        if self.has(Bug::MatmulNeighbours) && x.rows() > 1 {
            let first = &mut outs[0].host_mut()?[0];
            *first = f32::from_bits(first.to_bits() ^ 1);
        }
        if self.has(Bug::PrefillKind) && x.prefill_rows().start == 0 {
            let first = &mut outs[0].host_mut()?[0];
            *first = f32::from_bits(first.to_bits() ^ 1);
        }
        if self.has(Bug::MatmulSwapped) && outs.len() > 1 {
            let first = outs[0].host()?[0];
            outs[1].host_mut()?[0] = first;
        }
        Ok(())
    }
    fn rms_norm_heads(&self, x: &mut Tensor, scale: &Tensor, eps: f32) -> Result<()> {
        if self.has(Bug::HeadNormWhole) {
            let cols = x.cols();
            let scales = scale.host()?.iter().copied().cycle().take(cols).collect();
            return self.inner.rms_norm_heads(x, &Tensor::host_from(scales, cols), eps);
        }
        self.inner.rms_norm_heads(x, scale, eps)
    }
    fn scale(&self, x: &mut Tensor, factor: f32) -> Result<()> {
        self.inner.scale(x, factor)
    }
    fn soft_cap(&self, x: &mut Tensor, cap: f32) -> Result<()> {
        if self.has(Bug::SoftCapCuts) {
            x.host_mut()?.iter_mut().for_each(|x| *x = x.clamp(-cap, cap));
            return Ok(());
        }
        self.inner.soft_cap(x, cap)
    }
    fn experts(&self, out: &mut Tensor, x: &Tensor, scores: &Tensor, of: &Experts) -> Result<()> {
        let unweighted = self.has(Bug::ExpertWeight) && of.biases.is_none();
        if unweighted || self.has(Bug::ExpertBias) {
            return self.experts_by_hand(out, (x, scores), of);
        }
        self.inner.experts(out, x, scores, of)
    }
    fn matmul_heads(
        &self,
        (out, to): (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        weights: &[Weight],
    ) -> Result<()> {
        self.inner.matmul_heads((out, self.strided(to)), x, weights)
    }
    fn copy_heads(
        &self,
        (out, to): (&mut Tensor, HeadColumns),
        x: (&Tensor, HeadColumns),
        n_heads: usize,
    ) -> Result<()> {
        self.inner.copy_heads((out, self.strided(to)), x, n_heads)
    }
    fn gated(
        &self,
        out: &mut Tensor,
        x: &Tensor,
        gate_up: (&Weight, &Weight),
        activation: Activation,
    ) -> Result<()> {
        let silu = self.has(Bug::ActivationSwapped);
        let activation = if silu { Activation::Silu } else { self.swapped(activation) };
        self.inner.gated(out, x, gate_up, activation)?;
        if self.has(Bug::SwigluSlope) {
            out.host_mut()?.iter_mut().for_each(|value| *value *= 0.9);
        }
        Ok(())
    }
    fn rope_kv_write(
        &self,
        kv: &mut KvCache,
        layer: usize,
        qkv: (&mut Tensor, &mut Tensor, &Tensor),
        rope: &Rope,
        batch: &Batch<'_>,
    ) -> Result<()> {
        let mut rope = rope.clone();
        if self.has(Bug::RopePairing) {
            rope.pairing = RopePairing::Halves;
        }
        if self.has(Bug::RopePart) && 2 * rope.inverse_frequencies.len() < rope.head_dim {
            rope.inverse_frequencies.resize(rope.head_dim / 2, 0.5);
        }
        let layer = if self.has(Bug::CacheLayer) && layer == 1 { 0 } else { layer };
        if self.has(Bug::CacheScale) && kv.layout.format == KvFormat::Q8_0 {
            let mut v = qkv.2.host()?.to_vec();
            for head in v.chunks_exact_mut(kv.layout.head_dim_v) {
                let step = head.iter().fold(0.0, |max: f32, v| max.max(v.abs())) / 127.0;
                head.iter_mut().for_each(|v| *v = (*v / step).round() * step);
            }
            let v = Tensor::host_from(v, qkv.2.cols());
            return self.inner.rope_kv_write(kv, layer, (qkv.0, qkv.1, &v), &rope, batch);
        }
        self.inner.rope_kv_write(kv, layer, qkv, &rope, batch)
    }
    fn attention(
        &self,
        out: &mut Tensor,
        q: &Tensor,
        kv: (&KvCache, usize),
        rule: &AttentionRule<'_>,
        batch: &Batch<'_>,
    ) -> Result<()> {
        let mut rule = *rule;
        if self.has(Bug::AttentionScale) {
            rule.scale *= 0.99;
        }
        rule.window =
            rule.window.map(|window| window + usize::from(self.has(Bug::AttentionWindow)));
        rule.bidirectional &= !self.has(Bug::AttentionOneWay);
        rule.soft_cap = rule.soft_cap.filter(|_| !self.has(Bug::AttentionCap));
        rule.sinks = rule.sinks.filter(|_| !self.has(Bug::AttentionSink));
        let rule = &rule;
        let page_len = kv.0.layout.page_len;
        let ahead = usize::from(self.has(Bug::AttentionAhead));
        let pages: Vec<u32> = (0..).take(kv.0.layout.page_count).collect();
        let spans: Vec<Span<'_>> = batch
            .spans
            .iter()
            .map(|span| {
                let end = span.first_position + span.rows + ahead;
                let room = span.pages.len() * page_len >= end;
                let first_position = span.first_position + if room { ahead } else { 0 };
                let straight = self.has(Bug::AttentionPages) && end <= pages.len() * page_len;
                let pages = if straight { &pages } else { span.pages };
                Span { first_position, pages, ..*span }
            })
            .collect();
        let batch = Batch { spans: &spans, ..*batch };
        if self.has(Bug::AttentionGroups) {
            return self.attention_in_turns(out, (q, rule), kv, &batch);
        }
        self.inner.attention(out, q, kv, rule, &batch)?;
        if self.has(Bug::AttentionBehind) {
            let mut all = Tensor::host_zeros(out.rows(), out.cols());
            let whole = AttentionRule { window: None, ..*rule };
            self.inner.attention(&mut all, q, kv, &whole, &batch)?;
            for (out, all) in out.host_mut()?.iter_mut().zip(all.host()?) {
                *out += 0.0 * all;
            }
        }
        Ok(())
    }
    fn sigmoid_gate(&self, x: &mut Tensor, gate: &Tensor) -> Result<()> {
        if self.has(Bug::SigmoidFirst) {
            let first = gate.host()?.chunks_exact(gate.cols()).map(|row| row[0]).collect();
            return self.inner.sigmoid_gate(x, &Tensor::host_from(first, 1));
        }
        self.inner.sigmoid_gate(x, gate)
    }
    fn alloc_states(&self, layout: &StateLayout) -> Result<StateCache> {
        self.inner.alloc_states(layout)
    }
    fn delta_net(
        &self,
        out: &mut Tensor,
        inputs: DeltaInputs<'_>,
        (state, layer): (&mut StateCache, usize),
        net: &DeltaNet,
        batch: &Batch<'_>,
    ) -> Result<()> {
        // A span that begins and does not find zeros: no position of its own is 0.
        let late = usize::from(self.has(Bug::StateKept));
        let mut spans = batch.spans.to_vec();
        for span in &mut spans {
            span.first_position += late;
            if self.has(Bug::StateShared) && span.rows == 1 {
                span.state = 0;
            }
        }
        let shared = spans.iter().filter(|span| span.rows > 0 && span.state == 0).count() > 1;
        let batch = if shared { *batch } else { Batch { spans: &spans, ..*batch } };
        if self.has(Bug::StateOrder) && net.order == HeadOrder::Tiled {
            let grouped = |tensor: &Tensor| -> Result<Tensor> {
                Ok(Tensor::new(
                    tensor.rows(),
                    tensor.cols(),
                    Box::new(HostBuffer(tensor.host()?.to_vec())),
                ))
            };
            let [conv, decay, step_bias, norm] =
                [&net.conv, &net.decay, &net.step_bias, &net.norm].map(grouped);
            let (conv, decay, step_bias, norm) = (conv?, decay?, step_bias?, norm?);
            let net = &DeltaNet { conv, decay, step_bias, norm, order: HeadOrder::Grouped, ..*net };
            return self.inner.delta_net(out, inputs, (state, layer), net, &batch);
        }
        self.inner.delta_net(out, inputs, (state, layer), net, &batch)
    }
    fn gather_rows(&self, out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()> {
        if self.has(Bug::GatherClamps) {
            let last = u32::try_from(x.rows()).expect("few rows") - 1;
            let rows: Vec<u32> = rows.iter().map(|row| *row.min(&last)).collect();
            return self.inner.gather_rows(out, x, &rows);
        }
        self.inner.gather_rows(out, x, rows)
    }
}

impl Broken {
    fn swapped(&self, activation: Activation) -> Activation {
        match activation {
            Activation::GeluErf if self.has(Bug::GeluSwapped) => Activation::GeluTanh,
            Activation::GeluErf
            | Activation::GeluTanh
            | Activation::Silu
            | Activation::ClampedSilu { .. } => activation,
        }
    }

    fn strided(&self, heads: HeadColumns) -> HeadColumns {
        let stride = if self.has(Bug::HeadStride) { heads.len } else { heads.stride };
        HeadColumns { stride, ..heads }
    }

    /// Row by row, without biases.
    fn experts_by_hand(
        &self,
        out: &mut Tensor,
        (x, scores): (&Tensor, &Tensor),
        of: &Experts,
    ) -> Result<()> {
        let (d, count) = (x.cols(), scores.cols());
        out.set_rows_as(x)?;
        out.host_mut()?.fill(0.0);
        let rows = x.host()?.chunks_exact(d).zip(scores.host()?.chunks_exact(count));
        for (out, (x, scores)) in out.host_mut()?.chunks_exact_mut(d).zip(rows) {
            let x = Tensor::host_from(x.to_vec(), d);
            for (e, weight) in of.routing.choose(scores, of.selection_bias.as_deref()) {
                let mut gated = Tensor::host_zeros(1, of.gate[e].n);
                self.inner.gated(&mut gated, &x, (&of.gate[e], &of.up[e]), of.activation)?;
                let mut down = Tensor::host_zeros(1, d);
                self.inner.matmul(&mut [&mut down], &gated, &[&of.down[e]])?;
                let weight = if self.has(Bug::ExpertWeight) { 1.0 } else { weight as f32 };
                for (out, value) in out.iter_mut().zip(down.host()?) {
                    *out += weight * value;
                }
            }
        }
        Ok(())
    }

    /// Query head `h` reads KV head `h % n_kv_heads`: permutes the heads on the way in and out.
    fn attention_in_turns(
        &self,
        out: &mut Tensor,
        (q, rule): (&Tensor, &AttentionRule<'_>),
        kv: (&KvCache, usize),
        batch: &Batch<'_>,
    ) -> Result<()> {
        let layout = &kv.0.layout;
        let (dim_k, dim_v, n_kv) = (layout.head_dim_k, layout.head_dim_v, layout.n_kv_heads);
        let n_heads = q.cols() / dim_k;
        let group = n_heads / n_kv;
        let turned = |h: usize| (h % n_kv) * group + h / n_kv;
        let mut permuted = q.host()?.to_vec();
        for (row, from) in permuted.chunks_exact_mut(q.cols()).zip(q.host()?.chunks_exact(q.cols()))
        {
            for h in 0..n_heads {
                row[turned(h) * dim_k..][..dim_k].copy_from_slice(&from[h * dim_k..][..dim_k]);
            }
        }
        self.inner.attention(out, &Tensor::host_from(permuted, q.cols()), kv, rule, batch)?;
        let cols = out.cols();
        for row in out.host_mut()?.chunks_exact_mut(cols) {
            let from = row.to_vec();
            for h in 0..n_heads {
                row[h * dim_v..][..dim_v].copy_from_slice(&from[turned(h) * dim_v..][..dim_v]);
            }
        }
        Ok(())
    }
}
