//! The gated feed-forward block: `down(activation(gate(x), up(x)))`.

use tensor::{Activation, Backend, Tensor, Weight};

use super::Context;
use crate::Result;
use crate::arch::Role;
use crate::spec::DenseSpec;
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct Dense {
    gate: Weight,
    up: Weight,
    down: Weight,
    activation: Activation,
}

impl Dense {
    pub(super) fn load(loader: &mut Loader<'_>, spec: DenseSpec, layer: usize) -> Result<Dense> {
        let activation = spec.activation;
        if spec.fused {
            let both = loader.matrices(Role::GateUp, layer)?;
            let [gate, up] = <[Weight; 2]>::try_from(both).ok().expect("the inventory has two");
            return Ok(Dense { gate, up, down: loader.matrix(Role::Down, layer)?, activation });
        }
        let roles = [Role::Gate, Role::Up, Role::Down];
        Dense::of(loader, (roles, layer), activation)
    }

    /// A block whose matrices have these roles.
    pub(super) fn of(
        loader: &mut Loader<'_>,
        (roles, layer): ([Role; 3], usize),
        activation: Activation,
    ) -> Result<Dense> {
        let [gate, up, down] = roles.map(|role| loader.matrix(role, layer));
        Ok(Dense { gate: gate?, up: up?, down: down?, activation })
    }

    pub(super) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        let gated = work.gated.get_mut(&self.gate.n).expect("allocated for the layers there are");
        self.apply(context.backend, (&mut work.delta, gated), &work.normed)
    }

    /// `out [rows, d]` of `x [rows, d]`, by way of `gated [rows, ffn]`.
    pub(super) fn apply(
        &self,
        backend: &dyn Backend,
        (out, gated): (&mut Tensor, &mut Tensor),
        x: &Tensor,
    ) -> Result<()> {
        backend.gated(gated, x, (&self.gate, &self.up), self.activation)?;
        backend.matmul(&mut [out], gated, &[&self.down])?;
        Ok(())
    }

    /// Width between.
    pub(super) fn ffn(&self) -> usize {
        self.gate.n
    }
}
