#include <metal_stdlib>
using namespace metal;

// Four channels in the type of a result.
template <typename T>
inline vec<T, 4> rounded(float4 value) {
    vec<T, 4> result;
    result.x = T(value.x);
    result.y = T(value.y);
    result.z = T(value.z);
    result.w = T(value.w);
    return result;
}

