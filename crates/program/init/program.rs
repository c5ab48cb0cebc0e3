//! The program as init sees it: the mapped file, and views of its operations and its arena.

use core::ffi::CStr;

use crate::linux::{self, Answer, EINVAL};
use crate::op::{Header, Inherited, MAGIC, Op, Str, StrList};

/// A program mapped into memory. It comes from the runtime in init's own file, a sealed memfd, so its offsets are trusted.
pub struct Program {
    base: *mut u8,
}

impl Program {
    /// Maps the program that the open file holds from `begin` to `end`, in bytes.
    pub fn map(fd: i32, begin: usize, end: usize) -> Answer<Program> {
        let size = end.wrapping_sub(begin);
        if end < begin || size < size_of::<Header>() || !begin.is_multiple_of(align_of::<Header>()) {
            return Err(EINVAL);
        }
        // SAFETY: the mapping reaches from the start of the file to `end`.
        let base = unsafe { linux::map_file(fd, end)?.add(begin) };
        let program = Program { base };
        let header = program.header();
        if header.magic != MAGIC || header.size as usize != size {
            return Err(EINVAL);
        }
        Ok(program)
    }

    pub fn header(&self) -> &Header {
        // SAFETY: what is mapped here is aligned, at least as large as the header, and never unmapped.
        unsafe { &*self.base.cast::<Header>() }
    }

    pub fn ops(&self) -> &[Op] {
        let header = self.header();
        // SAFETY: the builder wrote `ops` operations, of this very type, at this aligned offset.
        unsafe { core::slice::from_raw_parts(self.base.add(header.ops_at as usize).cast::<Op>(), header.ops as usize) }
    }

    pub fn inherited(&self) -> &[Inherited] {
        let behind = self.ops().as_ptr_range().end;
        // SAFETY: the builder wrote `inherited` entries directly behind the operations, whose alignment is greater.
        unsafe { core::slice::from_raw_parts(behind.cast::<Inherited>(), self.header().inherited as usize) }
    }

    pub fn bytes(&self, text: Str) -> &[u8] {
        // SAFETY: the builder only hands out ranges of its arena.
        unsafe { core::slice::from_raw_parts(self.base.add(text.at as usize), text.len as usize) }
    }

    pub fn text(&self, text: Str) -> &CStr {
        // SAFETY: the builder refuses NUL inside a string and puts one behind it.
        unsafe {
            CStr::from_bytes_with_nul_unchecked(core::slice::from_raw_parts(
                self.base.add(text.at as usize),
                text.len as usize + 1,
            ))
        }
    }

    /// The `index`th string of a list.
    pub fn item(&self, list: StrList, index: u32) -> &CStr {
        // SAFETY: the list has `count` words of offsets, each of a NUL-terminated string.
        unsafe {
            let word = self.base.add(list.at as usize).cast::<u64>().add(index as usize).read();
            CStr::from_ptr(self.base.add(word as usize).cast())
        }
    }

    /// Turns a list's offsets into the array of addresses that execve wants, in place. Only once for each list.
    pub fn vector(&self, list: StrList) -> *mut usize {
        // SAFETY: the list has `count` words and an ending 0, in this process's private copy of the pages.
        unsafe {
            let words = self.base.add(list.at as usize).cast::<usize>();
            for i in 0..list.count as usize {
                *words.add(i) += self.base as usize;
            }
            words
        }
    }
}
