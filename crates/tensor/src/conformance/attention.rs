//! Attention and the cache: groups, widths, page borders, several sequences, long contexts;
//! windows, soft caps and sinks; attention both ways.
//!
//! Each case is computed in one batch and compared with the reference, then once more row by row
//! (sequence by sequence where rows see all of it), which must give the same bits.

use std::ops::Range;

use super::cases::{Rng, Values, values};
use super::run::{Checker, host, input, output};
use super::tolerance;
use crate::{
    AttentionRule, Backend, Batch, KvCache, KvFormat, KvLayout, Result, Rope, RopePairing, Span,
    Tensor, WINDOW_SLACK,
};

/// One cache and what is asked of it.
struct Case {
    n_kv_heads: usize,
    /// Query heads that share a KV head.
    group: usize,
    head_dim_k: usize,
    head_dim_v: usize,
    page_len: usize,
    format: KvFormat,
    /// `(earlier positions, rows in the batch)` of each sequence.
    spans: Vec<(usize, usize)>,
    scale: f32,
    rotated: bool,
    window: Option<usize>,
    soft_cap: Option<f32>,
    /// Each head's sink is between minus and plus this.
    sinks: Option<f32>,
    bidirectional: bool,
    /// Earlier positions of a step when rows come one by one.
    step: usize,
    /// Page tables name a page of NaN in place of those that no row of the step can see.
    forgets: bool,
    /// Whole pages that lie before each sequence, all the same one, which is no owner's NaN then.
    pages_before: usize,
}

/// Rows of one step: `(sequence, first position, rows)`.
type Step = Vec<(usize, usize, usize)>;

/// Queries, keys and values of one sequence, `[positions, cols]`.
struct Sequence {
    len: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    pages: Vec<u32>,
    /// A page that no sequence has.
    nobodys: u32,
}

/// Sequences of a step, one of them without rows.
const MIXED: [(usize, usize); 5] = [(0, 5), (20, 1), (33, 3), (0, 0), (7, 1)];

/// The plain rule in pages of 16.
fn case((n_kv_heads, group): (usize, usize), head_dim: usize, spans: &[(usize, usize)]) -> Case {
    Case {
        n_kv_heads,
        group,
        head_dim_k: head_dim,
        head_dim_v: head_dim,
        page_len: 16,
        format: KvFormat::F32,
        spans: spans.to_vec(),
        scale: 1.0 / (head_dim as f32).sqrt(),
        rotated: false,
        window: None,
        soft_cap: None,
        sinks: None,
        bidirectional: false,
        step: 1,
        forgets: false,
        pages_before: 0,
    }
}

fn plain_cases() -> Vec<Case> {
    let mixed = MIXED;
    let mut cases = Vec::new();
    for head_dim in [64, 80, 128] {
        for heads in [(2, 1), (2, 2), (3, 3), (1, 8)] {
            cases.push(case(heads, head_dim, &[(13, 6)]));
            cases.push(Case { format: KvFormat::F16, ..case(heads, head_dim, &[(0, 18)]) });
        }
    }
    for format in KvFormat::ALL {
        cases.push(Case { format, ..case((2, 2), 64, &mixed) });
        cases.push(Case { format, rotated: true, ..case((3, 3), 64, &mixed) });
        cases.push(Case { format, ..case((1, 3), 64, &[(311, 2), (599, 1)]) });
        cases.push(Case { format, page_len: 32, ..case((1, 2), 64, &[(0, 333)]) });
        cases.push(Case { format, page_len: 5, ..case((2, 1), 64, &[(9, 3), (0, 4)]) });
        cases.push(Case { format, page_len: 1, ..case((1, 1), 64, &[(2, 3)]) });
        // Heads of whole blocks, and others where a value is a block of its own.
        let (k, v) = if format.format().block_len() == 1 { (80, 48) } else { (96, 32) };
        cases.push(Case { format, head_dim_v: v, ..case((2, 2), k, &mixed) });
        cases.push(Case { format, ..case((1, 8), 128, &[(13, 6)]) });
        cases.push(Case { format, scale: 4.0, ..case((2, 2), 64, &[(40, 4)]) });
    }
    cases.push(case((2, 2), 64, &[(0, 0)]));
    cases.push(case((2, 2), 64, &[]));
    cases
}

fn ruled_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // A row of the last segment sees the end of the one before, or nothing of it.
    let far = || case((1, 2), 32, &[(498, 34), (70, 1)]);
    for (i, window) in [1, 5, 64, 100].into_iter().enumerate() {
        let format = |i: usize| KvFormat::ALL[i % KvFormat::ALL.len()];
        cases.push(Case { window: Some(window), format: format(i), step: 43, ..far() });
        let other = format(i + 1);
        cases.push(Case { window: Some(window), format: other, ..case((2, 2), 64, &MIXED) });
    }
    cases.extend([
        Case { window: Some(5), page_len: 5, ..case((2, 1), 64, &[(9, 13), (0, 4)]) },
        Case { window: Some(64), page_len: 64, step: 9, ..case((1, 3), 32, &[(130, 3), (0, 90)]) },
        Case { soft_cap: Some(50.0), ..case((2, 2), 64, &MIXED) },
        Case { soft_cap: Some(0.5), scale: 4.0, ..case((1, 3), 64, &[(40, 4)]) },
        Case { sinks: Some(1.0), ..case((2, 2), 64, &MIXED) },
        Case { sinks: Some(50.0), ..case((1, 8), 64, &[(40, 4)]) },
        Case { sinks: Some(1e30), ..case((3, 3), 64, &MIXED) },
        Case { sinks: Some(2.0), step: 99, ..case((1, 2), 32, &[(598, 2)]) },
    ]);
    // Pages behind the window are somebody else's.
    for (i, page_len) in [16, 32, 5].into_iter().enumerate() {
        let format = KvFormat::ALL[i + 1];
        let gone = |window| Case { page_len, window: Some(window), forgets: true, format, ..far() };
        cases.extend([gone(1), Case { step: 7, ..gone(20) }, Case { step: 200, ..gone(150) }]);
    }
    // As models have them, and head widths that are not a power of two.
    let both = |case: Case| Case { format: KvFormat::F16, window: Some(20), ..case };
    let wide = |k, v, heads| Case { head_dim_v: v, ..case(heads, k, &[(30, 2), (0, 9)]) };
    cases.extend([
        both(Case { sinks: Some(2.0), rotated: true, ..case((1, 8), 64, &[(33, 2), (0, 19)]) }),
        both(Case { soft_cap: Some(50.0), ..wide(256, 256, (2, 2)) }),
        both(Case { soft_cap: Some(2.0), sinks: Some(2.0), ..wide(96, 96, (2, 2)) }),
        Case { sinks: Some(2.0), ..wide(80, 20, (3, 1)) },
        Case { window: Some(7), ..wide(192, 128, (2, 1)) },
        Case { format: KvFormat::F16, ..wide(576, 512, (1, 4)) },
        Case { format: KvFormat::Q8_0, ..wide(576, 512, (1, 4)) },
        Case { format: KvFormat::Q8_0, sinks: Some(2.0), ..wide(64, 64, (1, 8)) },
    ]);
    cases
}

/// Whole sequences of which every row sees all.
fn bidirectional_cases() -> Vec<Case> {
    let both = |case: Case| Case { bidirectional: true, ..case };
    let several = [(0, 5), (0, 1), (0, 33), (0, 0), (0, 70)];
    let mut cases = Vec::new();
    for format in [KvFormat::F32, KvFormat::F16] {
        cases.push(both(Case { format, ..case((3, 1), 32, &several) }));
        cases.push(both(Case { format, rotated: true, ..case((2, 2), 64, &several) }));
        cases.push(both(Case { format, page_len: 5, ..case((2, 1), 80, &[(0, 17)]) }));
        cases.push(both(Case { format, ..case((1, 1), 32, &[(0, 530), (0, 3)]) }));
    }
    cases.push(both(Case { sinks: Some(2.0), soft_cap: Some(2.0), ..case((1, 3), 64, &several) }));
    cases
}

/// A million positions in: the windows of the first rows reach into what lies before. The bound is
/// that of a position near 0, as an angle that is rounded to f32 there is off by 0.06.
pub(super) fn run_far(check: &mut Checker<'_>) {
    let spans = [(20, 3), (0, 10)];
    let near = Case { window: Some(9), rotated: true, step: 7, ..case((1, 2), 64, &spans) };
    run_cases(check, &[Case { pages_before: 1 << 16, format: KvFormat::F16, ..near }]);
}

pub(super) fn run(check: &mut Checker<'_>) {
    run_cases(check, &plain_cases());
    run_ruled(check);
    run_bidirectional(check);
}

/// Windows, soft caps and sinks.
pub(super) fn run_ruled(check: &mut Checker<'_>) {
    run_cases(check, &ruled_cases());
}

/// Sequences whose rows see all of them.
pub(super) fn run_bidirectional(check: &mut Checker<'_>) {
    run_cases(check, &bidirectional_cases());
}

fn run_cases(check: &mut Checker<'_>, cases: &[Case]) {
    for (seed, case) in cases.iter().enumerate() {
        let name = format!("{}, seed {seed}", case.name());
        let result = compare(check, case, seed as u64, &name);
        check.done("attention", &name, result);
    }
}

impl Case {
    fn name(&self) -> String {
        let Case { n_kv_heads, group, head_dim_k, head_dim_v, page_len, .. } = self;
        let rotated = if self.rotated { ", rotated" } else { "" };
        let rule = (self.window, self.soft_cap, self.sinks);
        let seen = if self.bidirectional { "both ways, " } else { "" };
        let seen = if self.pages_before > 0 { "a million positions in, " } else { seen };
        format!(
            "{seen}{n_kv_heads} x {group} heads of {head_dim_k}/{head_dim_v}, pages of {page_len}, \
             {:?}, spans {:?}, scale {}{rotated}, window, cap and sinks {rule:?}",
            self.format, self.spans, self.scale
        )
    }

    fn n_heads(&self) -> usize {
        self.n_kv_heads * self.group
    }

    fn layout(&self, page_count: usize) -> KvLayout {
        KvLayout {
            // Two, so that writing one and reading the other would show.
            n_layers: 2,
            n_kv_heads: self.n_kv_heads,
            head_dim_k: self.head_dim_k,
            head_dim_v: self.head_dim_v,
            page_len: self.page_len,
            page_count,
            format: self.format,
        }
    }

    fn rope(&self) -> Rope {
        let dims = self.head_dim_k;
        let mut rope = Rope::new(RopePairing::Interleaved, dims, dims, 10_000.0);
        if !self.rotated {
            // Angles of 0 change nothing, so that only attention is compared.
            rope.inverse_frequencies.fill(0.0);
        }
        rope
    }

    fn sequences(&self, rng: &mut Rng) -> (Vec<Sequence>, usize) {
        let lens = || self.spans.iter().map(|(earlier, rows)| earlier + rows);
        let used: usize = lens().map(|len| len.div_ceil(self.page_len)).sum();
        let page_count = used + 2;
        let mut pages = rng.shuffled(u32::try_from(page_count).expect("few pages"));
        let nobodys = pages.pop().expect("more than are used");
        let sequences = lens().map(|len| Sequence {
            len,
            nobodys,
            q: values(Values::Even, len, self.n_heads() * self.head_dim_k, rng),
            k: values(Values::Even, len, self.n_kv_heads * self.head_dim_k, rng),
            v: values(Values::Even, len, self.n_kv_heads * self.head_dim_v, rng),
            pages: pages.drain(..len.div_ceil(self.page_len)).collect(),
        });
        (sequences.collect(), page_count)
    }

    /// The page table of a step from `first` on.
    fn kept(&self, sequence: &Sequence, first: usize) -> Vec<u32> {
        let mut kept = vec![sequence.nobodys; self.pages_before];
        kept.extend(&sequence.pages);
        if let Some(window) = self.window.filter(|_| self.forgets) {
            let needed = (first + 1).saturating_sub(window).saturating_sub(WINDOW_SLACK);
            let gone = (needed / self.page_len).min(kept.len());
            kept[..gone].fill(sequence.nobodys);
        }
        kept
    }

    /// All earlier positions, one sequence after the other; then one step with all.
    fn batched(&self) -> Vec<Step> {
        let earlier = self.spans.iter().enumerate().filter(|(_, (earlier, _))| *earlier > 0);
        let mut steps: Vec<Step> =
            earlier.map(|(s, (earlier, _))| vec![(s, 0, *earlier)]).collect();
        steps.push(self.spans.iter().enumerate().map(|(s, (e, rows))| (s, *e, *rows)).collect());
        steps
    }

    /// Earlier positions cut otherwise, then one row a step.
    fn alone(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.bidirectional {
            let alone = |(s, (_, rows)): (usize, &(usize, usize))| vec![(s, 0, *rows)];
            return self.spans.iter().enumerate().map(alone).collect();
        }
        for (s, (earlier, rows)) in self.spans.iter().enumerate() {
            let firsts = (0..*earlier).step_by(self.step);
            steps.extend(firsts.map(|p| vec![(s, p, self.step.min(earlier - p))]));
            steps.extend((*earlier..earlier + rows).map(|p| vec![(s, p, 1)]));
        }
        steps
    }

    /// `[n_heads]`.
    fn sinks(&self) -> Option<Vec<f32>> {
        let size = self.sinks?;
        let sinks = values(Values::Even, 1, self.n_heads(), &mut Rng(self.n_heads() as u64));
        Some(sinks.into_iter().map(|sink| sink * size).collect())
    }

    /// The positions that a row at `position` of a sequence of `len` sees.
    fn seen(&self, position: usize, len: usize) -> Range<usize> {
        if self.bidirectional {
            return 0..len;
        }
        let end = position + 1;
        end.saturating_sub(self.window.unwrap_or(end))..end
    }
}

fn compare(check: &mut Checker<'_>, case: &Case, seed: u64, name: &str) -> Result<()> {
    let (sequences, page_count) = case.sequences(&mut Rng(seed));
    let sequences = (&sequences[..], page_count);
    let backend = check.backend;
    // To the reference all rows are of one kind.
    let expected = attend(&check.reference, (case, false), sequences, &case.batched())?;
    let scores: Vec<Vec<f64>> = sequences.0.iter().map(|s| scores_highest(case, s)).collect();
    for is_prefill in [false, true] {
        let kind = if is_prefill { "prefill rows" } else { "decode rows" };
        let of_kind = (case, is_prefill);
        let found = attend(backend, of_kind, sequences, &case.batched())?;
        for (s, sequence) in sequences.0.iter().enumerate() {
            let bounds = bounds(of_kind, sequence, &scores[s]);
            let name = format!("sequence {s} of {name}, {kind}");
            let bound = |i: usize| bounds[i / case.head_dim_v];
            check.close("attention", &name, (&found[s], &expected[s]), bound);
        }
        let alone = attend(backend, of_kind, sequences, &case.alone())?;
        for (s, (alone, found)) in alone.iter().zip(&found).enumerate() {
            let name = format!("cut otherwise, sequence {s} of {name}, {kind}");
            check.same("attention", &name, alone, found);
        }
    }
    Ok(())
}

/// The outputs of every position of each sequence, `[positions, n_heads * head_dim_v]`.
fn attend(
    backend: &dyn Backend,
    (case, is_prefill): (&Case, bool),
    (sequences, page_count): (&[Sequence], usize),
    steps: &[Step],
) -> Result<Vec<Vec<f32>>> {
    let mut kv = backend.alloc_kv(&case.layout(page_count))?;
    poison(backend, case, &mut kv)?;
    let sinks = case.sinks().map(|sinks| input(backend, &sinks, sinks.len())).transpose()?;
    let Case { scale, soft_cap, window, bidirectional, .. } = *case;
    let sinks = sinks.as_ref();
    let rule = AttentionRule { scale, soft_cap, window, sinks, bidirectional };
    let mut outs: Vec<Vec<f32>> = sequences.iter().map(|_| Vec::new()).collect();
    for step in steps {
        let kept = step.iter().map(|(s, first, _)| case.kept(&sequences[*s], *first));
        let kept: Vec<Vec<u32>> = kept.collect();
        let spans: Vec<Span<'_>> = step
            .iter()
            .zip(&kept)
            .map(|((_, first, rows), pages)| Span {
                rows: *rows,
                first_position: case.pages_before * case.page_len + first,
                pages,
                state: 0,
            })
            .collect();
        let rows = |of: fn(&Sequence) -> &Vec<f32>, cols: usize| -> Vec<f32> {
            let part = |(s, first, rows): &(usize, usize, usize)| {
                of(&sequences[*s])[first * cols..(first + rows) * cols].to_vec()
            };
            step.iter().flat_map(part).collect()
        };
        let k_cols = case.n_kv_heads * case.head_dim_k;
        let v_cols = case.n_kv_heads * case.head_dim_v;
        let q_cols = k_cols * case.group;
        let out_cols = v_cols * case.group;
        let mut q = input(backend, &rows(|s| &s.q, q_cols), q_cols)?;
        let mut k = input(backend, &rows(|s| &s.k, k_cols), k_cols)?;
        let v = input(backend, &rows(|s| &s.v, v_cols), v_cols)?;
        let tokens = vec![0; q.rows()];
        let decode_rows = if is_prefill { 0 } else { tokens.len() };
        let batch = Batch { tokens: &tokens, spans: &spans, decode_rows };
        backend.rope_kv_write(&mut kv, 1, (&mut q, &mut k, &v), &case.rope(), &batch)?;
        let mut out = output(backend, q.rows(), out_cols)?;
        backend.attention(&mut out, &q, (&kv, 1), &rule, &batch)?;
        let values = host(backend, &out)?;
        let mut at = 0;
        for (s, _, rows) in step {
            outs[*s].extend_from_slice(&values[at * out_cols..(at + rows) * out_cols]);
            at += rows;
        }
    }
    Ok(outs)
}

/// Fills all pages with NaN, as an earlier owner might have left them: what lies beyond a row's
/// position must not be read.
fn poison(backend: &dyn Backend, case: &Case, kv: &mut KvCache) -> Result<()> {
    let page_count = kv.layout.page_count;
    let rows = page_count * case.page_len;
    let pages: Vec<u32> = (0..).take(page_count).collect();
    let spans = [Span { rows, first_position: 0, pages: &pages, state: 0 }];
    let tokens = vec![0; rows];
    let batch = Batch::decode(&tokens, &spans);
    let nan = |cols: usize| -> Result<Tensor> {
        let mut tensor = backend.alloc(rows, cols)?;
        let left = if case.pages_before > 0 { 0.5 } else { f32::NAN };
        backend.upload(&mut tensor, &vec![left; rows * cols])?;
        Ok(tensor)
    };
    let mut q = nan(case.n_heads() * case.head_dim_k)?;
    let mut k = nan(case.n_kv_heads * case.head_dim_k)?;
    let v = nan(case.n_kv_heads * case.head_dim_v)?;
    for layer in 0..2 {
        backend.rope_kv_write(kv, layer, (&mut q, &mut k, &v), &case.rope(), &batch)?;
    }
    Ok(())
}

/// The largest `scale * sum |q_i k_i|` of every position and head, `[positions * n_heads]`.
fn scores_highest(case: &Case, sequence: &Sequence) -> Vec<f64> {
    let (n_heads, dim_k) = (case.n_heads(), case.head_dim_k);
    let magnitudes = |x: &[f32]| -> Vec<f64> { x.iter().map(|x| f64::from(x.abs())).collect() };
    let (q, k) = (magnitudes(&sequence.q), magnitudes(&sequence.k));
    let mut highest = Vec::with_capacity(sequence.len * n_heads);
    for position in 0..sequence.len {
        for h in 0..n_heads {
            let q = &q[(position * n_heads + h) * dim_k..][..dim_k];
            let score = |p: usize| -> f64 {
                let k = &k[(p * case.n_kv_heads + h / case.group) * dim_k..][..dim_k];
                // Turning a pair may move its whole length into one value, in q and in k.
                2.0 * q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>()
            };
            let seen = case.seen(position, sequence.len);
            highest.push(seen.map(score).fold(0.0, f64::max) * f64::from(case.scale));
        }
    }
    highest
}

/// Of every position and head, `[positions * n_heads]`, as [`scores_highest`] are.
fn bounds((case, is_prefill): (&Case, bool), sequence: &Sequence, scores: &[f64]) -> Vec<f64> {
    let (key_highest, value_highest) = (highest(&sequence.k), highest(&sequence.v));
    let queries = sequence.q.chunks_exact(case.head_dim_k);
    let bound = |(i, (score_highest, q)): (usize, (&f64, &[f32]))| {
        let position = i / case.n_heads();
        tolerance::attention(&tolerance::Attention {
            positions: case.seen(position, sequence.len).len(),
            head_dim_k: case.head_dim_k,
            score_highest: *score_highest,
            soft_cap: case.soft_cap.map(f64::from),
            value_highest,
            key_error: key_error(case, position),
            score_step: score_step(case, q, key_highest),
            is_prefill,
        })
    };
    scores.iter().zip(queries).enumerate().map(bound).collect()
}

/// By how much of themselves rotated queries and stored keys may differ.
fn key_error(case: &Case, position: usize) -> f64 {
    if !case.rotated {
        return 0.0;
    }
    let rounding = match case.format {
        KvFormat::F32 | KvFormat::Q8_0 => 0.0,
        KvFormat::F16 => 1.0 / 1024.0,
        KvFormat::BF16 => 1.0 / 128.0,
    };
    tolerance::rope(position as f64, 1.0) + rounding
}

/// What quantised keys add to the difference of scores, whatever the size of the single value: a
/// query that is quantised to 16 bits for them, and rotated keys whose codes are rounded to the
/// other side.
fn score_step(case: &Case, q: &[f32], key_highest: f64) -> f64 {
    if case.format != KvFormat::Q8_0 {
        return 0.0;
    }
    // Turning may put a pair's whole length into one value.
    let turned = if case.rotated { 2.0 } else { 1.0 };
    let key_step = if case.rotated { 1.0 / 127.0 } else { 0.0 };
    let products = case.head_dim_k as f64 * turned * highest(q) * key_highest;
    f64::from(case.scale) * products * (key_step + 1.0 / f64::from(1 << 15))
}

/// The largest magnitude.
fn highest(x: &[f32]) -> f64 {
    f64::from(x.iter().fold(0.0, |highest: f32, x| highest.max(x.abs())))
}
