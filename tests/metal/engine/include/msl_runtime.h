// Runs one threadgroup: its threads are fibers of one OS thread, switched only at barriers and simdgroup operations.
// A kernel whose threads never wait (MSL_PLAIN) is a loop over them on one fiber.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace msl {

constexpr uint32_t kSimdWidth = 32, kMaxThreads = 1024, kMaxBuffers = 31, kMaxTgSlots = 256;
constexpr size_t kStack = 1 << 16;       // one fiber; aligned to its size, so that the stack pointer finds the Fiber
constexpr size_t kColour = 320, kColours = 64;   // Fibers at one and the same offset would share a few lines of the cache
constexpr size_t kRedzone = 64;          // between allocations of threadgroup memory
constexpr unsigned char kRedzoneByte = 0xFB, kPoisonByte = 0xFF;  // 0xFF.. is a NaN in every float format

// What went wrong in a threadgroup, as bits.
enum Flag : uint32_t {
  kExitedBeforeBarrier = 1,   // some threads returned while others waited at threadgroup_barrier
  kSimdDiverged = 2,          // lanes of one simdgroup waited at different simdgroup operations
  kBarrierSites = 4,          // threads met at different threadgroup_barriers
  kTgOverflow = 8,            // wrote between allocations of threadgroup memory
  kTgTooLarge = 16,           // more than 32 KiB of threadgroup memory
  kFault = 32,                // memory fault, see Worker
};

// ---- shared with Rust (engine/src/launch.rs) ----
struct Launch {
  uint32_t grid[3], tg[3], groups[3];      // threads in all, threads per group, groups
  void *buffer[kMaxBuffers];
  uint32_t tg_length[kMaxBuffers];         // dynamic threadgroup memory
};
struct Worker {
  char *stacks;                            // kMaxThreads fibers
  char *arena;                             // threadgroup memory
  size_t arena_size;
  void *group;                             // Group, made by the first run
  void *main_sp;                           // where a fault returns to
  uintptr_t fault_exit;                    // code that returns there
  uint32_t flags;
  uint32_t tg_used;                        // bytes of threadgroup memory of the last group
};
enum ParamKind : uint32_t { kParamBuffer = 0, kParamThreadgroup = 1, kParamBuiltin = 2 };
struct ParamInfo { uint32_t kind, index, pointer, writable, element; };

// ---- fibers ----
struct Thread { uint32_t in_group[3], group[3], size[3], index; };
struct Group;
struct Simd;
struct Fiber { void *sp; Group *g; Simd *sg; uint32_t lane; Fiber *next_free; Thread t; };
// Products of 8x8 matrices wait here until something looks at a result, so that lanes meet once for many of them. Each lane
// adds its two elements of the operands, and where those of the result are.
struct Product { alignas(32) float a[8][8], b[8][8]; void *d[kSimdWidth]; const void *c[kSimdWidth]; uint8_t d_type, c_type; };   // types: 0 float, 1 half, 2 bfloat
constexpr uint32_t kMaxProducts = 128;
struct Simd {
  uint32_t index, count;
  uint32_t fresh, ready, at_simd, at_tg, done;   // masks of lanes
  uint32_t epoch, op, part[2], have[2];
  Fiber *fiber[kSimdWidth];
  uint32_t waiting[kSimdWidth];                  // products that each lane has noted
  alignas(64) char slot[2][kSimdWidth][64];      // what each lane brought to the operation of this epoch
  alignas(64) char result[2][64];                // computed once, by the first lane that goes on
  Product products[kMaxProducts];
};
struct Group {
  const Launch *L; Worker *w; Fiber *free_list;
  uint32_t position[3], size[3], threads, simds, stacks_used, flags;
  uint64_t first, last;                            // the groups of a plain kernel's loop
  uint32_t barrier_site;                           // where the threads that wait do so; 0 when none
  void *tg[kMaxTgSlots]; uint32_t tg_len[kMaxTgSlots]; void *tg_dynamic[kMaxBuffers];
  size_t arena_used;
  Simd sg[kMaxThreads / kSimdWidth];
};

static void run_thread(Fiber *f);                // defined with the kernel

#ifdef MSL_PLAIN
#define MSL_WAITS __attribute__((noinline, error("this kernel was taken for one whose threads do not wait")))
#else
#define MSL_WAITS __attribute__((noinline))
#endif

extern "C" void msl_switch(void **save, void *load);
extern "C" [[noreturn]] void msl_load(void *sp);
#if defined(__x86_64__)
asm(R"(
.text
.hidden msl_switch
.type msl_switch,@function
msl_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rdi
.hidden msl_load
.type msl_load,@function
msl_load:
  mov %rdi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
constexpr int kSavedWords = 6;
static inline uintptr_t stack_pointer() { uintptr_t sp; asm("mov %%rsp,%0" : "=r"(sp)); return sp; }
#elif defined(__aarch64__)
asm(R"(
.text
.hidden msl_switch
.type msl_switch,%function
msl_switch:
  sub sp,sp,#160
  stp x19,x20,[sp,#0]
  stp x21,x22,[sp,#16]
  stp x23,x24,[sp,#32]
  stp x25,x26,[sp,#48]
  stp x27,x28,[sp,#64]
  stp x29,x30,[sp,#80]
  stp d8,d9,[sp,#96]
  stp d10,d11,[sp,#112]
  stp d12,d13,[sp,#128]
  stp d14,d15,[sp,#144]
  mov x9,sp
  str x9,[x0]
  mov x0,x1
.hidden msl_load
.type msl_load,%function
msl_load:
  mov sp,x0
  ldp x19,x20,[sp,#0]
  ldp x21,x22,[sp,#16]
  ldp x23,x24,[sp,#32]
  ldp x25,x26,[sp,#48]
  ldp x27,x28,[sp,#64]
  ldp x29,x30,[sp,#80]
  ldp d8,d9,[sp,#96]
  ldp d10,d11,[sp,#112]
  ldp d12,d13,[sp,#128]
  ldp d14,d15,[sp,#144]
  add sp,sp,#160
  ret
)");
constexpr int kSavedWords = 20;
static inline uintptr_t stack_pointer() { uintptr_t sp; asm("mov %0,sp" : "=r"(sp)); return sp; }
#else
#error "no fiber switch for this processor"
#endif

// The fiber whose stack holds an address. engine/src/fault.rs knows this as well.
static inline Fiber *fiber_of(uintptr_t address) {
  return (Fiber *)((address | (kStack - 1)) + 1 - sizeof(Fiber) - address / kStack % kColours * kColour);
}
static inline Fiber *self() { return fiber_of(stack_pointer()); }

[[noreturn]] static void fiber_main();

static Fiber *fiber_at(Group *g, uint32_t i) { return fiber_of((uintptr_t)g->w->stacks + i * kStack); }

// A fiber that will run a lane from its start.
static Fiber *new_fiber(Group *g) {
  Fiber *f = g->free_list;
  if (f) g->free_list = f->next_free; else f = fiber_at(g, g->stacks_used++);
  uintptr_t top = (uintptr_t)f & ~(uintptr_t)63;
#if defined(__x86_64__)
  uintptr_t *p = (uintptr_t *)(top - 16);
  *p = (uintptr_t)&fiber_main;                     // `ret` goes there with the stack aligned as after a call
  p -= kSavedWords;
#else
  uintptr_t *p = (uintptr_t *)top - kSavedWords;
#endif
  for (int i = 0; i < kSavedWords; i++) p[i] = 0;
#if defined(__aarch64__)
  p[11] = (uintptr_t)&fiber_main;                  // x30
#endif
  f->sp = p; f->g = g;
  return f;
}

static inline void assign(Fiber *f, Simd *sg, uint32_t lane) {
  f->sg = sg; f->lane = lane; sg->fiber[lane] = f;
  Group *g = f->g; uint32_t i = sg->index * kSimdWidth + lane;
  f->t.index = i;
  f->t.in_group[0] = i % g->size[0]; f->t.in_group[1] = i / g->size[0] % g->size[1]; f->t.in_group[2] = i / (g->size[0] * g->size[1]);
}

static void release_simd(Simd *sg) {
  sg->part[sg->epoch & 1] = sg->at_simd; sg->have[sg->epoch & 1] = 0; sg->epoch++;
  sg->ready |= sg->at_simd; sg->at_simd = 0;
}

struct Pick { Simd *sg; uint32_t lane; bool fresh; };

// The next lane to run; sg == nullptr when all have ended.
static Pick pick(Group *g, Simd *sg) {
  for (;;) {
    if (sg->ready) { uint32_t l = __builtin_ctz(sg->ready); sg->ready &= sg->ready - 1; return {sg, l, false}; }
    if (sg->fresh) { uint32_t l = __builtin_ctz(sg->fresh); sg->fresh &= sg->fresh - 1; return {sg, l, true}; }
    if (sg->at_simd) { release_simd(sg); continue; }
    Simd *found = nullptr;
    for (uint32_t k = 1; k <= g->simds && !found; k++) {
      Simd *s = &g->sg[(sg->index + k) % g->simds];
      if (s->ready | s->fresh | s->at_simd) found = s;
    }
    if (!found) {                                   // everyone waits at a threadgroup_barrier or has ended
      bool ended = false;
      for (uint32_t k = 0; k < g->simds; k++) {
        Simd *s = &g->sg[k];
        if (s->at_tg) { if (!found) found = s; s->ready = s->at_tg; s->at_tg = 0; }
        ended |= s->done != 0;
      }
      g->barrier_site = 0;
      if (!found) return {nullptr, 0, false};
      if (ended) g->flags |= kExitedBeforeBarrier;
    }
    sg = found;
  }
}

// Leaves this fiber, which waits in one of the masks, until it is picked again.
__attribute__((noinline)) static void yield(Fiber *f) {
  Pick p = pick(f->g, f->sg);
  if (!p.sg) __builtin_trap();                      // f waits, so there is something to pick
  Fiber *to;
  if (p.fresh) { to = new_fiber(f->g); assign(to, p.sg, p.lane); } else to = p.sg->fiber[p.lane];
  if (to != f) msl_switch(&f->sp, to->sp);
}

#ifndef MSL_PLAIN
[[noreturn]] static void fiber_main() {
  Fiber *f = self(); Group *g = f->g;
  for (;;) {
    run_thread(f);
    f->sg->waiting[f->lane] = 0;
    f->sg->done |= 1u << f->lane;
    Pick p = pick(g, f->sg);
    if (!p.sg) msl_load(g->w->main_sp);
    if (p.fresh) { assign(f, p.sg, p.lane); continue; }
    f->next_free = g->free_list; g->free_list = f;
    msl_load(p.sg->fiber[p.lane]->sp);
  }
}

#endif

MSL_WAITS static void finish_products(Fiber *f);
static inline void products_done(Fiber *f) {
   if (__builtin_expect(f->sg->waiting[f->lane] != 0, 0)) finish_products(f);
}

// `site` is the barrier's number in the source.
MSL_WAITS static void tg_barrier(uint32_t site) {
  Fiber *f = self(); Group *g = f->g;
  products_done(f);
  if (!g->barrier_site) g->barrier_site = site; else if (g->barrier_site != site) g->flags |= kBarrierSites;
  f->sg->at_tg |= 1u << f->lane;
  yield(f);
}

// ---- simdgroup operations: every lane brings a value, then all go on and see all values of the same epoch ----
struct Meeting { Simd *sg; uint32_t lane, parity, mask; };

template <class T> MSL_WAITS static Meeting meet(const T &v, uint32_t op) {
  static_assert(sizeof(T) <= 64);
  Fiber *f = self();
  products_done(f);
  Simd *sg = f->sg; uint32_t lane = f->lane, parity = sg->epoch & 1, bit = 1u << lane;
  memcpy(sg->slot[parity][lane], &v, sizeof v);
  if (!sg->at_simd) sg->op = op; else if (sg->op != op) f->g->flags |= kSimdDiverged;
  sg->at_simd |= bit;
  if (sg->fresh | sg->ready) yield(f); else { release_simd(sg); sg->ready &= ~bit; }
  return {sg, lane, parity, sg->part[parity]};
}
template <class T> static inline T brought(const Meeting &m, uint32_t lane) { T t; memcpy(&t, m.sg->slot[m.parity][lane], sizeof t); return t; }
// The value that `compute` makes of all lanes' values; computed once.
template <class R, class F> static inline R once(const Meeting &m, F compute) {
  static_assert(sizeof(R) <= 64);
  if (!m.sg->have[m.parity]) { R r = compute(); memcpy(m.sg->result[m.parity], &r, sizeof r); m.sg->have[m.parity] = 1; }
  R r; memcpy(&r, m.sg->result[m.parity], sizeof r); return r;
}

// Where a lane's two elements of an 8x8 matrix are.
static inline int matrix_row(uint32_t lane) { return ((lane / 4) & 4) + (lane / 2) % 4; }
static inline int matrix_column(uint32_t lane) { return ((lane / 4) & 2) * 2 + (lane % 2) * 2; }

static inline void load_two(const void *p, uint8_t type, float *to) {
  if (type == 0) memcpy(to, p, 8);
  else if (type == 1) { _Float16 e[2]; memcpy(e, p, 4); to[0] = (float)e[0]; to[1] = (float)e[1]; }
  else { __bf16 e[2]; memcpy(e, p, 4); to[0] = (float)e[0]; to[1] = (float)e[1]; }
}
static inline void store_two(void *p, uint8_t type, const float *from) {
  if (type == 0) memcpy(p, from, 8);
  else if (type == 1) { _Float16 e[2] = {(_Float16)from[0], (_Float16)from[1]}; memcpy(p, e, 4); }
  else { __bf16 e[2] = {(__bf16)from[0], (__bf16)from[1]}; memcpy(p, e, 4); }
}

// d = a·b + c of all lanes, in float, summed in order of k. What lanes that are not there would have brought is NaN.
static void compute(Product &q, uint32_t mask) {
  typedef float row8 __attribute__((ext_vector_type(8)));
  alignas(32) float c[8][8];
  for (uint32_t l = 0; l < kSimdWidth; l++) {
    int r = matrix_row(l), k = matrix_column(l);
    if (__builtin_expect(!(mask >> l & 1), 0)) q.a[r][k] = q.a[r][k + 1] = q.b[r][k] = q.b[r][k + 1] = c[r][k] = c[r][k + 1] = __builtin_nanf("");
    else if (q.c[l]) load_two(q.c[l], q.c_type, &c[r][k]);
    else c[r][k] = c[r][k + 1] = 0;
  }
  for (int i = 0; i < 8; i++) {
    row8 acc; memcpy(&acc, c[i], 32);
    for (int k = 0; k < 8; k++) { row8 v; memcpy(&v, q.b[k], 32); acc += q.a[i][k] * v; }
    memcpy(c[i], &acc, 32);
  }
  for (uint32_t l = 0; l < kSimdWidth; l++) if (mask >> l & 1) store_two(q.d[l], q.d_type, &c[matrix_row(l)][matrix_column(l)]);
}

// Computes the products noted; done once, by the first lane that goes on.
static void finish_products(Fiber *f) {
  uint32_t n = f->sg->waiting[f->lane];
  f->sg->waiting[f->lane] = 0;                                     // so that meeting does not come here again
  Meeting m = meet(n, 0x1000 + n);
  once<int>(m, [&] {
    for (uint32_t p = 0; p < n; p++) compute(m.sg->products[p], m.mask);
    return 0;
  });
  asm volatile("" ::: "memory");
}

// ---- threadgroup memory ----
static void *tg_take(Group *g, size_t size) {
  char *p = g->w->arena + g->arena_used + kRedzone;
  size_t whole = (size + 63) & ~(size_t)63;
  if (g->arena_used + whole + 2 * kRedzone > g->w->arena_size) __builtin_trap();
  memset(p, kPoisonByte, size);
  memset(p + size, kRedzoneByte, whole - size + kRedzone);
  g->arena_used += kRedzone + whole;
  return p;
}
MSL_WAITS static void *tg_static(uint32_t slot, size_t size) {
  Group *g = self()->g;
  if (!g->tg[slot]) { g->tg[slot] = tg_take(g, size); g->tg_len[slot] = (uint32_t)size; }
  return g->tg[slot];
}
static void *tg_dynamic(uint32_t index) {
  Group *g = self()->g;
  if (!g->tg_dynamic[index]) g->tg_dynamic[index] = tg_take(g, g->L->tg_length[index]);
  return g->tg_dynamic[index];
}
static void tg_check(Group *g, void *p, size_t size) {
  size_t whole = (size + 63) & ~(size_t)63; unsigned char *c = (unsigned char *)p;
  for (size_t i = size; i < whole + kRedzone; i++) if (c[i] != kRedzoneByte) g->flags |= kTgOverflow;
}

// Where group `i` of a launch, counted in x-y-z order, is, and how large: those at the grid's end may be smaller.
static inline void place(Group *g, uint64_t i) {
  const Launch *L = g->L;
  uint32_t at[3] = {(uint32_t)(i % L->groups[0]), (uint32_t)(i / L->groups[0] % L->groups[1]), (uint32_t)(i / ((uint64_t)L->groups[0] * L->groups[1]))};
  g->threads = 1;
  for (int k = 0; k < 3; k++) {
    uint32_t left = L->grid[k] - at[k] * L->tg[k];
    g->position[k] = at[k]; g->size[k] = left < L->tg[k] ? left : L->tg[k]; g->threads *= g->size[k];
  }
}

#ifdef MSL_PLAIN
[[noreturn]] static void fiber_main() {
  Fiber *f = self(); Group *g = f->g;
  for (uint64_t i = g->first; i < g->last; i++) {
    place(g, i);
    f->t.index = 0;
    for (uint32_t z = 0; z < g->size[2]; z++) {
      f->t.in_group[2] = z;
      for (uint32_t y = 0; y < g->size[1]; y++) {
        f->t.in_group[1] = y;
        for (uint32_t x = 0; x < g->size[0]; x++) { f->t.in_group[0] = x; run_thread(f); f->t.index++; }
      }
    }
  }
  msl_load(g->w->main_sp);
}
static void run_groups(const Launch *L, Worker *w, uint64_t first, uint64_t last) {
  Group *g = (Group *)w->group;
  g->L = L; g->w = w; g->free_list = nullptr; g->stacks_used = 0; g->first = first; g->last = last; w->tg_used = 0;
  Fiber *f = new_fiber(g);
  f->sg = &g->sg[0]; f->lane = 0;
  w->fault_exit = (uintptr_t)&msl_load;
  msl_switch(&w->main_sp, f->sp);
}
#else
static void run_group(const Launch *L, Worker *w, uint64_t i) {
  Group *g = (Group *)w->group;
  g->L = L; g->w = w; g->free_list = nullptr; g->stacks_used = 0; g->flags = 0; g->barrier_site = 0; g->arena_used = 0;
  place(g, i);
  g->simds = (g->threads + kSimdWidth - 1) / kSimdWidth;
  memset(g->tg, 0, sizeof g->tg); memset(g->tg_dynamic, 0, sizeof g->tg_dynamic);
  for (uint32_t s = 0; s < g->simds; s++) {
    Simd *sg = &g->sg[s]; uint32_t n = g->threads - s * kSimdWidth; if (n > kSimdWidth) n = kSimdWidth;
    sg->index = s; sg->count = n; sg->fresh = n == 32 ? ~0u : (1u << n) - 1;
    sg->ready = sg->at_simd = sg->at_tg = sg->done = 0; sg->epoch = 0;
    memset(sg->waiting, 0, sizeof sg->waiting);
  }
  Fiber *f = new_fiber(g); g->sg[0].fresh &= ~1u; assign(f, &g->sg[0], 0);
  w->fault_exit = (uintptr_t)&msl_load;
  msl_switch(&w->main_sp, f->sp);
  size_t used = 0;
  for (uint32_t i = 0; i < kMaxTgSlots; i++) if (g->tg[i]) { tg_check(g, g->tg[i], g->tg_len[i]); used += g->tg_len[i]; }
  for (uint32_t i = 0; i < kMaxBuffers; i++) if (g->tg_dynamic[i]) { tg_check(g, g->tg_dynamic[i], L->tg_length[i]); used += L->tg_length[i]; }
  if (used > 32768) g->flags |= kTgTooLarge;
  w->tg_used = (uint32_t)used; w->flags |= g->flags;
}
static void run_groups(const Launch *L, Worker *w, uint64_t first, uint64_t last) {
  for (uint64_t i = first; i < last && !(w->flags & kFault); i++) run_group(L, w, i);
}
#endif

}  // namespace msl

// Groups first..last of the launch, in x-y-z order. Stops at a fault, which the signal handler notes in the worker.
extern "C" __attribute__((visibility("default"))) void msl_run(const msl::Launch *L, msl::Worker *w, uint64_t first, uint64_t last) {
  msl::run_groups(L, w, first, last);
}
extern "C" __attribute__((visibility("default"))) size_t msl_group_size() { return sizeof(msl::Group); }
