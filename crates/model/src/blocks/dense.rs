//! The dense feed-forward block: `down(activation(gate(x), up(x)))`, or without a gate and with
//! biases.

use tensor::{Activation, Backend, Tensor, Weight};

use super::Context;
use crate::Result;
use crate::arch::Role;
use crate::spec::{DenseForm, DenseSpec};
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct Dense {
    gate: Option<Weight>,
    up: Weight,
    down: Weight,
    /// Of up and down, where there is no gate.
    biases: Option<[Tensor; 2]>,
    activation: Activation,
}

impl Dense {
    pub(super) fn load(loader: &mut Loader<'_>, spec: DenseSpec, layer: usize) -> Result<Dense> {
        let activation = spec.activation;
        let (gate, up) = match spec.form {
            DenseForm::Gated => {
                let roles = [Role::Gate, Role::Up, Role::Down];
                return Dense::of(loader, (roles, layer), activation);
            }
            DenseForm::Fused => {
                let both = loader.matrices(Role::GateUp, layer)?;
                let [gate, up] = <[Weight; 2]>::try_from(both).ok().expect("the inventory has two");
                (Some(gate), up)
            }
            DenseForm::Plain => (None, loader.matrix(Role::Up, layer)?),
        };
        let down = loader.matrix(Role::Down, layer)?;
        let biases = match spec.form {
            DenseForm::Gated | DenseForm::Fused => None,
            DenseForm::Plain => {
                let up = loader.vector(Role::UpBias, layer)?;
                Some([up, loader.vector(Role::DownBias, layer)?])
            }
        };
        Ok(Dense { gate, up, down, biases, activation })
    }

    /// A block whose matrices have these roles.
    pub(super) fn of(
        loader: &mut Loader<'_>,
        (roles, layer): ([Role; 3], usize),
        activation: Activation,
    ) -> Result<Dense> {
        let [gate, up, down] = roles.map(|role| loader.matrix(role, layer));
        Ok(Dense { gate: Some(gate?), up: up?, down: down?, biases: None, activation })
    }

    pub(super) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        let gated = work.gated.get_mut(&self.up.n).expect("allocated for the layers there are");
        self.apply(context.backend, (&mut work.delta, gated), &work.normed)
    }

    /// `out [rows, d]` of `x [rows, d]`, by way of `gated [rows, ffn]`.
    pub(super) fn apply(
        &self,
        backend: &dyn Backend,
        (out, gated): (&mut Tensor, &mut Tensor),
        x: &Tensor,
    ) -> Result<()> {
        match &self.gate {
            Some(gate) => backend.gated(gated, x, (gate, &self.up), self.activation)?,
            None => {
                backend.matmul(&mut [gated], x, &[&self.up])?;
                if let Some([up, _]) = &self.biases {
                    backend.add_bias(gated, up)?;
                }
                backend.activate(gated, self.activation)?;
            }
        }
        backend.matmul(&mut [out], gated, &[&self.down])?;
        if let Some([_, down]) = &self.biases {
            backend.add_bias(out, down)?;
        }
        Ok(())
    }

    /// Width between.
    pub(super) fn ffn(&self) -> usize {
        self.up.n
    }
}
