//! Grouped-query attention with rotary positions over the paged cache.

use tensor::{KvCache, Tensor, Weight};

use super::Context;
use crate::Result;
use crate::arch::Role;
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct Attention {
    q: Weight,
    k: Weight,
    v: Weight,
    output: Weight,
    /// Of q, k and v.
    input_biases: Option<[Tensor; 3]>,
    output_bias: Option<Tensor>,
}

impl Attention {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        (input_biases, output_bias): (bool, bool),
        layer: usize,
    ) -> Result<Attention> {
        Ok(Attention {
            q: loader.matrix(Role::Query, layer)?,
            k: loader.matrix(Role::Key, layer)?,
            v: loader.matrix(Role::Value, layer)?,
            output: loader.matrix(Role::AttentionOutput, layer)?,
            input_biases: if input_biases {
                Some([
                    loader.vector(Role::QueryBias, layer)?,
                    loader.vector(Role::KeyBias, layer)?,
                    loader.vector(Role::ValueBias, layer)?,
                ])
            } else {
                None
            },
            output_bias: if output_bias {
                Some(loader.vector(Role::AttentionOutputBias, layer)?)
            } else {
                None
            },
        })
    }

    pub(super) fn forward(
        &self,
        context: &Context<'_>,
        work: &mut Workspace,
        kv: &mut KvCache,
    ) -> Result<()> {
        let Context { backend, spec, batch, layer } = *context;
        let mut outs = [&mut work.q, &mut work.k, &mut work.v];
        backend.matmul(&mut outs, &work.normed, &[&self.q, &self.k, &self.v])?;
        if let Some(biases) = &self.input_biases {
            for (out, bias) in outs.into_iter().zip(biases) {
                backend.add_bias(out, bias)?;
            }
        }
        let qkv = (&mut work.q, &mut work.k, &work.v);
        backend.rope_kv_write(kv, layer, qkv, &spec.rope, batch)?;
        let scale = spec.attention_scale;
        backend.attention(&mut work.attended, &work.q, (kv, layer), scale, batch)?;
        backend.matmul(&mut [&mut work.delta], &work.attended, &[&self.output])?;
        if let Some(bias) = &self.output_bias {
            backend.add_bias(&mut work.delta, bias)?;
        }
        Ok(())
    }
}
