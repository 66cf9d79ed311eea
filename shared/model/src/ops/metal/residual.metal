// What a branch gives is added to the tokens: x + (y + bias) * gate.
//
// One thread per group of four channels. Bytes per element: 4 of x and 2 or 4 of y read, 4 written. 3 operations.

struct Residual {
    uint groups; // of four channels in a row
    uint rows;
    uint biased;
    uint gated;
    uint gate_stride; // groups from one row's gate to the next; 0 where all have one
};

template <typename T>
[[kernel]] void residual(
    device const float4* x [[buffer(0)]],
    device const vec<T, 4>* y [[buffer(1)]],
    device const float4* bias [[buffer(2)]],
    device const float4* gate [[buffer(3)]],
    device float4* out [[buffer(4)]],
    constant Residual& p [[buffer(5)]],
    uint2 at [[thread_position_in_grid]]
) {
    if (at.x < p.groups && at.y < p.rows) {
        const ulong group = ulong(at.y) * p.groups + at.x;
        float4 value = float4(y[group]);
        if (p.biased) {
            value = value + bias[at.x];
        }
        if (p.gated) {
            value = value * gate[ulong(at.y) * p.gate_stride + at.x];
        }
        out[group] = x[group] + value;
    }
}

template [[host_name("residual_f32")]] [[kernel]] decltype(residual<float>) residual<float>;
template [[host_name("residual_bf16")]] [[kernel]] decltype(residual<bfloat>) residual<bfloat>;
