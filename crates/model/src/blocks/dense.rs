//! The dense feed-forward block: `down(activation(gate(x), up(x)))`, or without a gate and with
//! biases.

use tensor::{Activation, Tensor, Weight};

use super::Context;
use crate::Result;
use crate::adapters::{AdapterWork, Adapting};
use crate::arch::Role;
use crate::spec::{DenseForm, DenseSpec};
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct Dense {
    /// Of gate, up and down.
    roles: [Role; 3],
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
        let roles = match spec.form {
            DenseForm::Fused => [Role::GateUp, Role::GateUp, Role::Down],
            DenseForm::Gated | DenseForm::Plain => [Role::Gate, Role::Up, Role::Down],
        };
        Ok(Dense { roles, gate, up, down, biases, activation })
    }

    /// A block whose matrices have these roles.
    pub(super) fn of(
        loader: &mut Loader<'_>,
        (roles, layer): ([Role; 3], usize),
        activation: Activation,
    ) -> Result<Dense> {
        let [gate, up, down] = roles.map(|role| loader.matrix(role, layer));
        Ok(Dense { roles, gate: Some(gate?), up: up?, down: down?, biases: None, activation })
    }

    pub(super) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        let gated = work.gated.get_mut(&self.up.n).expect("allocated for the layers there are");
        let adapters = &mut work.adapters;
        self.apply(&context.adapting, (&mut work.delta, gated, adapters), &work.normed)
    }

    /// `out [rows, d]` of `x [rows, d]`, by way of `gated [rows, ffn]`.
    pub(super) fn apply(
        &self,
        adapting: &Adapting<'_>,
        (out, gated, adapters): (&mut Tensor, &mut Tensor, &mut AdapterWork),
        x: &Tensor,
    ) -> Result<()> {
        let (backend, [gate_role, up_role, down_role]) = (adapting.backend, self.roles);
        match &self.gate {
            Some(gate) if adapting.touches(&[gate_role, up_role]) => {
                self.apart(adapting, (gate, gated, adapters), x)?;
            }
            Some(gate) => backend.gated(gated, x, (gate, &self.up), self.activation)?,
            None => {
                backend.matmul(&mut [gated], x, &[&self.up])?;
                adapting.add(adapters, (up_role, &mut [gated]), x)?;
                if let Some([up, _]) = &self.biases {
                    backend.add_bias(gated, up)?;
                }
                backend.activate(gated, self.activation)?;
            }
        }
        backend.matmul(&mut [out], gated, &[&self.down])?;
        adapting.add(adapters, (down_role, &mut [out]), gated)?;
        if let Some([_, down]) = &self.biases {
            backend.add_bias(out, down)?;
        }
        Ok(())
    }

    /// What is gated, in parts, because adapters add to the products before: rows without adapters
    /// are the same to the bit, as [`tensor::Backend::gated`] promises.
    fn apart(
        &self,
        adapting: &Adapting<'_>,
        (gate, gated, adapters): (&Weight, &mut Tensor, &mut AdapterWork),
        x: &Tensor,
    ) -> Result<()> {
        let (backend, [gate_role, up_role, _]) = (adapting.backend, self.roles);
        // Taken out while adapters work, and put back.
        let mut up = adapters.ups.remove(&self.up.n).expect("allocated for the adapters there are");
        backend.matmul(&mut [gated, &mut up], x, &[gate, &self.up])?;
        if gate_role == up_role {
            adapting.add(adapters, (gate_role, &mut [gated, &mut up]), x)?;
        } else {
            adapting.add(adapters, (gate_role, &mut [gated]), x)?;
            adapting.add(adapters, (up_role, &mut [&mut up]), x)?;
        }
        backend.gate(gated, &up, self.activation)?;
        adapters.ups.insert(self.up.n, up);
        Ok(())
    }

    /// Width between.
    pub(super) fn ffn(&self) -> usize {
        self.up.n
    }
}
