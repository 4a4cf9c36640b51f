//! A mixture of experts, with a block besides that all rows go through.

use tensor::{ExpertBiases, Experts, Tensor, Weight};

use super::Context;
use super::dense::Dense;
use crate::Result;
use crate::arch::Role;
use crate::spec::ExpertsSpec;
use crate::weights::Loader;
use crate::workspace::Workspace;

/// Shapes are with the roles.
pub(crate) struct ExpertsBlock {
    router: Weight,
    router_bias: Option<Tensor>,
    experts: Experts,
    shared: Option<Dense>,
    /// How much the shared block counts in each row.
    shared_score: Option<Weight>,
}

impl ExpertsBlock {
    pub(super) fn load(
        loader: &mut Loader<'_>,
        spec: ExpertsSpec,
        layer: usize,
    ) -> Result<ExpertsBlock> {
        let router = loader.matrix(Role::Router, layer)?;
        let selection_bias = if spec.selection_bias {
            Some(loader.values(Role::SelectionBias, layer)?)
        } else {
            None
        };
        let gate = loader.matrices(Role::ExpertGates, layer)?;
        let up = loader.matrices(Role::ExpertUps, layer)?;
        let down = loader.matrices(Role::ExpertDowns, layer)?;
        let (mut router_bias, mut biases) = (None, None);
        if spec.biases {
            router_bias = Some(loader.vector(Role::RouterBias, layer)?);
            biases = Some(ExpertBiases {
                gate: loader.table(Role::ExpertGateBiases, layer)?,
                up: loader.table(Role::ExpertUpBiases, layer)?,
                down: loader.table(Role::ExpertDownBiases, layer)?,
            });
        }
        let ExpertsSpec { activation, routing, .. } = spec;
        let roles = [Role::SharedGate, Role::SharedUp, Role::SharedDown];
        let shared = match spec.shared_ffn {
            Some(_) => Some(Dense::of(loader, (roles, layer), activation)?),
            None => None,
        };
        let shared_score =
            if spec.shared_gate { Some(loader.matrix(Role::SharedScore, layer)?) } else { None };
        let experts = Experts { gate, up, down, biases, activation, routing, selection_bias };
        Ok(ExpertsBlock { router, router_bias, experts, shared, shared_score })
    }

    pub(super) fn forward(&self, context: &Context<'_>, work: &mut Workspace) -> Result<()> {
        let backend = context.backend;
        let there = "allocated for the layers there are";
        let scores = work.scores.get_mut(&self.router.n).expect(there);
        backend.matmul(&mut [scores], &work.normed, &[&self.router])?;
        let (adapting, adapters) = (&context.adapting, &mut work.adapters);
        adapting.add(adapters, (Role::Router, &mut [scores]), &work.normed)?;
        if let Some(bias) = &self.router_bias {
            backend.add_bias(scores, bias)?;
        }
        backend.experts(&mut work.delta, &work.normed, scores, &self.experts)?;
        if let Some(shared) = &self.shared {
            let gated = work.gated.get_mut(&shared.ffn()).expect(there);
            let out = work.shared.as_mut().expect(there);
            shared.apply(adapting, (out, gated, adapters), &work.normed)?;
            if let Some(weight) = &self.shared_score {
                let score = work.scores.get_mut(&weight.n).expect(there);
                backend.matmul(&mut [score], &work.normed, &[weight])?;
                backend.sigmoid_gate(out, score)?;
            }
            backend.add(&mut work.delta, out)?;
        }
        Ok(())
    }
}
