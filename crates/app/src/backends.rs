//! The list of compute backends, and which one a person gets.

use std::sync::Arc;

use kernels_cpu::CpuBackend;
use tensor::Backend;
use tensor::reference::Reference;

use crate::{Error, Result};

/// `cpu` unless asked for another.
pub(crate) fn choose(name: Option<&str>, threads: Option<usize>) -> Result<Arc<dyn Backend>> {
    match name.unwrap_or("cpu") {
        "cpu" => Ok(Arc::new(CpuBackend::detect(threads))),
        "reference" => Ok(Arc::new(Reference::new())),
        other => Err(Error::parameter(
            "backend",
            format!("there is no backend `{other}`: choose `cpu` or `reference`"),
        )),
    }
}
