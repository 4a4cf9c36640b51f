//! Grouped-query attention over the paged cache, with all that families add to it.

use std::slice;

use tensor::{AttentionRule, HeadColumns, Rope, RopePairing, Tensor, Weight};

use super::{Context, Kept};
use crate::Result;
use crate::adapters::AdapterWork;
use crate::arch::Role;
use crate::spec::{AttentionSpec, QueryKeyNorms};
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct Attention {
    spec: AttentionSpec,
    /// Of queries, keys and values.
    inputs: [Weight; 3],
    input_biases: Option<[Tensor; 3]>,
    /// Of queries and keys.
    norms: Option<[Tensor; 2]>,
    sinks: Option<Tensor>,
    output: Weight,
    output_bias: Option<Tensor>,
    /// The rope of layers where nothing turns.
    still: Rope,
}

/// What attention keeps on the way.
pub(crate) struct AttentionWork {
    /// `[rows, n_heads * head_dim_k]`.
    q: Tensor,
    /// `[rows, n_kv_heads * head_dim_k]`.
    k: Tensor,
    /// `[rows, n_kv_heads * head_dim_v]`.
    v: Tensor,
    /// `[rows, n_heads * head_dim_v]`.
    attended: Tensor,
    /// Where outputs are gated: queries with gates as the matrix gives them,
    /// `[rows, n_heads * 2 * head_dim_k]`, and the gates alone.
    gates: Option<[Tensor; 2]>,
}

impl AttentionWork {
    pub(crate) fn new(
        spec: &AttentionSpec,
        rows: usize,
        alloc: &mut dyn FnMut(usize, usize) -> Result<Tensor>,
    ) -> Result<AttentionWork> {
        Ok(AttentionWork {
            q: alloc(rows, spec.n_heads * spec.head_dim_k)?,
            k: alloc(rows, spec.n_kv_heads * spec.head_dim_k)?,
            v: alloc(rows, spec.n_kv_heads * spec.head_dim_v)?,
            attended: alloc(rows, spec.n_heads * spec.head_dim_v)?,
            gates: match spec.gated {
                true => Some([
                    alloc(rows, spec.n_heads * 2 * spec.head_dim_k)?,
                    alloc(rows, spec.n_heads * spec.head_dim_k)?,
                ]),
                false => None,
            },
        })
    }
}

impl Attention {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        spec: AttentionSpec,
        layer: usize,
    ) -> Result<Attention> {
        let inputs = if spec.fused {
            loader.matrices(Role::QueryKeyValue, layer)?
        } else {
            vec![
                loader.matrix(Role::Query, layer)?,
                loader.matrix(Role::Key, layer)?,
                loader.matrix(Role::Value, layer)?,
            ]
        };
        let inputs = <[Weight; 3]>::try_from(inputs).ok().expect("the inventory has three");
        let mut vector = |role, wanted: bool| {
            if wanted { loader.vector(role, layer).map(Some) } else { Ok(None) }
        };
        let biases = [Role::QueryBias, Role::KeyBias, Role::ValueBias];
        let [q, k, v] = biases.map(|role| vector(role, spec.input_biases));
        let normed = spec.query_key_norms != QueryKeyNorms::None;
        let norms = [Role::QueryNorm, Role::KeyNorm].map(|role| vector(role, normed));
        let [q_norm, k_norm] = norms;
        let sinks = vector(Role::Sinks, spec.sinks)?;
        let output_bias = vector(Role::AttentionOutputBias, spec.output_bias)?;
        Ok(Attention {
            spec,
            inputs,
            input_biases: q?.zip(k?).zip(v?).map(|((q, k), v)| [q, k, v]),
            norms: q_norm?.zip(k_norm?).map(Into::into),
            sinks,
            output: loader.matrix(Role::AttentionOutput, layer)?,
            output_bias,
            still: Rope::new(RopePairing::Halves, spec.head_dim_k, 0, 1.0),
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
        let own = work.attention.as_mut().expect("allocated for the layers there are");
        self.project(context, (own, &mut work.adapters), &work.normed)?;
        if let Some([q, k]) = &self.norms {
            backend.rms_norm_heads(&mut own.q, q, context.spec.norm_eps)?;
            backend.rms_norm_heads(&mut own.k, k, context.spec.norm_eps)?;
        }
        let rope = self.spec.rope.map_or(&self.still, |rope| &context.ropes[rope]);
        backend.rope_kv_write(kv, layer, (&mut own.q, &mut own.k, &own.v), rope, batch)?;
        let AttentionSpec { scale, soft_cap, window, bidirectional, .. } = self.spec;
        let sinks = self.sinks.as_ref();
        let rule = AttentionRule { scale, soft_cap, window, sinks, bidirectional };
        backend.attention(&mut own.attended, &own.q, (kv, layer), &rule, batch)?;
        if let Some([_, gates]) = &own.gates {
            backend.sigmoid_gate(&mut own.attended, gates)?;
        }
        backend.matmul(&mut [&mut work.delta], &own.attended, &[&self.output])?;
        let outs = (Role::AttentionOutput, &mut [&mut work.delta][..]);
        context.adapting.add(&mut work.adapters, outs, &own.attended)?;
        if let Some(bias) = &self.output_bias {
            backend.add_bias(&mut work.delta, bias)?;
        }
        Ok(())
    }

    /// Queries, keys and values of the rows of `x`, and gates where there are any.
    fn project(
        &self,
        context: &Context<'_>,
        (own, adapters): (&mut AttentionWork, &mut AdapterWork),
        x: &Tensor,
    ) -> Result<()> {
        let Context { backend, adapting, .. } = *context;
        let q = match &mut own.gates {
            Some([both, _]) => both,
            None => &mut own.q,
        };
        let mut outs = [q, &mut own.k, &mut own.v];
        backend.matmul(&mut outs, x, &self.inputs.each_ref())?;
        if self.spec.fused {
            adapting.add(adapters, (Role::QueryKeyValue, &mut outs), x)?;
        } else {
            for (role, out) in [Role::Query, Role::Key, Role::Value].into_iter().zip(&mut outs) {
                adapting.add(adapters, (role, slice::from_mut(out)), x)?;
            }
        }
        if let Some(biases) = &self.input_biases {
            for (out, bias) in outs.into_iter().zip(biases) {
                backend.add_bias(out, bias)?;
            }
        }
        let Some([both, gates]) = &mut own.gates else { return Ok(()) };
        let (n_heads, len) = (self.spec.n_heads, self.spec.head_dim_k);
        let columns = |first, stride| HeadColumns { first, stride, len };
        let to = columns(0, len);
        backend.copy_heads((&mut own.q, to), (both, columns(0, 2 * len)), n_heads)?;
        backend.copy_heads((gates, to), (both, columns(len, 2 * len)), n_heads)?;
        Ok(())
    }
}
