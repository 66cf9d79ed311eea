//! What Rust and the kernels' C++ share: `Launch`, `Worker` and `ParamInfo` of `msl_runtime.h`.

use std::ffi::c_void;

pub const MAX_BUFFERS: usize = 31;
pub const MAX_THREADS: usize = 1024;
pub const STACK: usize = 1 << 16;
/// Where a stack's `Fiber` is: this many steps of so many bytes below its top, by the stack's number.
pub const COLOURS: usize = 64;
pub const COLOUR: usize = 320;

#[repr(C)]
#[derive(Clone)]
pub struct Launch {
    pub grid: [u32; 3],
    pub threads: [u32; 3],
    pub groups: [u32; 3],
    pub buffer: [*mut c_void; MAX_BUFFERS],
    pub threadgroup_length: [u32; MAX_BUFFERS],
}

// SAFETY: the pointers are to memory of the device, which the dispatch keeps alive.
unsafe impl Send for Launch {}
// SAFETY: as above.
unsafe impl Sync for Launch {}

#[repr(C)]
pub struct Worker {
    pub stacks: *mut u8,
    pub arena: *mut u8,
    pub arena_size: usize,
    pub group: *mut c_void,
    pub main_sp: *mut c_void,
    pub fault_exit: usize,
    pub flags: u32,
    pub threadgroup_used: u32,
}

pub const FLAG_FAULT: u32 = 32;
/// The flags of `msl_runtime.h` in words.
pub const FLAGS: [(u32, &str); 5] = [
    (1, "threads returned while others waited at threadgroup_barrier"),
    (2, "lanes of one simdgroup met at different simdgroup operations"),
    (4, "threads met at different threadgroup_barriers"),
    (8, "wrote outside a threadgroup allocation"),
    (16, "more than 32 KiB of threadgroup memory"),
];

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ParamInfo {
    pub kind: u32,
    pub index: u32,
    pub pointer: u32,
    pub writable: u32,
    pub element: u32,
}

pub const KIND_BUFFER: u32 = 0;
pub const KIND_THREADGROUP: u32 = 1;
