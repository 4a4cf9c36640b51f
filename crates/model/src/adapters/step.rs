//! What adapters add in a step.

use std::collections::{BTreeMap, BTreeSet};

use tensor::{Backend, Batch, Tensor};

use super::file::Pair;
use super::{Adapter, AdapterScale};
use crate::arch::Role;
use crate::limits::LOGIT_ROWS_MAX;
use crate::workspace::bytes_of;
use crate::{Error, Result};

/// An adapter that rows of a step have.
pub(crate) struct RowFactors {
    /// Which.
    pub(crate) adapter: usize,
    /// Of each row; 0 where it has none of it.
    pub(crate) factors: Vec<f32>,
}

impl RowFactors {
    /// Of the rows of a batch, by what each span has; only adapters that some row has.
    pub(crate) fn of(
        batch: &Batch<'_>,
        scales: &[&[AdapterScale]],
        count: usize,
    ) -> Result<Vec<RowFactors>> {
        if scales.is_empty() {
            return Ok(Vec::new());
        }
        let (given, spans) = (scales.len(), batch.spans.len());
        if given != spans {
            return Err(Error::Step(format!("adapters for {given} of {spans} sequences")));
        }
        let mut by_adapter: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        let mut first = 0;
        for (span, scales) in batch.spans.iter().zip(scales) {
            for AdapterScale { adapter, scale } in *scales {
                if *adapter >= count || !scale.is_finite() {
                    let why = format!("{scale} of adapter {adapter}, and {count} are loaded");
                    return Err(Error::Step(why));
                }
                if *scale == 0.0 {
                    continue;
                }
                let factors = by_adapter.entry(*adapter);
                let factors = factors.or_insert_with(|| vec![0.0; batch.tokens.len()]);
                factors[first..first + span.rows].fill(*scale);
            }
            first += span.rows;
        }
        let active = by_adapter.into_iter();
        Ok(active.map(|(adapter, factors)| RowFactors { adapter, factors }).collect())
    }

    /// Of these rows only.
    pub(crate) fn gathered(active: &[RowFactors], rows: &[u32]) -> Vec<RowFactors> {
        let of = |active: &RowFactors| RowFactors {
            adapter: active.adapter,
            factors: rows.iter().map(|row| active.factors[*row as usize]).collect(),
        };
        active.iter().map(of).collect()
    }
}

/// The adapters of a step, at a layer.
#[derive(Clone, Copy)]
pub(crate) struct Adapting<'a> {
    pub(crate) backend: &'a dyn Backend,
    /// All that are loaded.
    pub(crate) adapters: &'a [Adapter],
    /// Those that rows of the step have.
    pub(crate) active: &'a [RowFactors],
    pub(crate) layer: usize,
}

impl Adapting<'_> {
    /// Whether any is beside a tensor of one of these roles.
    pub(crate) fn touches(&self, roles: &[Role]) -> bool {
        let has = |active: &RowFactors| {
            let adapter = &self.adapters[active.adapter];
            roles.iter().any(|role| adapter.beside(*role, self.layer).is_some())
        };
        self.active.iter().any(has)
    }

    /// Adds to the products of `x` with the matrices of a tensor what adapters have beside it. Rows
    /// without any stay as they are, to the bit.
    pub(crate) fn add(
        &self,
        work: &mut AdapterWork,
        (role, outs): (Role, &mut [&mut Tensor]),
        x: &Tensor,
    ) -> Result<()> {
        let backend = self.backend;
        for RowFactors { adapter, factors } in self.active {
            let Some(beside) = self.adapters[*adapter].beside(role, self.layer) else { continue };
            let hidden = work.hidden.get_mut(&beside.down.n).expect(ALLOCATED);
            backend.matmul(&mut [hidden], x, &[&beside.down])?;
            work.factors.clear();
            work.factors.extend(factors.iter().map(|factor| factor * beside.scale));
            for (out, up) in outs.iter_mut().zip(&beside.ups) {
                let delta = work.deltas.get_mut(&up.n).expect(ALLOCATED);
                backend.matmul(&mut [delta], hidden, &[up])?;
                backend.add_rows(out, delta, &work.factors)?;
            }
        }
        Ok(())
    }
}

const ALLOCATED: &str = "allocated for the adapters there are";

/// What adapters keep on the way.
#[derive(Default)]
pub(crate) struct AdapterWork {
    /// `[rows, rank]` by rank.
    hidden: BTreeMap<usize, Tensor>,
    /// What is added, `[rows, n]` by `n`.
    deltas: BTreeMap<usize, Tensor>,
    /// Ups of gated units that are taken apart, `[rows, ffn]` by `ffn`.
    pub(crate) ups: BTreeMap<usize, Tensor>,
    factors: Vec<f32>,
}

impl AdapterWork {
    pub(super) fn new<'a>(
        pairs: impl Iterator<Item = &'a Pair<'a>> + Clone,
        rows_max: usize,
        backend: &dyn Backend,
    ) -> Result<AdapterWork> {
        build(pairs, rows_max, &mut |rows, cols| Ok(backend.alloc(rows, cols)?))
    }

    /// What [`AdapterWork::new`] allocates.
    pub(super) fn bytes<'a>(
        pairs: impl Iterator<Item = &'a Pair<'a>> + Clone,
        rows_max: usize,
    ) -> u64 {
        bytes_of(|alloc| build(pairs, rows_max, alloc))
    }
}

/// Allocates each part by `alloc(rows, cols)`.
fn build<'a>(
    pairs: impl Iterator<Item = &'a Pair<'a>> + Clone,
    rows_max: usize,
    alloc: &mut dyn FnMut(usize, usize) -> Result<Tensor>,
) -> Result<AdapterWork> {
    let mut work = AdapterWork::default();
    let ranks: BTreeSet<usize> = pairs.clone().map(|pair| pair.rank).collect();
    for rank in ranks {
        work.hidden.insert(rank, alloc(rows_max, rank)?);
    }
    // Whether a width is met in layers, or only in the output matrix, which few rows go by.
    let mut widths: BTreeMap<usize, bool> = BTreeMap::new();
    let mut ffns = BTreeSet::new();
    for pair in pairs {
        for n in &pair.rows {
            *widths.entry(*n).or_default() |= pair.role != Role::Output;
        }
        if matches!(
            pair.role,
            Role::Gate | Role::Up | Role::GateUp | Role::SharedGate | Role::SharedUp
        ) {
            ffns.extend(&pair.rows);
        }
    }
    for (n, in_layers) in widths {
        let rows = if in_layers { rows_max } else { rows_max.min(LOGIT_ROWS_MAX) };
        work.deltas.insert(n, alloc(rows, n)?);
    }
    for ffn in ffns {
        work.ups.insert(ffn, alloc(rows_max, ffn)?);
    }
    Ok(work)
}
