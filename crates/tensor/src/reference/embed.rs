//! Picking rows: of an embedding table, and of an activation.

use super::fit;
use super::store::WeightRows;
use crate::{Error, Result, Tensor, Weight};

/// `out[i] = table[tokens[i]]`; `table [vocab, d]`, `out [rows, d]`.
pub(super) fn embed(out: &mut Tensor, table: &Weight, tokens: &[u32]) -> Result<()> {
    let (vocab, d) = (table.n, table.k);
    fit(out.cols() == d, || format!("out has {} columns, the table {d}", out.cols()))?;
    if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab) {
        return Err(Error::Batch(format!("token {token} of a vocabulary of {vocab}")));
    }
    let rows = WeightRows::of(table)?;
    out.set_rows(tokens.len())?;
    for (out, token) in out.host_mut()?.chunks_exact_mut(d.max(1)).zip(tokens) {
        rows.dequantize(*token as usize, out);
    }
    Ok(())
}

/// `out[i] = x[rows[i]]`.
pub(super) fn gather_rows(out: &mut Tensor, x: &Tensor, rows: &[u32]) -> Result<()> {
    let cols = x.cols();
    fit(out.cols() == cols, || format!("out has {} columns, x {cols}", out.cols()))?;
    if let Some(row) = rows.iter().find(|row| **row as usize >= x.rows()) {
        return Err(Error::Shape(format!("row {row} of {}", x.rows())));
    }
    out.set_rows(rows.len())?;
    let x = x.host()?;
    for (out, row) in out.host_mut()?.chunks_exact_mut(cols.max(1)).zip(rows) {
        out.copy_from_slice(&x[*row as usize * cols..][..cols]);
    }
    Ok(())
}
