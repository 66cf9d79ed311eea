//! Queues, command buffers and encoders.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use block2::Block;
use metal_on_cpu::encoder::Encoder;
use metal_on_cpu::hazard::Fence;
use metal_on_cpu::library::Pipeline;
use metal_on_cpu::queue::{CommandBuffer, Queue, Status};
use objc2::rc::Retained;
use objc2::runtime::{NSObjectProtocol, ProtocolObject, payload};
use objc2_foundation::{NSError, NSRange, NSString};

use crate::device::{
    MTLBuffer, MTLComputePipelineState, MTLCreateSystemDefaultDevice, MTLDevice, MTLFence, MTLResidencySet, memory,
    protocol,
};
use crate::values::{MTLBarrierScope, MTLCommandBufferStatus, MTLDispatchType, MTLSize};

type Done = dyn Fn(NonNull<ProtocolObject<dyn MTLCommandBuffer>>);
type Handler = Block<Done>;

fn device() -> Retained<ProtocolObject<dyn MTLDevice>> {
    MTLCreateSystemDefaultDevice().unwrap_or_else(|| unreachable!())
}

protocol! {
    MTLCommandQueue: NSObjectProtocol {
        fn device(&self) -> Retained<ProtocolObject<dyn MTLDevice>> { device() }
        fn setLabel(&self, _label: Option<&NSString>) {}
        fn addResidencySet(&self, _set: &ProtocolObject<dyn MTLResidencySet>) {}
        fn commandBuffer(&self) -> Option<Retained<ProtocolObject<dyn MTLCommandBuffer>>> {
            Some(Retained::new_object(payload::<Arc<Queue>, _>(self).command_buffer()))
        }
    }
}

fn buffer<P: ?Sized>(object: &ProtocolObject<P>) -> &Arc<CommandBuffer> {
    payload(object)
}

protocol! {
    MTLCommandBuffer: NSObjectProtocol {
        fn device(&self) -> Retained<ProtocolObject<dyn MTLDevice>> { device() }
        fn setLabel(&self, _label: Option<&NSString>) {}
        fn enqueue(&self) { buffer(self).enqueue(); }
        fn commit(&self) { buffer(self).commit(); }
        fn waitUntilCompleted(&self) { buffer(self).wait(); }
        fn status(&self) -> MTLCommandBufferStatus {
            match buffer(self).status() {
                Status::NotEnqueued => MTLCommandBufferStatus::NotEnqueued,
                Status::Enqueued => MTLCommandBufferStatus::Enqueued,
                Status::Committed => MTLCommandBufferStatus::Committed,
                Status::Completed => MTLCommandBufferStatus::Completed,
                Status::Error => MTLCommandBufferStatus::Error,
            }
        }
        fn error(&self) -> Option<Retained<NSError>> { buffer(self).error().map(NSError::with_text) }
        fn computeCommandEncoder(&self) -> Option<Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>> {
            Some(Retained::new_object(Encoder::new(buffer(self), false)))
        }
        fn computeCommandEncoderWithDispatchType(&self, kind: MTLDispatchType) -> Option<Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>> {
            Some(Retained::new_object(Encoder::new(buffer(self), kind == MTLDispatchType::Concurrent)))
        }
        fn blitCommandEncoder(&self) -> Option<Retained<ProtocolObject<dyn MTLBlitCommandEncoder>>> {
            Some(Retained::new_object(Encoder::new(buffer(self), false)))
        }
    }
    unsafe {
        fn addCompletedHandler(&self, block: *mut Handler) {
            // SAFETY: the caller's promise.
            let completion = Completion(unsafe { (*block).copy() });
            let commands = Arc::clone(buffer(self));
            buffer(self).on_completed(Box::new(move || {
                let completion = completion;
                let object: Retained<ProtocolObject<dyn MTLCommandBuffer>> = Retained::new_object(commands);
                (completion.0)(NonNull::from(&*object));
            }));
        }
    }
}

/// A handler and the command buffer it is for.
struct Completion(Arc<Done>);
// SAFETY: Metal calls handlers on threads of its own, so whoever gives one must have made it fit for that.
unsafe impl Send for Completion {}

fn encoder<P: ?Sized>(object: &ProtocolObject<P>) -> &Encoder {
    payload(object)
}

protocol! {
    MTLCommandEncoder: NSObjectProtocol {
        fn setLabel(&self, _label: Option<&NSString>) {}
        fn endEncoding(&self) { encoder(self).end(); }
        fn pushDebugGroup(&self, _name: &NSString) {}
        fn popDebugGroup(&self) {}
    }
}

protocol! {
    MTLComputeCommandEncoder: MTLCommandEncoder {
        fn setComputePipelineState(&self, state: &ProtocolObject<dyn MTLComputePipelineState>) {
            encoder(self).set_pipeline(Arc::clone(payload::<Arc<Pipeline>, _>(state)));
        }
        fn dispatchThreads_threadsPerThreadgroup(&self, grid: MTLSize, group: MTLSize) {
            encoder(self).dispatch(grid.array(), group.array());
        }
        fn dispatchThreadgroups_threadsPerThreadgroup(&self, groups: MTLSize, group: MTLSize) {
            let grid = std::array::from_fn(|k| groups.array()[k] * group.array()[k]);
            encoder(self).dispatch(grid, group.array());
        }
        fn memoryBarrierWithScope(&self, _scope: MTLBarrierScope) { encoder(self).barrier(); }
        fn waitForFence(&self, fence: &ProtocolObject<dyn MTLFence>) { encoder(self).wait(payload::<Fence, _>(fence)); }
        fn updateFence(&self, fence: &ProtocolObject<dyn MTLFence>) { encoder(self).update(payload::<Fence, _>(fence)); }
    }
    unsafe {
        fn setBuffer_offset_atIndex(&self, buffer: Option<&ProtocolObject<dyn MTLBuffer>>, offset: usize, index: usize) {
            encoder(self).set_buffer(index, buffer.map(|b| Arc::clone(memory(b))), offset);
        }
        fn setBytes_length_atIndex(&self, bytes: NonNull<c_void>, length: usize, index: usize) {
            // SAFETY: the caller's promise.
            encoder(self).set_bytes(index, unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), length) });
        }
        fn setThreadgroupMemoryLength_atIndex(&self, length: usize, index: usize) {
            encoder(self).set_threadgroup_length(index, length);
        }
    }
}

protocol! {
    MTLBlitCommandEncoder: MTLCommandEncoder {
        fn waitForFence(&self, fence: &ProtocolObject<dyn MTLFence>) { encoder(self).wait(payload::<Fence, _>(fence)); }
        fn updateFence(&self, fence: &ProtocolObject<dyn MTLFence>) { encoder(self).update(payload::<Fence, _>(fence)); }
        fn fillBuffer_range_value(&self, buffer: &ProtocolObject<dyn MTLBuffer>, range: NSRange, value: u8) {
            encoder(self).fill(memory(buffer), range.location, range.length, value);
        }
    }
    unsafe {
        fn copyFromBuffer_sourceOffset_toBuffer_destinationOffset_size(&self, from: &ProtocolObject<dyn MTLBuffer>, from_offset: usize, to: &ProtocolObject<dyn MTLBuffer>, to_offset: usize, size: usize) {
            encoder(self).copy(memory(from), from_offset, memory(to), to_offset, size);
        }
    }
}
