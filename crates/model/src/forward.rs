//! A loaded model and its forward pass, written once over block kinds.

use std::sync::Arc;

use gguf::GgufFile;
use tensor::{Backend, Batch, KvCache, KvLayout};

use crate::blocks::Context;
use crate::inventory;
use crate::weights::{Loader, Weights};
use crate::workspace::Workspace;
use crate::{Error, LoadOptions, ModelSpec, Result, arch, options, spec};

/// A model with its weights, cache and workspace on one backend.
pub struct Model {
    spec: ModelSpec,
    backend: Arc<dyn Backend>,
    weights: Weights,
    kv: KvCache,
    work: Workspace,
    /// Logits on their way from the backend to the caller.
    piece: Vec<f32>,
    parameters: u64,
    rows_max: usize,
    context_len: usize,
}

impl Model {
    /// Checks the file, then takes all weights into the backend; `progress` is told bytes done and
    /// bytes in all.
    ///
    /// # Errors
    /// [`Error`] when the file, the options or the machine are not fit for it.
    pub fn load(
        file: &GgufFile,
        backend: Arc<dyn Backend>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Model> {
        let spec = spec(file)?;
        let layout = options::kv_layout(&spec, options)?;
        let architecture = arch::find(file)?;
        let items = inventory::check(file, architecture, &spec)?;
        let mut loader = Loader::new(file, architecture, &*backend, &items, progress);
        let weights = Weights::load(&mut loader, &spec)?;
        let count = |shape: &[u64]| shape.iter().product::<u64>();
        Ok(Model {
            kv: backend.alloc_kv(&layout)?,
            work: Workspace::new(&spec, options.rows_max, &*backend)?,
            piece: Vec::new(),
            parameters: items.iter().map(|item| count(&item.tensor.shape)).sum(),
            rows_max: options.rows_max,
            context_len: options.context_len as usize,
            spec,
            backend,
            weights,
        })
    }

    /// What it is.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Geometry of its cache.
    #[must_use]
    pub fn kv_layout(&self) -> &KvLayout {
        &self.kv.layout
    }

    /// Number of weights.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Rows of the largest step.
    #[must_use]
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// Computes one step: keys and values of all rows into the cache, and for each of
    /// `output_rows` (indices into the batch's rows) the logits, `[output_rows, vocab]` row-major
    /// into `logits`, which is resized.
    ///
    /// # Errors
    /// [`Error::Step`] before anything is computed when the step is larger than was loaded for or
    /// does not fit the cache; [`Error::Tensor`] when the backend fails.
    pub fn forward(
        &mut self,
        batch: &Batch<'_>,
        output_rows: &[u32],
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        self.check(batch, output_rows)?;
        logits.clear();
        if batch.tokens.is_empty() {
            return Ok(());
        }
        self.layers(batch)?;
        for rows in output_rows.chunks(self.work.logits.rows_max()) {
            self.logits(rows)?;
            logits.extend_from_slice(&self.piece);
        }
        Ok(())
    }

    fn check(&self, batch: &Batch<'_>, output_rows: &[u32]) -> Result<()> {
        let (rows, vocab) = (batch.tokens.len(), self.spec.vocab);
        let refused = |why: String| Err(Error::Step(why));
        if rows > self.rows_max {
            return refused(format!("{rows} rows, and the model was loaded for {}", self.rows_max));
        }
        if let Some(token) = batch.tokens.iter().find(|token| **token as usize >= vocab) {
            return refused(format!("token {token} of a vocabulary of {vocab}"));
        }
        if let Some(row) = output_rows.iter().find(|row| **row as usize >= rows) {
            return refused(format!("the logits of row {row} of {rows}"));
        }
        for span in batch.spans {
            let (first, count) = (span.first_position, span.rows);
            if count > self.context_len || first > self.context_len - count {
                let max = self.context_len;
                return refused(format!("{count} positions from {first} in a context of {max}"));
            }
        }
        batch.check(self.kv.layout.page_len, self.kv.layout.page_count)?;
        Ok(())
    }

    /// All layers; the residual stream stays in the workspace.
    fn layers(&mut self, batch: &Batch<'_>) -> Result<()> {
        let (backend, spec, work) = (&*self.backend, &self.spec, &mut self.work);
        let (eps, weights) = (spec.norm_eps, &self.weights);
        backend.embed(&mut work.residual, &weights.token_embedding, batch.tokens)?;
        if let Some(first) = weights.layers.first() {
            backend.rms_norm(&mut work.normed, &work.residual, &first.mixer_norm, eps)?;
        }
        for (layer, parts) in weights.layers.iter().enumerate() {
            let context = Context { backend, spec, batch, layer };
            parts.mixer.forward(&context, work, &mut self.kv)?;
            let norm = (&parts.feed_forward_norm, eps);
            backend.add_rms_norm(&mut work.normed, &mut work.residual, &work.delta, norm)?;
            parts.feed_forward.forward(&context, work)?;
            match weights.layers.get(layer + 1) {
                Some(next) => {
                    let norm = (&next.mixer_norm, eps);
                    backend.add_rms_norm(
                        &mut work.normed,
                        &mut work.residual,
                        &work.delta,
                        norm,
                    )?;
                }
                None => backend.add(&mut work.residual, &work.delta)?,
            }
        }
        Ok(())
    }

    /// The logits of these rows of the residual stream, into `piece`.
    fn logits(&mut self, rows: &[u32]) -> Result<()> {
        let (backend, work, weights) = (&*self.backend, &mut self.work, &self.weights);
        backend.gather_rows(&mut work.output, &work.residual, rows)?;
        let eps = self.spec.norm_eps;
        backend.rms_norm(&mut work.output_normed, &work.output, &weights.output_norm, eps)?;
        let output = weights.output.as_ref().unwrap_or(&weights.token_embedding);
        backend.matmul(&mut [&mut work.logits], &work.output_normed, &[output])?;
        backend.download(&mut self.piece, &work.logits)?;
        Ok(())
    }
}
