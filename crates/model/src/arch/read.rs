//! Reading one architecture's keys, each within its bounds.

use gguf::{GgufFile, Metadata};

use crate::{Error, Result};

/// The keys below one prefix, such as `llama.`.
pub(crate) struct Keys<'a> {
    prefix: &'a str,
    metadata: &'a Metadata,
}

impl<'a> Keys<'a> {
    pub(crate) fn of(file: &'a GgufFile) -> Result<Keys<'a>> {
        let metadata = file.metadata();
        Ok(Keys { prefix: metadata.str_required("general.architecture")?, metadata })
    }

    pub(crate) fn architecture(&self) -> &'a str {
        self.prefix
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// A count from 1 to `max`; none when the key is absent.
    pub(crate) fn count(&self, name: &str, max: usize) -> Result<Option<usize>> {
        let key = self.key(name);
        let Some(found) = self.metadata.u64(&key)? else { return Ok(None) };
        match usize::try_from(found) {
            Ok(count) if (1..=max).contains(&count) => Ok(Some(count)),
            _ => Err(wrong(key, &found, format!("1 to {max}"))),
        }
    }

    /// A count that must be there.
    pub(crate) fn count_required(&self, name: &str, max: usize) -> Result<usize> {
        let missing = || gguf::Error::KeyMissing(self.key(name));
        Ok(self.count(name, max)?.ok_or_else(missing)?)
    }

    /// A number above 0; none when the key is absent.
    pub(crate) fn positive(&self, name: &str) -> Result<Option<f32>> {
        let key = self.key(name);
        match self.metadata.f32(&key)? {
            Some(found) if !(found.is_finite() && found > 0.0) => {
                Err(wrong(key, &found, "a number above 0".to_owned()))
            }
            found => Ok(found),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        Ok(self.metadata.str(&self.key(name))?)
    }

    /// A number of any sign; none when the key is absent.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>> {
        let key = self.key(name);
        match self.metadata.f32(&key)? {
            Some(found) if !found.is_finite() => Err(wrong(key, &found, "a number".to_owned())),
            found => Ok(found),
        }
    }

    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>> {
        Ok(self.metadata.bool(&self.key(name))?)
    }

    /// A truth for each of `layers`; none when the key is absent.
    pub(crate) fn truths(&self, name: &str, layers: usize) -> Result<Option<&'a [bool]>> {
        let key = self.key(name);
        match self.metadata.bools(&key)? {
            Some(found) if found.len() != layers => Err(wrong(
                key,
                &format!("{} values", found.len()),
                format!("{layers}, one a layer"),
            )),
            found => Ok(found),
        }
    }

    pub(crate) fn whole(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.metadata.u64(&self.key(name))?)
    }

    /// Refuses `name` when it does not divide `of`.
    pub(crate) fn divides(&self, (name, found): (&str, usize), of: (&str, usize)) -> Result<()> {
        if of.1.is_multiple_of(found) {
            return Ok(());
        }
        Err(wrong(self.key(name), &found, format!("a divisor of {} ({})", of.0, of.1)))
    }

    /// A feature that is known and not implemented.
    pub(crate) fn unsupported(&self, feature: String) -> Error {
        Error::UnsupportedFeature { architecture: self.prefix.to_owned(), feature }
    }

    /// A value that makes no sense.
    pub(crate) fn wrong(&self, name: &str, found: &dyn std::fmt::Display, wanted: &str) -> Error {
        wrong(self.key(name), found, wanted.to_owned())
    }
}

fn wrong(key: String, found: &dyn std::fmt::Display, wanted: String) -> Error {
    Error::Metadata { key, found: found.to_string(), wanted }
}
