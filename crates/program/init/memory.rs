//! Memory by its address: an argument, and the functions that compiled code calls without being asked, as there is no libc to
//! have them.

use crate::arch::{copy_bytes, fill_bytes};

/// Reads a decimal number.
///
/// # Safety
/// `at` must be the address of a NUL-terminated string.
pub unsafe fn number(at: usize) -> usize {
    let mut value = 0;
    let mut digit = at as *const u8;
    // SAFETY: the caller vouches for the string.
    unsafe {
        while *digit != 0 {
            value = value * 10 + usize::from(digit.read().wrapping_sub(b'0'));
            digit = digit.add(1);
        }
    }
    value
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the contract of memcpy(3).
    unsafe { copy_bytes(to, from, count) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: the contract of memmove(3); forward copying is right where the target does not start inside.
        unsafe { copy_bytes(to, from, count) };
    } else {
        for i in (0..count).rev() {
            // SAFETY: the contract of memmove(3); volatile keeps the loop from becoming a call of memmove itself.
            unsafe { to.add(i).write_volatile(from.add(i).read()) };
        }
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the contract of memset(3).
    unsafe { fill_bytes(to, value as u8, count) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    for i in 0..count {
        // SAFETY: the contract of memcmp(3).
        let (a, b) = unsafe { (one.add(i).read_volatile(), other.add(i).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: the contract of bcmp(3) is memcmp's.
    unsafe { memcmp(one, other, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: the contract of strlen(3).
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
