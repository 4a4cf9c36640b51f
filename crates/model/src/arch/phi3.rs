//! Phi 3 and 4: queries, keys and values in one matrix, gate and up in another, and for long
//! contexts factors on the rope.
//! Source: Abdin et al. 2024, arXiv 2404.14219; Ding et al. 2024, arXiv 2402.13753 (LongRoPE).

use gguf::GgufFile;
use tensor::{Activation, RopePairing};

use super::base::Base;
use super::{Architecture, rope};
use crate::limits::WIDTH_MAX;
use crate::spec::{AttentionSpec, DenseForm, DenseSpec, FeedForward};
use crate::{ModelSpec, Result};

/// LongRoPE's factors: of contexts longer than the original one, and of others.
const LONG: &str = "rope_factors_long.weight";
const SHORT: &str = "rope_factors_short.weight";

pub(super) struct Phi3;

impl Architecture for Phi3 {
    fn names(&self) -> &'static [&'static str] {
        &["phi3"]
    }

    fn spec(&self, file: &GgufFile) -> Result<ModelSpec> {
        let base = Base::read(file)?;
        let attention = AttentionSpec { window: base.window()?, fused: true, ..base.attention()? };
        let ffn = base.keys.count_required("feed_forward_length", WIDTH_MAX)?;
        let activation = Activation::Silu;
        let feed_forward =
            FeedForward::Dense(DenseSpec { ffn, activation, form: DenseForm::Fused });
        let magnitude = base.keys.positive("rope.scaling.attn_factor")?;
        let max = u32::MAX as usize;
        let short_until = base.keys.count("rope.scaling.original_context_length", max)?;
        let mut model = base.uniform(RopePairing::Halves, attention, feed_forward)?;
        let Some(short_until) = short_until else { return Ok(model) };
        if let Some(magnitude) = magnitude {
            model.ropes[0].magnitude = magnitude;
        }
        if [LONG, SHORT].into_iter().all(|name| file.tensor(name).is_none()) {
            return Ok(model);
        }
        let mut long = model.ropes.clone();
        rope::turn_slower(file, SHORT, &mut model.ropes[0])?;
        rope::turn_slower(file, LONG, &mut long[0])?;
        let short_until = u32::try_from(short_until).expect("not above u32::MAX, as was checked");
        model.long_ropes = Some((short_until, long));
        Ok(model)
    }
}
