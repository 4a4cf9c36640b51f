//! llama.cpp's file types: the names that people know, and the type that most tensors then have.

use super::names::normalised;
use super::{Importance, Place, Recipe, Shape, tensor_types};
use crate::facts::TensorGroup;
use crate::types::TensorType;

struct Row {
    name: &'static str,
    default_type: TensorType,
    importance: Importance,
    /// Other spellings, as `normalised` writes them.
    also: &'static [&'static str],
}

macro_rules! file_types {
    ($($id:ident = $name:literal, $default:ident, $importance:ident, $also:expr;)*) => {
        /// What a file was quantised to. Ordered by the size of Llama-3.1-8B; another model may
        /// swap neighbours. `MXFP4_MOE` stands where its experts put it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FileType {
            $(#[doc = concat!("`", $name, "`.")] $id,)*
        }

        const FILE_TYPES: &[(FileType, Row)] = &[$((
            FileType::$id,
            Row {
                name: $name,
                default_type: TensorType::$default,
                importance: Importance::$importance,
                also: $also,
            },
        ),)*];
    };
}

// id = name, type of most tensors, whether it is made with an importance matrix, other spellings.
// `Present` where llama.cpp refuses to make the file without one, and for IQ4, where most do.
file_types! {
    Q1_0 = "Q1_0", Q1_0, Absent, &[];
    IQ1S = "IQ1_S", IQ1S, Present, &[];
    IQ1M = "IQ1_M", IQ1M, Present, &[];
    TQ1_0 = "TQ1_0", TQ1_0, Absent, &[];
    IQ2XXS = "IQ2_XXS", IQ2XXS, Present, &[];
    TQ2_0 = "TQ2_0", TQ2_0, Absent, &[];
    IQ2XS = "IQ2_XS", IQ2XS, Present, &[];
    Q2_0 = "Q2_0", Q2_0, Absent, &[];
    IQ2S = "IQ2_S", IQ2XS, Present, &[];
    IQ2M = "IQ2_M", IQ2S, Present, &[];
    Q2KS = "Q2_K_S", Q2K, Present, &["Q2_K_SMALL"];
    Q2K = "Q2_K", Q2K, Absent, &["Q2_K_MEDIUM"];
    IQ3XXS = "IQ3_XXS", IQ3XXS, Present, &[];
    IQ3XS = "IQ3_XS", IQ3S, Present, &[];
    Q3KS = "Q3_K_S", Q3K, Absent, &["Q3_K_SMALL"];
    IQ3S = "IQ3_S", IQ3S, Absent, &[];
    IQ3M = "IQ3_M", IQ3S, Absent, &["IQ3_S_MIX"];
    Q3KM = "Q3_K_M", Q3K, Absent, &["Q3_K", "Q3_K_MEDIUM"];
    Q3KL = "Q3_K_L", Q3K, Absent, &["Q3_K_LARGE"];
    MXFP4Moe = "MXFP4_MOE", MXFP4, Absent, &["MXFP4"];
    IQ4XS = "IQ4_XS", IQ4XS, Present, &[];
    Q4_0 = "Q4_0", Q4_0, Absent, &[];
    IQ4NL = "IQ4_NL", IQ4NL, Present, &[];
    Q4KS = "Q4_K_S", Q4K, Absent, &["Q4_K_SMALL"];
    Q4KM = "Q4_K_M", Q4K, Absent, &["Q4_K", "Q4_K_MEDIUM"];
    Q4_1 = "Q4_1", Q4_1, Absent, &[];
    Q5_0 = "Q5_0", Q5_0, Absent, &[];
    Q5KS = "Q5_K_S", Q5K, Absent, &["Q5_K_SMALL"];
    Q5KM = "Q5_K_M", Q5K, Absent, &["Q5_K", "Q5_K_MEDIUM"];
    Q5_1 = "Q5_1", Q5_1, Absent, &[];
    Q6K = "Q6_K", Q6K, Absent, &[];
    Q8_0 = "Q8_0", Q8_0, Absent, &[];
    F16 = "F16", F16, Absent, &["FP16", "FLOAT16"];
    BF16 = "BF16", BF16, Absent, &["BFLOAT16"];
    F32 = "F32", F32, Absent, &["FP32", "FLOAT32"];
}

impl FileType {
    /// Every file type, in their order.
    pub fn all() -> impl Iterator<Item = FileType> {
        FILE_TYPES.iter().map(|(id, _)| *id)
    }

    /// The file type of a name, e.g. `q4_k_m` or `Q4_K - Medium`, in any case. For a name inside
    /// a longer one there is [`super::Quantisation::from_name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<FileType> {
        let name = normalised(name);
        FileType::all().find(|known| known.spellings().any(|spelling| spelling == name))
    }

    fn row(self) -> &'static Row {
        // The macro makes one row a variant, in the same order.
        &FILE_TYPES[self as usize].1
    }

    /// As people write it, e.g. `Q4_K_M`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The type of tensors that no rule names.
    #[must_use]
    pub fn default_type(self) -> TensorType {
        self.row().default_type
    }

    /// The type of each tensor, in the order given: each tensor of a layer is a group of its own,
    /// and a model without [`Role::Output`] among them uses the embedding as its head.
    ///
    /// [`Role::Output`]: crate::Role::Output
    #[must_use]
    pub fn types(self, model: &Shape, groups: &[TensorGroup]) -> Vec<TensorType> {
        let places: Vec<Place> = groups.iter().map(Place::from).collect();
        tensor_types(Recipe::from(self), model, &places)
    }

    /// How such files are made unless their maker says otherwise.
    #[must_use]
    pub fn usual_importance(self) -> Importance {
        self.row().importance
    }

    /// Every spelling, normalised.
    pub(super) fn spellings(self) -> impl Iterator<Item = &'static str> {
        let row = self.row();
        std::iter::once(row.name).chain(row.also.iter().copied())
    }
}
