//! The rules themselves, as tables: for each part of a model, which file type wants what where.
//! The first rule that holds decides; where none does, a tensor has the file type's usual type.

use super::FileType::{
    IQ1M, IQ1S, IQ2M, IQ2S, IQ2XS, IQ2XXS, IQ3M, IQ3S, IQ3XS, IQ3XXS, IQ4NL, IQ4XS, MXFP4Moe, Q2_0,
    Q2K, Q2KS, Q3KL, Q3KM, Q3KS, Q4_0, Q4KM, Q4KS, Q5_0, Q5KM, Q8_0, TQ1_0, TQ2_0,
};
use super::{Family, FileType, Importance, Place, Recipe, Shape};
use crate::facts::Role;
use crate::types::TensorType;

/// Parts that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The head, or embeddings where there is none.
    Head,
    /// Embeddings beside a head.
    Embedding,
    /// Values, alone or together with queries and keys.
    Value,
    /// Keys.
    Key,
    /// Queries.
    Query,
    /// The matrix after attention.
    Mix,
    /// The last matrix of a feed-forward of whatever kind.
    Down,
    /// Its gate.
    Gate,
    /// Its first matrix.
    Up,
    /// Matrices without rules.
    Other,
    /// What is never quantised.
    Kept,
}

/// One tensor, and what a rule may ask about it.
pub(super) struct Case<'a> {
    pub(super) recipe: Recipe,
    pub(super) model: &'a Shape,
    pub(super) place: &'a Place,
    pub(super) part: Part,
    /// How many of the same part came before.
    pub(super) count: u64,
    /// How many tensors of the model are values.
    pub(super) values: u64,
}

/// A type for tensors of a part when all conditions hold.
struct Rule {
    /// For these file types; none listed means for all.
    files: &'static [FileType],
    when: &'static [When],
    gives: TensorType,
}

/// A condition on a tensor and its model.
#[derive(Clone, Copy)]
enum When {
    /// At least four query heads share a head of keys and values.
    SharedKeys,
    /// The same, or there are at least four experts.
    SharedKeysOrExperts,
    /// Exactly eight experts, as Mixtral has.
    EightExperts,
    /// Another number of them, or none.
    NotEightExperts,
    /// The architecture is `falcon`.
    Falcon,
    /// It is another.
    NotFalcon,
    /// Made without an importance matrix.
    Unweighted,
    /// Made with one.
    Weighted,
    /// One of so many first ones of its part.
    First(u64),
    /// In that fraction of the layers that comes first.
    Early(u64),
    /// The same, taking each tensor of the part for a layer, also where a layer has two.
    EarlyByCount(u64),
    /// In the first or the last eighth of the layers, or every third between.
    Spread,
    /// Between the first and the last eighth of the layers.
    Middle,
    /// Its rows are not whole blocks of the file type's usual type.
    Uneven,
    /// It holds several matrices.
    Stacked,
}

const fn rule(files: &'static [FileType], when: &'static [When], gives: TensorType) -> Rule {
    Rule { files, when, gives }
}

const ANY: &[FileType] = &[];
/// Those below two and a half bits: their tables are apart from the others'.
const LOWEST: &[FileType] = &[IQ1S, IQ1M, IQ2XXS, IQ2XS, IQ2S, IQ2M];

static MIXED_EXPERTS: &[Rule] = &[
    rule(&[MXFP4Moe], &[When::Stacked], TensorType::MXFP4),
    rule(&[MXFP4Moe], &[], TensorType::Q8_0),
];

static HEAD: &[Rule] = &[
    rule(&[MXFP4Moe, Q8_0], &[], TensorType::Q8_0),
    rule(ANY, &[When::Falcon], TensorType::Q8_0),
    rule(ANY, &[When::Uneven], TensorType::Q8_0),
    rule(LOWEST, &[], TensorType::Q5K),
    rule(&[IQ3XXS], &[], TensorType::Q5K),
    rule(ANY, &[], TensorType::Q6K),
];

static EMBEDDING: &[Rule] = &[
    rule(&[IQ1S, IQ1M, IQ2XXS, IQ2XS], &[], TensorType::Q2K),
    rule(&[IQ2S, IQ2M, IQ3XXS], &[], TensorType::IQ3S),
    rule(&[TQ1_0, TQ2_0, Q2_0], &[], TensorType::Q4K),
];

static VALUE: &[Rule] = &[
    rule(LOWEST, &[When::SharedKeysOrExperts], TensorType::Q4K),
    rule(&[IQ2S, IQ2M], &[], TensorType::IQ3S),
    rule(LOWEST, &[], TensorType::Q2K),
    rule(ANY, &[When::EightExperts], TensorType::Q8_0),
    rule(&[Q2K, Q2KS, IQ3XXS, IQ3XS, IQ3S], &[When::SharedKeys], TensorType::Q4K),
    rule(&[Q2K], &[], TensorType::Q3K),
    rule(&[IQ3XXS], &[When::Unweighted], TensorType::IQ3S),
    rule(&[Q3KM], &[When::First(2)], TensorType::Q5K),
    rule(&[Q3KM, IQ3M], &[], TensorType::Q4K),
    rule(&[Q3KL], &[], TensorType::Q5K),
    rule(&[IQ4NL, IQ4XS], &[When::SharedKeys], TensorType::Q5K),
    rule(&[Q4KM, Q5KM], &[When::Spread], TensorType::Q6K),
    rule(&[Q4KS], &[When::First(4)], TensorType::Q5K),
];

static KEY: &[Rule] = &[
    rule(LOWEST, &[When::EightExperts], TensorType::Q4K),
    rule(ANY, &[When::EightExperts], TensorType::Q8_0),
    rule(&[IQ3XS], &[], TensorType::IQ3XXS),
    rule(&[IQ3XXS], &[], TensorType::IQ2S),
];

static QUERY: &[Rule] =
    &[rule(&[IQ3XS], &[], TensorType::IQ3XXS), rule(&[IQ3XXS], &[], TensorType::IQ2S)];

const PLAIN: &[When] = &[When::NotFalcon, When::NotEightExperts];

static MIX: &[Rule] = &[
    rule(LOWEST, &[When::EightExperts], TensorType::Q5K),
    rule(&[IQ1S, IQ1M], &[], TensorType::IQ2XXS),
    rule(&[IQ2S, IQ2M], &[], TensorType::IQ3S),
    rule(&[Q3KL], &[When::Falcon], TensorType::Q4K),
    rule(
        &[Q2K, IQ3XXS, IQ3XS, IQ3S, IQ3M, Q3KS, Q3KM, IQ4XS, IQ4NL, Q4KS, Q4KM],
        &[When::NotFalcon, When::EightExperts],
        TensorType::Q5K,
    ),
    rule(&[Q2K], PLAIN, TensorType::Q3K),
    rule(&[IQ3XXS], PLAIN, TensorType::IQ3S),
    rule(&[IQ3M, Q3KM], PLAIN, TensorType::Q4K),
    rule(&[Q3KL], PLAIN, TensorType::Q5K),
];

static DOWN: &[Rule] = &[
    rule(&[IQ2S, IQ2M], &[When::EarlyByCount(8)], TensorType::IQ3S),
    rule(LOWEST, &[When::EarlyByCount(8)], TensorType::Q2K),
    rule(&[Q2K], &[], TensorType::Q3K),
    rule(&[Q2KS], &[When::Early(8)], TensorType::Q4K),
    rule(&[IQ3XXS], &[When::Unweighted, When::Early(8)], TensorType::Q4K),
    rule(&[IQ3XXS], &[When::Unweighted], TensorType::Q3K),
    rule(&[Q3KM], &[When::Early(16)], TensorType::Q5K),
    rule(&[Q3KM], &[When::NotFalcon], TensorType::Q4K),
    rule(&[Q3KM], &[When::Spread], TensorType::Q4K),
    rule(&[IQ3M], &[When::Early(8)], TensorType::Q4K),
    rule(&[IQ3M], &[When::EightExperts, When::Spread], TensorType::Q4K),
    rule(&[Q3KL], &[When::Falcon], TensorType::Q4K),
    rule(&[Q3KL], &[], TensorType::Q5K),
    rule(&[Q4KM], &[When::Early(16)], TensorType::Q6K),
    rule(&[Q4KM], &[When::Falcon, When::Spread], TensorType::Q5K),
    rule(&[Q4KM], &[When::Spread], TensorType::Q6K),
    rule(&[IQ4NL, IQ4XS], &[When::Unweighted, When::Early(8)], TensorType::Q5K),
    rule(&[Q5KM], &[When::Spread], TensorType::Q6K),
    rule(&[Q4KS], &[When::NotFalcon, When::Early(8)], TensorType::Q5K),
    rule(&[Q4_0], &[When::Weighted, When::Early(8)], TensorType::Q4_1),
    rule(&[Q5_0], &[When::Weighted, When::Early(8)], TensorType::Q5_1),
];

static GATE_AND_UP: &[Rule] = &[rule(&[IQ3XS], &[When::Middle], TensorType::IQ3XXS)];

impl Part {
    pub(super) const COUNT: usize = Part::Kept as usize + 1;

    /// What a role is to the rules, which ask neither whose feed-forward it is nor whether values
    /// stand alone.
    pub(super) fn of(role: Role, has_head: bool) -> Part {
        match role {
            Role::Output => Part::Head,
            Role::TokenEmbedding | Role::PerLayerEmbedding if !has_head => Part::Head,
            Role::TokenEmbedding | Role::PerLayerEmbedding => Part::Embedding,
            Role::AttentionV | Role::AttentionQkv => Part::Value,
            Role::AttentionK => Part::Key,
            Role::AttentionQ => Part::Query,
            Role::AttentionOutput => Part::Mix,
            Role::FfnDown | Role::ExpertsDown | Role::SharedDown => Part::Down,
            Role::FfnGate | Role::ExpertsGate | Role::SharedGate => Part::Gate,
            Role::FfnUp | Role::ExpertsUp | Role::SharedUp => Part::Up,
            Role::AttentionOther | Role::Recurrent | Role::Apart => Part::Other,
            Role::Small => Part::Kept,
        }
    }

    fn rules(self) -> &'static [Rule] {
        match self {
            Part::Head => HEAD,
            Part::Embedding => EMBEDDING,
            Part::Value => VALUE,
            Part::Key => KEY,
            Part::Query => QUERY,
            Part::Mix => MIX,
            Part::Down => DOWN,
            Part::Gate | Part::Up => GATE_AND_UP,
            Part::Other | Part::Kept => &[],
        }
    }

    fn is_feed_forward(self) -> bool {
        matches!(self, Part::Down | Part::Gate | Part::Up)
    }
}

impl Case<'_> {
    /// What the quantiser chooses.
    pub(super) fn tensor_type(&self) -> TensorType {
        let usual = self.recipe.file_type.default_type();
        if self.part == Part::Kept {
            return TensorType::F32;
        }
        if !usual.is_quantised() {
            return usual;
        }
        fitting(self.more_for_shared_values(self.ruled(usual)), self.place.columns)
    }

    fn ruled(&self, usual: TensorType) -> TensorType {
        // The head has its own rule for mixed experts.
        let first = if self.part == Part::Head { &[] } else { MIXED_EXPERTS };
        let found = first.iter().chain(self.part.rules()).find(|rule| self.obeys(rule));
        found.map_or(usual, |rule| rule.gives)
    }

    fn obeys(&self, rule: &Rule) -> bool {
        let is_lowestt = rule.files.is_empty() || rule.files.contains(&self.recipe.file_type);
        is_lowestt && rule.when.iter().all(|condition| self.holds(*condition))
    }

    fn holds(&self, condition: When) -> bool {
        let model = self.model;
        let (layer, layers) = self.position();
        let (eighth, last_eighth) = (layers / 8, 7 * layers / 8);
        match condition {
            When::SharedKeys => model.heads_per_key() >= 4,
            When::SharedKeysOrExperts => model.heads_per_key() >= 4 || model.experts >= 4,
            When::EightExperts => model.experts == 8,
            When::NotEightExperts => model.experts != 8,
            When::Falcon => model.family == Family::Falcon,
            When::NotFalcon => model.family != Family::Falcon,
            When::Unweighted => self.recipe.importance == Importance::Absent,
            When::Weighted => self.recipe.importance == Importance::Present,
            When::First(count) => self.count < count,
            When::Early(fraction) => layer < layers / fraction,
            When::EarlyByCount(fraction) => self.count < layers / fraction,
            When::Spread => layer < eighth || layer >= last_eighth || (layer - eighth) % 3 == 2,
            When::Middle => (eighth..last_eighth).contains(&layer),
            When::Uneven => !self.recipe.file_type.default_type().divides(self.place.columns),
            When::Stacked => {
                // There the matrices of latent attention are stacked too, but not meant.
                let is_expert = self.part.is_feed_forward();
                self.place.is_stacked && (model.family != Family::BailingMoe3 || is_expert)
            }
        }
    }

    /// `(layer, layers)`: values are counted among themselves, since in a hybrid model few layers
    /// have them; a dense feed-forward is counted too, but with experts its layer has a number.
    fn position(&self) -> (u64, u64) {
        if self.part == Part::Value {
            return (self.count, self.values);
        }
        let numbered = self.place.layer.filter(|_| self.model.experts > 1);
        (numbered.unwrap_or(self.count), self.model.layers)
    }

    /// In a model of 70 billion weights eight query heads share values that are small, so more bits
    /// for them cost next to nothing.
    fn more_for_shared_values(&self, chosen: TensorType) -> TensorType {
        let is_low = matches!(chosen, TensorType::Q3K | TensorType::Q4K);
        let is_lowest = LOWEST.contains(&self.recipe.file_type);
        if self.part == Part::Value && is_low && !is_lowest && self.model.is_seventy() {
            return TensorType::Q5K;
        }
        chosen
    }
}

/// The type itself, or one of smaller blocks where its own do not fill a row.
fn fitting(wanted: TensorType, columns: u64) -> TensorType {
    if wanted.divides(columns) {
        return wanted;
    }
    let smaller = match wanted {
        TensorType::IQ1S
        | TensorType::IQ1M
        | TensorType::IQ2XXS
        | TensorType::IQ2XS
        | TensorType::IQ2S
        | TensorType::IQ3XXS
        | TensorType::IQ3S
        | TensorType::IQ4XS => TensorType::IQ4NL,
        TensorType::Q2_0
        | TensorType::Q2K
        | TensorType::Q3K
        | TensorType::TQ1_0
        | TensorType::TQ2_0 => TensorType::Q4_0,
        TensorType::Q4K => TensorType::Q5_0,
        TensorType::Q5K => TensorType::Q5_1,
        TensorType::Q6K => TensorType::Q8_0,
        other => other,
    };
    if smaller.divides(columns) { smaller } else { TensorType::F16 }
}
