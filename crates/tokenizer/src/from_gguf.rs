//! A tokenizer from the metadata of a GGUF file.

use gguf::{Array, Metadata, Value};

use crate::bpe::{Bpe, Parts, Whole, split_merge};
use crate::charsmap::Charsmap;
use crate::ends::ends;
use crate::ids::SpecialIds;
use crate::limits::WORD_PIECE_CHARS_MAX;
use crate::normal::{Normal, is_mark};
use crate::pre::{self, Letters, SpaceCut, Step};
use crate::sentence::Sentence;
use crate::specials::SpecialTokens;
use crate::tokenizer::{Model, Tokenizer};
use crate::unigram::Unigram;
use crate::vocabulary::{Kind, Vocabulary, Writing};
use crate::wordpiece::WordPiece;
use crate::{Error, Result};

/// What a kind of file says of itself.
struct Parsed {
    kind: &'static str,
    vocabulary: Vocabulary,
    normal: Vec<Normal>,
    steps: Vec<Step>,
    model: Model,
    strips_space: bool,
    /// Start and end tokens where the file is silent.
    usual: (Option<u32>, Option<u32>),
    adds: (bool, bool),
    /// Start tokens are added, whatever the file says.
    always_adds_bos: bool,
}

impl Tokenizer {
    /// The tokenizer that a model's file describes.
    ///
    /// # Errors
    /// When the description is damaged, or of a kind that hob does not know.
    pub fn from_metadata(metadata: &Metadata) -> Result<Tokenizer> {
        if metadata.get("tokenizer.ggml.model").is_none()
            && let Some(json) = metadata.str("tokenizer.huggingface.json")?
        {
            return published(metadata, json);
        }
        let mut parsed = match metadata.str_required("tokenizer.ggml.model")? {
            "gpt2" => bpe(metadata, None, "gpt2"),
            // Its files say another name of a rule, or none.
            "gemma4" => bpe(metadata, Some("gemma4"), "gemma4"),
            "whitespace" => bpe(metadata, Some("whitespace"), "whitespace"),
            "llama" => sentence(metadata),
            "t5" => unigram(metadata),
            "bert" => word_piece(metadata),
            other => Err(Error::Kind(other.to_owned())),
        }?;
        let mut ids = SpecialIds::read(metadata, &parsed.vocabulary)?;
        // Only a control token steers.
        let control = |id: u32| parsed.vocabulary.kinds.get(id as usize) == Some(&Kind::Control);
        ids.bos = ids.bos.or(parsed.usual.0.filter(|id| control(*id)));
        ids.eos = ids.eos.or(parsed.usual.1.filter(|id| control(*id)));
        if parsed.kind == "bert" {
            // Its texts end with the separator.
            ids.separator = ids.separator.or(Some(102).filter(|id| control(*id)));
            ids.eos = ids.separator.or(ids.eos);
        }
        let code = [ids.fim_pad, ids.fim_repo, ids.fim_separator];
        let named = [&[ids.eos, ids.eot, ids.eom], &code[..]].concat();
        let ends = ends(&mut parsed.vocabulary, &named);
        let flag = |name: &str| metadata.bool(&format!("tokenizer.ggml.add_{name}_token"));
        let adds_bos = flag("bos")?.unwrap_or(parsed.adds.0) || parsed.always_adds_bos;
        Ok(Tokenizer {
            kind: parsed.kind,
            specials: specials(metadata, &parsed.vocabulary)?,
            later_specials: SpecialTokens::default(),
            normal: parsed.normal,
            steps: parsed.steps,
            starts_anew: true,
            model: parsed.model,
            strips_space: parsed.strips_space,
            adds_bos,
            adds_eos: flag("eos")?.unwrap_or(parsed.adds.1),
            vocabulary: parsed.vocabulary,
            ids,
            ends,
            spare: Default::default(),
        })
    }
}

/// A tokenizer as its makers published it, with what stands beside it: which tokens begin and end
/// texts, and whether they are added.
fn published(metadata: &Metadata, json: &str) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_json(json.as_bytes())?;
    let named = SpecialIds::read(metadata, &tokenizer.vocabulary)?;
    let further = metadata.i32s("tokenizer.huggingface.further_eos_token_ids")?.unwrap_or_default();
    let further = further.into_iter().filter_map(|id| u32::try_from(id).ok());
    let ends: Vec<u32> =
        [named.eos, named.eot, named.eom].into_iter().flatten().chain(further).collect();
    tokenizer.name_ends(named.bos, &ends)?;
    let ids = &mut tokenizer.ids;
    (ids.eot, ids.eom) = (named.eot, named.eom);
    (ids.pad, ids.unknown) = (named.pad.or(ids.pad), named.unknown.or(ids.unknown));
    let flag = |name: &str| metadata.bool(&format!("tokenizer.ggml.add_{name}_token"));
    // What is said here is the last word: classes make the rule of the file anew from it.
    tokenizer.adds_bos = flag("bos")?.unwrap_or(tokenizer.adds_bos);
    tokenizer.adds_eos = flag("eos")?.unwrap_or(tokenizer.adds_eos);
    Ok(tokenizer)
}

/// Tokens of text rather than structure: white space after them counts even where it is stripped.
const KEEP_AFTER: &[&str] = &["<s>", "<unk>", "<|endoftext|>"];

/// Special tokens. GGUF does not carry which of them take the white space beside them: that is
/// known by the models' names.
fn specials(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<SpecialTokens> {
    let name = metadata.str("general.name")?.unwrap_or("").to_lowercase();
    let rule = metadata.str("tokenizer.ggml.pre")?.unwrap_or("");
    let architecture = metadata.str("general.architecture")?.unwrap_or("");
    let any = |text: &str, of: &[&str]| of.iter().any(|part| text.contains(part));
    let mask = if any(rule, &["jina-v2-de", "jina-v2-es", "jina-v2-code"])
        || any(architecture, &["nomic-bert-moe", "jina-bert-v3"])
    {
        Some("<mask>")
    } else if name.contains("modern-bert") {
        Some("[MASK]")
    } else {
        None
    };
    let strips_after = any(&name, &["phi-3", "phi3"]);
    let mut specials = SpecialTokens::of(vocabulary);
    for special in &mut specials {
        special.strips_before = mask == Some(&special.text);
        special.strips_after = strips_after && !KEEP_AFTER.contains(&special.text.as_str());
    }
    Ok(SpecialTokens::new(specials))
}

fn bpe(metadata: &Metadata, rule: Option<&str>, kind: &'static str) -> Result<Parsed> {
    let named = metadata.str("tokenizer.ggml.pre")?.unwrap_or("default");
    let rule = pre::rule(rule.unwrap_or(named))?;
    let writing = match rule.letters {
        Letters::Bytes => Writing::ByteLetters,
        Letters::Spaces => Writing::Sentence,
        Letters::Words => Writing::Words,
    };
    let vocabulary = Vocabulary::read(metadata, writing)?;
    let (parts, whole) = match rule.letters {
        Letters::Bytes if rule.whole_words => (Parts::Bytes, Whole::All),
        Letters::Bytes => (Parts::Bytes, Whole::None),
        Letters::Spaces => (Parts::Characters, Whole::LineEnds),
        Letters::Words => (Parts::Characters, Whole::None),
    };
    let key = "tokenizer.ggml.merges";
    let missing = || gguf::Error::KeyMissing(key.to_owned());
    let lines = metadata.strings(key)?.ok_or_else(missing)?;
    let unknown = vocabulary.id_of_key(metadata, "tokenizer.ggml.unknown_token_id")?;
    // A byte that no token spells is left out, as its makers do.
    let unknown = if parts == Parts::Bytes { None } else { unknown.map(|id| (id, true)) };
    let merges = lines.iter().map(|line| split_merge(line));
    let bpe = Bpe::new(&vocabulary, parts, whole, unknown, merges)?;
    // Real vocabularies may lack bytes that their texts never had; not these.
    if parts == Parts::Bytes
        && let Some(lacking) = bpe.lacking()
    {
        return Err(Error::Vocabulary(format!("no token for the byte 0x{lacking:02X}")));
    }
    let mut steps = pre::steps(rule);
    let mut normal = Vec::new();
    match rule.letters {
        Letters::Bytes => {}
        Letters::Spaces => {
            let first = metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(false);
            normal.push(Normal::Spaces { first });
            steps.push(Step::BeforeSpace(Box::new(space_cut(&vocabulary))));
        }
        Letters::Words => {
            let lowercase = metadata.bool("tokenizer.ggml.normalizer.lowercase")?;
            if lowercase.unwrap_or(false) {
                normal.push(Normal::Lowercase);
            }
        }
    }
    Ok(Parsed {
        kind,
        vocabulary,
        normal,
        steps,
        model: Model::Bpe(Box::new(bpe)),
        strips_space: rule.letters == Letters::Words,
        usual: (None, None),
        adds: (rule.adds_bos, false),
        // Converters of Gemma 4 wrote the flag wrong.
        always_adds_bos: rule.names.contains(&"gemma4"),
    })
}

fn space_cut(vocabulary: &Vocabulary) -> SpaceCut {
    let words = |id: &u32| {
        let kind = vocabulary.kinds[*id as usize];
        matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused)
    };
    SpaceCut::new(vocabulary.ids().filter(words).map(|id| vocabulary.text(id)))
}

/// Spaces as SentencePiece writes them.
fn spaces(metadata: &Metadata, first: bool, merged: bool) -> Result<Normal> {
    if metadata.bool("tokenizer.ggml.treat_whitespace_as_suffix")? == Some(true) {
        let what = "tokenizer.ggml.treat_whitespace_as_suffix is not supported";
        return Err(Error::Vocabulary(what.to_owned()));
    }
    let squeeze = metadata.bool("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false);
    Ok(if merged || squeeze {
        Normal::WordSpaces { first, squeeze }
    } else {
        Normal::Spaces { first }
    })
}

fn sentence(metadata: &Metadata) -> Result<Parsed> {
    let vocabulary = Vocabulary::read(metadata, Writing::Sentence)?;
    let first = metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    // As SentencePiece numbers them where a file is silent.
    let usual = || (vocabulary.kinds[0] == Kind::Unknown).then_some(0);
    let unknown = vocabulary.id_of_key(metadata, "tokenizer.ggml.unknown_token_id")?;
    let model = Sentence::new(&vocabulary, unknown.or_else(usual));
    Ok(Parsed {
        kind: "llama",
        normal: vec![spaces(metadata, first, false)?],
        steps: vec![Step::BeforeSpace(Box::new(space_cut(&vocabulary)))],
        model: Model::Sentence(Box::new(model)),
        strips_space: first,
        usual: (Some(1), Some(2)),
        adds: (true, false),
        always_adds_bos: false,
        vocabulary,
    })
}

fn unigram(metadata: &Metadata) -> Result<Parsed> {
    let vocabulary = Vocabulary::read(metadata, Writing::Sentence)?;
    let first = metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let unknown = vocabulary.id_of_key(metadata, "tokenizer.ggml.unknown_token_id")?;
    let unknown = unknown.unwrap_or(2);
    if vocabulary.kinds.get(unknown as usize).is_none() {
        return Err(Error::Vocabulary(format!("the unknown token {unknown} is not there")));
    }
    let mut normal = Vec::new();
    let key = "tokenizer.ggml.precompiled_charsmap";
    match metadata.get(key) {
        None => {}
        Some(Value::Array(Array::U8(bytes))) => {
            normal.push(Normal::Charsmap(Charsmap::read(bytes)?))
        }
        Some(Value::Array(Array::I8(bytes))) => {
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte.cast_unsigned()).collect();
            normal.push(Normal::Charsmap(Charsmap::read(&bytes)?));
        }
        Some(other) => {
            let what = format!("{key} is {}: bytes go", other.kind());
            return Err(Error::Vocabulary(what));
        }
    }
    normal.push(spaces(metadata, first, true)?);
    // Words are apart where a space is a token: a word never goes on over one.
    let mut steps = Vec::new();
    if vocabulary.piece("▁".as_bytes()).is_some() {
        steps.push(Step::BeforeSpace(Box::new(space_cut(&vocabulary))));
    }
    Ok(Parsed {
        kind: "t5",
        normal,
        steps,
        model: Model::Unigram(Box::new(Unigram::new(&vocabulary, unknown, false))),
        strips_space: first,
        usual: (None, Some(1)),
        adds: (false, true),
        always_adds_bos: false,
        vocabulary,
    })
}

fn word_piece(metadata: &Metadata) -> Result<Parsed> {
    let vocabulary = Vocabulary::read(metadata, Writing::Phantom)?;
    let unknown = vocabulary.id_of_key(metadata, "tokenizer.ggml.unknown_token_id")?;
    let unknown = unknown.unwrap_or(100);
    if vocabulary.kinds.get(unknown as usize).is_none() {
        return Err(Error::Vocabulary(format!("the unknown token {unknown} is not there")));
    }
    let flag = |name: &str| metadata.bool(&format!("tokenizer.ggml.normalizer.{name}"));
    let lowercase = flag("lowercase")?.unwrap_or(true);
    let strips = flag("strip_accents")?.unwrap_or(lowercase);
    let mut normal = vec![Normal::Clean, Normal::Chinese];
    if strips {
        normal.extend([Normal::Nfd, Normal::NoAccents]);
    }
    if lowercase {
        normal.push(Normal::Lowercase);
    }
    // GGUF writes the beginning of a word as `▁`, and nothing before what goes on with one.
    let words = |id: &u32| vocabulary.kinds[*id as usize] == Kind::Normal;
    let tokens = || vocabulary.ids().filter(words).map(|id| (vocabulary.text(id), id));
    let initial = tokens().filter_map(|(text, id)| Some((text.strip_prefix('▁')?, id)));
    let continuing = tokens().filter(|(text, _)| !text.starts_with('▁'));
    let model = WordPiece::new(initial, continuing, unknown, WORD_PIECE_CHARS_MAX);
    Ok(Parsed {
        kind: "bert",
        normal,
        steps: vec![Step::words(is_mark)],
        model: Model::WordPiece(Box::new(model)),
        strips_space: true,
        usual: (Some(101), Some(102)),
        adds: (true, true),
        always_adds_bos: false,
        vocabulary,
    })
}
