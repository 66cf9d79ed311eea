//! A bound for single allocations: what a few bytes make a program ask for is told at once, and not only when memory is used up.

use std::alloc::{GlobalAlloc, Layout, System};

/// More than anything takes that a target decodes.
const MOST: usize = 256 << 20;

/// The system's allocator, of which nobody may ask for more.
#[derive(Debug)]
pub struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

fn check(bytes: usize) {
    assert!(bytes <= MOST, "{bytes} bytes are asked for at once");
}

#[expect(unsafe_code, reason = "the interface of allocators is; everything is the system's to do")]
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check(bytes);
        unsafe { System.realloc(place, layout, bytes) }
    }
}
