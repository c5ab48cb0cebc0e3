//! Descriptors that init is done with. They are closed together, as those opened one after the other are neighbours, which
//! take one call.

use crate::linux::close_range;

/// More would be too many for those that are allowed few.
const MAX: usize = 6;

/// Descriptors that wait to be closed, in ascending order.
pub struct Closing {
    waiting: [i32; MAX],
    len: usize,
}

impl Closing {
    pub const fn new() -> Closing {
        Closing { waiting: [0; MAX], len: 0 }
    }

    pub fn add(&mut self, fd: i32) {
        let mut at = self.len;
        while at > 0 && self.waiting[at - 1] > fd {
            self.waiting[at] = self.waiting[at - 1];
            at -= 1;
        }
        self.waiting[at] = fd;
        self.len += 1;
        if self.len == MAX {
            self.close_all();
        }
    }

    pub fn close_all(&mut self) {
        let len = core::mem::take(&mut self.len);
        for neighbours in self.waiting[..len].chunk_by(|one, next| one + 1 == *next) {
            close_range(neighbours[0], neighbours[neighbours.len() - 1]);
        }
    }
}
