//! The real model, where `cargo xtask setup` puts it.

use std::path::{Path, PathBuf};

/// SmolLM2-135M-Instruct, if it is here: `$HOB_TEST_MODEL`, else the project's cache.
#[must_use]
pub fn smollm2() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests may be pointed at another file")]
    let given = std::env::var_os("HOB_TEST_MODEL").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.to_owned();
    Some(given.unwrap_or_else(|| root.join(".cache/models/smollm2.gguf")))
        .filter(|path| path.exists())
}

/// [`smollm2`], for tests that cannot do without: they fail rather than pass unseen.
///
/// # Panics
/// When it is not here.
#[must_use]
pub fn smollm2_required() -> PathBuf {
    smollm2().expect("the real model is not here: run `cargo xtask setup`")
}
