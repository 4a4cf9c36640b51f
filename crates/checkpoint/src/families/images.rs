//! Models of images and text: the model of text in them is one of a family's, with a part of the
//! configuration for its own and other names of tensors. What belongs to images is left out, by
//! how its names begin; all else must have a place.

use crate::config::Config;
use crate::error::{Told, shown};

/// A class of `transformers` with a model of text in it.
pub(crate) struct WithImages {
    /// Its name in `architectures`.
    pub(crate) class: &'static str,
    /// The models of text that it may hold; the first where the configuration does not say.
    texts: &'static [Text],
    /// Whether older configurations say of text what they say in no part of their own.
    is_flat: bool,
    /// How names of text begin, and how they do in the model of text alone, in all spellings.
    begins: &'static [(&'static str, &'static str)],
    /// How names begin of what belongs to images.
    images: &'static [&'static str],
}

/// A model of text.
struct Text {
    /// Names in `model_type`; the first is that of its part.
    model_types: &'static [&'static str],
    /// What it is alone, in `architectures`.
    class: &'static str,
}

/// What a name of a tensor means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A tensor of text, with its name in the model of text alone.
    Text(String),
    /// It belongs to images.
    Images,
    /// Neither.
    Unknown,
}

/// What classes of text assume where a configuration says nothing, which is how `transformers`
/// writes the part of text. Made by `tools/reference/images.py`.
const DEFAULTS: &str = include_str!("../../data/defaults.json");

/// The configuration's part for text.
const PART: &str = "text_config";
/// Said of the whole, and meant of the text.
const OF_THE_WHOLE: &[&str] = &["bos_token_id", "eos_token_id", "quantization_config"];

/// As released, and as `transformers` names modules since 4.52.
const LLAVA_TEXT: &[(&str, &str)] = &[
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.language_model.", "model."),
    ("lm_head.", "lm_head."),
];
const LLAVA_IMAGES: &[&str] = &[
    "vision_tower.",
    "multi_modal_projector.",
    "model.vision_tower.",
    "model.multi_modal_projector.",
];
/// Images come first: in the older spelling all else in `model.` is text.
const QWEN2_TEXT: &[(&str, &str)] =
    &[("model.language_model.", "model."), ("model.", "model."), ("lm_head.", "lm_head.")];
const QWEN2_IMAGES: &[&str] = &["visual.", "model.visual."];
const QWEN3_TEXT: &[(&str, &str)] =
    &[("model.language_model.", "model."), ("lm_head.", "lm_head."), ("mtp.", "mtp.")];
const QWEN3_IMAGES: &[&str] = &["model.visual."];

const LLAMA: Text = Text { model_types: &["llama"], class: "LlamaForCausalLM" };
const QWEN2: Text = Text { model_types: &["qwen2"], class: "Qwen2ForCausalLM" };
const MISTRAL: Text = Text { model_types: &["mistral"], class: "MistralForCausalLM" };

/// All classes, by name. Positions of text are the same in every section of a rope, so that
/// sections change nothing in the models of Qwen.
pub(crate) static WITH_IMAGES: &[WithImages] = &[
    WithImages {
        class: "Gemma3ForConditionalGeneration",
        texts: &[Text { model_types: &["gemma3_text"], class: "Gemma3ForCausalLM" }],
        is_flat: false,
        begins: LLAVA_TEXT,
        images: LLAVA_IMAGES,
    },
    WithImages {
        class: "LlavaForConditionalGeneration",
        texts: &[LLAMA, MISTRAL, QWEN2],
        is_flat: false,
        begins: LLAVA_TEXT,
        images: LLAVA_IMAGES,
    },
    WithImages {
        class: "Mistral3ForConditionalGeneration",
        texts: &[MISTRAL],
        is_flat: false,
        begins: LLAVA_TEXT,
        images: LLAVA_IMAGES,
    },
    WithImages {
        class: "Qwen2VLForConditionalGeneration",
        texts: &[Text { model_types: &["qwen2_vl_text", "qwen2_vl"], class: "Qwen2ForCausalLM" }],
        is_flat: true,
        begins: QWEN2_TEXT,
        images: QWEN2_IMAGES,
    },
    WithImages {
        class: "Qwen2_5_VLForConditionalGeneration",
        texts: &[Text {
            model_types: &["qwen2_5_vl_text", "qwen2_5_vl"],
            class: "Qwen2ForCausalLM",
        }],
        is_flat: true,
        begins: QWEN2_TEXT,
        images: QWEN2_IMAGES,
    },
    WithImages {
        class: "Qwen3VLForConditionalGeneration",
        texts: &[Text { model_types: &["qwen3_vl_text"], class: "Qwen3ForCausalLM" }],
        is_flat: false,
        begins: QWEN3_TEXT,
        images: QWEN3_IMAGES,
    },
    WithImages {
        class: "Qwen3_5ForConditionalGeneration",
        texts: &[Text { model_types: &["qwen3_5_text"], class: "Qwen3_5ForCausalLM" }],
        is_flat: false,
        begins: QWEN3_TEXT,
        images: QWEN3_IMAGES,
    },
    WithImages {
        class: "Qwen3_5MoeForConditionalGeneration",
        texts: &[Text { model_types: &["qwen3_5_moe_text"], class: "Qwen3_5MoeForCausalLM" }],
        is_flat: false,
        begins: QWEN3_TEXT,
        images: QWEN3_IMAGES,
    },
];

/// The class that a configuration is of; none where it is of a model of text alone.
pub(crate) fn find(config: &Config) -> Told<Option<&'static WithImages>> {
    // transformers 4.57 writes it into the part of text of some.
    let part = config.part(PART)?;
    let said = if config.has("architectures") { config } else { &part };
    let classes = said.texts("architectures")?.unwrap_or_default();
    Ok(WITH_IMAGES.iter().find(|it| *classes == [it.class]))
}

impl WithImages {
    /// The configuration that the model of text would have alone.
    pub(crate) fn text(&self, whole: &Config) -> Told<Config> {
        let is_part = whole.has(PART);
        if !is_part && !self.is_flat {
            return Err(format!("{PART} is missing: it says what the model of text is"));
        }
        let mut text = if is_part { whole.part(PART)? } else { whole.clone() };
        let first = self.texts[0].model_types[0];
        let found = text.text("model_type")?.unwrap_or(first);
        let is_it = |it: &&Text| it.model_types.contains(&found);
        let kind = self.texts.iter().find(is_it).ok_or_else(|| {
            let known: Vec<&str> = self.texts.iter().map(|it| it.model_types[0]).collect();
            let (found, known) = (shown(found), known.join(", "));
            format!("model_type of its text is \"{found}\": of a {} hob runs {known}", self.class)
        })?;
        text.replace("architectures", kind.class);
        for key in OF_THE_WHOLE.iter().filter(|key| whole.has(key)) {
            text.take(whole, key);
        }
        if !text.says("tie_word_embeddings") {
            text.take(whole, "tie_word_embeddings");
        }
        let defaults = Config::parse(DEFAULTS.as_bytes())?.part(kind.model_types[0])?;
        let absent: Vec<&str> = defaults.keys().filter(|key| !text.says(key)).collect();
        absent.into_iter().for_each(|key| text.take(&defaults, key));
        Ok(text)
    }

    /// What a name of a tensor means.
    pub(crate) fn meaning(&self, name: &str) -> Meaning {
        if self.images.iter().any(|begin| name.starts_with(begin)) {
            return Meaning::Images;
        }
        renamed(name, self.begins).map_or(Meaning::Unknown, Meaning::Text)
    }
}

/// The name in the model of text alone of what the language model of any class has; none where a
/// name is of no such model.
pub(crate) fn alone(name: &str) -> Option<String> {
    renamed(name, LLAVA_TEXT)
}

fn renamed(name: &str, begins: &[(&str, &str)]) -> Option<String> {
    begins.iter().find_map(|(begin, alone)| Some(format!("{alone}{}", name.strip_prefix(begin)?)))
}

#[cfg(test)]
mod tests {
    use super::{Config, DEFAULTS, Meaning, WITH_IMAGES, find};
    use crate::families::FAMILIES;

    /// The part of text of a folder with this configuration.
    fn text(config: &str) -> Config {
        let config = Config::parse(config.as_bytes()).unwrap();
        find(&config).unwrap().expect("a class with images").text(&config).unwrap()
    }

    #[test]
    fn classes_are_sorted_and_lead_to_families_and_defaults() {
        assert!(WITH_IMAGES.is_sorted_by_key(|it| it.class));
        let defaults = Config::parse(DEFAULTS.as_bytes()).unwrap();
        for text in WITH_IMAGES.iter().flat_map(|it| it.texts) {
            assert!(defaults.has(text.model_types[0]), "{:?}", text.model_types);
            let is_known = FAMILIES.iter().any(|family| family.classes.contains(&text.class));
            assert!(is_known, "{}", text.class);
        }
    }

    /// Fields as Gemma 3 4B is released with them, without those of images.
    #[test]
    fn what_a_release_leaves_unsaid_is_what_its_class_assumes() {
        let text = text(
            r#"{"architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 106],
                "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
                "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024}}"#,
        );
        for (key, value) in [
            ("hidden_size", 2560.0),
            ("num_hidden_layers", 34.0),
            ("num_attention_heads", 8.0),
            ("num_key_value_heads", 4.0),
            ("head_dim", 256.0),
            ("vocab_size", 262_208.0),
            ("sliding_window", 1024.0),
            ("max_position_embeddings", 131_072.0),
            ("rope_theta", 1_000_000.0),
        ] {
            assert_eq!(text.float(key), Ok(Some(value)), "{key}");
        }
        assert_eq!(text.flag("tie_word_embeddings"), Ok(Some(true)));
        assert_eq!(text.ids("eos_token_id"), Ok(vec![1, 106]));
    }

    #[test]
    fn null_is_said_and_the_whole_says_whether_ends_are_one_matrix() {
        let text = text(
            r#"{"architectures": ["Mistral3ForConditionalGeneration"], "tie_word_embeddings": true,
                "text_config": {"model_type": "mistral", "sliding_window": null}}"#,
        );
        assert_eq!(text.whole("sliding_window", 1 << 20), Ok(None));
        assert_eq!(text.flag("tie_word_embeddings"), Ok(Some(true)));
    }

    #[test]
    fn names_have_one_meaning_in_every_spelling() {
        let text = |name: &str| Meaning::Text(name.to_owned());
        for (class, name, expected) in [
            ("Gemma3", "language_model.model.norm.weight", text("model.norm.weight")),
            ("Gemma3", "model.language_model.norm.weight", text("model.norm.weight")),
            ("Gemma3", "model.norm.weight", Meaning::Unknown),
            ("Gemma3", "vision_tower.x", Meaning::Images),
            ("Gemma3", "model.multi_modal_projector.x", Meaning::Images),
            ("Gemma3", "audio_tower.x", Meaning::Unknown),
            ("Mistral3", "language_model.lm_head.weight", text("lm_head.weight")),
            ("Qwen2_5_VL", "model.norm.weight", text("model.norm.weight")),
            ("Qwen2_5_VL", "model.visual.x", Meaning::Images),
            ("Qwen2_5_VL", "visual.x", Meaning::Images),
            ("Qwen3_5", "mtp.norm.weight", text("mtp.norm.weight")),
            ("Qwen3_5", "visual.x", Meaning::Unknown),
        ] {
            let class = format!("{class}ForConditionalGeneration");
            let class = WITH_IMAGES.iter().find(|it| it.class == class).expect("a class");
            assert_eq!(class.meaning(name), expected, "{name}");
        }
    }
}
