//! Small kernels: what they compute, and that mistakes planted in them are found.

use std::sync::Arc;

use metal_on_cpu::encoder::Encoder;
use metal_on_cpu::findings;
use metal_on_cpu::hazard::Fence;
use metal_on_cpu::library::{Library, Pipeline};
use metal_on_cpu::memory::Memory;
use metal_on_cpu::queue::{CommandBuffer, Queue, Status};
use metal_on_cpu::stats::totals;

const SOURCE: &str = r#"
#include <metal_stdlib>
using namespace metal;
constant int SCALE [[function_constant(2)]];
constant bool TWICE [[function_constant(0)]];

kernel void scale(device const float *x, device float *y, constant uint &n, uint i [[thread_position_in_grid]]) {
    if (i < n) y[i] = x[i] * SCALE * (TWICE ? 2 : 1);
}
template <typename T, int N>
[[kernel]] void total(device const T *x [[buffer(0)]], device T *y [[buffer(1)]], constant uint &n [[buffer(2)]],
                      uint tid [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]], uint sg [[simdgroup_index_in_threadgroup]]) {
    threadgroup T part[N / 32];
    T s = 0;
    for (uint i = tid; i < n; i += N) s += x[i];
    s = simd_sum(s);
    if (lane == 0) part[sg] = s;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (tid == 0) { T all = 0; for (int k = 0; k < N / 32; k++) all += part[k]; y[0] = all; }
}
template [[host_name("total_f32")]] [[kernel]] decltype(total<float, 256>) total<float, 256>;
template [[host_name("total_i32")]] [[kernel]] decltype(total<int, 64>) total<int, 64>;

kernel void product(device const float *a, device const float *b, device float *d, threadgroup float *t [[threadgroup(0)]], uint lane [[thread_index_in_simdgroup]]) {
    for (uint i = lane; i < 64; i += 32) t[i] = a[i];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_float8x8 A, B, D = make_filled_simdgroup_matrix<float, 8>(1.0f);
    simdgroup_load(A, t, 8);
    simdgroup_load(B, b, 8, 0, true);
    simdgroup_multiply_accumulate(D, A, B, D);
    simdgroup_store(D, d, 8);
}
kernel void shuffle(device int *y, uint i [[thread_position_in_grid]]) {
    y[i] = simd_shuffle_xor(int(i), 1) * 1000 + simd_shuffle_down(int(i), 2);
}
kernel void too_far(device const float *x, device float *y, uint i [[thread_position_in_grid]]) { y[i] = x[i + 8]; }
kernel void diverged(device float *y, uint i [[thread_position_in_grid]]) {
    if (i == 3) return;
    threadgroup_barrier(mem_flags::mem_none);
    y[i] = 1;
}
kernel void two_ways(device float *y, uint i [[thread_position_in_grid]]) {
    if (i < 4) { threadgroup_barrier(mem_flags::mem_none); y[i] = 1; } else { threadgroup_barrier(mem_flags::mem_none); y[i] = 2; }
}
kernel void spills(device float *y, uint i [[thread_index_in_threadgroup]]) {
    threadgroup float t[8];
    t[i] = 1;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[i % 8] = t[i % 8];
}
kernel void deep(device float *y, uint i [[thread_position_in_grid]]) { volatile float a[40000]; a[i] = 1; y[i] = a[i + 1]; }
"#;

fn pipeline(name: &str, constants: Vec<(usize, String)>) -> Arc<Pipeline> {
    let library = Library::from_source(SOURCE, false).unwrap();
    let function = library.function(name, constants).unwrap_or_else(|| panic!("no {name}"));
    function.pipeline().unwrap_or_else(|e| panic!("{e}"))
}

fn buffer<T: Copy>(data: &[T]) -> Arc<Memory> {
    let memory = empty(size_of_val(data));
    // SAFETY: as many bytes.
    unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), memory.data().cast(), data.len()) };
    memory
}

fn empty(length: usize) -> Arc<Memory> {
    Arc::new(Memory::new(length, true, false).unwrap())
}

fn read<T: Copy>(memory: &Memory) -> Vec<T> {
    // SAFETY: the tests read the type that they wrote.
    unsafe { std::slice::from_raw_parts(memory.data().cast(), memory.length() / size_of::<T>()) }.to_vec()
}

fn run(record: impl FnOnce(&Encoder)) -> Arc<CommandBuffer> {
    let commands = Queue::new().command_buffer();
    let encoder = Encoder::new(&commands, true);
    record(&encoder);
    encoder.end();
    commands.commit();
    commands.wait();
    commands
}

/// Whether there was a finding of which this is part; it does not count any more.
fn found(word: &str) -> bool {
    findings::take(word)
}

#[test]
fn constants_and_bounds() {
    let (x, y) = (buffer(&[1f32, 2., 3.]), empty(16));
    run(|e| {
        e.set_pipeline(pipeline("scale", vec![(2, "5".into()), (0, "true".into())]));
        e.set_buffer(0, Some(x), 0);
        e.set_buffer(1, Some(y.clone()), 0);
        e.set_bytes(2, &3u32.to_ne_bytes());
        e.dispatch([4, 1, 1], [4, 1, 1]);
    });
    let y = read::<f32>(&y);
    assert_eq!(y[..3], [10., 20., 30.]);
    assert!(y[3].is_nan(), "what nobody wrote is the canary");
}

#[test]
fn simd_and_threadgroup() {
    let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let y = empty(4);
    run(|e| {
        e.set_pipeline(pipeline("total_f32", vec![]));
        e.set_buffer(0, Some(buffer(&x)), 0);
        e.set_buffer(1, Some(y.clone()), 0);
        e.set_bytes(2, &1000u32.to_ne_bytes());
        e.dispatch([256, 1, 1], [256, 1, 1]);
    });
    assert_eq!(read::<f32>(&y), [499_500.]);
    assert!(!found("total_f32: "), "all of it is in order");
    let y = empty(4 * 64);
    run(|e| {
        e.set_pipeline(pipeline("shuffle", vec![]));
        e.set_buffer(0, Some(y.clone()), 0);
        e.dispatch([64, 1, 1], [64, 1, 1]);
    });
    let y = read::<i32>(&y);
    assert_eq!((y[0], y[1], y[32], y[29]), (1002, 3, 33_034, 28_031));
}

#[test]
fn matrices() {
    let a: Vec<f32> = (0..64).map(|i| (i % 7) as f32).collect();
    let b: Vec<f32> = (0..64).map(|i| (i % 5) as f32 - 2.).collect();
    let d = empty(256);
    run(|e| {
        e.set_pipeline(pipeline("product", vec![]));
        e.set_buffer(0, Some(buffer(&a)), 0);
        e.set_buffer(1, Some(buffer(&b)), 0);
        e.set_buffer(2, Some(d.clone()), 0);
        e.set_threadgroup_length(0, 256);
        e.dispatch([32, 1, 1], [32, 1, 1]);
    });
    let want = |i: usize, j: usize| 1. + (0..8).map(|k| a[i * 8 + k] * b[j * 8 + k]).sum::<f32>();
    let d = read::<f32>(&d);
    assert!((0..64).all(|i| d[i] == want(i / 8, i % 8)), "{d:?}");
}

#[test]
fn an_access_out_of_bounds_fails_the_command_buffer() {
    let commands = run(|e| {
        e.set_pipeline(pipeline("too_far", vec![]));
        e.set_buffer(0, Some(empty(64)), 0);
        e.set_buffer(1, Some(empty(64)), 0);
        e.dispatch([16, 1, 1], [16, 1, 1]);
    });
    assert_eq!(commands.status(), Status::Error);
    let error = commands.error().unwrap();
    assert!(error.contains("too_far: out of bounds, 0 bytes past the end of buffer 0"), "{error}");
    assert!(error.contains("thread [8, 0, 0]"), "{error}");
    assert!(found("too_far: out of bounds"));
}

#[test]
fn a_stack_overflow_fails_the_command_buffer() {
    let commands = run(|e| {
        e.set_pipeline(pipeline("deep", vec![]));
        e.set_buffer(0, Some(empty(64)), 0);
        e.dispatch([16, 1, 1], [16, 1, 1]);
    });
    assert_eq!(commands.status(), Status::Error);
    assert!(found("deep: "));
}

#[test]
fn divergence_and_spills_are_found() {
    for (name, word) in [
        ("diverged", "diverged: threads returned"),
        ("two_ways", "two_ways: threads met at different"),
        ("spills", "spills: wrote outside"),
    ] {
        run(|e| {
            e.set_pipeline(pipeline(name, vec![]));
            e.set_buffer(0, Some(empty(128)), 0);
            e.dispatch([9, 1, 1], [9, 1, 1]);
        });
        assert!(found(word), "{name}");
    }
}

/// Records `y = x`.
fn copy(e: &Encoder, x: &Arc<Memory>, y: &Arc<Memory>) {
    e.set_pipeline(pipeline("scale", vec![(2, "1".into())]));
    e.set_buffer(0, Some(x.clone()), 0);
    e.set_buffer(1, Some(y.clone()), 0);
    e.set_bytes(2, &4u32.to_ne_bytes());
    e.dispatch([4, 1, 1], [4, 1, 1]);
}

#[test]
fn missing_barriers_and_fences_fail_the_command_buffer() {
    let (x, y, z) = (buffer(&[1f32; 4]), empty(16), empty(16));
    let ordered = run(|e| {
        copy(e, &x, &y);
        e.barrier();
        copy(e, &y, &z);
    });
    assert!(ordered.error().is_none() && read::<f32>(&z) == [1.; 4]);
    let unordered = run(|e| {
        copy(e, &x, &y);
        copy(e, &y, &z);
    });
    assert!(unordered.error().is_some());
    assert!(found("no barrier between scale and scale: read after write of buffer 0"));
    let commands = Queue::new().command_buffer();
    let fence = Fence::default();
    let (first, second) = (Encoder::new(&commands, true), Encoder::new(&commands, true));
    copy(&first, &x, &y);
    first.update(&fence);
    second.wait(&fence);
    copy(&second, &y, &z);
    assert!(!found("no fence"));
    let third = Encoder::new(&commands, true);
    copy(&third, &z, &x);
    assert!(found("no fence between scale and scale"));
}

#[test]
fn results_are_not_there_before_the_host_waits() {
    let (x, y) = (buffer(&[1f32; 4]), empty(16));
    let commands = Queue::new().command_buffer();
    let encoder = Encoder::new(&commands, true);
    copy(&encoder, &x, &y);
    encoder.end();
    commands.commit();
    assert!(read::<f32>(&y).iter().all(|y| y.is_nan()), "read too early");
    commands.wait();
    assert_eq!(read::<f32>(&y), [1.; 4]);
}

#[test]
fn wrong_bindings_are_found() {
    let (x, y) = (buffer(&[1f32; 4]), empty(16));
    run(|e| {
        copy(e, &x, &y);
        e.barrier();
        e.set_bytes(2, &[4u8, 0]);
        e.dispatch([4, 1, 1], [4, 1, 1]);
    });
    assert!(found("argument 2 has 2 bytes, the kernel reads 4"));
    run(|e| {
        copy(e, &x, &y);
        e.barrier();
        e.set_buffer(0, Some(x.clone()), 2);
        e.set_bytes(2, &3u32.to_ne_bytes());
        e.dispatch([3, 1, 1], [3, 1, 1]);
    });
    assert!(found("no multiple of its element's 4 bytes"));
    let commands = run(|e| {
        copy(e, &x, &y);
        e.barrier();
        e.set_buffer(0, Some(x.clone()), 32);
        e.dispatch([4, 1, 1], [4, 1, 1]);
    });
    assert!(commands.error().is_some() && found("buffer 0 bound at 32, past its 16 bytes"));
    run(|e| e.set_bytes(0, &[0; 4097]));
    assert!(found("setBytes with 4097 bytes"));
}

#[test]
fn command_buffers_used_wrongly_are_found() {
    let commands = run(|_| ());
    commands.commit();
    assert!(found("committed twice"));
    Encoder::new(&commands, true);
    assert!(found("an encoder was made on a committed command buffer"));
    Queue::new().command_buffer().wait();
    assert!(found("never committed"));
}

#[test]
fn what_a_piece_of_work_costs_can_be_read() {
    // Totals are of the process, in which other tests run: what can be said is at least.
    let before = totals();
    run(|e| copy(e, &buffer(&[1f32; 4]), &empty(16)));
    let cost = totals().since(before);
    assert!(cost.dispatches >= 1 && cost.bytes_in >= 16 && cost.bytes_out >= 16, "{cost:?}");
    assert!(cost.waits >= 1 && cost.command_buffers >= 1 && cost.buffer_bytes >= 32, "{cost:?}");
}
