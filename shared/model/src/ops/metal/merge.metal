// Heads become rows of channels again, from row `first` of a matrix on.
//
// One thread per group of four channels. Bytes per element: 2 or 4 read, 2 or 4 written.

struct Merge {
    uint groups; // of four channels in a row
    uint head;   // groups in a head
    uint tokens;
};

template <typename T, typename U>
[[kernel]] void merge(
    device const vec<T, 4>* x [[buffer(0)]],
    device vec<U, 4>* y [[buffer(1)]],
    constant Merge& p [[buffer(2)]],
    uint2 at [[thread_position_in_grid]]
) {
    if (at.x < p.groups && at.y < p.tokens) {
        const float4 value = float4(x[(ulong(at.x / p.head) * p.tokens + at.y) * p.head + at.x % p.head]);
        y[ulong(at.y) * p.groups + at.x] = rounded<U>(value);
    }
}

#define MERGE(from, T, to, U) \
    template [[host_name("merge_" #from "_" #to)]] [[kernel]] decltype(merge<T, U>) merge<T, U>;
MERGE(f32, float, f32, float)
MERGE(f32, float, bf16, bfloat)
MERGE(bf16, bfloat, f32, float)
MERGE(bf16, bfloat, bf16, bfloat)
