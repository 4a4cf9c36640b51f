//! Shares independent outputs out over threads, because a whole model on one thread is too slow
//! to test with.

/// Less work than this many multiplications is done on the calling thread. It takes about 1 ms;
/// starting a thread takes less, but on a busy machine the wait for its turn takes more.
const PARALLEL_WORK_MIN: usize = 1 << 20;

/// Calls `work(first, share)` with shares of whole chunks of `chunk_len` values that together are
/// `out`; `first` is the index of a share's first chunk. A chunk costs `chunk_work`
/// multiplications.
pub(super) fn spread(
    threads: usize,
    out: &mut [f32],
    (chunk_len, chunk_work): (usize, usize),
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let chunks = out.len() / chunk_len.max(1);
    let threads = threads.min(chunks);
    if threads <= 1 || chunks.saturating_mul(chunk_work) < PARALLEL_WORK_MIN {
        work(0, out);
        return;
    }
    let chunks_each = chunks.div_ceil(threads);
    std::thread::scope(|scope| {
        let mut shares = out.chunks_mut(chunks_each * chunk_len).enumerate();
        let own = shares.next();
        for (i, share) in shares {
            let work = &work;
            scope.spawn(move || work(i * chunks_each, share));
        }
        if let Some((_, share)) = own {
            work(0, share);
        }
    });
}
