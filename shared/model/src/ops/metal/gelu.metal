// GELU by its tanh formula, of y + bias.
//
// One thread per group of four channels. Bytes per element: 2 or 4 read, 2 or 4 written. About 20 operations.

struct Gelu {
    uint groups; // of four channels in a row
    uint rows;
    uint biased;
};

template <typename T, typename U>
[[kernel]] void gelu(
    device const vec<T, 4>* y [[buffer(0)]],
    device const float4* bias [[buffer(1)]],
    device vec<U, 4>* out [[buffer(2)]],
    constant Gelu& p [[buffer(3)]],
    uint2 at [[thread_position_in_grid]]
) {
    if (at.x < p.groups && at.y < p.rows) {
        const ulong group = ulong(at.y) * p.groups + at.x;
        float4 x = float4(y[group]);
        if (p.biased) {
            x = x + bias[at.x];
        }
        const float4 inner = 0.7978845608028654f * (x + 0.044715f * x * x * x);
        out[group] = rounded<U>(0.5f * x * (1.0f + precise::tanh(inner)));
    }
}

#define GELU(from, T, to, U) \
    template [[host_name("gelu_" #from "_" #to)]] [[kernel]] decltype(gelu<T, U>) gelu<T, U>;
GELU(f32, float, f32, float)
GELU(f32, float, bf16, bfloat)
GELU(bf16, bfloat, f32, float)
GELU(bf16, bfloat, bf16, bfloat)
