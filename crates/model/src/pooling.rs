//! Models for retrieval: the rows of a text become one, and that an embedding or a score.

use tensor::Batch;

use crate::spec::Pooling;
use crate::{Error, Model, Result};

/// What was pooled of a text so far. A text whose rows see only what came before may come in
/// several steps; sums are f64, so that the cuts hardly show.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    rows: usize,
    sums: Vec<f64>,
}

impl Pool {
    fn add(&mut self, row: &[f32]) {
        self.rows += 1;
        self.sums.resize(row.len(), 0.0);
        for (sum, value) in self.sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }

    /// The mean of what was added; of one row the row itself.
    fn mean(&self) -> Vec<f32> {
        let rows = self.rows.max(1) as f64;
        self.sums.iter().map(|sum| (sum / rows) as f32).collect()
    }
}

impl Model {
    /// Computes one step and adds the rows of each span to its pool, one for each span. `types` are
    /// those of the rows, in models that have them; none at all are zeros. `is_last` says of each
    /// span whether its text ends with it.
    ///
    /// # Errors
    /// [`Error::Step`] before anything is computed when the step is larger than was loaded for, or
    /// the model is none for retrieval; [`Error::Tensor`] when the backend fails.
    pub fn pool(
        &mut self,
        batch: &Batch<'_>,
        types: &[u32],
        pools: &mut [(Pool, bool)],
    ) -> Result<()> {
        let pooling = self.pooling()?;
        self.check(batch, &[])?;
        self.check_types(batch, types)?;
        if pools.len() != batch.spans.len() {
            let spans = batch.spans.len();
            return Err(Error::Step(format!("{} pools of {spans} texts", pools.len())));
        }
        if batch.tokens.is_empty() {
            return Ok(());
        }
        self.layers((batch, batch), &[], types)?;
        let (mut wanted, mut first) = (Vec::new(), 0);
        for (s, (span, (_, is_last))) in batch.spans.iter().zip(&*pools).enumerate() {
            let rows = first..first + span.rows;
            first = rows.end;
            let chosen = match pooling {
                Pooling::First if span.first_position > 0 => rows.start..rows.start,
                Pooling::First => rows.start..rows.end.min(rows.start + 1),
                Pooling::Mean => rows,
                Pooling::Last if *is_last => rows.end.max(rows.start + 1) - 1..rows.end,
                Pooling::Last => rows.start..rows.start,
            };
            let row = |row| (s, u32::try_from(row).expect("a step is far shorter than 2^32 rows"));
            wanted.extend(chosen.map(row));
        }
        for some in wanted.chunks(self.work.output.rows_max()) {
            let rows: Vec<u32> = some.iter().map(|(_, row)| *row).collect();
            self.output_rows(&rows)?;
            self.backend.download(&mut self.piece, &self.work.output_normed)?;
            for ((s, _), row) in some.iter().zip(self.piece.chunks_exact(self.spec.d)) {
                pools[*s].0.add(row);
            }
        }
        Ok(())
    }

    /// What a whole text comes to: an embedding `[d]`, of the length that the model gives it; or
    /// one score, whose sigmoid is a probability.
    ///
    /// # Errors
    /// [`Error::Step`] when nothing was pooled; [`Error::Tensor`] when the backend fails.
    pub fn pooled(&mut self, pool: &Pool) -> Result<Vec<f32>> {
        if pool.rows == 0 {
            return Err(Error::Step("a text without rows".to_owned()));
        }
        let mut x = pool.mean();
        let Some(head) = &self.weights.classifier else { return Ok(x) };
        let (backend, work) = (&*self.backend, &mut self.work);
        let [between, labels] = work.scored.as_mut().expect("allocated for the head there is");
        backend.upload(&mut work.output_normed, &x)?;
        if let Some((weight, bias)) = &head.dense {
            backend.matmul(&mut [&mut *between], &work.output_normed, &[weight])?;
            if let Some(bias) = bias {
                backend.add_bias(between, bias)?;
            }
            // tanh
            backend.soft_cap(between, 1.0)?;
        }
        let last = if head.dense.is_some() { between } else { &mut work.output_normed };
        backend.matmul(&mut [&mut *labels], last, &[&head.output.0])?;
        if let Some(bias) = &head.output.1 {
            backend.add_bias(labels, bias)?;
        }
        backend.download(&mut x, labels)?;
        // Of yes and no: the sigmoid of their difference is what softmax gives yes.
        Ok(vec![x.iter().skip(1).fold(x[0], |yes, no| yes - no)])
    }

    fn pooling(&self) -> Result<Pooling> {
        let why = || Error::Step("a model that makes text does not pool rows".to_owned());
        self.spec.pooling.ok_or_else(why)
    }

    fn check_types(&self, batch: &Batch<'_>, types: &[u32]) -> Result<()> {
        let count = self.spec.entry.types.unwrap_or(1);
        let fits = types.is_empty() || types.len() == batch.tokens.len();
        if fits && types.iter().all(|of| (*of as usize) < count) {
            return Ok(());
        }
        let (found, rows) = (types.len(), batch.tokens.len());
        Err(Error::Step(format!("{found} types of {rows} rows, each below {count}")))
    }
}
