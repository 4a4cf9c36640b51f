//! What a model is made of, in words, for tables and screens.

use tensor::{Activation, Gating};

use crate::spec::{
    AttentionSpec, DenseForm, ExpertsSpec, FeedForward, Mixer, ModelSpec, Norms, Pooling,
    QueryKeyNorms, Scales,
};

impl ModelSpec {
    /// Its kinds of block and what is special about them, each once, in order of layers.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        let mut features: Vec<String> = Vec::new();
        let mut add = |feature: &str| {
            if !features.iter().any(|known| known == feature) {
                features.push(feature.to_owned());
            }
        };
        for layer in &self.layers {
            match &layer.mixer {
                Mixer::Attention(attention) => of_attention(attention, &mut add),
                Mixer::DeltaNet(_) => add("gated delta net"),
                Mixer::Latent(_) => add("latent attention"),
            }
            match &layer.feed_forward {
                FeedForward::Dense(dense) => {
                    if dense.form == DenseForm::Plain {
                        add("blocks without gates");
                    }
                    of_activation(dense.activation, &mut add);
                }
                FeedForward::Experts(experts) => of_experts(experts, &mut add),
            }
            match layer.norms {
                Norms::Before => {}
                Norms::After => add("norms after blocks"),
                Norms::Around => add("norms around blocks"),
                Norms::Sum => add("layer norms of sums"),
            }
        }
        for (holds, feature) in [
            (self.ropes.len() > 1, "two ropes"),
            (self.ropes.iter().any(|rope| rope.magnitude != 1.0), "YaRN or LongRoPE growth"),
            (self.long_ropes.is_some(), "LongRoPE factors"),
            (self.scales != Scales::default(), "factors on activations"),
            (self.logit_soft_cap.is_some(), "soft cap of logits"),
            (self.tied && self.pooling.is_none(), "tied embeddings"),
            (self.entry.positions, "a table of positions"),
            (self.entry.types.is_some(), "types of tokens"),
            (self.classifier.is_some(), "a score of pairs"),
            (self.pools(Pooling::First), "pooling of the first row"),
            (self.pools(Pooling::Mean), "pooling of all rows"),
            (self.pools(Pooling::Last), "pooling of the last row"),
        ] {
            if holds {
                add(feature);
            }
        }
        features
    }

    fn pools(&self, by: Pooling) -> bool {
        self.pooling == Some(by)
    }
}

fn of_attention(of: &AttentionSpec, add: &mut impl FnMut(&str)) {
    let grouped = if of.n_kv_heads < of.n_heads { "grouped heads" } else { "a key for each head" };
    add(grouped);
    for (holds, feature) in [
        (of.bidirectional, "attention both ways"),
        (of.window.is_some(), "sliding window"),
        (of.soft_cap.is_some(), "soft cap of scores"),
        (of.sinks, "attention sinks"),
        (of.rope.is_none() && !of.bidirectional, "layers without positions"),
        (of.query_key_norms == QueryKeyNorms::EachHead, "norms of query and key heads"),
        (of.query_key_norms == QueryKeyNorms::AllHeads, "norms of all query and key heads"),
        (of.input_biases, "biases"),
        (of.fused, "fused matrices"),
        (of.gated, "gated attention"),
    ] {
        if holds {
            add(feature);
        }
    }
}

fn of_experts(of: &ExpertsSpec, add: &mut impl FnMut(&str)) {
    add("experts");
    for (holds, feature) in [
        (of.routing.gating == Gating::Sigmoid, "experts chosen by sigmoid"),
        (of.routing.groups.is_some(), "groups of experts"),
        (of.selection_bias, "bias of choice"),
        (of.biases, "biases of experts"),
        (of.shared_ffn.is_some(), "shared experts"),
        (of.shared_gate, "gate of shared experts"),
    ] {
        if holds {
            add(feature);
        }
    }
    of_activation(of.activation, add);
}

fn of_activation(activation: Activation, add: &mut impl FnMut(&str)) {
    match activation {
        Activation::Silu => {}
        Activation::GeluTanh => add("GELU"),
        Activation::GeluErf => add("exact GELU"),
        Activation::ClampedSilu { .. } => add("clamped SiLU"),
    }
}
