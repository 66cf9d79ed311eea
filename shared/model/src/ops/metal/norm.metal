// Layer norm of a row and its modulation: (x - mean) / sqrt(variance + eps) * (one + scale) + shift.
//
// One threadgroup per row. Mean first, then the variance of the difference; the row is read once and stays in registers.
// Bytes per element: 4 read, 2 or 4 written. About 8 operations per element.

struct Norm {
    uint groups;       // of four channels in a row
    uint scale_stride; // groups from one row's scale to the next; 0 where all have one
    uint shift_stride;
    float one;
    float eps;
};

template <typename T>
[[kernel]] void norm(
    device const float4* x [[buffer(0)]],
    device const float4* scale [[buffer(1)]],
    device const float4* shift [[buffer(2)]],
    device vec<T, 4>* y [[buffer(3)]],
    constant Norm& p [[buffer(4)]],
    uint row [[threadgroup_position_in_grid]],
    uint index [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]
) {
    threadgroup float partial[32];
    const ulong first = ulong(row) * p.groups;
    const float width = float(4 * p.groups);
    float4 held[HELD];
    float sum = 0.0f;
    for (uint i = 0; i < HELD; i++) {
        const uint group = index + i * threads;
        held[i] = group < p.groups ? x[first + group] : float4(0.0f);
        sum += summed(held[i]);
    }
    const float mean = total(sum, partial, lane, simdgroup, simdgroups) / width;
    sum = 0.0f;
    for (uint i = 0; i < HELD; i++) {
        if (index + i * threads < p.groups) {
            held[i] = held[i] - mean;
            sum += summed(held[i] * held[i]);
        }
    }
    const float deviation = precise::sqrt(total(sum, partial, lane, simdgroup, simdgroups) / width + p.eps);
    for (uint i = 0; i < HELD; i++) {
        const uint group = index + i * threads;
        if (group < p.groups) {
            const float4 by = p.one + scale[ulong(row) * p.scale_stride + group];
            const float4 at = shift[ulong(row) * p.shift_stride + group];
            y[first + group] = rounded<T>(held[i] / deviation * by + at);
        }
    }
}

template [[host_name("norm_f32")]] [[kernel]] decltype(norm<float>) norm<float>;
template [[host_name("norm_bf16")]] [[kernel]] decltype(norm<bfloat>) norm<bfloat>;
