//! What differs between processor architectures: how a system call is made, the numbers, and how a program starts.
//!
//! This folder uses nothing but `core`: the init program, which has neither std nor libc, compiles it as well.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// Makes a system call and turns the kernel's answer into the value or the error number.
///
/// # Safety
/// The arguments must be what the kernel expects of call `number`; pointers must be valid for what it reads or writes.
#[inline]
pub unsafe fn call(number: usize, args: [usize; 6]) -> Result<usize, i32> {
    // SAFETY: the caller vouches for the arguments.
    let answer = unsafe { syscall6(number, args) } as isize;
    // The kernel answers with -errno in -4095..=-1 (syscall(2)).
    if (-4095..0).contains(&answer) { Err(-answer as i32) } else { Ok(answer as usize) }
}
