//! A weight as the reference keeps it: the bytes of the file.

use std::any::Any;

use crate::{Error, Result, Weight, WeightSource, WeightStore};

struct FileBytes(Vec<u8>);

impl WeightStore for FileBytes {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `len` zeroed values; none when their number overflowed.
pub(super) fn zeroed<T: Clone + Default>(len: Option<usize>, purpose: &str) -> Result<Vec<T>> {
    let needed_bytes = len.and_then(|len| len.checked_mul(size_of::<T>())).unwrap_or(usize::MAX);
    let refused = || Error::OutOfMemory { needed_bytes, purpose: purpose.to_owned() };
    let len = len.ok_or_else(refused)?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| refused())?;
    values.resize(len, T::default());
    Ok(values)
}

/// Copies the matrix as it is.
pub(super) fn prepare(source: &WeightSource<'_>) -> Result<Weight> {
    let WeightSource { name, format, n, k, bytes, factor, .. } = *source;
    let expected = format.row_bytes(k).and_then(|row| row.checked_mul(n));
    if expected != Some(bytes.len()) {
        let found = bytes.len();
        return Err(Error::Shape(format!(
            "{name}: {found} bytes are not [{n}, {k}] of {}",
            format.name()
        )));
    }
    let mut held = Vec::new();
    held.try_reserve_exact(bytes.len()).map_err(|_| Error::OutOfMemory {
        needed_bytes: bytes.len(),
        purpose: format!("the weight {name}"),
    })?;
    held.extend_from_slice(bytes);
    let (held_bytes, store) = (bytes.len(), Box::new(FileBytes(held)));
    Ok(Weight { format, n, k, factor, held_bytes, store })
}

/// The rows of a weight.
#[derive(Clone, Copy)]
pub(super) struct WeightRows<'a> {
    format: quant::FormatId,
    row_bytes: usize,
    bytes: &'a [u8],
    factor: f32,
}

impl<'a> WeightRows<'a> {
    pub(super) fn of(weight: &'a Weight) -> Result<WeightRows<'a>> {
        let store: Option<&FileBytes> = weight.store.as_any().downcast_ref();
        let bytes = &store.ok_or(Error::ForeignBuffer)?.0[..];
        let row_bytes = bytes.len() / weight.n.max(1);
        Ok(WeightRows { format: weight.format, row_bytes, bytes, factor: weight.factor })
    }

    /// Row `j` as f32, `out [k]`.
    pub(super) fn dequantize(&self, j: usize, out: &mut [f32]) {
        self.format.dequantize_row(&self.bytes[j * self.row_bytes..][..self.row_bytes], out);
        // By 1 nothing changes, not even a zero's sign.
        out.iter_mut().for_each(|value| *value *= self.factor);
    }
}
