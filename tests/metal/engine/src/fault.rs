//! A kernel's access outside its memory ends the dispatch, not the process.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::Once;

use crate::launch::{COLOUR, COLOURS, FLAG_FAULT, Launch, STACK, Worker};

/// What runs on this OS thread.
pub struct Running {
    pub worker: *mut Worker,
    pub launch: *const Launch,
    pub fault: Cell<Option<Fault>>,
}

/// Where a kernel touched what it may not.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub address: usize,
    pub in_stack: bool,
    /// The processor tells no address: a vector that is not at a multiple of its size, or an address no memory can have.
    pub unaligned: bool,
    /// The thread's position in its group and the group's.
    pub thread: [u32; 3],
    pub group: [u32; 3],
}

/// The part of `Fiber` that stands at the top of its stack.
#[repr(C)]
struct Fiber {
    sp: *mut c_void,
    group: *const GroupStart,
    simd: *mut c_void,
    lane: u32,
    next_free: *mut c_void,
    in_group: [u32; 3],
    rest: [u32; 7],
}

#[repr(C)]
struct GroupStart {
    launch: *const c_void,
    worker: *mut c_void,
    free_list: *mut c_void,
    position: [u32; 3],
}

/// A fault without an address.
const SI_KERNEL: c_int = 0x80;

thread_local! {
    static RUNNING: Cell<*const Running> = const { Cell::new(std::ptr::null()) };
}

static mut OLD: [Option<libc::sigaction>; 2] = [None, None];

/// Runs a kernel with faults turned into `running.fault`.
pub fn guarded(running: &Running, run: impl FnOnce()) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        for (i, signal) in [libc::SIGSEGV, libc::SIGBUS].into_iter().enumerate() {
            // SAFETY: installs a handler that touches only this thread's cells.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                let mut old = std::mem::zeroed();
                libc::sigaction(signal, &raw const action, &raw mut old);
                OLD[i] = Some(old);
            }
        }
    });
    RUNNING.set(running);
    run();
    RUNNING.set(std::ptr::null());
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let running = RUNNING.get();
    // SAFETY: the kernel gives valid pointers; a running dispatch keeps its parts alive.
    unsafe {
        if running.is_null() || (*(*running).worker).fault_exit == 0 {
            let old = OLD[usize::from(signal == libc::SIGBUS)];
            if let Some(old) = old.filter(|o| o.sa_flags & libc::SA_SIGINFO != 0 && o.sa_sigaction > 1) {
                let handler = std::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                    old.sa_sigaction,
                );
                return handler(signal, info, context);
            }
            libc::signal(signal, libc::SIG_DFL);
            return;
        }
        let worker = (*running).worker;
        let context = &mut *context.cast::<libc::ucontext_t>();
        let address = (*info).si_addr() as usize;
        let sp = stack_pointer(context);
        let stacks = (*worker).stacks as usize;
        let unaligned = (*info).si_code == SI_KERNEL;
        let mut fault = Fault { address, in_stack: false, unaligned, thread: [0; 3], group: [0; 3] };
        if (stacks..stacks + STACK * crate::launch::MAX_THREADS).contains(&sp) {
            fault.in_stack = (sp & !(STACK - 1)..=sp | (STACK - 1)).contains(&address);
            let colour = sp / STACK % COLOURS * COLOUR;
            let fiber = &*(((sp | (STACK - 1)) + 1 - size_of::<Fiber>() - colour) as *const Fiber);
            fault.thread = fiber.in_group;
            fault.group = (*fiber.group).position;
        }
        (*running).fault.set(Some(fault));
        (*worker).flags |= FLAG_FAULT;
        jump(context, (*worker).fault_exit, (*worker).main_sp as usize);
    }
}

#[cfg(target_arch = "x86_64")]
fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize
}
#[cfg(target_arch = "x86_64")]
fn jump(context: &mut libc::ucontext_t, to: usize, argument: usize) {
    context.uc_mcontext.gregs[libc::REG_RIP as usize] = to as i64;
    context.uc_mcontext.gregs[libc::REG_RDI as usize] = argument as i64;
}
#[cfg(target_arch = "aarch64")]
fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.sp as usize
}
#[cfg(target_arch = "aarch64")]
fn jump(context: &mut libc::ucontext_t, to: usize, argument: usize) {
    context.uc_mcontext.pc = to as u64;
    context.uc_mcontext.regs[0] = argument as u64;
}
