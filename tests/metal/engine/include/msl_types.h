// The types and functions of metal_stdlib, as far as compute kernels use them. Written from Apple's public specification.
#pragma once
#include "msl_runtime.h"

typedef unsigned char uchar; typedef unsigned short ushort; typedef unsigned int uint; typedef unsigned long ulong;
typedef _Float16 half; typedef __bf16 bfloat;
#define MSL_VEC(T) typedef T T##2 __attribute__((ext_vector_type(2))); typedef T T##3 __attribute__((ext_vector_type(3))); typedef T T##4 __attribute__((ext_vector_type(4)));
MSL_VEC(float) MSL_VEC(half) MSL_VEC(bfloat) MSL_VEC(int) MSL_VEC(uint) MSL_VEC(short) MSL_VEC(ushort) MSL_VEC(char) MSL_VEC(uchar) MSL_VEC(long) MSL_VEC(ulong) MSL_VEC(bool)
#undef MSL_VEC
#define MSL_INLINE inline __attribute__((always_inline))
#define METAL_FUNC inline  // not forced: a switch over block sizes would be eleven copies of everything
#define M_PI_F 3.14159265358979323846f
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LN2_F 0.69314718055994530942f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_PI_2_F 1.57079632679489661923f
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define HUGE_VALF __builtin_inff()
#define FLT_MAX 3.40282347e+38f
#define FLT_MIN 1.17549435e-38f
#define HALF_MAX ((half)65504.f)

inline half operator""h(long double v) { return (half)v; }
inline half operator""h(unsigned long long v) { return (half)v; }

// The conversion that compilers call; theirs is a library function of newer systems.
extern "C" __attribute__((visibility("hidden"), used)) inline bfloat __truncsfbf2(float f) {
  uint u = __builtin_bit_cast(uint, f);
  ushort r = (u & 0x7fffffff) > 0x7f800000 ? ushort(u >> 16 | 0x40) : ushort((u + 0x7fff + (u >> 16 & 1)) >> 16);
  return __builtin_bit_cast(bfloat, r);
}
extern "C" __attribute__((visibility("hidden"), used)) inline bfloat __truncdfbf2(double d) { return __truncsfbf2((float)d); }

namespace msl {
template <class T> struct no_ref { using type = T; };
template <class T> struct no_ref<T &> { using type = T; };
template <class T> struct no_ref<T &&> { using type = T; };
template <class T> struct no_const { using type = T; };
template <class T> struct no_const<const T> { using type = T; };
template <class T> using bare = typename no_const<typename no_ref<T>::type>::type;
template <bool B, class A, class C> struct choose { using type = A; };
template <class A, class C> struct choose<false, A, C> { using type = C; };
// Element type and count of scalars and vectors.
template <class T> struct shape { using element = T; static constexpr int n = 1; };
template <class E, int N> using vector = E __attribute__((ext_vector_type(N)));  // templates can deduce both
template <class E, int N> struct shape<vector<E, N>> { using element = E; static constexpr int n = N; };
// There are no math functions of bfloat: it becomes float, and so is the result. Integers likewise.
template <class T> struct math_of { using type = float; };
template <> struct math_of<half> { using type = half; };
template <class T, int N> struct vector_of { using type = vector<T, N>; };
template <class T> struct vector_of<T, 1> { using type = T; };
template <class T> using math = typename vector_of<typename math_of<typename shape<T>::element>::type, shape<T>::n>::type;

template <class V, int I> MSL_INLINE void fill(V &) {}
template <class V, int I, class A, class... R> MSL_INLINE void fill(V &v, A a, R... r) {
  using E = typename shape<V>::element;
  if constexpr (shape<A>::n == 1) { v[I] = (E)a; fill<V, I + 1>(v, r...); }
  else { for (int k = 0; k < shape<A>::n; k++) v[I + k] = (E)a[k]; fill<V, I + shape<A>::n>(v, r...); }
}
// V(a, b, …): one scalar fills all, one vector is converted, several are joined.
template <class V, class... A> MSL_INLINE V make(A... a) {
  if constexpr (sizeof...(A) == 0) return V{};
  else if constexpr (sizeof...(A) == 1 && ((shape<A>::n == 1) && ...)) { V v; using E = typename shape<V>::element; E e = (E)(a, ...); for (int k = 0; k < shape<V>::n; k++) v[k] = e; return v; }
  else { V v; fill<V, 0>(v, a...); return v; }
}
// (V) x, written by the translator as cast<V>{} ->* x because C++ would reinterpret the bits.
template <class V> struct cast { template <class A> MSL_INLINE V operator->*(A a) const { return make<V>(a); } };

template <class T, class F> MSL_INLINE auto each(T x, F f) {
  if constexpr (shape<T>::n == 1) return f(x);
  else { math<T> r; for (int k = 0; k < shape<T>::n; k++) r[k] = f(x[k]); return r; }
}
}  // namespace msl

// At global scope, because kernels specialise it there.
template <class T> struct _numeric_limits_impl;
#define MSL_INT_LIMITS(T, LO, HI) template <> struct _numeric_limits_impl<T> { static constexpr T min() { return LO; } static constexpr T lowest() { return LO; } static constexpr T max() { return HI; } };
MSL_INT_LIMITS(char, -128, 127) MSL_INT_LIMITS(signed char, -128, 127) MSL_INT_LIMITS(uchar, 0, 255) MSL_INT_LIMITS(short, -32768, 32767) MSL_INT_LIMITS(ushort, 0, 65535)
MSL_INT_LIMITS(int, -2147483647 - 1, 2147483647) MSL_INT_LIMITS(uint, 0, 4294967295u) MSL_INT_LIMITS(long, -9223372036854775807L - 1, 9223372036854775807L) MSL_INT_LIMITS(ulong, 0, 18446744073709551615ul) MSL_INT_LIMITS(bool, false, true)
#define MSL_FLOAT_LIMITS(T, MIN, MAX, EPS) template <> struct _numeric_limits_impl<T> { static constexpr T min() { return (T)MIN; } static constexpr T lowest() { return (T)-MAX; } static constexpr T max() { return (T)MAX; } static constexpr T infinity() { return (T)__builtin_inff(); } static constexpr T quiet_NaN() { return (T)__builtin_nanf(""); } static constexpr T epsilon() { return (T)EPS; } };
MSL_FLOAT_LIMITS(float, 1.17549435e-38f, 3.40282347e+38f, 1.1920929e-7f) MSL_FLOAT_LIMITS(half, 6.103515625e-5f, 65504.f, 9.765625e-4f) MSL_FLOAT_LIMITS(bfloat, 1.17549435e-38f, 3.38953139e+38f, 0.0078125f)

template <class T> struct __is_valid_simdgroup_type { static constexpr bool value = sizeof(typename msl::shape<T>::element) <= 4 && !__is_same(T, bool) && !__is_same(T, bfloat) && (__is_arithmetic(typename msl::shape<T>::element) || __is_same(typename msl::shape<T>::element, half)); };

namespace metal {
using ::size_t; using ::uint8_t; using ::uint16_t; using ::uint32_t; using ::uint64_t; using ::int8_t; using ::int16_t; using ::int32_t; using ::int64_t;
using ::float2; using ::float3; using ::float4; using ::half; using ::bfloat;
template <class T, int N> using vec = T __attribute__((ext_vector_type(N)));
template <class T> struct vec_elements { static constexpr int value = msl::shape<T>::n; };
template <class T> struct numeric_limits : ::_numeric_limits_impl<T> {};
template <class T, T V> struct integral_constant { static constexpr T value = V; using type = integral_constant; using value_type = T; constexpr operator T() const { return V; } };
using true_type = integral_constant<bool, true>; using false_type = integral_constant<bool, false>;
template <bool B> using bool_constant = integral_constant<bool, B>;
template <bool B, class T = void> struct enable_if {}; template <class T> struct enable_if<true, T> { using type = T; };
template <bool B, class T = void> using enable_if_t = typename enable_if<B, T>::type;
template <bool B, class A, class C> using conditional_t = typename msl::choose<B, A, C>::type;
template <bool B, class A, class C> using conditional = msl::choose<B, A, C>;
template <class A, class B> struct is_same : bool_constant<__is_same(A, B)> {};
template <class A, class B> inline constexpr bool is_same_v = __is_same(A, B);
template <class A, class B> inline constexpr bool is_convertible_v = __is_convertible_to(A, B);
template <class T> inline constexpr bool is_floating_point_v = __is_floating_point(T) || __is_same(T, half) || __is_same(T, bfloat);
template <class T> inline constexpr bool is_integral_v = __is_integral(T);
template <class T> struct is_floating_point : bool_constant<is_floating_point_v<T>> {};
template <class T> struct is_integral : bool_constant<is_integral_v<T>> {};
template <class T> using remove_reference_t = typename msl::no_ref<T>::type;
template <class T> using remove_const_t = typename msl::no_const<T>::type;
template <class T> using remove_cv_t = typename msl::no_const<T>::type;

#define MSL_MATH1(NAME, CALL) template <class T> MSL_INLINE msl::math<T> NAME(T v) { return msl::each(v, [](auto e) { using M = msl::math<decltype(e)>; float x = (float)e; return (M)(CALL); }); }
MSL_MATH1(exp, __builtin_expf(x)) MSL_MATH1(exp2, __builtin_exp2f(x)) MSL_MATH1(exp10, __builtin_expf(x * 2.302585093f)) MSL_MATH1(log, __builtin_logf(x)) MSL_MATH1(log2, __builtin_log2f(x)) MSL_MATH1(log10, __builtin_log10f(x))
MSL_MATH1(sin, __builtin_sinf(x)) MSL_MATH1(cos, __builtin_cosf(x)) MSL_MATH1(tan, __builtin_tanf(x)) MSL_MATH1(sinh, __builtin_sinhf(x)) MSL_MATH1(cosh, __builtin_coshf(x)) MSL_MATH1(tanh, __builtin_tanhf(x))
MSL_MATH1(asin, __builtin_asinf(x)) MSL_MATH1(acos, __builtin_acosf(x)) MSL_MATH1(atan, __builtin_atanf(x)) MSL_MATH1(asinh, __builtin_asinhf(x)) MSL_MATH1(acosh, __builtin_acoshf(x)) MSL_MATH1(atanh, __builtin_atanhf(x))
MSL_MATH1(sqrt, __builtin_sqrtf(x)) MSL_MATH1(rsqrt, 1.0f / __builtin_sqrtf(x)) MSL_MATH1(floor, __builtin_floorf(x)) MSL_MATH1(ceil, __builtin_ceilf(x)) MSL_MATH1(round, __builtin_roundf(x)) MSL_MATH1(trunc, __builtin_truncf(x)) MSL_MATH1(rint, __builtin_rintf(x))
MSL_MATH1(fabs, __builtin_fabsf(x)) MSL_MATH1(fract, x - __builtin_floorf(x)) MSL_MATH1(saturate, x < 0 ? 0.f : x > 1 ? 1.f : x)
MSL_MATH1(sign, x > 0 ? 1.f : x < 0 ? -1.f : 0.f)
#undef MSL_MATH1
template <class T> MSL_INLINE bool isnan(T x) { return __builtin_isnan((float)x); }
template <class T> MSL_INLINE bool isinf(T x) { return __builtin_isinf((float)x); }
template <class T> MSL_INLINE bool isfinite(T x) { return __builtin_isfinite((float)x); }
template <class T> MSL_INLINE bool signbit(T x) { return __builtin_signbit((float)x); }
// Two operands may differ in type, as a literal does from a half; the common type counts.
template <class A, class B> using common = msl::bare<decltype(true ? A{} : B{})>;
template <class A, class B> MSL_INLINE common<A, B> max(A a, B b) { using C = common<A, B>; C x = (C)a, y = (C)b; if constexpr (msl::shape<C>::n == 1) return x < y ? y : x; else { C r; for (int k = 0; k < msl::shape<C>::n; k++) r[k] = x[k] < y[k] ? y[k] : x[k]; return r; } }
template <class A, class B> MSL_INLINE common<A, B> min(A a, B b) { using C = common<A, B>; C x = (C)a, y = (C)b; if constexpr (msl::shape<C>::n == 1) return y < x ? y : x; else { C r; for (int k = 0; k < msl::shape<C>::n; k++) r[k] = y[k] < x[k] ? y[k] : x[k]; return r; } }
template <class A, class B> MSL_INLINE common<A, B> fmax(A a, B b) { return max(a, b); }
template <class A, class B> MSL_INLINE common<A, B> fmin(A a, B b) { return min(a, b); }
template <class T, class L, class H> MSL_INLINE T clamp(T x, L lo, H hi) { return (T)min((T)max(x, (T)lo), (T)hi); }
template <class T> MSL_INLINE auto abs(T x) { if constexpr (__is_integral(T)) return x < T(0) ? T(-x) : x; else return fabs(x); }
template <class A, class B> MSL_INLINE msl::math<A> pow(A a, B b) { return (msl::math<A>)__builtin_powf((float)a, (float)b); }
template <class A, class B> MSL_INLINE msl::math<A> powr(A a, B b) { return pow(a, b); }
template <class A, class B> MSL_INLINE msl::math<A> fmod(A a, B b) { return (msl::math<A>)__builtin_fmodf((float)a, (float)b); }
template <class A, class B> MSL_INLINE msl::math<A> atan2(A a, B b) { return (msl::math<A>)__builtin_atan2f((float)a, (float)b); }
template <class A> MSL_INLINE msl::math<A> copysign(A a, A b) { return (msl::math<A>)__builtin_copysignf((float)a, (float)b); }
template <class A> MSL_INLINE msl::math<A> divide(A a, A b) { return (msl::math<A>)a / (msl::math<A>)b; }
template <class A> MSL_INLINE msl::math<A> fma(A a, A b, A c) { return (msl::math<A>)__builtin_fmaf((float)a, (float)b, (float)c); }
template <class A> MSL_INLINE msl::math<A> mix(A a, A b, A t) { return a + (b - a) * t; }
template <class A> MSL_INLINE A mad(A a, A b, A c) { return a * b + c; }
template <class T, class C> MSL_INLINE T select(T a, T b, C c) { return c ? b : a; }
MSL_INLINE float sincos(float x, float &c) { c = __builtin_cosf(x); return __builtin_sinf(x); }
MSL_INLINE float ldexp(float x, int e) { return __builtin_ldexpf(x, e); }
MSL_INLINE uint clz(uint x) { return x ? __builtin_clz(x) : 32; }
MSL_INLINE uint ctz(uint x) { return x ? __builtin_ctz(x) : 32; }
template <class T> MSL_INLINE T popcount(T x) { return (T)__builtin_popcountll((unsigned long long)x); }
template <class T> MSL_INLINE float dot(T a, T b) { float s = 0; for (int k = 0; k < msl::shape<T>::n; k++) s += (float)a[k] * (float)b[k]; return s; }
template <class T> MSL_INLINE float length(T a) { return __builtin_sqrtf(dot(a, a)); }
template <class T> MSL_INLINE bool all(T a) { for (int k = 0; k < msl::shape<T>::n; k++) if (!a[k]) return false; return true; }
template <class T> MSL_INLINE bool any(T a) { for (int k = 0; k < msl::shape<T>::n; k++) if (a[k]) return true; return false; }
namespace fast = ::metal;
namespace precise = ::metal;

// Column-major matrices.
template <class T, int C, int R> struct matrix {
  vec<T, R> column[C];
  matrix() = default;
  explicit matrix(T d) { for (int c = 0; c < C; c++) for (int r = 0; r < R; r++) column[c][r] = c == r ? d : T(0); }
  template <class U> explicit matrix(const matrix<U, C, R> &m) { for (int c = 0; c < C; c++) for (int r = 0; r < R; r++) column[c][r] = (T)m.column[c][r]; }
  vec<T, R> &operator[](int c) { return column[c]; }
  const vec<T, R> &operator[](int c) const { return column[c]; }
};
struct packed_int3 { int x, y, z; int operator[](int i) const { return i == 0 ? x : i == 1 ? y : z; } };

// ---- synchronisation ----
enum class mem_flags : uint { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4, mem_threadgroup_imageblock = 8 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(uint(a) | uint(b)); }
enum memory_order { memory_order_relaxed, memory_order_seq_cst };
enum { kOpBarrier = 1, kOpReduce, kOpShuffle, kOpVote, kOpMatrix };
MSL_INLINE void threadgroup_barrier(mem_flags, uint site) { ::msl::tg_barrier(site); }
MSL_INLINE void simdgroup_barrier(mem_flags) { ::msl::meet(0, kOpBarrier); }

template <class T, class F> MSL_INLINE T simd_fold(T v, uint op, F f) {
  auto m = ::msl::meet(v, op);
  return ::msl::once<T>(m, [&] { uint left = m.mask; T r = ::msl::brought<T>(m, __builtin_ctz(left)); for (left &= left - 1; left; left &= left - 1) r = f(r, ::msl::brought<T>(m, __builtin_ctz(left))); return r; });
}
#define MSL_FOLD(NAME, K, EXPR) template <class T> MSL_INLINE T NAME(T v) { return simd_fold(v, kOpReduce + 16 * K, [](T a, T b) { return (T)(EXPR); }); }
MSL_FOLD(simd_sum, 1, a + b) MSL_FOLD(simd_product, 2, a * b) MSL_FOLD(simd_max, 3, a < b ? b : a) MSL_FOLD(simd_min, 4, b < a ? b : a) MSL_FOLD(simd_and, 5, a & b) MSL_FOLD(simd_or, 6, a | b) MSL_FOLD(simd_xor, 7, a ^ b)
#undef MSL_FOLD
// A value from a lane that did not take part is undefined; here it is the lane's own.
template <class T> MSL_INLINE T simd_from(T v, int (*from)(int, int), int by, uint op) {
  auto m = ::msl::meet(v, op); int l = from((int)m.lane, by);
  return l >= 0 && l < 32 && (m.mask >> l & 1) ? ::msl::brought<T>(m, (uint)l) : v;
}
template <class T> MSL_INLINE T simd_shuffle(T v, ushort l) { return simd_from(v, [](int, int b) { return b; }, l, kOpShuffle + 16); }
template <class T> MSL_INLINE T simd_broadcast(T v, ushort l) { return simd_from(v, [](int, int b) { return b; }, l, kOpShuffle + 32); }
template <class T> MSL_INLINE T simd_shuffle_down(T v, ushort d) { return simd_from(v, [](int a, int b) { return a + b; }, d, kOpShuffle + 48); }
template <class T> MSL_INLINE T simd_shuffle_up(T v, ushort d) { return simd_from(v, [](int a, int b) { return a - b; }, d, kOpShuffle + 64); }
template <class T> MSL_INLINE T simd_shuffle_xor(T v, ushort d) { return simd_from(v, [](int a, int b) { return a ^ b; }, d, kOpShuffle + 80); }
template <class T> MSL_INLINE T simd_broadcast_first(T v) { auto m = ::msl::meet(v, kOpShuffle + 96); return ::msl::brought<T>(m, __builtin_ctz(m.mask)); }
template <class T> MSL_INLINE T simd_prefix_exclusive_sum(T v) { auto m = ::msl::meet(v, kOpShuffle + 112); T r = 0; for (uint l = 0; l < m.lane; l++) if (m.mask >> l & 1) r += ::msl::brought<T>(m, l); return r; }
template <class T> MSL_INLINE T simd_prefix_inclusive_sum(T v) { return (T)(simd_prefix_exclusive_sum(v) + v); }
MSL_INLINE ulong simd_ballot(bool b) { auto m = ::msl::meet((int)b, kOpVote); ulong r = 0; for (uint l = 0; l < 32; l++) if ((m.mask >> l & 1) && ::msl::brought<int>(m, l)) r |= 1ul << l; return r; }
MSL_INLINE bool simd_all(bool b) { auto m = ::msl::meet((int)b, kOpVote + 16); bool r = true; for (uint l = 0; l < 32; l++) if (m.mask >> l & 1) r &= ::msl::brought<int>(m, l) != 0; return r; }
MSL_INLINE bool simd_any(bool b) { return simd_ballot(b) != 0; }

// ---- 8x8 matrices: lane l holds two neighbours of one row. Whatever looks at elements first finishes the products ----
MSL_INLINE void look() { ::msl::products_done(::msl::self()); }
template <class T, int C, int R> struct simdgroup_matrix {
  static_assert(C == 8 && R == 8);
  vec<T, 2> e = {T(0), T(0)};
  simdgroup_matrix() = default;
  simdgroup_matrix(const simdgroup_matrix &m) { look(); e = m.e; }
  simdgroup_matrix &operator=(const simdgroup_matrix &m) { look(); e = m.e; return *this; }
  ~simdgroup_matrix() { look(); }
  explicit simdgroup_matrix(T diagonal) { if (diagonal != T(0)) { uint l = ::msl::self()->lane; for (int k = 0; k < 2; k++) if (::msl::matrix_row(l) == ::msl::matrix_column(l) + k) e[k] = diagonal; } }
  vec<T, 2> &thread_elements() { look(); return e; }
  const vec<T, 2> &thread_elements() const { look(); return e; }
};
template <class T, int C, int R = C> MSL_INLINE simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T v) { simdgroup_matrix<T, C, R> m; m.e = vec<T, 2>{v, v}; return m; }
using simdgroup_float8x8 = simdgroup_matrix<float, 8, 8>; using simdgroup_half8x8 = simdgroup_matrix<half, 8, 8>; using simdgroup_bfloat8x8 = simdgroup_matrix<bfloat, 8, 8>;

template <class T> constexpr uint8_t matrix_type = __is_same(T, float) ? 0 : __is_same(T, half) ? 1 : 2;
template <class D, class A, class B, class C> MSL_INLINE void note_product(simdgroup_matrix<D, 8, 8> &d, const simdgroup_matrix<A, 8, 8> &a, const simdgroup_matrix<B, 8, 8> &b, const simdgroup_matrix<C, 8, 8> *c) {
  ::msl::Fiber *f = ::msl::self(); ::msl::Simd *sg = f->sg; uint lane = f->lane, &n = sg->waiting[lane];
  // An operand that is itself still to be computed must be so first.
  bool wait = n == ::msl::kMaxProducts;
  for (uint i = 0; i < n; i++) wait |= sg->products[i].d[lane] == (void *)&a.e || sg->products[i].d[lane] == (void *)&b.e;
  if (wait) ::msl::finish_products(f);
  ::msl::Product &q = sg->products[n++]; int row = ::msl::matrix_row(lane), column = ::msl::matrix_column(lane);
  for (int k = 0; k < 2; k++) { q.a[row][column + k] = (float)a.e[k]; q.b[row][column + k] = (float)b.e[k]; }
  q.d[lane] = &d.e; q.c[lane] = c ? (const void *)&c->e : nullptr; q.d_type = matrix_type<D>; q.c_type = matrix_type<C>;
}
template <class D, class A, class B, class C> MSL_INLINE void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, const simdgroup_matrix<A, 8, 8> &a, const simdgroup_matrix<B, 8, 8> &b, const simdgroup_matrix<C, 8, 8> &c) { note_product(d, a, b, &c); }
template <class D, class A, class B> MSL_INLINE void simdgroup_multiply(simdgroup_matrix<D, 8, 8> &d, const simdgroup_matrix<A, 8, 8> &a, const simdgroup_matrix<B, 8, 8> &b) { note_product(d, a, b, (const simdgroup_matrix<D, 8, 8> *)nullptr); }
template <class T, class P> MSL_INLINE void simdgroup_load(simdgroup_matrix<T, 8, 8> &m, const P *p, ulong ld = 8, ulong2 origin = 0, bool transpose = false) {
  look(); uint l = ::msl::self()->lane; ulong r = ::msl::matrix_row(l), c = ::msl::matrix_column(l);
  for (int k = 0; k < 2; k++) m.e[k] = (T)(transpose ? p[(origin.x + c + k) * ld + origin.y + r] : p[(origin.y + r) * ld + origin.x + c + k]);
}
template <class T, class P> MSL_INLINE void simdgroup_store(const simdgroup_matrix<T, 8, 8> &m, P *p, ulong ld = 8, ulong2 origin = 0, bool transpose = false) {
  look(); uint l = ::msl::self()->lane; ulong r = ::msl::matrix_row(l), c = ::msl::matrix_column(l);
  for (int k = 0; k < 2; k++) (transpose ? p[(origin.x + c + k) * ld + origin.y + r] : p[(origin.y + r) * ld + origin.x + c + k]) = (P)m.e[k];
}

// ---- atomics: real ones, because threadgroups may run on several OS threads ----
template <class T> struct atomic { T value; };
#define MSL_ATOMIC(NAME, BUILTIN) template <class T> MSL_INLINE T atomic_##NAME##_explicit(volatile atomic<T> *p, T v, memory_order) { return BUILTIN((T *)&p->value, v, __ATOMIC_RELAXED); }
MSL_ATOMIC(exchange, __atomic_exchange_n) MSL_ATOMIC(fetch_add, __atomic_fetch_add) MSL_ATOMIC(fetch_sub, __atomic_fetch_sub) MSL_ATOMIC(fetch_and, __atomic_fetch_and) MSL_ATOMIC(fetch_or, __atomic_fetch_or) MSL_ATOMIC(fetch_xor, __atomic_fetch_xor) MSL_ATOMIC(fetch_max, __atomic_fetch_max) MSL_ATOMIC(fetch_min, __atomic_fetch_min)
#undef MSL_ATOMIC
template <class T> MSL_INLINE T atomic_load_explicit(const volatile atomic<T> *p, memory_order) { return __atomic_load_n(&p->value, __ATOMIC_RELAXED); }
template <class T, class U> MSL_INLINE void atomic_store_explicit(volatile atomic<T> *p, U v, memory_order) { __atomic_store_n((T *)&p->value, (T)v, __ATOMIC_RELAXED); }
using atomic_uint = atomic<uint>; using atomic_int = atomic<int>;
}  // namespace metal

using float4x4 = metal::matrix<float, 4, 4>; using half4x4 = metal::matrix<half, 4, 4>; using float2x4 = metal::matrix<float, 2, 4>; using half2x4 = metal::matrix<half, 2, 4>;
using metal::packed_int3;
template <class T, class U> MSL_INLINE T as_type(U u) { return __builtin_bit_cast(T, u); }

// ---- calling a kernel: parameters by what the attributes say and by their C++ types ----
namespace msl {
template <uint32_t I> struct Buffer {};
template <uint32_t I> struct TgMemory {};
enum Builtin { kThreadInGrid, kThreadInGroup, kGroupInGrid, kThreadsPerGroup, kGroupsPerGrid, kThreadsPerGrid, kIndexInGroup, kSimdInGroup, kLaneInSimd, kSimdsPerGroup, kThreadsPerSimd };
template <Builtin B> struct Value {};
template <class T> constexpr uint32_t element_size = sizeof(T);
template <> constexpr uint32_t element_size<void> = 1;
template <> constexpr uint32_t element_size<const void> = 1;
template <class A, class P> struct Param;
template <class A, uint32_t I> struct Param<A *, Buffer<I>> {
  static MSL_INLINE A *get(Fiber *f) { return (A *)f->g->L->buffer[I]; }
  static constexpr ParamInfo info = {kParamBuffer, I, 1, !__is_const(A), element_size<A>};
};
template <class A, uint32_t I> struct Param<A &, Buffer<I>> {
  static MSL_INLINE A &get(Fiber *f) { return *(A *)f->g->L->buffer[I]; }
  static constexpr ParamInfo info = {kParamBuffer, I, 0, !__is_const(A), element_size<A>};
};
template <class A, uint32_t I> struct Param<A *, TgMemory<I>> {
  static MSL_INLINE A *get(Fiber *) { return (A *)tg_dynamic(I); }
  static constexpr ParamInfo info = {kParamThreadgroup, I, 1, 0, element_size<A>};
};
template <class A, Builtin B> struct Param<A, Value<B>> {
  static MSL_INLINE A get(Fiber *f) {
    const Thread &t = f->t; Group *g = f->g; const Launch *L = g->L; uint32_t v[3] = {0, 0, 0};
    if (B == kIndexInGroup) v[0] = t.index; else if (B == kSimdInGroup) v[0] = f->sg->index; else if (B == kLaneInSimd) v[0] = f->lane;
    else if (B == kSimdsPerGroup) v[0] = g->simds; else if (B == kThreadsPerSimd) v[0] = kSimdWidth;
    else for (int k = 0; k < 3; k++)
      v[k] = B == kThreadInGrid ? g->position[k] * L->tg[k] + t.in_group[k] : B == kThreadInGroup ? t.in_group[k] : B == kGroupInGrid ? g->position[k] : B == kThreadsPerGroup ? g->size[k] : B == kGroupsPerGrid ? L->groups[k] : L->grid[k];
    if constexpr (shape<A>::n == 1) return (A)v[0];
    else { A a; for (int k = 0; k < shape<A>::n; k++) a[k] = (typename shape<A>::element)v[k]; return a; }
  }
  static constexpr ParamInfo info = {kParamBuiltin, (uint32_t)B, 0, 0, sizeof(A)};
};
template <class F, class... P> struct Call;
template <class... A, class... P> struct Call<void(A...), P...> {
  static MSL_INLINE void run(void (*k)(A...), Fiber *f) { k(Param<A, P>::get(f)...); }
  static constexpr uint32_t count = sizeof...(A);
  static constexpr ParamInfo infos[sizeof...(A) + 1] = {Param<A, P>::info..., {}};
};
}  // namespace msl

namespace msl {
// static_cast, which in clang's C++ does not go between half and bfloat.
template <class T, class F> constexpr MSL_INLINE T convert(F &&f) {
  using From = bare<F>;
  if constexpr ((__is_same(T, bfloat) && __is_same(From, half)) || (__is_same(T, half) && __is_same(From, bfloat))) return (T)(float)f;
  else return static_cast<T>(static_cast<F &&>(f));
}
}  // namespace msl

// ---- keywords and vector constructors, last so that nothing above sees them ----
#define float2(...) ::msl::make<float2>(__VA_ARGS__)
#define float3(...) ::msl::make<float3>(__VA_ARGS__)
#define float4(...) ::msl::make<float4>(__VA_ARGS__)
#define half2(...) ::msl::make<half2>(__VA_ARGS__)
#define half3(...) ::msl::make<half3>(__VA_ARGS__)
#define half4(...) ::msl::make<half4>(__VA_ARGS__)
#define int2(...) ::msl::make<int2>(__VA_ARGS__)
#define int3(...) ::msl::make<int3>(__VA_ARGS__)
#define int4(...) ::msl::make<int4>(__VA_ARGS__)
#define uint2(...) ::msl::make<uint2>(__VA_ARGS__)
#define uint3(...) ::msl::make<uint3>(__VA_ARGS__)
#define uint4(...) ::msl::make<uint4>(__VA_ARGS__)
#define short2(...) ::msl::make<short2>(__VA_ARGS__)
#define ushort2(...) ::msl::make<ushort2>(__VA_ARGS__)
#define ushort4(...) ::msl::make<ushort4>(__VA_ARGS__)
#define ulong2(...) ::msl::make<ulong2>(__VA_ARGS__)
#define ulong3(...) ::msl::make<ulong3>(__VA_ARGS__)
#define ulong4(...) ::msl::make<ulong4>(__VA_ARGS__)
#define static_cast ::msl::convert
#define device
#define thread
#define threadgroup
#define constant const
