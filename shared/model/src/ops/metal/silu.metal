#include <metal_stdlib>
using namespace metal;

// RMS norm of a pixel and SiLU: n / (1 + exp(-n)), where n = x / sqrt(mean(x * x) + eps) * weight.
//
// One simdgroup per pixel, whatever its channels. Bytes per element: 4 read, 4 written; what is read twice is in the cache
// the second time. About 10 operations.

struct Silu {
    uint channels;
    uint pixels;
    float eps;
};

[[kernel]] void silu(
    device const float* x [[buffer(0)]],
    device const float* weight [[buffer(1)]],
    device float* y [[buffer(2)]],
    constant Silu& p [[buffer(3)]],
    uint group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]
) {
    const uint pixel = group * simdgroups + simdgroup;
    if (pixel < p.pixels) {
        const ulong first = ulong(pixel) * p.channels;
        float sum = 0.0f;
        for (uint channel = lane; channel < p.channels; channel += 32) {
            const float value = x[first + channel];
            sum += value * value;
        }
        const float root = precise::sqrt(simd_sum(sum) / float(p.channels) + p.eps);
        for (uint channel = lane; channel < p.channels; channel += 32) {
            const float value = x[first + channel] / root * weight[channel];
            y[first + channel] = value / (1.0f + precise::exp(-value));
        }
    }
}
