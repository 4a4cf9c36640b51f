//! What a file of an adapter holds, checked against the model it is for.

use gguf::{GgufFile, TensorInfo};
use tensor::WeightSource;

use super::AdapterFile;
use crate::arch::{self, Role};
use crate::inventory::{Kind, wanted};
use crate::limits::ADAPTER_RANK_MAX;
use crate::{Error, ModelSpec, Result};

/// Two tensors, and the model's that they are beside.
pub(super) struct Pair<'a> {
    pub(super) role: Role,
    pub(super) layer: usize,
    /// `[rank, k]`.
    pub(super) down: &'a TensorInfo,
    /// `[n, rank]`.
    pub(super) up: &'a TensorInfo,
    /// Rows of each matrix that the model's tensor holds.
    pub(super) rows: Vec<usize>,
    pub(super) k: usize,
    pub(super) rank: usize,
    /// On their product.
    pub(super) scale: f32,
}

impl Pair<'_> {
    /// The matrix to the rank, as backends take it, without its bytes.
    pub(super) fn down_source(&self) -> WeightSource<'_> {
        source(self.down, (self.rank, self.k))
    }

    /// Matrix `i` of those from the rank.
    pub(super) fn up_source(&self, i: usize) -> WeightSource<'_> {
        source(self.up, (self.rows[i], self.rank))
    }
}

fn source(tensor: &TensorInfo, (n, k): (usize, usize)) -> WeightSource<'_> {
    // What is added is small beside what it is added to.
    WeightSource {
        name: &tensor.name,
        format: tensor.format,
        n,
        k,
        bytes: &[],
        precise: false,
        factor: 1.0,
    }
}

/// The pairs of a file, all of which can be applied.
///
/// # Errors
/// [`Error::Adapter`] with what is wrong or cannot be applied.
pub(super) fn pairs<'a>(
    AdapterFile { name, file }: &AdapterFile<'a>,
    spec: &ModelSpec,
) -> Result<Vec<Pair<'a>>> {
    let refused = |why: String| Error::Adapter { name: (*name).to_owned(), why };
    if spec.pooling.is_some() {
        return Err(refused("models that embed or score texts take none".to_owned()));
    }
    let alpha = check_kind(file, spec).map_err(refused)?;
    let architecture = arch::named(&spec.architecture)?;
    let wanted = wanted(spec);
    let mut pairs = Vec::new();
    for (role, layer, kind) in &wanted {
        let of = architecture.tensor_name(*role, *layer);
        let find = |end: &str| file.tensor(&format!("{of}{end}"));
        let (down, up) = match (find(DOWN), find(UP)) {
            (None, None) => continue,
            (Some(down), Some(up)) => (down, up),
            (None, Some(_)) => return Err(refused(format!("{of}{UP} is there without {DOWN}"))),
            (Some(_), None) => return Err(refused(format!("{of}{DOWN} is there without {UP}"))),
        };
        if !is_adaptable(*role, kind) {
            let what = "which this version cannot adapt: only plain matrices of layers and the \
                        output matrix";
            return Err(refused(format!("it adapts {of}, {what}")));
        }
        let (rows, k) = kind.matrices();
        let rank = shapes((down, up), (rows.iter().sum(), k)).map_err(refused)?;
        let scale = if alpha == 0.0 { 1.0 } else { alpha / rank as f32 };
        pairs.push(Pair { role: *role, layer: *layer, down, up, rows, k, rank, scale });
    }
    let is_known =
        |tensor: &&TensorInfo| pairs.iter().any(|pair| [pair.down, pair.up].contains(tensor));
    if let Some(tensor) = file.tensors().iter().find(|tensor| !is_known(tensor)) {
        let other = format!("its tensor {} has no place in this model", tensor.name);
        return Err(refused(format!("{other}: it was made for another, or is no plain LoRA")));
    }
    if pairs.is_empty() {
        return Err(refused("it holds no tensors".to_owned()));
    }
    Ok(pairs)
}

const DOWN: &str = ".lora_a";
const UP: &str = ".lora_b";

/// Alpha, of a file that is a LoRA of this architecture.
fn check_kind(file: &GgufFile, spec: &ModelSpec) -> std::result::Result<f32, String> {
    let metadata = file.metadata();
    let text = |key: &str| metadata.str(key).map_err(|error| error.to_string());
    let kind = text("general.type")?.unwrap_or("model");
    if kind != "adapter" {
        return Err(format!("general.type is {kind}, not adapter"));
    }
    let kind = text("adapter.type")?.unwrap_or("nothing");
    if kind != "lora" {
        return Err(format!("adapter.type is {kind}, and only lora is known"));
    }
    let made_for = arch::name(file).map_err(|error| error.to_string())?.unwrap_or("nothing");
    if made_for != spec.architecture {
        let own = &spec.architecture;
        return Err(format!("it is for the architecture {made_for}, and this model is {own}"));
    }
    if metadata.get("adapter.alora.invocation_tokens").is_some() {
        return Err("it begins at invocation tokens (aLoRA), which is not known here".to_owned());
    }
    let alpha = metadata.f32("adapter.lora.alpha").map_err(|error| error.to_string())?;
    let alpha = alpha.ok_or("adapter.lora.alpha is missing")?;
    if !alpha.is_finite() {
        return Err(format!("adapter.lora.alpha is {alpha}"));
    }
    Ok(alpha)
}

/// The rank of a pair beside `n` rows of `k`.
fn shapes(
    (down, up): (&TensorInfo, &TensorInfo),
    (n, k): (usize, usize),
) -> std::result::Result<usize, String> {
    let wrong = |tensor: &TensorInfo, wanted: String| {
        let TensorInfo { name, shape, .. } = tensor;
        Err(format!("{name} is {shape:?}, and this model wants {wanted}: it was made for another"))
    };
    let rank = match *down.shape {
        [columns, rank] if columns == k as u64 => rank,
        _ => return wrong(down, format!("[{k}, rank]")),
    };
    if up.shape != [rank, n as u64] {
        return wrong(up, format!("[{rank}, {n}]"));
    }
    match usize::try_from(rank) {
        Ok(rank @ 1..=ADAPTER_RANK_MAX) => Ok(rank),
        _ => Err(format!("{} has rank {rank}: 1 to {ADAPTER_RANK_MAX} can be", down.name)),
    }
}

/// Whether blocks apply what is beside this tensor, see [`super::Adapting`].
fn is_adaptable(role: Role, kind: &Kind) -> bool {
    let is_known = matches!(
        role,
        Role::Output
            | Role::Query
            | Role::Key
            | Role::Value
            | Role::QueryKeyValue
            | Role::AttentionOutput
            | Role::QueryDown
            | Role::QueryUp
            | Role::LatentDown
            | Role::StateGate
            | Role::StateIntake
            | Role::StateStep
            | Role::StateOutput
            | Role::Gate
            | Role::Up
            | Role::GateUp
            | Role::Down
            | Role::Router
            | Role::SharedGate
            | Role::SharedUp
            | Role::SharedDown
    );
    is_known && matches!(kind, Kind::Matrix { .. } | Kind::Fused { .. })
}
