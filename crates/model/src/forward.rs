//! A loaded model and its forward pass, written once over block kinds.

use std::sync::Arc;

use gguf::GgufFile;
use tensor::{Backend, Batch, HeadColumns, KvCache, KvLayout, Rope, Span, StateCache, Tensor};

use crate::adapters::{Adapter, Adapting, RowFactors};
use crate::arch::Role;
use crate::blocks::{Context, Kept};
use crate::inventory;
use crate::spec::LayerSpec;
use crate::weights::{BlockNorms, Loader, Weights};
use crate::workspace::Workspace;
use crate::{AdapterScale, Error, KvWindow, LoadOptions, ModelSpec, Result, arch, options, spec};

/// A model with its weights, cache and workspace on one backend.
pub struct Model {
    pub(crate) spec: ModelSpec,
    /// Those for the context that was loaded for.
    ropes: Vec<Rope>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) weights: Weights,
    pub(crate) adapters: Vec<Adapter>,
    kv: KvCache,
    /// Of layers that see only a window, where that takes less.
    windowed: Option<(KvCache, KvWindow)>,
    /// Where layers keep a state.
    states: Option<StateCache>,
    /// Of each layer, its place among those that keep what it keeps.
    places: Vec<usize>,
    pub(crate) work: Workspace,
    /// Rows on their way from the backend to the caller.
    pub(crate) piece: Vec<f32>,
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
        let layouts = options::kv_layouts(&spec, options)?;
        let architecture = arch::find(file)?;
        let items = inventory::check(file, architecture, &spec)?;
        let mut loader = Loader::new(file, architecture, &*backend, &items, progress);
        let weights = Weights::load(&mut loader, &spec)?;
        let count = |shape: &[u64]| shape.iter().product::<u64>();
        let ropes = match &spec.long_ropes {
            Some((short_until, long)) if options.context_len > *short_until => long.clone(),
            _ => spec.ropes.clone(),
        };
        Ok(Model {
            ropes,
            kv: backend.alloc_kv(&layouts.full)?,
            windowed: match &layouts.windowed {
                Some((layout, window)) => Some((backend.alloc_kv(layout)?, *window)),
                None => None,
            },
            states: match options::state_layout(&spec, options) {
                Some(layout) => Some(backend.alloc_states(&layout)?),
                None => None,
            },
            places: places(&spec, layouts.windowed.is_some()),
            work: Workspace::new(&spec, options.rows_max, &*backend)?,
            piece: Vec::new(),
            parameters: items.iter().map(|item| count(&item.tensor.shape)).sum(),
            rows_max: options.rows_max,
            context_len: options.context_len as usize,
            spec,
            backend,
            weights,
            adapters: Vec::new(),
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

    /// The pages of layers that see only a window, where they have their own.
    #[must_use]
    pub fn kv_window(&self) -> Option<KvWindow> {
        self.windowed.as_ref().map(|(_, window)| *window)
    }

    /// Number of weights.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Positions that a sequence may have.
    #[must_use]
    pub fn context_len(&self) -> usize {
        self.context_len
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
    /// Where [`Model::kv_window`] says so, layers that see only a window have pages of their own:
    /// `windows` has a table of them for each span; else it may be empty.
    ///
    /// # Errors
    /// [`Error::Step`] before anything is computed when the step is larger than was loaded for or
    /// does not fit the cache; [`Error::Tensor`] when the backend fails.
    pub fn forward(
        &mut self,
        step: (&Batch<'_>, &[&[u32]]),
        output_rows: &[u32],
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        self.forward_adapted(step, &[], output_rows, logits)
    }

    /// [`Model::forward`] with what each span has of adapters, a list for each; no lists at all are
    /// empty ones. Which others are in a step never shows in a row.
    ///
    /// # Errors
    /// As there; [`Error::Step`] also for an adapter that is not loaded.
    pub fn forward_adapted(
        &mut self,
        (batch, windows): (&Batch<'_>, &[&[u32]]),
        adapters: &[&[AdapterScale]],
        output_rows: &[u32],
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        if self.spec.pooling.is_some() {
            let why = "a model for retrieval has no logits, only pooled rows";
            return Err(Error::Step(why.to_owned()));
        }
        self.check(batch, output_rows)?;
        let spans: Vec<Span<'_>> =
            batch.spans.iter().zip(windows).map(|(span, pages)| Span { pages, ..*span }).collect();
        let windowed = Batch { spans: &spans, ..*batch };
        if let Some((kv, _)) = &self.windowed {
            let (given, count) = (windows.len(), batch.spans.len());
            if given != count {
                let why = format!("pages of windows for {given} of {count} sequences");
                return Err(Error::Step(why));
            }
            windowed.check(kv.layout.page_len, kv.layout.page_count)?;
        }
        let active = RowFactors::of(batch, adapters, self.adapters.len())?;
        logits.clear();
        if batch.tokens.is_empty() {
            return Ok(());
        }
        self.layers((batch, &windowed), &active, &[])?;
        for rows in output_rows.chunks(self.work.output.rows_max()) {
            self.logits(rows, &active)?;
            logits.extend_from_slice(&self.piece);
        }
        Ok(())
    }

    pub(crate) fn check(&self, batch: &Batch<'_>, output_rows: &[u32]) -> Result<()> {
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
        let whole = batch.spans.iter().all(|span| span.first_position == 0);
        if self.spec.is_bidirectional() && !whole {
            return refused("a text that is looked at both ways goes in one step".to_owned());
        }
        for span in batch.spans {
            let (first, count) = (span.first_position, span.rows);
            if count > self.context_len || first > self.context_len - count {
                let max = self.context_len;
                return refused(format!("{count} positions from {first} in a context of {max}"));
            }
        }
        batch.check(self.kv.layout.page_len, self.kv.layout.page_count)?;
        if let Some(states) = &self.states {
            batch.check_states(states.layout.slots)?;
        }
        Ok(())
    }

    /// All layers; the residual stream stays in the workspace. `windowed` is the batch with the
    /// pages of windows; `types` of rows may be left out.
    pub(crate) fn layers(
        &mut self,
        (batch, windowed): (&Batch<'_>, &Batch<'_>),
        active: &[RowFactors],
        types: &[u32],
    ) -> Result<()> {
        self.enter(batch, types)?;
        let (backend, spec, work) = (&*self.backend, &self.spec, &mut self.work);
        let weights = &self.weights;
        let stream = Stream { backend, eps: spec.norm_eps, scale: spec.scales.residual };
        if let Some(first) = weights.layers.first() {
            stream.enter(work, &first.mixer_norms)?;
        }
        for (layer, parts) in weights.layers.iter().enumerate() {
            let own = self.places[layer];
            let (kv, batch) = match &mut self.windowed {
                Some((kv, _)) if spec.layers[layer].is_windowed() => (kv, windowed),
                _ => (&mut self.kv, batch),
            };
            let adapting = Adapting { backend, adapters: &self.adapters, active, layer };
            let context = Context { backend, spec, ropes: &self.ropes, batch, adapting };
            let kept = Kept { kv, states: self.states.as_mut(), layer: own };
            parts.mixer.forward(&context, work, kept)?;
            stream.pass(work, &parts.mixer_norms, Some(&parts.feed_forward_norms))?;
            parts.feed_forward.forward(&context, work)?;
            let next = weights.layers.get(layer + 1).map(|next| &next.mixer_norms);
            stream.pass(work, &parts.feed_forward_norms, next)?;
        }
        Ok(())
    }

    /// Makes the residual stream of the batch's tokens.
    fn enter(&mut self, batch: &Batch<'_>, types: &[u32]) -> Result<()> {
        let (backend, weights, work) = (&*self.backend, &self.weights, &mut self.work);
        backend.embed(&mut work.residual, &weights.token_embedding, batch.tokens)?;
        work.residual.set_decode_rows(batch.decode_rows);
        scale(backend, &mut work.residual, self.spec.scales.embedding)?;
        if let Some(table) = &weights.entry.positions {
            let row = |(_, position)| u32::try_from(position).expect("checked against the context");
            let rows: Vec<u32> = batch.rows().map(row).collect();
            backend.gather_rows(&mut work.delta, table, &rows)?;
            backend.add(&mut work.residual, &work.delta)?;
        }
        if let Some(table) = &weights.entry.types {
            let first = vec![0; batch.tokens.len()];
            let rows = if types.is_empty() { &first } else { types };
            backend.gather_rows(&mut work.delta, table, rows)?;
            backend.add(&mut work.residual, &work.delta)?;
        }
        if let Some((by, bias)) = &weights.entry.norm {
            let eps = self.spec.norm_eps;
            backend.layer_norm(&mut work.normed, &work.residual, (by, bias), eps)?;
            std::mem::swap(&mut work.normed, &mut work.residual);
        }
        Ok(())
    }

    /// These rows of the residual stream, normed, into `work.output_normed`.
    pub(crate) fn output_rows(&mut self, rows: &[u32]) -> Result<()> {
        let (backend, work) = (&*self.backend, &mut self.work);
        match &self.weights.output_norm {
            None => backend.gather_rows(&mut work.output_normed, &work.residual, rows)?,
            Some(norm) => {
                backend.gather_rows(&mut work.output, &work.residual, rows)?;
                let eps = self.spec.norm_eps;
                backend.rms_norm(&mut work.output_normed, &work.output, norm, eps)?;
            }
        }
        Ok(())
    }

    /// The logits of these rows of the residual stream, into `piece`.
    fn logits(&mut self, rows: &[u32], active: &[RowFactors]) -> Result<()> {
        self.output_rows(rows)?;
        let (backend, work, weights) = (&*self.backend, &mut self.work, &self.weights);
        let output = weights.output.as_ref().unwrap_or(&weights.token_embedding);
        let logits = work.logits.as_mut().expect("a model without pooling has them");
        backend.matmul(&mut [logits], &work.output_normed, &[output])?;
        if !active.is_empty() {
            let active = &RowFactors::gathered(active, rows);
            let adapting = Adapting { backend, adapters: &self.adapters, active, layer: 0 };
            let outs = (Role::Output, &mut [logits][..]);
            adapting.add(&mut work.adapters, outs, &work.output_normed)?;
        }
        let logits = work.logits.as_mut().expect("as above");
        scale(backend, logits, self.spec.scales.logits)?;
        if let Some(cap) = self.spec.logit_soft_cap {
            backend.soft_cap(logits, cap)?;
        }
        backend.download(&mut self.piece, logits)?;
        Ok(())
    }
}

/// Counts layers with a cache and layers with a state apart, and those with a cache of windows
/// where there is one; those that look both ways share one.
fn places(spec: &ModelSpec, windows_apart: bool) -> Vec<usize> {
    let (mut cached, mut windowed, mut kept) = (0, 0, 0);
    let place = |layer: &LayerSpec| {
        if layer.mixer.is_bidirectional() {
            return 0;
        }
        let count = match layer.mixer.state() {
            Some(_) => &mut kept,
            None if windows_apart && layer.is_windowed() => &mut windowed,
            None => &mut cached,
        };
        *count += 1;
        *count - 1
    };
    spec.layers.iter().map(place).collect()
}

fn scale(backend: &dyn Backend, x: &mut Tensor, factor: f32) -> Result<()> {
    if factor == 1.0 {
        return Ok(());
    }
    Ok(backend.scale(x, factor)?)
}

/// How blocks read the residual stream and add to it.
struct Stream<'a> {
    backend: &'a dyn Backend,
    eps: f32,
    /// On what is added.
    scale: f32,
}

impl Stream<'_> {
    /// Makes `normed`, what a block reads, of the residual stream.
    fn enter(&self, work: &mut Workspace, norms: &BlockNorms) -> Result<()> {
        match &norms.before {
            Some(norm) => {
                self.backend.rms_norm(&mut work.normed, &work.residual, norm, self.eps)?;
            }
            None => copy(self.backend, &mut work.normed, &work.residual)?,
        }
        Ok(())
    }

    /// Adds `delta`, what a block gave, and enters the next.
    fn pass(
        &self,
        work: &mut Workspace,
        given: &BlockNorms,
        next: Option<&BlockNorms>,
    ) -> Result<()> {
        if let Some(norm) = &given.after {
            // What the block read is not needed any more.
            self.backend.rms_norm(&mut work.normed, &work.delta, norm, self.eps)?;
            std::mem::swap(&mut work.normed, &mut work.delta);
        }
        scale(self.backend, &mut work.delta, self.scale)?;
        if let Some((by, bias)) = &given.sum {
            self.backend.add(&mut work.residual, &work.delta)?;
            self.backend.layer_norm(&mut work.normed, &work.residual, (by, bias), self.eps)?;
            // The next block reads what the stream is now.
            return copy(self.backend, &mut work.residual, &work.normed);
        }
        match next.map(|next| &next.before) {
            Some(Some(norm)) => self.backend.add_rms_norm(
                &mut work.normed,
                &mut work.residual,
                &work.delta,
                (norm, self.eps),
            )?,
            Some(None) => {
                self.backend.add(&mut work.residual, &work.delta)?;
                copy(self.backend, &mut work.normed, &work.residual)?;
            }
            None => self.backend.add(&mut work.residual, &work.delta)?,
        }
        Ok(())
    }
}

fn copy(backend: &dyn Backend, to: &mut Tensor, from: &Tensor) -> Result<()> {
    let d = from.cols();
    let whole = HeadColumns { first: 0, stride: d, len: d };
    backend.copy_heads((to, whole), (from, whole), 1)?;
    Ok(())
}
