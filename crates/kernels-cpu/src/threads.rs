//! A persistent pool of threads that share the chunks of one job at a time.
//!
//! A forward step has hundreds of short jobs, so workers spin for a while between jobs before they
//! sleep. A job is closed as soon as its caller finds no chunk left: a worker that is still asleep
//! then is never waited for.
#![expect(unsafe_code, reason = "a job borrows the caller's stack while workers run it")]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Most threads a pool starts.
pub const THREADS_MAX: usize = 256;
/// Turns of the spin loop before a worker sleeps: 50 to 100 microseconds where `pause` is slow.
const SPINS_BEFORE_SLEEP: u32 = 2000;
/// Turns of the spin loop before a waiting caller offers its core to others.
const SPINS_BEFORE_YIELD: u32 = 2000;
/// In [`State::word`]: workers inside the job.
const ACTIVE: u64 = (1 << 31) - 1;
/// In [`State::word`]: workers may enter the job.
const OPEN: u64 = 1 << 31;
/// In [`State::word`]: one job further.
const EPOCH: u64 = 1 << 32;

type Call<'a> = dyn Fn(usize) + Sync + 'a;

#[derive(Clone, Copy)]
struct Job {
    call: *const Call<'static>,
    chunks: usize,
}

/// What one thread writes often, apart from what others do: a cache line that two threads write is
/// handed from core to core each time. Two lines, as processors fetch them in pairs.
#[repr(align(128))]
struct Apart<T>(T);

/// The job's epoch in the high half, then how many of a thread's chunks are taken. It counts from
/// 0 again when a job of another epoch takes the first, so that between jobs nobody writes it.
struct Lane(AtomicU64);

struct State {
    /// Epoch in the high half, then [`OPEN`], then the count of workers inside.
    word: AtomicU64,
    job: UnsafeCell<Option<Job>>,
}

struct Shared {
    state: Apart<State>,
    /// Of each thread the chunks that it begins with. Who is done with its own takes others'.
    lanes: Vec<Apart<Lane>>,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written only while the state is closed with no worker inside, and read only by
// workers that entered an open state; `state` orders both. What the job points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer in `job` is only followed while the caller waits for it.
unsafe impl Send for Shared {}

/// A pool; the thread that calls [`Pool::run`] takes part.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a job runs; whoever finds it taken works alone.
    gate: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads, the caller counted; fewer when the system gives fewer.
    #[must_use]
    pub fn new(threads: usize) -> Pool {
        let threads = threads.clamp(1, THREADS_MAX);
        let shared = Arc::new(Shared {
            state: Apart(State { word: AtomicU64::new(0), job: UnsafeCell::new(None) }),
            lanes: (0..threads).map(|_| Apart(Lane(AtomicU64::new(0)))).collect(),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let spawn = |index: usize| {
            let shared = Arc::clone(&shared);
            let name = format!("kernels-cpu-{index}");
            std::thread::Builder::new().name(name).spawn(move || work(&shared, index)).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Pool { shared, workers, gate: Mutex::new(()) }
    }

    /// Threads that share a job, the caller counted.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `call` once for each chunk `0..chunks`, in any order, on all threads, and returns when
    /// all are done. A job started from inside a job runs on its own thread alone.
    ///
    /// # Panics
    /// With a chunk's panic, after every thread has left the job.
    pub fn run(&self, chunks: usize, call: impl Fn(usize) + Sync) {
        let several = chunks > 1 && u32::try_from(chunks).is_ok() && !self.workers.is_empty();
        let gate = if several { self.gate.try_lock().ok() } else { None };
        let Some(_gate) = gate else {
            (0..chunks).for_each(call);
            return;
        };
        let epoch = self.open(Job { call: forget_lifetime(&call), chunks });
        let take = || self.shared.take_chunks(0, (epoch, chunks), &call);
        let own = catch_unwind(AssertUnwindSafe(take));
        self.close();
        let workers = lock(&self.shared.panic).take();
        if let Some(payload) = own.err().or(workers) {
            drop(_gate);
            resume_unwind(payload);
        }
    }

    /// Calls `call(index, part)` for each part of `chunk_len` values of `data`; the last may be
    /// shorter.
    ///
    /// # Panics
    /// As [`Pool::run`]; and when `chunk_len` is 0.
    pub fn run_parts<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        call: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(chunk_len > 0, "parts must have a length");
        let chunks = data.len().div_ceil(chunk_len);
        let parts = Parts::new(data);
        self.run(chunks, |index| {
            let start = index * chunk_len;
            let len = chunk_len.min(parts.len() - start);
            // SAFETY: each chunk index is handed out once, and chunks do not overlap.
            call(index, unsafe { parts.slice(start, len) });
        });
    }

    /// The job's epoch.
    fn open(&self, job: Job) -> u64 {
        let shared = &*self.shared;
        let State { word, job: place } = &shared.state.0;
        // SAFETY: the gate is held and the last job was closed and left, so nobody reads it.
        unsafe { *place.get() = Some(job) };
        let state = (word.load(Ordering::Relaxed) & !(OPEN | ACTIVE)).wrapping_add(EPOCH);
        if state / EPOCH == 0 {
            // Epochs begin anew: what a lane that was long idle has must not be taken for this one.
            shared.lanes.iter().for_each(|lane| lane.0.0.store(0, Ordering::Relaxed));
        }
        word.store(state | OPEN, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&shared.sleep));
            shared.wake.notify_all();
        }
        state / EPOCH
    }

    fn close(&self) {
        let word = &self.shared.state.0.word;
        word.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while word.load(Ordering::Acquire) & ACTIVE != 0 {
            spins += 1;
            if spins < SPINS_BEFORE_YIELD {
                std::hint::spin_loop()
            } else {
                std::thread::yield_now()
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its chunks, so there is nothing to report here.
            drop(worker.join());
        }
    }
}

/// A slice whose disjoint parts several threads write.
pub(crate) struct Parts<'a, T> {
    cells: &'a [UnsafeCell<T>],
}

// SAFETY: access goes through `slice`, whose callers promise disjoint parts.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> Parts<'a, T> {
        let cells = std::ptr::from_mut(data) as *const [UnsafeCell<T>];
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and `data` is borrowed for `'a`.
        Parts { cells: unsafe { &*cells } }
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// # Safety
    /// No two live slices may overlap.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts are the purpose")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        let part = &self.cells[start..start + len];
        let first = UnsafeCell::raw_get(part.as_ptr());
        // SAFETY: `part` is in bounds, and the caller promises that it is nobody else's.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

impl Lane {
    /// The next of `count` chunks of the job of `epoch`.
    fn take(&self, epoch: u64, count: usize) -> Option<usize> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let taken = if seen / EPOCH == epoch { (seen % EPOCH) as usize } else { 0 };
            if taken >= count {
                return None;
            }
            let next = epoch * EPOCH + taken as u64 + 1;
            match self.0.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(taken),
                Err(now) => seen = now,
            }
        }
    }
}

impl Shared {
    /// All chunks that are left of a job `(epoch, chunks)`, those of thread `index` first.
    fn take_chunks(&self, index: usize, (epoch, chunks): (u64, usize), call: &Call<'_>) {
        let lanes = self.lanes.len();
        for turn in index..index + lanes {
            let lane = turn % lanes;
            let (first, end) = (chunks * lane / lanes, chunks * (lane + 1) / lanes);
            while let Some(taken) = self.lanes[lane].0.take(epoch, end - first) {
                call(first + taken);
            }
        }
    }

    /// Leaves nothing of the job of `epoch` to take.
    fn abandon(&self, epoch: u64) {
        for lane in &self.lanes {
            lane.0.0.store(epoch * EPOCH + (EPOCH - 1), Ordering::Relaxed);
        }
    }

    /// Enters the job of `state` unless it is closed or has changed.
    fn enter(&self, state: u64) -> bool {
        state & OPEN != 0
            && self
                .state
                .0
                .word
                .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Spins, then sleeps, until there is a job after `seen` or the pool ends.
    fn wait(&self, seen: u64) {
        for _ in 0..SPINS_BEFORE_SLEEP {
            if self.has_news(seen) {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !self.has_news(seen) {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn has_news(&self, seen: u64) -> bool {
        self.state.0.word.load(Ordering::SeqCst) / EPOCH != seen
            || self.stop.load(Ordering::Relaxed)
    }
}

fn work(shared: &Shared, index: usize) {
    let State { word, job } = &shared.state.0;
    let mut seen = 0;
    loop {
        shared.wait(seen);
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let state = word.load(Ordering::Acquire);
        if shared.enter(state) {
            // SAFETY: this worker is counted inside, so the caller keeps the job unchanged.
            let job = unsafe { *job.get() }.expect("an open state has a job");
            // SAFETY: the caller's borrow lasts until this worker has left.
            let call = unsafe { &*job.call };
            let epoch = state / EPOCH;
            let take = || shared.take_chunks(index, (epoch, job.chunks), call);
            let result = catch_unwind(AssertUnwindSafe(take));
            if let Err(payload) = result {
                // What is left is abandoned: the caller is about to panic with this payload.
                shared.abandon(epoch);
                lock(&shared.panic).get_or_insert(payload);
            }
            word.fetch_sub(1, Ordering::Release);
            seen = epoch;
        } else if state & OPEN == 0 {
            seen = state / EPOCH;
        }
    }
}

fn forget_lifetime<'a>(call: &'a (dyn Fn(usize) + Sync + 'a)) -> *const Call<'static> {
    // SAFETY: only the lifetime changes; `run` does not return before every worker has left.
    unsafe { std::mem::transmute::<*const Call<'a>, *const Call<'static>>(call) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
