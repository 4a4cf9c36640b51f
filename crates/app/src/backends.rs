//! The list of compute backends, and which one a person gets.

use std::sync::Arc;

use kernels_cpu::{CpuBackend, variants};
use tensor::Backend;
use tensor::reference::Reference;

use crate::{Error, Result};

/// `cpu` unless asked for another; `cpu:` and a variant's name for other kernels than the best.
pub(crate) fn choose(name: Option<&str>, threads: Option<usize>) -> Result<Arc<dyn Backend>> {
    let name = name.unwrap_or("cpu");
    if let Some(wanted) = name.strip_prefix("cpu:") {
        let variant = variants().into_iter().find(|variant| variant.short_name() == wanted);
        let variant = variant.ok_or_else(|| unknown(name))?;
        let cpu = CpuBackend::with_variant(variant, self::threads(threads));
        return Ok(Arc::new(cpu.map_err(model::Error::from)?));
    }
    match name {
        "cpu" => Ok(Arc::new(CpuBackend::detect(threads))),
        "reference" => Ok(Arc::new(Reference::new())),
        _ => Err(unknown(name)),
    }
}

/// Compute threads that a CPU backend has; the machine's cores where none are wanted.
pub(crate) fn threads(wanted: Option<usize>) -> usize {
    let offered = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    wanted.unwrap_or_else(offered)
}

fn unknown(name: &str) -> Error {
    let names: Vec<String> =
        variants().iter().map(|variant| format!("`cpu:{}`", variant.short_name())).collect();
    let names = names.join(", ");
    let message =
        format!("this machine has no backend `{name}`: choose `cpu`, {names} or `reference`");
    Error::parameter("backend", message)
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn kernels_can_be_chosen_by_name() {
        let portable = choose(Some("cpu:portable"), Some(1)).unwrap();
        assert_eq!(
            (portable.name(), portable.description().starts_with("portable")),
            ("cpu", true)
        );
        assert_eq!(choose(None, Some(1)).unwrap().name(), "cpu");
        assert_eq!(choose(Some("reference"), None).unwrap().name(), "reference");
        for wrong in ["gpu", "cpu:", "cpu:mmx"] {
            let error = choose(Some(wrong), None).err().unwrap().to_string();
            assert!(error.contains(wrong) && error.contains("`cpu:portable`"), "{error}");
        }
    }
}
