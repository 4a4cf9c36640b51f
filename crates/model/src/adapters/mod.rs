//! Low-rank adapters (LoRA): `scale * up (down x)` beside the product of a matrix, in steps whose
//! sequences ask for it. Source: Hu et al. 2021, arXiv 2106.09685, section 4.1.

mod file;
mod step;

use gguf::GgufFile;
pub(crate) use step::{AdapterWork, Adapting, RowFactors};
use tensor::{Backend, Weight, WeightSource};

use crate::arch::Role;
use crate::limits::ADAPTERS_MAX;
use crate::{Error, Model, ModelSpec, Result};
use file::Pair;

/// An adapter as a file, and what messages call it.
#[derive(Clone, Copy)]
pub struct AdapterFile<'a> {
    /// Name.
    pub name: &'a str,
    /// Pairs of tensors `NAME.lora_a` and `NAME.lora_b`.
    pub file: &'a GgufFile,
}

/// How much of an adapter a sequence has in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterScale {
    /// Which, in the order they were loaded.
    pub adapter: usize,
    /// Factor on what it adds; 1 is the adapter as it was trained.
    pub scale: f32,
}

/// Bytes that adapters take beside their model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdapterNeed {
    /// Their matrices, in the backend's layout.
    pub weights_bytes: u64,
    /// Activations of one step.
    pub workspace_bytes: u64,
}

/// One adapter's matrices.
pub(crate) struct Adapter {
    /// Of each layer.
    layers: Vec<Vec<Factors>>,
    /// Of the output matrix.
    output: Option<Factors>,
}

/// What is beside one matrix, or beside those that a tensor holds.
struct Factors {
    role: Role,
    /// `[rank, k]`.
    down: Weight,
    /// `[n, rank]` of each matrix.
    ups: Vec<Weight>,
    /// On their product.
    scale: f32,
}

/// What [`Model::load_adapters`] with the same arguments will allocate.
///
/// # Errors
/// What it would refuse.
pub fn adapter_need(
    spec: &ModelSpec,
    adapters: &[AdapterFile<'_>],
    rows_max: usize,
    backend: &dyn Backend,
) -> Result<AdapterNeed> {
    let adapters = check(spec, adapters)?;
    let pairs = || adapters.iter().flat_map(|(_, pairs)| pairs);
    let bytes = |pair: &Pair<'_>| -> usize {
        let ups = (0..pair.rows.len()).map(|i| backend.prepared_bytes(&pair.up_source(i)));
        backend.prepared_bytes(&pair.down_source()) + ups.sum::<usize>()
    };
    Ok(AdapterNeed {
        weights_bytes: pairs().map(|pair| bytes(pair) as u64).sum(),
        workspace_bytes: AdapterWork::bytes(pairs(), rows_max),
    })
}

/// The pairs of each, checked against the model.
fn check<'a>(
    spec: &ModelSpec,
    adapters: &[AdapterFile<'a>],
) -> Result<Vec<(AdapterFile<'a>, Vec<Pair<'a>>)>> {
    if adapters.len() > ADAPTERS_MAX {
        let (option, found) = ("the number of adapters", adapters.len() as u64);
        return Err(Error::Option { option, found, wanted: format!("at most {ADAPTERS_MAX}") });
    }
    adapters.iter().map(|adapter| Ok((*adapter, file::pairs(adapter, spec)?))).collect()
}

impl Model {
    /// Takes adapters into the backend, in place of those it had.
    ///
    /// # Errors
    /// [`Error::Adapter`] with the adapter and the tensor that cannot be applied: nothing of an
    /// adapter is left out.
    pub fn load_adapters(&mut self, adapters: &[AdapterFile<'_>]) -> Result<()> {
        let checked = check(&self.spec, adapters)?;
        let backend = &*self.backend;
        let mut loaded = Vec::with_capacity(checked.len());
        for (adapter, pairs) in &checked {
            loaded.push(Adapter::load(adapter.file, pairs, (self.spec.layers.len(), backend))?);
        }
        let pairs = || checked.iter().flat_map(|(_, pairs)| pairs);
        self.work.adapters = AdapterWork::new(pairs(), self.rows_max(), backend)?;
        self.adapters = loaded;
        Ok(())
    }

    /// How many adapters were loaded.
    #[must_use]
    pub fn adapter_count(&self) -> usize {
        self.adapters.len()
    }
}

impl Adapter {
    fn load(
        file: &GgufFile,
        pairs: &[Pair<'_>],
        (n_layers, backend): (usize, &dyn Backend),
    ) -> Result<Adapter> {
        let mut adapter = Adapter { layers: Vec::new(), output: None };
        adapter.layers.resize_with(n_layers, Vec::new);
        for pair in pairs {
            let factors = Factors::load(file, pair, backend)?;
            match pair.role {
                Role::Output => adapter.output = Some(factors),
                _ => adapter.layers[pair.layer].push(factors),
            }
        }
        Ok(adapter)
    }

    /// What is beside the tensor of this role.
    fn beside(&self, role: Role, layer: usize) -> Option<&Factors> {
        if role == Role::Output {
            return self.output.as_ref();
        }
        self.layers.get(layer)?.iter().find(|factors| factors.role == role)
    }
}

impl Factors {
    fn load(file: &GgufFile, pair: &Pair<'_>, backend: &dyn Backend) -> Result<Factors> {
        let bytes = file.bytes(pair.down);
        let down = backend.prepare(&WeightSource { bytes: &bytes, ..pair.down_source() })?;
        let bytes = file.bytes(pair.up);
        let row_bytes = bytes.len() / pair.rows.iter().sum::<usize>().max(1);
        let (mut ups, mut first) = (Vec::with_capacity(pair.rows.len()), 0);
        for (i, rows) in pair.rows.iter().enumerate() {
            let bytes = &bytes[first..][..rows * row_bytes];
            first += bytes.len();
            ups.push(backend.prepare(&WeightSource { bytes, ..pair.up_source(i) })?);
        }
        file.release_pages(pair.down);
        file.release_pages(pair.up);
        Ok(Factors { role: pair.role, down, ups, scale: pair.scale })
    }
}
