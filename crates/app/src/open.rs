//! Opening a model, whichever form it has.

use std::path::Path;

use gguf::GgufFile;

use crate::{Error, LoadOptions, Result, quantize};

/// A GGUF file, or a folder of safetensors seen as one.
pub(crate) fn open(path: &Path) -> Result<GgufFile> {
    if checkpoint::is_checkpoint(path) {
        return Ok(checkpoint::open(path)?);
    }
    Ok(GgufFile::open(path)?)
}

/// The same as it will be loaded: with another rule for positions and quantised on the way where
/// that is asked for.
pub(crate) fn to_load(path: &Path, options: &LoadOptions) -> Result<GgufFile> {
    let file = stretched(open(path)?, options)?;
    match &options.quant {
        None => Ok(file),
        Some(name) => quantize::while_loading(file, name, options.threads),
    }
}

/// The file with the rule for positions that is asked for.
pub(crate) fn stretched(file: GgufFile, options: &LoadOptions) -> Result<GgufFile> {
    let Some(asked) = options.rope_scaling else { return Ok(file) };
    model::stretch(file, asked, options.context_len).map_err(|error| match error {
        model::Error::Stretch(why) => {
            let rule = asked.rule.name();
            let message = format!("--rope-scaling {rule} is not possible here: {why}");
            Error::parameter("rope-scaling", message)
        }
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use gguf::GgufFile;
    use quant::FormatId;
    use testkit::reference_models;
    use tokenizer::{Specials, Tokenizer};

    use super::{open, to_load};
    use crate::{LoadOptions, ModelRef, QuantizeOptions, loaded, quantize, show};

    /// Two letters and an end of the answer; the rest of the vocabulary has no text.
    const TOKENIZER: &str = r#"{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},
        "merges":["a b"]},"added_tokens":[{"id":3,"content":"<end>","special":true}]}"#;

    fn folder(path: &Path) {
        let mut models = reference_models().into_iter();
        let llama = models.find(|model| model.name == "llama").and_then(|it| it.checkpoint());
        llama.expect("its fixture").write(path, FormatId::BF16, 2);
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text);
        write("tokenizer.json", TOKENIZER).expect("a folder");
        write("tokenizer_config.json", r#"{"eos_token":{"content":"<end>"}}"#).expect("a folder");
        write("generation_config.json", r#"{"eos_token_id":[3,1]}"#).expect("a folder");
        write("chat_template.jinja", "{{ messages[0].content }}").expect("a folder");
    }

    fn quantised(name: &str) -> LoadOptions {
        let backend = Some("reference".to_owned());
        LoadOptions { quant: Some(name.to_owned()), backend, ..LoadOptions::default() }
    }

    #[test]
    fn a_folder_is_a_model() {
        let made = tempfile::tempdir().expect("a folder");
        folder(made.path());
        let model = ModelRef { name: "folder".to_owned(), path: made.path().to_owned() };
        let info = show::model_info(&model).expect("a model");
        assert_eq!((&*info.architecture, &*info.tokenizer, info.vocab_len), ("llama", "BPE", 4));
        assert_eq!(info.gguf_version, None);
        assert_eq!(info.template.as_deref(), Some("{{ messages[0].content }}"));
        assert_eq!(info.blocks, Ok(vec!["grouped heads".to_owned()]));
        let file = open(made.path()).expect("a model");
        let tokenizer = Tokenizer::from_metadata(file.metadata()).expect("a tokenizer");
        assert_eq!(tokenizer.encode("abb<end>", Specials::Parse), [2, 1, 3]);
        let ends = [0, 1, 2, 3].map(|id| tokenizer.is_end_of_generation(id));
        assert_eq!(ends, [false, true, false, true]);
    }

    #[test]
    fn weights_quantised_while_loading_are_those_of_the_file_that_is_made() {
        let made = tempfile::tempdir().expect("a folder");
        let source = made.path().join("tiny-v1.5");
        std::fs::create_dir(&source).expect("a folder");
        folder(&source);
        for (name, format) in [("q8_0", FormatId::Q8_0), ("q4_0", FormatId::Q4_0)] {
            let options = QuantizeOptions {
                file_type: name.to_owned(),
                to: None,
                again: false,
                replace: false,
                threads: Some(2),
            };
            let never = AtomicBool::new(false);
            let report = quantize::run(&source, &options, &never, &mut |_, _| {}).expect(name);
            let canonical = made.path().canonicalize().expect("it is there");
            let wanted = canonical.join(format!("tiny-v1.5-{}.gguf", name.to_uppercase()));
            assert_eq!(report.path, wanted, "beside the folder");
            let file = GgufFile::open(&report.path).expect("GGUF");
            let options = quantised(name);
            let loading = to_load(&source, &options).expect(name);
            assert_eq!(loading.tensor("blk.0.ffn_up.weight").expect("it").format, format);
            assert_eq!(loading.tensors().len(), file.tensors().len());
            for tensor in loading.tensors() {
                let other = file.tensor(&tensor.name).expect("the same tensors");
                assert_eq!((tensor.format, &tensor.shape), (other.format, &other.shape));
                assert_eq!(loading.bytes(tensor), file.bytes(other), "{}", tensor.name);
            }
            let parts = loaded::load_parts("tiny", &loading, &options, &mut |_, _| {});
            let plain = to_load(&source, &LoadOptions { quant: None, ..options.clone() });
            let plain =
                loaded::load_parts("tiny", &plain.expect("a model"), &options, &mut |_, _| {});
            let bytes = |parts: crate::Result<loaded::Parts>| parts.expect("it fits").memory;
            assert!(bytes(parts).weights_bytes < bytes(plain).weights_bytes);
            let error = quantize::while_loading(file, name, None).err().expect("a second loss");
            assert!(error.message.contains("would add a second loss"), "{}", error.message);
        }
        let error = to_load(&source, &quantised("q7")).err().expect("no such type");
        assert!(error.message.contains("q7 cannot be made here"), "{}", error.message);
    }
}
