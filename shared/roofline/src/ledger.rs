//! What is dispatched: one line for each kind of dispatch, with its bytes and operations.

use std::fmt;
use std::ops::AddAssign;

/// Whose dispatches are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// The tensor library's primitives alone: one pass over memory for each operation.
    Primitives,
    /// What this program does on a GPU.
    Current,
    /// What no kernels could do without: every weight read once, every activation read and written once for each group
    /// of operations that can be one kernel.
    Floor,
}

/// Element type of a product's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elements {
    /// Four bytes.
    F32,
    /// Two bytes.
    Bf16,
}

impl Elements {
    /// Bytes of one.
    pub fn bytes(self) -> f64 {
        match self {
            Elements::F32 => 4.,
            Elements::Bf16 => 2.,
        }
    }
}

/// What limits a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A matrix product.
    Product(Elements),
    /// Fused attention.
    Attention(Elements),
    /// A pass over memory.
    Pass,
    /// A pass over memory on the processor, with one thread.
    Host,
    /// The processor waits until the GPU is done.
    Wait,
}

/// Equal dispatches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dispatch {
    /// What it computes.
    pub name: &'static str,
    /// What limits it.
    pub kind: Kind,
    /// How many there are.
    pub count: u64,
    /// Operations of all of them together: a multiplication and an addition are two.
    pub flops: f64,
    /// Bytes that all of them together read.
    pub read: f64,
    /// Bytes that all of them together write.
    pub written: f64,
}

impl Dispatch {
    /// A pass over memory.
    pub fn pass(name: &'static str, count: u64, read: f64, written: f64) -> Self {
        Self { name, kind: Kind::Pass, count, flops: 0., read, written }
    }

    /// Waiting for the GPU.
    pub fn wait(count: u64) -> Self {
        Self { name: "wait", kind: Kind::Wait, count, flops: 0., read: 0., written: 0. }
    }

    /// Products of `(m, k)` by `(k, n)`: `m` rows in all, each dispatch reading the whole matrix.
    pub fn product(name: &'static str, elements: Elements, count: u64, [m, n, k]: [f64; 3]) -> Self {
        let size = elements.bytes();
        let read = size * (m * k + count as f64 * k * n);
        Self { name, kind: Kind::Product(elements), count, flops: 2. * m * n * k, read, written: size * m * n }
    }

    /// Attention of `queries` to `keys`, over `channels` in all heads, each dispatch reading all keys and values.
    pub fn attention(name: &'static str, elements: Elements, count: u64, [queries, keys, channels]: [f64; 3]) -> Self {
        let size = elements.bytes() * channels;
        let read = size * (queries + 2. * keys * count as f64);
        let flops = 4. * queries * keys * channels;
        Self { name, kind: Kind::Attention(elements), count, flops, read, written: size * queries }
    }

    /// It writes f32 whatever it multiplies.
    #[must_use]
    pub fn into_f32(self) -> Self {
        match self.kind {
            Kind::Product(elements) | Kind::Attention(elements) => {
                Self { written: self.written / elements.bytes() * Elements::F32.bytes(), ..self }
            }
            Kind::Pass | Kind::Host | Kind::Wait => self,
        }
    }

    /// It reads so many bytes more.
    #[must_use]
    pub fn reading(self, bytes: f64) -> Self {
        Self { read: self.read + bytes, ..self }
    }

    /// Bytes that it moves.
    pub fn bytes(&self) -> f64 {
        self.read + self.written
    }
}

/// The dispatches of a part of a network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger(pub Vec<Dispatch>);

impl Ledger {
    /// The dispatches of a kind.
    pub fn of(&self, kinds: impl Fn(Kind) -> bool) -> Ledger {
        Ledger(self.0.iter().filter(|dispatch| kinds(dispatch.kind)).copied().collect())
    }

    /// How many there are on the GPU.
    pub fn dispatches(&self) -> u64 {
        let on_gpu = |dispatch: &&Dispatch| !matches!(dispatch.kind, Kind::Host | Kind::Wait);
        self.0.iter().filter(on_gpu).map(|dispatch| dispatch.count).sum()
    }

    /// How often the processor waits.
    pub fn waits(&self) -> u64 {
        self.0.iter().filter(|dispatch| dispatch.kind == Kind::Wait).map(|dispatch| dispatch.count).sum()
    }

    /// Operations.
    pub fn flops(&self) -> f64 {
        self.0.iter().map(|dispatch| dispatch.flops).sum()
    }

    /// Bytes read and written.
    pub fn bytes(&self) -> f64 {
        self.0.iter().map(Dispatch::bytes).sum()
    }

    /// So many times the same.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        let by = times as f64;
        let times = |dispatch: Dispatch| Dispatch {
            count: dispatch.count * times,
            flops: dispatch.flops * by,
            read: dispatch.read * by,
            written: dispatch.written * by,
            ..dispatch
        };
        Self(self.0.into_iter().map(times).collect())
    }

    /// The matrix products, without attention.
    pub fn products(&self) -> Ledger {
        self.of(|kind| matches!(kind, Kind::Product(_)))
    }

    /// The passes over memory beside products and attention.
    pub fn passes(&self) -> Ledger {
        self.of(|kind| kind == Kind::Pass)
    }
}

impl AddAssign<Dispatch> for Ledger {
    fn add_assign(&mut self, dispatch: Dispatch) {
        self.0.push(dispatch);
    }
}

impl AddAssign<Ledger> for Ledger {
    fn add_assign(&mut self, other: Ledger) {
        self.0.extend(other.0);
    }
}

/// A table: count, name, TFLOP, GB read and written.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, count: u64, name: &str, flops: f64, read: f64, written: f64| {
            writeln!(f, "{count:>6}  {name:<36} {:>9.3} {:>9.3} {:>9.3}", flops / 1e12, read / 1e9, written / 1e9)
        };
        writeln!(f, "{:>6}  {:<36} {:>9} {:>9} {:>9}", "count", "dispatch", "TFLOP", "GB read", "written")?;
        for Dispatch { name, count, flops, read, written, .. } in &self.0 {
            line(f, *count, name, *flops, *read, *written)?;
        }
        let sum = |of: fn(&Dispatch) -> f64| self.0.iter().map(of).sum::<f64>();
        let total = if self.waits() > 0 { format!("in all, and {} waits", self.waits()) } else { "in all".to_owned() };
        line(f, self.dispatches(), &total, self.flops(), sum(|d| d.read), sum(|d| d.written))
    }
}
