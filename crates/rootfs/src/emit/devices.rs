//! Device nodes, the links of `/dev`, and the console.

use program::{Op, ProgramBuilder, Resolve, Slot};

use super::{ConsolePlan, Emitter};

impl Emitter<'_> {
    /// Makes the device nodes and the links of `/dev`.
    pub fn devices(&self, b: &mut ProgramBuilder) {
        todo!()
    }

    /// Makes a pseudo-terminal in the container's devpts and mounts its end on `/dev/console`. Returns the slots of the
    /// multiplexer, which goes to the caller of the runtime, and of the terminal, which becomes the process's.
    pub fn console(&self, terminal: ConsolePlan, b: &mut ProgramBuilder) -> (Slot, Slot) {
        todo!()
    }
}
