//! Random weights by format, quantised once: what large files are put together from, where each
//! weight of its own would take minutes and change nothing that is measured.

use std::io::{self, Write};

use quant::FormatId;

use crate::{Rng, rng};

/// Of the weights, as models are initialised.
pub(crate) const DEVIATION: f32 = 0.02;
/// Random weights that are quantised; a file repeats them in random order.
const POOL_WEIGHTS: usize = 1 << 20;
/// Weights that are taken from the pool at once, where the format's blocks are not longer. A row
/// of any known model is a multiple.
const UNIT_WEIGHTS: usize = 64;
/// Bytes that are gathered for the disk.
const BUFFER_BYTES: usize = 1 << 20;

/// A pool for each format that was asked for.
#[derive(Default)]
pub(crate) struct Pools(Vec<Pool>);

impl Pools {
    /// Writes so many weights of a format; the count of bytes.
    pub(crate) fn write(
        &mut self,
        format: FormatId,
        count: usize,
        out: &mut dyn Write,
    ) -> io::Result<u64> {
        let at = self.0.iter().position(|pool| pool.format == format).unwrap_or_else(|| {
            self.0.push(Pool::new(format));
            self.0.len() - 1
        });
        self.0[at].write(count, out)
    }
}

struct Pool {
    format: FormatId,
    /// Weights of a unit.
    weights: usize,
    /// Bytes of a unit.
    bytes: usize,
    units: Vec<u8>,
    rng: Rng,
}

impl Pool {
    fn new(format: FormatId) -> Pool {
        let mut rng = rng(u64::from(format.ggml_id()) + 1);
        let values: Vec<f32> = (0..POOL_WEIGHTS).map(|_| rng.normal() * DEVIATION).collect();
        let weights = UNIT_WEIGHTS.max(format.block_len());
        let bytes = format.row_bytes(weights).expect("a unit is whole blocks");
        let mut units = vec![0; POOL_WEIGHTS / weights * bytes];
        format.quantize_row(&values, &mut units);
        Pool { format, weights, bytes, units, rng }
    }

    /// Writes so many weights; the count of bytes.
    fn write(&mut self, count: usize, out: &mut dyn Write) -> io::Result<u64> {
        assert!(count.is_multiple_of(self.weights), "{count} weights are no whole units");
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + self.bytes);
        let (units, mut written) = ((self.units.len() / self.bytes) as u64, 0);
        for _ in 0..count / self.weights {
            let at = usize::try_from(self.rng.below(units)).expect("an index") * self.bytes;
            buffer.extend_from_slice(&self.units[at..at + self.bytes]);
            if buffer.len() >= BUFFER_BYTES {
                out.write_all(&buffer)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
        }
        out.write_all(&buffer)?;
        Ok(written + buffer.len() as u64)
    }
}
