//! Activations: f32 matrices whose memory belongs to a backend.

use std::any::Any;
use std::ops::Range;

use crate::{Error, Result};

/// Memory of a backend. Host backends use [`HostBuffer`]; a device has its own kind.
pub trait Buffer: Any + Send + Sync {
    /// For downcasting by the backend that made it.
    fn as_any(&self) -> &dyn Any;
    /// For downcasting by the backend that made it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// Plain host memory.
pub struct HostBuffer(pub Vec<f32>);

impl Buffer for HostBuffer {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// An activation `[rows, cols]`, row-major f32, with room for `rows_max` rows.
pub struct Tensor {
    rows: usize,
    rows_max: usize,
    cols: usize,
    /// At most `rows`.
    decode_rows: usize,
    buffer: Box<dyn Buffer>,
}

impl Tensor {
    /// Wraps a backend's buffer of at least `rows * cols` values.
    #[must_use]
    pub fn new(rows: usize, cols: usize, buffer: Box<dyn Buffer>) -> Tensor {
        Tensor { rows, rows_max: rows, cols, decode_rows: rows, buffer }
    }

    /// A host tensor of zeros.
    #[must_use]
    pub fn host_zeros(rows: usize, cols: usize) -> Tensor {
        Tensor::new(rows, cols, Box::new(HostBuffer(vec![0.0; rows * cols])))
    }

    /// A host tensor of these values, `values.len() / cols` rows.
    #[must_use]
    pub fn host_from(values: Vec<f32>, cols: usize) -> Tensor {
        assert!(
            cols > 0 && values.len().is_multiple_of(cols),
            "{} values, {cols} cols",
            values.len()
        );
        Tensor::new(values.len() / cols, cols, Box::new(HostBuffer(values)))
    }

    /// Rows in use.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows there is memory for.
    #[must_use]
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Those rows that belong to prompts, see [`crate::Batch::decode_rows`].
    #[must_use]
    pub fn prefill_rows(&self) -> Range<usize> {
        self.decode_rows..self.rows
    }

    /// From now on all rows but so many of the first are prefill rows.
    pub fn set_decode_rows(&mut self, decode_rows: usize) {
        self.decode_rows = decode_rows.min(self.rows);
    }

    /// Uses as many rows as `of`, of the same kinds; contents are not cleared.
    ///
    /// # Errors
    /// As [`Tensor::set_rows`].
    pub fn set_rows_as(&mut self, of: &Tensor) -> Result<()> {
        self.set_rows(of.rows)?;
        self.decode_rows = of.decode_rows;
        Ok(())
    }

    /// Uses the first `rows` rows from now on, as decode rows; contents are not cleared.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is no room for that many.
    pub fn set_rows(&mut self, rows: usize) -> Result<()> {
        if rows > self.rows_max {
            return Err(Error::Shape(format!("{rows} rows in a tensor for {}", self.rows_max)));
        }
        self.rows = rows;
        self.decode_rows = rows;
        Ok(())
    }

    /// The backend's memory.
    #[must_use]
    pub fn buffer(&self) -> &dyn Buffer {
        &*self.buffer
    }

    /// The backend's memory, to write.
    pub fn buffer_mut(&mut self) -> &mut dyn Buffer {
        &mut *self.buffer
    }

    /// The values in use, `rows * cols`, of a host tensor.
    ///
    /// # Errors
    /// [`Error::ForeignBuffer`] when the memory is another backend's.
    pub fn host(&self) -> Result<&[f32]> {
        let len = self.rows * self.cols;
        let host = self.buffer.as_any().downcast_ref::<HostBuffer>().ok_or(Error::ForeignBuffer)?;
        Ok(&host.0[..len])
    }

    /// The values in use, to write, of a host tensor.
    ///
    /// # Errors
    /// [`Error::ForeignBuffer`] when the memory is another backend's.
    pub fn host_mut(&mut self) -> Result<&mut [f32]> {
        let len = self.rows * self.cols;
        let host =
            self.buffer.as_any_mut().downcast_mut::<HostBuffer>().ok_or(Error::ForeignBuffer)?;
        Ok(&mut host.0[..len])
    }
}
