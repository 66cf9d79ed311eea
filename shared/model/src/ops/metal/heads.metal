// What a projection gives becomes heads: bias, RMS norm over all channels, rotation, factor, cast and the new order.
//
// One threadgroup per token, which holds its row in registers.
// Bytes per element: 2 or 4 read, 2 or 4 written; the table of angles is read once per token. About 10 operations.

struct Heads {
    uint groups; // of four channels in a row
    uint head;   // groups in a head
    uint tokens;
    uint biased;
    uint normed;
    uint turned;
    float eps;
    float factor;
};

template <typename T, typename U>
[[kernel]] void heads(
    device const vec<T, 4>* x [[buffer(0)]],
    device const float4* bias [[buffer(1)]],
    device const float4* weight [[buffer(2)]],
    device const float2* cosines [[buffer(3)]],
    device const float2* sines [[buffer(4)]],
    device vec<U, 4>* y [[buffer(5)]],
    constant Heads& p [[buffer(6)]],
    uint token [[threadgroup_position_in_grid]],
    uint index [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]]
) {
    threadgroup float partial[32];
    const ulong first = ulong(token) * p.groups;
    float4 held[HELD];
    float sum = 0.0f;
    for (uint i = 0; i < HELD; i++) {
        const uint group = index + i * threads;
        held[i] = float4(0.0f);
        if (group < p.groups) {
            held[i] = float4(x[first + group]);
            if (p.biased) {
                held[i] = held[i] + bias[group];
            }
            sum += summed(held[i] * held[i]);
        }
    }
    float root = 1.0f;
    if (p.normed) {
        const float mean = total(sum, partial, lane, simdgroup, simdgroups) / float(4 * p.groups);
        root = precise::sqrt(mean + p.eps);
    }
    for (uint i = 0; i < HELD; i++) {
        const uint group = index + i * threads;
        if (group < p.groups) {
            float4 value = held[i];
            if (p.normed) {
                value = value / root * weight[group];
            }
            const uint in_head = group % p.head;
            if (p.turned) {
                const float2 c = cosines[ulong(token) * p.head + in_head];
                const float2 s = sines[ulong(token) * p.head + in_head];
                value = float4(
                    value.x * c.x - value.y * s.x,
                    value.x * s.x + value.y * c.x,
                    value.z * c.y - value.w * s.y,
                    value.z * s.y + value.w * c.y
                );
            }
            y[(ulong(group / p.head) * p.tokens + token) * p.head + in_head] = rounded<U>(value * p.factor);
        }
    }
}

#define HEADS(from, T, to, U) \
    template [[host_name("heads_" #from "_" #to)]] [[kernel]] decltype(heads<T, U>) heads<T, U>;
HEADS(f32, float, f32, float)
HEADS(f32, float, bf16, bfloat)
HEADS(bf16, bfloat, f32, float)
HEADS(bf16, bfloat, bf16, bfloat)
