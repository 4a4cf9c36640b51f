//! AMX for tests on processors that lack it: the few instructions that `amx` uses are carried out
//! when the processor refuses them.
//!
//! Encodings and meanings are those of Intel's Instruction Set Extensions reference; anything else
//! that is refused ends the process, as it would have without this.
#![expect(unsafe_code, reason = "a signal handler that reads and writes another's registers")]

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};

/// The tiles of a thread.
struct State {
    row_bytes: [u16; 8],
    rows: [u8; 8],
    data: [[[u8; 64]; 16]; 8],
}

thread_local! {
    // Nothing to set up or to drop: safe to touch in a signal handler.
    static STATE: UnsafeCell<State> = const { UnsafeCell::new(State::NEW) };
}

/// From here on the process has AMX, slowly.
pub(super) fn install() {
    type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    // SAFETY: zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as Handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the signature that the flag asks for.
    let result = unsafe { libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) };
    assert_eq!(result, 0, "a signal handler");
}

extern "C" fn handle(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let context: *mut libc::ucontext_t = context.cast();
    // SAFETY: the system gives the context of the refused instruction, and it is this thread's.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    STATE.with(|state| {
        // SAFETY: the handler does not use instructions that would call it again.
        let state = unsafe { &mut *state.get() };
        // SAFETY: instructions are at most 15 bytes; these were just fetched.
        let known = unsafe { state.step(registers) };
        if !known {
            // SAFETY: the default handler is always there: the instruction is refused again.
            unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        }
    });
}

/// Where general registers 0 to 15 are kept.
const ORDER: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

impl State {
    const NEW: State = State { row_bytes: [0; 8], rows: [0; 8], data: [[[0; 64]; 16]; 8] };

    /// Carries out the instruction that the registers point to; false when it is none of AMX.
    ///
    /// # Safety
    /// The registers must be those of a thread that stopped at an instruction.
    unsafe fn step(&mut self, registers: &mut [i64; 23]) -> bool {
        let general = |n: u8| registers[ORDER[usize::from(n)] as usize];
        let rip = registers[libc::REG_RIP as usize];
        // SAFETY: the instruction was fetched from there; code is followed by more of its page.
        let code = unsafe { *(rip as *const [u8; 10]) };
        // Three bytes of VEX in the map 0F38, without W and with lines of 128 bits.
        if code[0] != 0xC4 || code[1] & 0x1F != 2 || code[2] & 0x84 != 0 {
            return false;
        }
        let (low_x, low_b) = ((!code[1] >> 6 & 1) << 3, (!code[1] >> 5 & 1) << 3);
        let (third, prefix) = (!code[2] >> 3 & 15, code[2] & 3);
        let (mode, reg, rm) = (code[4] >> 6, code[4] >> 3 & 7, code[4] & 7);
        let mut len = 5;
        let (mut base, mut step) = (0, 0);
        if mode != 3 {
            let mut register = rm | low_b;
            if rm == 4 {
                let sib = code[5];
                len += 1;
                register = sib & 7 | low_b;
                let index = sib >> 3 & 7 | low_x;
                step = if index == 4 { 0 } else { general(index) << (sib >> 6) };
            }
            let shift = match mode {
                0 if register & 7 != 5 => 0,
                1 => i64::from(code[len].cast_signed()),
                2 => i64::from(i32::from_le_bytes(*code[len..].first_chunk().expect("four"))),
                _ => return false,
            };
            len += [0, 1, 4][usize::from(mode)];
            base = general(register) + shift;
        }
        match (prefix, code[3], mode, rm) {
            // SAFETY: the instruction's operand are 64 readable bytes.
            (0, 0x49, 0..3, _) => unsafe { self.set_shapes(base as *const [u8; 64]) },
            (0, 0x49, 3, 0) => self.rows = [0; 8],
            (3, 0x49, 3, 0) => self.data[usize::from(reg)] = [[0; 64]; 16],
            // SAFETY: the instruction's operand are as many rows as the shapes say.
            (3, 0x4B, 0..3, 4) => unsafe { self.load(reg, base, step) },
            // SAFETY: as above.
            (2, 0x4B, 0..3, 4) => unsafe { self.store(reg, base, step) },
            (3, 0x5E, 3, _) => self.multiply_signed(reg, rm, third),
            (2, 0x5C, 3, _) => self.multiply_bf16(reg, rm, third),
            _ => return false,
        }
        registers[libc::REG_RIP as usize] = rip + len as i64;
        true
    }

    unsafe fn set_shapes(&mut self, from: *const [u8; 64]) {
        // SAFETY: the caller's promise.
        let bytes = unsafe { &*from };
        assert_eq!(bytes[0], 1, "palette");
        for tile in 0..8 {
            self.row_bytes[tile] = u16::from_le_bytes([bytes[16 + 2 * tile], bytes[17 + 2 * tile]]);
            self.rows[tile] = bytes[48 + tile];
        }
        self.data = [[[0; 64]; 16]; 8];
    }

    unsafe fn load(&mut self, tile: u8, base: i64, step: i64) {
        let tile = usize::from(tile);
        self.data[tile] = [[0; 64]; 16];
        for row in 0..self.rows[tile] {
            let from = (base + i64::from(row) * step) as *const u8;
            let to = &mut self.data[tile][usize::from(row)][..usize::from(self.row_bytes[tile])];
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        }
    }

    unsafe fn store(&mut self, tile: u8, base: i64, step: i64) {
        let tile = usize::from(tile);
        for row in 0..self.rows[tile] {
            let to = (base + i64::from(row) * step) as *mut u8;
            let from = &self.data[tile][usize::from(row)][..usize::from(self.row_bytes[tile])];
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        }
    }

    /// The tiles of a product, whose shapes must fit.
    fn fitting(&self, tiles: [u8; 3]) -> [usize; 3] {
        let [c, a, b] = tiles.map(usize::from);
        assert_eq!(self.rows[c], self.rows[a], "rows of sums");
        assert_eq!(self.row_bytes[c], self.row_bytes[b], "columns of sums");
        assert_eq!(self.row_bytes[a], 4 * u16::from(self.rows[b]), "columns of a product");
        [c, a, b]
    }

    /// `c[m][n] += a[m][2k + i] * b[k][2n + i]` for all `k` and `i`: for each `i` a chain of
    /// additions from 0, and denormal numbers are 0.
    fn multiply_bf16(&mut self, c: u8, a: u8, b: u8) {
        let [c, a, b] = self.fitting([c, a, b]);
        for m in 0..usize::from(self.rows[c]) {
            for n in 0..usize::from(self.row_bytes[c]) / 4 {
                let mut chains = [0.0_f32; 2];
                for k in 0..usize::from(self.rows[b]) {
                    for (i, chain) in chains.iter_mut().enumerate() {
                        let x = bf16_at(&self.data[a][m], 2 * k + i);
                        *chain = flush(x.mul_add(bf16_at(&self.data[b][k], 2 * n + i), *chain));
                    }
                }
                let sum: &mut [u8; 4] =
                    self.data[c][m][4 * n..].first_chunk_mut().expect("a dword");
                let total = flush(f32::from_le_bytes(*sum)) + flush(chains[0] + chains[1]);
                *sum = flush(total).to_le_bytes();
            }
        }
    }

    /// `c[m][n] += a[m][4k + i] * b[k][4n + i]` for all `k` and `i`.
    fn multiply_signed(&mut self, c: u8, a: u8, b: u8) {
        let [c, a, b] = self.fitting([c, a, b]);
        for m in 0..usize::from(self.rows[c]) {
            let a = self.data[a][m].map(u8::cast_signed);
            for n in 0..usize::from(self.row_bytes[c]) / 4 {
                let sum: &mut [u8; 4] =
                    self.data[c][m][4 * n..].first_chunk_mut().expect("a dword");
                let mut total = i32::from_le_bytes(*sum);
                for k in 0..usize::from(self.rows[b]) {
                    for i in 0..4 {
                        let b = self.data[b][k][4 * n + i].cast_signed();
                        total = total.wrapping_add(i32::from(a[4 * k + i]) * i32::from(b));
                    }
                }
                *self.data[c][m][4 * n..].first_chunk_mut().expect("a dword") = total.to_le_bytes();
            }
        }
    }
}

fn bf16_at(row: &[u8; 64], column: usize) -> f32 {
    let bytes = [0, 0, row[2 * column], row[2 * column + 1]];
    flush(f32::from_le_bytes(bytes))
}

/// Denormal numbers as zeros.
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

#[cfg(test)]
mod tests {
    use super::State;

    /// `tdpbf16ps tmm3, tmm5, tmm7`.
    static PRODUCT: [u8; 16] = [0xC4, 0xE2, 0x42, 0x5C, 0xDD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn bf16_products_are_two_chains() {
        let mut state = State::NEW;
        (state.row_bytes, state.rows) = ([64; 8], [16; 8]);
        // Small whole numbers, whose sums are exact, and one that is denormal.
        let value = |tile: usize, row: usize, column: usize| (tile + 3 * row + column) % 7;
        let bits = |x: usize| (x as f32).to_bits().to_le_bytes();
        for tile in [5, 7] {
            for row in 0..16 {
                for column in 0..32 {
                    let bytes = bits(value(tile, row, column));
                    state.data[tile][row][2 * column..][..2].copy_from_slice(&bytes[2..]);
                }
            }
        }
        state.data[5][2][..2].copy_from_slice(&[1, 0]);
        let mut registers = [0; 23];
        registers[libc::REG_RIP as usize] = PRODUCT.as_ptr() as i64;
        // SAFETY: the registers point to an instruction.
        assert!(unsafe { state.step(&mut registers) });
        assert_eq!(registers[libc::REG_RIP as usize], PRODUCT.as_ptr() as i64 + 5);
        for m in 0..16 {
            for n in 0..16 {
                let of = |k: usize, i: usize| {
                    let is_denormal = (m, k, i) == (2, 0, 0);
                    let x = if is_denormal { 0 } else { value(5, m, 2 * k + i) };
                    x * value(7, k, 2 * n + i)
                };
                let want: usize = (0..16).flat_map(|k| [of(k, 0), of(k, 1)]).sum();
                let found = state.data[3][m][4 * n..].first_chunk().expect("a dword");
                assert_eq!(f32::from_le_bytes(*found), want as f32, "{m} {n}");
            }
        }
    }
}
