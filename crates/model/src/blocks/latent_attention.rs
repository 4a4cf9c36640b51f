//! Multi-head latent attention. The matrices that would make keys and values of a latent are
//! multiplied into queries and outputs instead, so that the heads share one cached key: what
//! turns, then the latent; and one value: the latent.
//! Source: DeepSeek-AI 2024, arXiv 2405.04434, section 2.1 and appendix C.

use tensor::{AttentionRule, HeadColumns, Tensor, Weight};

use super::{Context, Kept};
use crate::Result;
use crate::adapters::AdapterWork;
use crate::arch::Role;
use crate::spec::LatentSpec;
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct LatentAttention {
    spec: LatentSpec,
    /// To the latent of queries, and its norm.
    query_down: Option<(Weight, Tensor)>,
    /// From there, or from the input.
    query: Weight,
    latent_down: Weight,
    latent_norm: Tensor,
    /// Of each head.
    key_up: Vec<Weight>,
    /// Of each head.
    value_up: Vec<Weight>,
    output: Weight,
}

/// What latent attention keeps on the way.
pub(crate) struct LatentWork {
    /// The latent of queries and that normed, `[rows, query_rank]`.
    query_latent: Option<[Tensor; 2]>,
    /// `[rows, n_heads * (still_dim + turned_dim)]`.
    query: Tensor,
    /// The latent with what turns after it, `[rows, kv_rank + turned_dim]`.
    down: Tensor,
    /// The latent and that normed, `[rows, kv_rank]`.
    latent: [Tensor; 2],
    /// `[rows, n_heads * (turned_dim + kv_rank)]`.
    q: Tensor,
    /// `[rows, turned_dim + kv_rank]`.
    k: Tensor,
    /// `[rows, n_heads * kv_rank]`.
    attended: Tensor,
    /// `[rows, n_heads * head_dim_v]`.
    values: Tensor,
}

impl LatentWork {
    pub(crate) fn new(
        spec: &LatentSpec,
        rows: usize,
        alloc: &mut dyn FnMut(usize, usize) -> Result<Tensor>,
    ) -> Result<LatentWork> {
        let LatentSpec { n_heads, kv_rank, still_dim, turned_dim, head_dim_v, .. } = *spec;
        let query_latent = match spec.query_rank {
            Some(rank) => Some([alloc(rows, rank)?, alloc(rows, rank)?]),
            None => None,
        };
        Ok(LatentWork {
            query_latent,
            query: alloc(rows, n_heads * (still_dim + turned_dim))?,
            down: alloc(rows, kv_rank + turned_dim)?,
            latent: [alloc(rows, kv_rank)?, alloc(rows, kv_rank)?],
            q: alloc(rows, n_heads * (turned_dim + kv_rank))?,
            k: alloc(rows, turned_dim + kv_rank)?,
            attended: alloc(rows, n_heads * kv_rank)?,
            values: alloc(rows, n_heads * head_dim_v)?,
        })
    }
}

impl LatentAttention {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        spec: LatentSpec,
        layer: usize,
    ) -> Result<LatentAttention> {
        let (query_down, query) = match spec.query_rank {
            None => (None, loader.matrix(Role::Query, layer)?),
            Some(_) => {
                let down = loader.matrix(Role::QueryDown, layer)?;
                let norm = loader.vector(Role::QueryDownNorm, layer)?;
                (Some((down, norm)), loader.matrix(Role::QueryUp, layer)?)
            }
        };
        Ok(LatentAttention {
            spec,
            query_down,
            query,
            latent_down: loader.matrix(Role::LatentDown, layer)?,
            latent_norm: loader.vector(Role::LatentNorm, layer)?,
            key_up: loader.matrices(Role::KeyUp, layer)?,
            value_up: loader.matrices(Role::ValueUp, layer)?,
            output: loader.matrix(Role::AttentionOutput, layer)?,
        })
    }

    pub(super) fn forward(
        &self,
        context: &Context<'_>,
        work: &mut Workspace,
        kept: Kept<'_>,
    ) -> Result<()> {
        let Context { backend, batch, .. } = *context;
        let Kept { kv, layer, .. } = kept;
        let own = work.latent.as_mut().expect("allocated for the layers there are");
        self.project(context, (own, &mut work.adapters), &work.normed)?;
        let rope = &context.ropes[self.spec.rope];
        let qkv = (&mut own.q, &mut own.k, &own.latent[1]);
        backend.rope_kv_write(kv, layer, qkv, rope, batch)?;
        let rule = AttentionRule::causal(self.spec.scale);
        backend.attention(&mut own.attended, &own.q, (kv, layer), &rule, batch)?;
        let LatentSpec { kv_rank, head_dim_v, .. } = self.spec;
        let from = HeadColumns { first: 0, stride: kv_rank, len: kv_rank };
        let to = HeadColumns { first: 0, stride: head_dim_v, len: head_dim_v };
        backend.matmul_heads((&mut own.values, to), (&own.attended, from), &self.value_up)?;
        backend.matmul(&mut [&mut work.delta], &own.values, &[&self.output])?;
        let outs = (Role::AttentionOutput, &mut [&mut work.delta][..]);
        context.adapting.add(&mut work.adapters, outs, &own.values)?;
        Ok(())
    }

    /// Queries, key and latent of the rows of `x`, not yet turned.
    fn project(
        &self,
        context: &Context<'_>,
        (own, adapters): (&mut LatentWork, &mut AdapterWork),
        x: &Tensor,
    ) -> Result<()> {
        let adapting = &context.adapting;
        let (backend, eps) = (context.backend, context.spec.norm_eps);
        match (&self.query_down, &mut own.query_latent) {
            (Some((down, norm)), Some([latent, normed])) => {
                backend.matmul(&mut [latent, &mut own.down], x, &[down, &self.latent_down])?;
                adapting.add(adapters, (Role::QueryDown, &mut [latent]), x)?;
                backend.rms_norm(normed, latent, norm, eps)?;
                backend.matmul(&mut [&mut own.query], normed, &[&self.query])?;
                adapting.add(adapters, (Role::QueryUp, &mut [&mut own.query]), normed)?;
            }
            _ => {
                let outs = &mut [&mut own.query, &mut own.down];
                backend.matmul(outs, x, &[&self.query, &self.latent_down])?;
                adapting.add(adapters, (Role::Query, &mut [&mut own.query]), x)?;
            }
        }
        adapting.add(adapters, (Role::LatentDown, &mut [&mut own.down]), x)?;
        let LatentSpec { n_heads, kv_rank, still_dim, turned_dim, .. } = self.spec;
        let columns = |first, stride, len| HeadColumns { first, stride, len };
        let [latent, normed] = &mut own.latent;
        let whole = columns(0, kv_rank, kv_rank);
        backend.copy_heads((latent, whole), (&own.down, whole), 1)?;
        backend.rms_norm(normed, latent, &self.latent_norm, eps)?;
        // The cached key: what turns, then the latent.
        let width = turned_dim + kv_rank;
        let (turned, still) = (columns(0, width, turned_dim), columns(turned_dim, width, kv_rank));
        let from = columns(kv_rank, width, turned_dim);
        backend.copy_heads((&mut own.k, turned), (&own.down, from), 1)?;
        backend.copy_heads((&mut own.k, still), (normed, whole), 1)?;
        // Queries alike, of each head.
        let from = columns(still_dim, still_dim + turned_dim, turned_dim);
        backend.copy_heads((&mut own.q, turned), (&own.query, from), n_heads)?;
        let from = columns(0, still_dim + turned_dim, still_dim);
        backend.matmul_heads((&mut own.q, still), (&own.query, from), &self.key_up)?;
        Ok(())
    }
}
