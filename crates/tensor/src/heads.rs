//! Which columns of an activation belong to which head.

/// Head `h` of a row has the `len` columns from `first + h * stride` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadColumns {
    /// First column of head 0.
    pub first: usize,
    /// Columns from one head to the next.
    pub stride: usize,
    /// Columns of a head.
    pub len: usize,
}

impl HeadColumns {
    /// Whether all columns of `n_heads` heads are within `cols`.
    #[must_use]
    pub fn fit(&self, n_heads: usize, cols: usize) -> bool {
        let last = n_heads.checked_sub(1).and_then(|last| last.checked_mul(self.stride));
        let end = last.and_then(|last| last.checked_add(self.first)?.checked_add(self.len));
        n_heads == 0 || end.is_some_and(|end| end <= cols)
    }
}
