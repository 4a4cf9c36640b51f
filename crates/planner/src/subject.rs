//! A model to plan for: its facts, and its weights in any quantisation.

use crate::beside::Beside;
use crate::checkpoint::Checkpoint;
use crate::facts::ModelFacts;
use crate::recipe::{Family, FileType, Quantisation, Shape};
use crate::row::ModelRow;
use crate::weights::Weights;

/// What is planned for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Layers, tensors, experts.
    pub facts: ModelFacts,
    shape: Shape,
    /// The weights as a file has them; none for a row of the table, where any quantisation is
    /// computed.
    file: Option<FileWeights>,
    /// Architecture, as GGUF files name it.
    pub architecture: String,
    /// What its makers publish, where that is not the usual.
    published: Vec<Quantisation>,
    /// What is loaded with it.
    pub beside: Beside,
}

/// Weights whose bytes were read from headers.
#[derive(Clone, Debug)]
pub struct FileWeights {
    /// What the file calls its mix of types, e.g. `Q4_K_M`.
    pub quant: String,
    /// Exact.
    pub weights: Weights,
}

/// Bytes of a file's header for each token that the model knows: its text, type and merges.
/// Measured on Llama-2, Qwen3 and SmolLM2 files: 23 to 39.
const HEADER_BYTES_PER_TOKEN: u64 = 39;

/// Mixes that are offered where none is asked for: from most to least bits.
const USUAL: &[FileType] = &[
    FileType::F16,
    FileType::Q8_0,
    FileType::Q6K,
    FileType::Q5KM,
    FileType::Q4KM,
    FileType::IQ4XS,
    FileType::Q3KM,
    FileType::Q2K,
];

/// Of these those of less than eight bits.
const BELOW_EIGHT_BITS: &[FileType] = USUAL.split_at(2).1;

impl Subject {
    /// A row of the table.
    #[must_use]
    pub fn of_row(row: &ModelRow) -> Subject {
        let shape = Shape {
            family: Family::from_architecture(&row.family),
            layers: row.layers,
            heads: row.heads,
            kv_heads: row.kv_heads,
            experts: row.experts.as_ref().map_or(0, |experts| experts.total),
        };
        let published = row.published.iter().filter_map(|name| Quantisation::from_name(name));
        let architecture = row.family.clone();
        let published = published.collect();
        let beside = Beside::default();
        Subject { facts: row.facts(), shape, file: None, architecture, published, beside }
    }

    /// A file whose headers were read.
    #[must_use]
    pub fn of_file(facts: ModelFacts, architecture: String, file: FileWeights) -> Subject {
        let shape = Shape {
            family: Family::Other,
            layers: facts.layers,
            heads: facts.heads,
            kv_heads: 0,
            experts: facts.experts.map_or(0, |experts| experts.total),
        };
        let (published, beside) = (Vec::new(), Beside::default());
        Subject { facts, shape, file: Some(file), architecture, published, beside }
    }

    /// A checkpoint: as it is, and quantised while loading, when any mix can be asked for and what
    /// is beside the model of text stays away.
    #[must_use]
    pub fn of_checkpoint(checkpoint: Checkpoint) -> (Subject, Subject) {
        let Checkpoint { facts, architecture, stored, kv_heads, projector } = checkpoint;
        let shape = Shape {
            family: Family::from_architecture(&architecture),
            layers: facts.layers,
            heads: facts.heads,
            kv_heads,
            experts: facts.experts.map_or(0, |experts| experts.total),
        };
        let quantised = Subject {
            facts,
            shape,
            file: None,
            architecture,
            published: Vec::new(),
            beside: Beside::default(),
        };
        let beside = Beside { adapters: Vec::new(), projector };
        (Subject { file: Some(stored), beside, ..quantised.clone() }, quantised)
    }

    /// The mix that a file has.
    #[must_use]
    pub fn file_quant(&self) -> Option<&str> {
        self.file.as_ref().map(|file| file.quant.as_str())
    }

    /// Mixes to offer, from most to least bits: those that its makers publish, and where these are
    /// of eight bits those that others make of them.
    #[must_use]
    pub fn offered(&self) -> Vec<Quantisation> {
        let usual = |from: &'static [FileType]| from.iter().map(|it| (*it).into());
        match self.published.as_slice() {
            [] => usual(USUAL).collect(),
            [only @ Quantisation::Bits(row)] if row.matrix_bits >= 8.0 => {
                std::iter::once(*only).chain(usual(BELOW_EIGHT_BITS)).collect()
            }
            published => published.to_vec(),
        }
    }

    /// Size of the file: the tensors, and about what its header takes.
    #[must_use]
    pub fn file_bytes(&self, weights: &Weights) -> u64 {
        weights.total_bytes + HEADER_BYTES_PER_TOKEN * self.facts.vocabulary
    }

    /// What a token reads and passes: the model's weights and those of all adapters.
    #[must_use]
    pub fn passed(&self, weights: &Weights) -> Weights {
        weights.passing(self.beside.adapter_bytes(), self.beside.adapter_count())
    }

    /// Weights in a mix; those of the file where it is one.
    #[must_use]
    pub fn weights(&self, quantisation: Quantisation) -> Weights {
        if let Some(file) = &self.file {
            return file.weights;
        }
        let bytes = quantisation.bytes(&self.shape, &self.facts.tensors);
        let weights = Weights::new(&self.facts, |index| bytes[index]);
        match quantisation.types(&self.shape, &self.facts.tensors) {
            Some(types) => weights.typed(&self.facts, |index| Some(types[index])),
            None => weights,
        }
    }
}
