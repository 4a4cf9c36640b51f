//! A smaller model beside another, which drafts what that may say next.

use std::sync::Arc;

use gguf::GgufFile;
use model::{MemoryNeed, Model};
use tensor::Backend;
use tokenizer::Tokenizer;

use crate::{Error, ErrorKind, ModelMemory, ModelRef, Result, open};

/// Tokens in which the two may differ: makers pad vocabularies, and give spare tokens names. What
/// differs is drafted in vain and does no harm.
const DIFFERENT_MAX: usize = 128;

/// A draft model whose file is open and whose memory is known.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) need: MemoryNeed,
    file: GgufFile,
    load: model::LoadOptions,
}

/// What it drafts for.
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a GgufFile,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) load: &'a model::LoadOptions,
    pub(crate) backend: &'a dyn Backend,
}

impl Draft {
    /// Opens it, and refuses one that is of no use.
    pub(crate) fn open(draft: &ModelRef, target: &Target<'_>) -> Result<Draft> {
        let name = draft.name.clone();
        let named = |error: Error| Error {
            message: format!("draft model {}: {}", draft.name, error.message),
            ..error
        };
        let file = open::open(&draft.path).map_err(named)?;
        let read = || -> Result<_> {
            let spec = model::spec(&file)?;
            engine::can_draft(&model::spec(target.file)?, &spec)?;
            Ok((spec, Tokenizer::from_metadata(file.metadata())?))
        };
        let (spec, tokenizer) = read().map_err(named)?;
        check_tokens((&name, &tokenizer), (target.name, target.tokenizer))?;
        let load = load_options(target.load, spec.context_len);
        let need = model::memory_need(&file, &load, target.backend);
        let need = need.map_err(|error| named(error.into()))?;
        Ok(Draft { name, need, file, load })
    }

    pub(crate) fn load(
        &self,
        backend: &Arc<dyn Backend>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Model> {
        Ok(Model::load(&self.file, Arc::clone(backend), &self.load, progress)?)
    }
}

/// As its model is loaded, with the same pages and some of its own.
fn load_options(target: &model::LoadOptions, trained: u32) -> model::LoadOptions {
    let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let pages = engine::draft_pages(narrow(target.kv_page_count), narrow(target.state_slots));
    model::LoadOptions {
        context_len: target.context_len.min(trained),
        kv_page_count: pages as usize,
        // As if so many ran that windows with pages of their own would save nothing: the pages of
        // the plans are those of layers that see everything.
        state_slots: (pages as usize).min(model::STATE_SLOTS_MAX),
        ..target.clone()
    }
}

/// Refuses a vocabulary that is another.
fn check_tokens(
    (name, own): (&str, &Tokenizer),
    (target_name, target): (&str, &Tokenizer),
) -> Result<()> {
    let (len, target_len) = (own.vocab_len(), target.vocab_len());
    let both = u32::try_from(len.min(target_len)).unwrap_or(u32::MAX);
    let differs = |id: &u32| own.token_bytes(*id) != target.token_bytes(*id);
    let first = (0..both).find(differs);
    let count = (0..both).filter(differs).count() + len.abs_diff(target_len);
    if count <= DIFFERENT_MAX {
        return Ok(());
    }
    let example = first.map_or_else(String::new, |id| {
        let (own, target) = (own.token_text(id), target.token_text(id));
        format!(" (token {id} is {own:?}, not {target:?})")
    });
    let message = format!(
        "{name} cannot draft for {target_name}: of its {len} tokens and those {target_len}, \
         {count} differ{example}; choose a draft model of the same family"
    );
    Err(Error::new(ErrorKind::BadModel, message))
}

/// Of both together.
pub(crate) fn sum(need: &MemoryNeed, draft: &MemoryNeed) -> MemoryNeed {
    MemoryNeed {
        weights_bytes: need.weights_bytes + draft.weights_bytes,
        kv_bytes: need.kv_bytes + draft.kv_bytes,
        state_bytes: need.state_bytes + draft.state_bytes,
        workspace_bytes: need.workspace_bytes + draft.workspace_bytes,
    }
}

/// As it is told.
pub(crate) fn held(need: &MemoryNeed) -> ModelMemory {
    ModelMemory {
        weights_bytes: need.weights_bytes,
        kv_bytes: need.kv_bytes,
        workspace_bytes: need.workspace_bytes,
    }
}

#[cfg(test)]
mod tests;
