//! What a stream of frames leaves behind in the layers: the whole state of an [`Encoder`](super::Encoder) or
//! [`Decoder`](super::Decoder) between two frames.
//!
//! Not here: any rule about it. Each layer owns one slot and knows what it means.

use candle_core::Tensor;

use crate::layers::conv::History;

/// The memory of one stream, by layer. A new stream starts with an empty one.
#[derive(Debug, Clone, Default)]
pub struct FeatureCache {
    slots: Vec<Slot>,
    /// What a layer finds when it looks for the first time.
    fresh: Slot,
}

/// The memory of one layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot {
    /// Frames the layer has been given; the first one is treated differently by all that resample time.
    pub(crate) seen: usize,
    /// Past inputs of the layer's convolution in time.
    pub(crate) history: History,
    /// A frame that waits for the next one.
    pub(crate) held: Option<Tensor>,
}

/// Which slot a layer owns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotId(usize);

/// Deals out slots while a network is built.
#[derive(Debug, Default)]
pub(crate) struct Slots(usize);

impl Slots {
    pub(crate) fn next(&mut self) -> SlotId {
        self.0 += 1;
        SlotId(self.0 - 1)
    }
}

impl FeatureCache {
    /// A stream that treats its first frame like all others: what running a whole video at once amounts to, which is
    /// not what the networks were trained for. Only diagnoses need it, to tell the two apart.
    pub(crate) fn without_first() -> Self {
        Self { slots: Vec::new(), fresh: Slot { seen: 1, ..Slot::default() } }
    }

    pub(crate) fn slot(&mut self, id: SlotId) -> &mut Slot {
        if self.slots.len() <= id.0 {
            self.slots.resize(id.0 + 1, self.fresh.clone());
        }
        &mut self.slots[id.0]
    }
}

impl Slot {
    /// Counts a frame; true for the first one.
    pub(crate) fn is_first(&mut self) -> bool {
        self.seen += 1;
        self.seen == 1
    }
}
