//! The gated feed-forward block: `down(silu(gate(x)) * up(x))`.

use tensor::Weight;

use super::Context;
use crate::Result;
use crate::arch::Role;
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct Dense {
    gate: Weight,
    up: Weight,
    down: Weight,
}

impl Dense {
    pub(super) fn load(loader: &mut Loader<'_>, layer: usize) -> Result<Dense> {
        Ok(Dense {
            gate: loader.matrix(Role::Gate, layer)?,
            up: loader.matrix(Role::Up, layer)?,
            down: loader.matrix(Role::Down, layer)?,
        })
    }

    pub(super) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        let backend = context.backend;
        backend.swiglu(&mut work.gated, &work.normed, &self.gate, &self.up)?;
        backend.matmul(&mut [&mut work.delta], &work.gated, &[&self.down])?;
        Ok(())
    }
}
