//! A mixture of experts: which of many feed-forward blocks a row goes through, and how much each
//! counts.

use crate::{Activation, Tensor, Weight};

/// The experts of one layer. `count` experts, each `down(act(gate(x), up(x)))`.
pub struct Experts {
    /// `count` matrices `[ffn, d]`.
    pub gate: Vec<Weight>,
    /// `count` matrices `[ffn, d]`.
    pub up: Vec<Weight>,
    /// `count` matrices `[d, ffn]`.
    pub down: Vec<Weight>,
    /// Added to what the matrices give, before the activation and before the sum.
    pub biases: Option<ExpertBiases>,
    /// Between them.
    pub activation: Activation,
    /// Who is chosen.
    pub routing: Routing,
    /// `[count]`, added to probabilities when experts are chosen, not when they are weighed.
    /// Source: DeepSeek-AI 2024, arXiv 2412.19437, equation 16.
    pub selection_bias: Option<Vec<f32>>,
}

/// Biases of all experts.
pub struct ExpertBiases {
    /// `[count, ffn]`.
    pub gate: Tensor,
    /// `[count, ffn]`.
    pub up: Tensor,
    /// `[count, d]`.
    pub down: Tensor,
}

/// What probabilities are made of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// Softmax over all experts.
    Softmax,
    /// Each its own sigmoid.
    Sigmoid,
}

/// What a group of experts is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupWorth {
    /// Its best expert: DeepSeek-V2. Source: arXiv 2405.04434, section 2.2.2.
    Best,
    /// Its two best together: DeepSeek-V3. Source: arXiv 2412.19437, section 2.1.2.
    BestTwo,
}

/// Only experts of the best groups may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Groups of neighbouring experts, all of one size.
    pub count: usize,
    /// Groups that may be chosen from.
    pub used: usize,
    /// How they are compared.
    pub worth: GroupWorth,
}

/// How a row's experts are chosen and weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// Experts of each row.
    pub used: usize,
    /// Scores to probabilities.
    pub gating: Gating,
    /// Whether the weights of the chosen add up to 1 before `scale`.
    pub normalised: bool,
    /// Factor on the weights.
    pub scale: f32,
    /// First groups, then experts.
    pub groups: Option<Groups>,
}

impl Routing {
    /// `(expert, weight)` of a row, by rising expert; `scores [count]` are what the router gives.
    /// Of equals the first is chosen.
    #[must_use]
    pub fn choose(&self, scores: &[f32], bias: Option<&[f32]>) -> Vec<(usize, f64)> {
        let probabilities = self.probabilities(scores);
        let worth: Vec<f64> = match bias {
            None => probabilities.clone(),
            Some(bias) => {
                let biased = probabilities.iter().zip(bias);
                biased.map(|(probability, bias)| probability + f64::from(*bias)).collect()
            }
        };
        let mut open = vec![true; worth.len()];
        if let Some(groups) = self.groups {
            let size = (worth.len() / groups.count).max(1);
            let values: Vec<f64> = worth.chunks(size).map(|group| groups.worth.of(group)).collect();
            let kept = best(&values, groups.used);
            for (expert, open) in open.iter_mut().enumerate() {
                *open = kept.contains(&(expert / size));
            }
        }
        let closed = |(worth, open): (&f64, &bool)| if *open { *worth } else { f64::NEG_INFINITY };
        let worth: Vec<f64> = worth.iter().zip(&open).map(closed).collect();
        let mut chosen = best(&worth, self.used);
        chosen.sort_unstable();
        let sum: f64 = chosen.iter().map(|expert| probabilities[*expert]).sum();
        // Sigmoids may all be next to 0.
        let whole = if self.normalised { sum + 1e-20 } else { 1.0 };
        let factor = f64::from(self.scale) / whole;
        chosen.into_iter().map(|expert| (expert, probabilities[expert] * factor)).collect()
    }

    fn probabilities(&self, scores: &[f32]) -> Vec<f64> {
        let scores = scores.iter().copied().map(f64::from);
        match self.gating {
            Gating::Sigmoid => scores.map(|score| 1.0 / (1.0 + (-score).exp())).collect(),
            Gating::Softmax => {
                let highest = scores.clone().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = scores.map(|score| (score - highest).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(|power| power / sum).collect()
            }
        }
    }
}

impl GroupWorth {
    fn of(self, group: &[f64]) -> f64 {
        let taken = match self {
            GroupWorth::Best => 1,
            GroupWorth::BestTwo => 2,
        };
        best(group, taken).into_iter().map(|i| group[i]).sum()
    }
}

/// Indices of the `count` largest, largest first; of equals the first.
fn best(values: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::{Gating, GroupWorth, Groups, Routing};

    const PLAIN: Routing =
        Routing { used: 2, gating: Gating::Softmax, normalised: true, scale: 1.0, groups: None };

    fn check(routing: Routing, (scores, bias): (&[f32], Option<&[f32]>), wanted: &[(usize, f64)]) {
        let found = routing.choose(scores, bias);
        let near = |(found, wanted): (&(usize, f64), &(usize, f64))| {
            found.0 == wanted.0 && (found.1 - wanted.1).abs() < 1e-6
        };
        let same = found.len() == wanted.len() && found.iter().zip(wanted).all(near);
        assert!(same, "{found:?} and not {wanted:?}");
    }

    #[test]
    fn choices_are_those_worked_out_by_hand() {
        let (ln2, ln3) = (2.0_f32.ln(), 3.0_f32.ln());
        // Probabilities 1/7, 2/7, 1/7, 3/7.
        let scores = [0.0, ln2, 0.0, ln3];
        check(PLAIN, (&scores, None), &[(1, 0.4), (3, 0.6)]);
        let whole = Routing { normalised: false, scale: 7.0, ..PLAIN };
        check(whole, (&scores, None), &[(1, 2.0), (3, 3.0)]);
        // A bias chooses and does not weigh.
        check(whole, (&scores, Some(&[1.0, 0.0, 0.0, 0.0])), &[(0, 1.0), (3, 3.0)]);
        // Of equals the first.
        check(Routing { used: 3, ..whole }, (&scores, None), &[(0, 1.0), (1, 2.0), (3, 3.0)]);
    }

    #[test]
    fn groups_are_chosen_first() {
        let sigmoid = Routing { gating: Gating::Sigmoid, normalised: false, ..PLAIN };
        let groups = |worth| Some(Groups { count: 2, used: 1, worth });
        // Sigmoids 0.9, 0.1, 0.75, 0.75: the first group has the best expert, the second the best
        // two.
        let scores = [9.0_f32.ln(), -9.0_f32.ln(), 3.0_f32.ln(), 3.0_f32.ln()];
        let best = Routing { groups: groups(GroupWorth::Best), ..sigmoid };
        check(best, (&scores, None), &[(0, 0.9), (1, 0.1)]);
        let two = Routing { groups: groups(GroupWorth::BestTwo), ..sigmoid };
        check(two, (&scores, None), &[(2, 0.75), (3, 0.75)]);
    }
}
