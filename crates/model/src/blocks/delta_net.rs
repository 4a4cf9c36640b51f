//! A gated delta net: a state that each position changes, in place of a cache of all.
//! Source: Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464.

use std::slice;

use tensor::{DeltaInputs, DeltaNet, Tensor, Weight};

use super::{Context, Kept};
use crate::Result;
use crate::arch::Role;
use crate::spec::DeltaNetSpec;
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Added to the mean square in the norm of its output: the only value there is, no key tells.
const NORM_EPS: f32 = 1e-6;

/// Shapes are with the roles.
pub(crate) struct GatedDeltaNet {
    qkv: Weight,
    gate: Weight,
    intake: Weight,
    step: Weight,
    net: DeltaNet,
    output: Weight,
}

/// What it keeps on the way.
pub(crate) struct DeltaWork {
    /// `[rows, channels]`.
    qkv: Tensor,
    /// `[rows, n_v_heads * head_dim_v]`.
    gate: Tensor,
    /// `[rows, n_v_heads]`.
    intake: Tensor,
    /// `[rows, n_v_heads]`.
    step: Tensor,
    /// `[rows, n_v_heads * head_dim_v]`.
    out: Tensor,
}

impl DeltaWork {
    pub(crate) fn new(
        spec: &DeltaNetSpec,
        rows: usize,
        alloc: &mut dyn FnMut(usize, usize) -> Result<Tensor>,
    ) -> Result<DeltaWork> {
        let values = spec.n_v_heads * spec.head_dim_v;
        Ok(DeltaWork {
            qkv: alloc(rows, spec.channels())?,
            gate: alloc(rows, values)?,
            intake: alloc(rows, spec.n_v_heads)?,
            step: alloc(rows, spec.n_v_heads)?,
            out: alloc(rows, values)?,
        })
    }
}

impl GatedDeltaNet {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        spec: DeltaNetSpec,
        layer: usize,
    ) -> Result<GatedDeltaNet> {
        let DeltaNetSpec { n_k_heads, n_v_heads, head_dim_k, head_dim_v, order, .. } = spec;
        let rates = if spec.rates_in_turns {
            loader.matrices(Role::StateRates, layer)?
        } else {
            let roles = [Role::StateIntake, Role::StateStep];
            roles.into_iter().map(|role| loader.matrix(role, layer)).collect::<Result<_>>()?
        };
        let [intake, step] = <[Weight; 2]>::try_from(rates).ok().expect("the inventory has two");
        Ok(GatedDeltaNet {
            qkv: loader.matrix(Role::QueryKeyValue, layer)?,
            gate: loader.matrix(Role::StateGate, layer)?,
            intake,
            step,
            net: DeltaNet {
                n_k_heads,
                n_v_heads,
                order,
                head_dim_k,
                head_dim_v,
                conv: loader.table(Role::StateConv, layer)?,
                step_bias: loader.vector(Role::StateStepBias, layer)?,
                decay: loader.vector(Role::StateDecay, layer)?,
                norm: loader.vector(Role::StateNorm, layer)?,
                norm_eps: NORM_EPS,
            },
            output: loader.matrix(Role::StateOutput, layer)?,
        })
    }

    pub(super) fn forward(
        &self,
        context: &Context<'_>,
        work: &mut Workspace,
        kept: Kept<'_>,
    ) -> Result<()> {
        let backend = context.backend;
        let own = work.delta_net.as_mut().expect("allocated for the layers there are");
        let states = kept.states.expect("allocated for the layers there are");
        let outs = &mut [&mut own.qkv, &mut own.gate, &mut own.intake, &mut own.step];
        let weights = [&self.qkv, &self.gate, &self.intake, &self.step];
        backend.matmul(outs, &work.normed, &weights)?;
        let roles = [Role::QueryKeyValue, Role::StateGate, Role::StateIntake, Role::StateStep];
        for (role, out) in roles.into_iter().zip(outs) {
            context.adapting.add(&mut work.adapters, (role, slice::from_mut(out)), &work.normed)?;
        }
        let DeltaWork { qkv, gate, intake, step, out } = own;
        let inputs = DeltaInputs { qkv, gate, intake, step };
        let state = (states, kept.layer);
        backend.delta_net(out, inputs, state, &self.net, context.batch)?;
        backend.matmul(&mut [&mut work.delta], out, &[&self.output])?;
        let outs = (Role::StateOutput, &mut [&mut work.delta][..]);
        context.adapting.add(&mut work.adapters, outs, out)?;
        Ok(())
    }
}
