//! The guard: a container that shares the host's network may read its settings and not write them, whatever mounts it has, and
//! whatever capabilities but for CAP_SYS_ADMIN, with which it can leave its cgroup or detach this program.

use sys::bpf::{Assembler, AssemblyError, Field, Helper, If, Instruction, Register, Width};

/// Refuses to write any sysctl below `net`, with EPERM. It holds for all network namespaces that the container's processes are
/// in, as the context does not tell which one is meant.
pub(super) fn program() -> Result<Vec<Instruction>, AssemblyError> {
    /// `struct bpf_sysctl`
    const WRITE: Field = Field::word(0);
    const NAME: i16 = -8;
    let mut asm = Assembler::default();
    let pass = asm.label();
    asm.load_field(Register::R2, Register::R1, WRITE);
    asm.jump_if(Register::R2, If::Equal, 0, pass);
    asm.copy(Register::R2, Register::R10);
    asm.add(Register::R2, NAME.into());
    asm.set(Register::R3, -i32::from(NAME));
    asm.set(Register::R4, 0);
    // Its answer does not matter: of a longer name the beginning is there all the same.
    asm.call(Helper::SysctlName);
    asm.load(Width::Word, Register::R1, Register::R10, NAME);
    asm.jump_if(Register::R1, If::Differs, u32::from_ne_bytes(*b"net/"), pass);
    asm.answer(0);
    asm.place(pass);
    asm.answer(1);
    asm.finish()
}
