//! From what people write to what it means: names of file types and formats, alone or inside a
//! file's name, in any case and with any punctuation.

use super::published::{PUBLISHED, Published};
use super::{FileType, Shape};
use crate::facts::TensorGroup;
use crate::types::TensorType;

/// How the weights of a model are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantisation {
    /// A recipe of llama.cpp: the types of all tensors are known.
    Recipe(FileType),
    /// Another way, of which the bits are known.
    Bits(&'static Published),
}

/// After a known name these make another of it: better unknown than taken for its neighbour.
const SIZES: &[&str] = &["XXS", "XS", "S", "M", "L", "XL", "XXL", "NL"];
/// The same, before a name.
const DYNAMIC: &str = "UD";

impl Quantisation {
    /// What a name means that holds one, e.g. `q4_k_m`, `Q4_K - Medium`, `MLX-4bit` or
    /// `Model-8B-UD-Q4_K_XL-00001-of-00002.gguf`. Of several the longest counts, then the last.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Quantisation> {
        let text = normalised(name);
        let recipes = FileType::all().flat_map(|file_type| {
            file_type.spellings().map(move |spelling| (spelling.to_owned(), file_type.into()))
        });
        let others = PUBLISHED.iter().flat_map(|row| {
            let spellings = std::iter::once(normalised(row.name));
            let spellings = spellings.chain(row.also.iter().copied().map(str::to_owned));
            spellings.map(move |spelling| (spelling, Quantisation::Bits(row)))
        });
        let found = recipes.chain(others).filter_map(|(spelling, meaning): (String, _)| {
            Some((spelling.len(), last_position(&text, &spelling)?, meaning))
        });
        let best = found.max_by_key(|(length, position, _)| (*length, *position));
        best.map(|(_, _, meaning)| meaning)
    }

    /// As it is usually written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Quantisation::Recipe(file_type) => file_type.name(),
            Quantisation::Bits(row) => row.name,
        }
    }

    /// Whether bytes are exact, or come from means over files.
    #[must_use]
    pub fn is_exact(self) -> bool {
        match self {
            Quantisation::Recipe(_) => true,
            Quantisation::Bits(row) => row.is_exact(),
        }
    }

    /// Bytes of each group of tensors, in the order given. Several rules of recipes count layers,
    /// so each tensor of a layer is a group of its own; a model without `Role::Output` among them
    /// uses the embedding as its head.
    #[must_use]
    pub fn bytes(self, model: &Shape, groups: &[TensorGroup]) -> Vec<u64> {
        match self {
            Quantisation::Recipe(file_type) => {
                let types = file_type.types(model, groups);
                let each = types.iter().zip(groups);
                each.map(|(found, group)| found.bytes(group.columns, group.rows)).collect()
            }
            Quantisation::Bits(row) => {
                let row = row.beside_experts(groups);
                groups.iter().map(|group| row.bytes(group.role, group.elements())).collect()
            }
        }
    }

    /// Type of each group of tensors; none where only means over files are known.
    #[must_use]
    pub fn types(self, model: &Shape, groups: &[TensorGroup]) -> Option<Vec<TensorType>> {
        match self {
            Quantisation::Recipe(file_type) => Some(file_type.types(model, groups)),
            Quantisation::Bits(_) => None,
        }
    }
}

impl From<FileType> for Quantisation {
    fn from(file_type: FileType) -> Quantisation {
        Quantisation::Recipe(file_type)
    }
}

/// Capitals and digits, with `_` for whatever is between.
pub(super) fn normalised(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<String> =
        words.filter(|word| !word.is_empty()).map(str::to_ascii_uppercase).collect();
    words.join("_")
}

/// Where a spelling stands last in a normalised text, as words of its own.
fn last_position(text: &str, spelling: &str) -> Option<usize> {
    let starts = text.rmatch_indices(spelling).map(|(start, _)| start);
    let mut starts = starts.filter(|start| {
        let (before, after) = (&text[..*start], &text[start + spelling.len()..]);
        ends_a_word(before) && starts_a_word(after)
    });
    starts.next()
}

fn ends_a_word(before: &str) -> bool {
    match before.strip_suffix('_') {
        Some(words) => words.rsplit('_').next() != Some(DYNAMIC),
        None => before.is_empty(),
    }
}

fn starts_a_word(after: &str) -> bool {
    match after.strip_prefix('_') {
        Some(words) => words.split('_').next().is_none_or(|word| !SIZES.contains(&word)),
        None => after.is_empty(),
    }
}
