// A convolution of frames, channels innermost, as a product of the pixels' neighbourhoods with the kernel, which are
// gathered tile by tile: nothing but frames and result touches memory.
//
// One threadgroup of four simdgroups for 64 pixels and OUTS channels of the result, in steps of 16 channels of one tap.
// A simdgroup holds 8·I pixels by 8·J channels; ACROSS of them lie side by side.
// Operations: 2 · taps · inner per element of the result. Bytes: a frame is read OUTS times less often than its channels
// are used, the kernel 64 times less often, and the result written once.

#include <metal_stdlib>
#include <metal_simdgroup_matrix>
using namespace metal;

constant constexpr uint PIXELS = 64;
constant constexpr uint DEPTH = 16;
constant constexpr uint SIMDGROUPS = 4;

struct Conv {
    uint height;     // of a frame
    uint width;
    uint inner;      // channels of a frame
    uint out_width;  // of the result
    uint pixels;
    uint outer;      // channels of the result
    uint frames;     // that there are
    uint first;      // the kernel's frame that goes with the first of them
    uint side;       // of the kernel
    uint stride;
    uint margin;     // zeros before a frame
    uint scale;      // pixels that each becomes, per side, before the kernel sees them
};

template <uint I, uint J, uint ACROSS>
[[kernel]] void conv(
    device const float* oldest [[buffer(0)]],
    device const float* older [[buffer(1)]],
    device const float* newest [[buffer(2)]],
    device const float* weight [[buffer(3)]],
    device const float* bias [[buffer(4)]],
    device float* out [[buffer(5)]],
    constant Conv& p [[buffer(6)]],
    uint2 tile [[threadgroup_position_in_grid]],
    uint index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]]
) {
    constexpr uint OUTS = 8 * J * ACROSS;
    threadgroup float left[PIXELS * DEPTH];
    threadgroup float right[DEPTH * OUTS];
    threadgroup float results[SIMDGROUPS * 64];

    const uint first_out = tile.x * OUTS;
    const uint first_pixel = tile.y * PIXELS;
    // What this thread gathers: eight channels of one pixel.
    const uint row = index / 2;
    const uint part = index % 2 * 8;
    const uint pixel = first_pixel + row;
    const int y = int(pixel / p.out_width * p.stride) - int(p.margin);
    const int x = int(pixel % p.out_width * p.stride) - int(p.margin);
    const uint top = simdgroup / ACROSS * 8 * I;
    const uint begin = simdgroup % ACROSS * 8 * J;

    simdgroup_float8x8 sum[I][J];
    for (uint i = 0; i < I; i++) {
        for (uint j = 0; j < J; j++) {
            sum[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }
    for (uint frame = 0; frame < p.frames; frame++) {
        device const float* source = frame == 0 ? oldest : frame == 1 ? older : newest;
        for (uint tap = 0; tap < p.side * p.side; tap++) {
            const int from_y = y + int(tap / p.side);
            const int from_x = x + int(tap % p.side);
            const bool there = pixel < p.pixels && from_y >= 0 && from_x >= 0 && from_y < int(p.height * p.scale) &&
                from_x < int(p.width * p.scale);
            const ulong from = there ? (ulong(from_y) / p.scale * p.width + ulong(from_x) / p.scale) * p.inner : 0;
            const ulong matrix = (ulong(p.first + frame) * p.side * p.side + tap) * p.inner * p.outer;
            for (uint depth = 0; depth < p.inner; depth += DEPTH) {
                threadgroup_barrier(mem_flags::mem_threadgroup);
                for (uint i = part; i < part + 8; i++) {
                    left[row * DEPTH + i] = there && depth + i < p.inner ? source[from + depth + i] : 0.0f;
                }
                for (uint i = index; i < DEPTH * OUTS; i += 32 * SIMDGROUPS) {
                    const uint channel = depth + i / OUTS;
                    const uint to = first_out + i % OUTS;
                    const bool inside = channel < p.inner && to < p.outer;
                    right[i] = inside ? weight[matrix + ulong(channel) * p.outer + to] : 0.0f;
                }
                threadgroup_barrier(mem_flags::mem_threadgroup);
                for (uint k = 0; k < DEPTH; k += 8) {
                    simdgroup_float8x8 a[I];
                    simdgroup_float8x8 b[J];
                    for (uint i = 0; i < I; i++) {
                        simdgroup_load(a[i], left + (top + 8 * i) * DEPTH + k, DEPTH);
                    }
                    for (uint j = 0; j < J; j++) {
                        simdgroup_load(b[j], right + k * OUTS + begin + 8 * j, OUTS);
                    }
                    for (uint i = 0; i < I; i++) {
                        for (uint j = 0; j < J; j++) {
                            simdgroup_multiply_accumulate(sum[i][j], a[i], b[j], sum[i][j]);
                        }
                    }
                }
            }
        }
    }
    threadgroup float* mine = results + 64 * simdgroup;
    for (uint i = 0; i < I; i++) {
        for (uint j = 0; j < J; j++) {
            simdgroup_store(sum[i][j], mine, 8);
            simdgroup_barrier(mem_flags::mem_threadgroup);
            for (uint e = lane; e < 64; e += 32) {
                const uint to_pixel = first_pixel + top + 8 * i + e / 8;
                const uint to = first_out + begin + 8 * j + e % 8;
                if (to_pixel < p.pixels && to < p.outer) {
                    out[ulong(to_pixel) * p.outer + to] = mine[e] + bias[to];
                }
            }
            simdgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
}

template [[host_name("conv_narrow")]] [[kernel]] decltype(conv<2, 2, 1>) conv<2, 2, 1>;
template [[host_name("conv_wide")]] [[kernel]] decltype(conv<4, 4, 2>) conv<4, 4, 2>;
