//! What nearly all files say in the same keys, so that an architecture says only what is its own.

use gguf::GgufFile;
use tensor::{Activation, Gating, Rope, RopePairing, Routing};

use super::read::Keys;
use super::{Role, default_name, rope};
use crate::limits::{EXPERTS_MAX, HEAD_DIM_MAX, HEADS_MAX, LAYERS_MAX, WIDTH_MAX};
use crate::spec::{
    AttentionSpec, Classifier, DenseForm, DenseSpec, Entry, ExpertsSpec, FeedForward, LayerSpec,
    Mixer, Norms, Pooling, QueryKeyNorms, Scales,
};
use crate::{ModelSpec, Result};

/// A file with the keys that nearly all have.
pub(super) struct Base<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) keys: Keys<'a>,
    /// Without those for predicting several tokens.
    pub(super) n_layers: usize,
    /// Those.
    pub(super) unused_layers: usize,
    pub(super) d: usize,
    pub(super) n_heads: usize,
}

impl<'a> Base<'a> {
    pub(super) fn read(file: &'a GgufFile) -> Result<Base<'a>> {
        let keys = Keys::of(file)?;
        let all_layers = keys.count_required("block_count", LAYERS_MAX)?;
        let unused_layers = match keys.whole("nextn_predict_layers")? {
            None | Some(0) => 0,
            Some(_) => keys.count_required("nextn_predict_layers", all_layers - 1)?,
        };
        Ok(Base {
            n_layers: all_layers - unused_layers,
            unused_layers,
            d: keys.count_required("embedding_length", WIDTH_MAX)?,
            n_heads: keys.count_required("attention.head_count", HEADS_MAX)?,
            file,
            keys,
        })
    }

    /// Attention as the shapes say: no window, cap, sinks, norms or biases, the usual scale, the
    /// first rope.
    pub(super) fn attention(&self) -> Result<AttentionSpec> {
        let (keys, n_heads) = (&self.keys, self.n_heads);
        let n_kv_heads = keys.count("attention.head_count_kv", HEADS_MAX)?.unwrap_or(n_heads);
        keys.divides(("attention.head_count_kv", n_kv_heads), ("attention.head_count", n_heads))?;
        let head_dim = |name: &str| match keys.count(name, HEAD_DIM_MAX)? {
            Some(head_dim) => Ok(head_dim),
            None => keys
                .divides(("attention.head_count", n_heads), ("embedding_length", self.d))
                .map(|()| self.d / n_heads),
        };
        let head_dim_k = head_dim("attention.key_length")?;
        Ok(AttentionSpec {
            n_heads,
            n_kv_heads,
            head_dim_k,
            head_dim_v: head_dim("attention.value_length")?,
            scale: (1.0 / (head_dim_k as f64).sqrt()) as f32,
            window: None,
            soft_cap: None,
            sinks: false,
            rope: Some(0),
            query_key_norms: QueryKeyNorms::None,
            input_biases: false,
            output_bias: false,
            fused: false,
            bidirectional: keys.truth("attention.causal")? == Some(false),
            gated: false,
        })
    }

    /// `attention.sliding_window`; none where it is absent or 0.
    pub(super) fn window(&self) -> Result<Option<usize>> {
        match self.keys.whole("attention.sliding_window")? {
            None | Some(0) => Ok(None),
            Some(window) => Ok(Some(usize::try_from(window).unwrap_or(usize::MAX))),
        }
    }

    /// The one rope of a model that has one.
    pub(super) fn rope(&self, pairing: RopePairing, head_dim: usize) -> Result<Rope> {
        rope::read(&self.keys, self.file, (pairing, head_dim))
    }

    /// One gated block, `feed_forward_length` wide.
    pub(super) fn dense(&self, activation: Activation) -> Result<FeedForward> {
        let ffn = self.keys.count_required("feed_forward_length", WIDTH_MAX)?;
        Ok(FeedForward::Dense(DenseSpec { ffn, activation, form: DenseForm::Gated }))
    }

    /// How many experts there are; none where the key is absent or 0.
    pub(super) fn expert_count(&self) -> Result<Option<usize>> {
        match self.keys.whole("expert_count")? {
            None | Some(0) => Ok(None),
            Some(_) => self.keys.count("expert_count", EXPERTS_MAX),
        }
    }

    /// Experts chosen by softmax, whose weights add up to 1, with nothing shared.
    pub(super) fn experts(&self, count: usize) -> Result<ExpertsSpec> {
        let keys = &self.keys;
        let used = keys.count_required("expert_used_count", EXPERTS_MAX)?;
        if used > count {
            let wanted = format!("at most expert_count, {count}");
            return Err(keys.wrong("expert_used_count", &used, &wanted));
        }
        let ffn = match keys.count("expert_feed_forward_length", WIDTH_MAX)? {
            Some(ffn) => ffn,
            None => keys.count_required("feed_forward_length", WIDTH_MAX)?,
        };
        let routing =
            Routing { used, gating: Gating::Softmax, normalised: true, scale: 1.0, groups: None };
        Ok(ExpertsSpec {
            count,
            ffn,
            activation: Activation::Silu,
            routing,
            selection_bias: false,
            biases: false,
            shared_ffn: None,
            shared_gate: false,
        })
    }

    /// Positions it was trained for.
    pub(super) fn context_len(&self) -> Result<u32> {
        let max = u32::MAX as usize;
        let trained = self.keys.count_required("context_length", max)?;
        Ok(u32::try_from(trained).expect("not above u32::MAX, as was just checked"))
    }

    /// `pooling_type` with the head that makes scores, which only its tensors tell of.
    fn pooling(&self, is_encoder: bool) -> Result<(Option<Pooling>, Option<Classifier>)> {
        let keys = &self.keys;
        let has = |role| self.file.tensor(&default_name(role, 0)).is_some();
        let ranked = if is_encoder { Pooling::First } else { Pooling::Last };
        let pooling = match keys.whole("pooling_type")? {
            None | Some(0) => None,
            Some(1) => Some(Pooling::Mean),
            Some(2) => Some(Pooling::First),
            Some(3) => Some(Pooling::Last),
            Some(4) => Some(ranked),
            Some(other) => return Err(keys.wrong("pooling_type", &other, "0 to 4")),
        };
        let head = self.file.tensor(&default_name(Role::ClassifierOutput, 0));
        let Some(head) = head else {
            if keys.whole("pooling_type")? == Some(4) {
                let feature = "a score without cls.output.weight (pooling_type is 4)";
                return Err(keys.unsupported(feature.to_owned()));
            }
            return Ok((pooling, None));
        };
        let labels = head.n();
        if labels != 1 && (is_encoder || labels != 2) {
            return Err(keys.unsupported(format!("a classifier of {labels} labels")));
        }
        let biases = has(Role::ClassifierOutputBias);
        let classifier = Classifier { dense: has(Role::Classifier), biases, labels };
        Ok((Some(ranked), Some(classifier)))
    }

    /// The model of these layers, without factors.
    pub(super) fn model(self, ropes: Vec<Rope>, layers: Vec<LayerSpec>) -> Result<ModelSpec> {
        let tensor = |role| self.file.tensor(&default_name(role, 0));
        let is_encoder = layers.iter().any(|layer| layer.mixer.is_bidirectional());
        let (pooling, classifier) = self.pooling(is_encoder)?;
        Ok(ModelSpec {
            architecture: self.keys.architecture().to_owned(),
            d: self.d,
            // None when the tensor is missing, which the inventory then says.
            vocab: tensor(Role::TokenEmbedding).map_or(0, |tensor| tensor.n()),
            context_len: self.context_len()?,
            norm_eps: self.keys.positive("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            scales: Scales::default(),
            logit_soft_cap: None,
            ropes,
            long_ropes: None,
            tied: tensor(Role::Output).is_none(),
            layers,
            entry: Entry::default(),
            pooling,
            classifier,
            unused_layers: self.unused_layers,
        })
    }

    /// A model whose layers are all alike, normed before each block, with one rope.
    pub(super) fn uniform(
        self,
        pairing: RopePairing,
        attention: AttentionSpec,
        feed_forward: FeedForward,
    ) -> Result<ModelSpec> {
        let rope = self.rope(pairing, attention.head_dim_k)?;
        let mixer = Mixer::Attention(attention);
        let layer = LayerSpec { mixer, feed_forward, norms: Norms::Before };
        let layers = vec![layer; self.n_layers];
        self.model(vec![rope], layers)
    }

    /// An encoder whose layers are all alike: attention both ways, the sums normed.
    pub(super) fn encoder(
        self,
        attention: AttentionSpec,
        feed_forward: FeedForward,
        (positions, ropes): (bool, Vec<Rope>),
    ) -> Result<ModelSpec> {
        if self.keys.truth("attention.causal")? == Some(true) {
            return Err(self
                .keys
                .unsupported("no attention both ways (attention.causal)".to_owned()));
        }
        // What BERT was trained with.
        let norm_eps = self.keys.positive("attention.layer_norm_epsilon")?.unwrap_or(1e-12);
        let types = self.file.tensor(&default_name(Role::TokenTypes, 0));
        let entry = Entry { positions, types: types.map(|types| types.n()), normed: true };
        let mixer = Mixer::Attention(AttentionSpec { bidirectional: true, ..attention });
        let layer = LayerSpec { mixer, feed_forward, norms: Norms::Sum };
        let layers = vec![layer; self.n_layers];
        Ok(ModelSpec { entry, norm_eps, ..self.model(ropes, layers)? })
    }
}
