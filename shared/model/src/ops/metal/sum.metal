// Groups of four channels that one thread holds in registers.
constant constexpr uint HELD = 2;

// The sum over all threads of a threadgroup, given to each of them. `partial` has a place for every simdgroup.
inline float total(float value, threadgroup float* partial, uint lane, uint simdgroup, uint simdgroups) {
    value = simd_sum(value);
    if (lane == 0) {
        partial[simdgroup] = value;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    value = simd_sum(lane < simdgroups ? partial[lane] : 0.0f);
    // The next sum is written to the same places.
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return value;
}

inline float summed(float4 value) {
    return (value.x + value.y) + (value.z + value.w);
}
