//! The device and what it makes: memory, libraries, pipelines.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock};

use metal_on_cpu::hazard::Fence;
use metal_on_cpu::library::{Function, Library, Pipeline, architecture};
use metal_on_cpu::memory::Memory;
use metal_on_cpu::queue::Queue;
use objc2::Message;
use objc2::rc::Retained;
use objc2::runtime::{AnyObject, NSObjectProtocol, ProtocolObject, payload};
use objc2_foundation::{NSArray, NSError, NSRange, NSString, NSURL};

use crate::commands::MTLCommandQueue;
use crate::values::{
    MTLCaptureDestination, MTLDataType, MTLMathFloatingPointFunctions, MTLMathMode, MTLResourceOptions,
};

/// What a device object is made of.
struct Device;

/// The only device. Always the same object, as on macOS.
fn the_device() -> Retained<ProtocolObject<dyn MTLDevice>> {
    static DEVICE: OnceLock<Retained<ProtocolObject<dyn MTLDevice>>> = OnceLock::new();
    DEVICE.get_or_init(|| Retained::new_object(Device)).clone()
}

pub fn MTLCreateSystemDefaultDevice() -> Option<Retained<ProtocolObject<dyn MTLDevice>>> {
    Some(the_device())
}

pub fn MTLCopyAllDevices() -> Retained<NSArray<ProtocolObject<dyn MTLDevice>>> {
    NSArray::from_vec(vec![the_device()])
}

/// Declares a protocol's methods with panicking bodies, so that the protocol can be a trait object's name, and gives
/// them to every object of the protocol.
macro_rules! protocol {
    (
        $(#[$doc:meta])*
        $name:ident: $super:path {
            $(fn $method:ident(&$this:ident $(, $arg:ident: $type:ty)*) $(-> $ret:ty)? $body:block)*
        }
        $(unsafe {
            $(fn $umethod:ident(&$uthis:ident $(, $uarg:ident: $utype:ty)*) $(-> $uret:ty)? $ubody:block)*
        })?
    ) => {
        $(#[$doc])*
        pub trait $name: $super {
            $(#[allow(unused_variables, reason = "not every method has arguments")]
            fn $method(&self $(, $arg: $type)*) $(-> $ret)? { unreachable!() })*
            $($(#[allow(unused_variables, clippy::missing_safety_doc, reason = "not every method has arguments; safe as the real one")]
            unsafe fn $umethod(&self $(, $uarg: $utype)*) $(-> $uret)? { unreachable!() })*)?
        }
        impl<P: ?Sized + $name> $name for ProtocolObject<P> where ProtocolObject<P>: $super {
            $(fn $method(&$this $(, $arg: $type)*) $(-> $ret)? $body)*
            $($(unsafe fn $umethod(&$uthis $(, $uarg: $utype)*) $(-> $uret)? $ubody)*)?
        }
    };
}
pub(crate) use protocol;

fn new_buffer(length: usize, options: MTLResourceOptions) -> Option<Retained<ProtocolObject<dyn MTLBuffer>>> {
    let shared = options.0 & (2 << 4) == 0;
    let tracked = options.0 & (1 << 8) == 0;
    if length == 0 {
        metal_on_cpu::findings::finding("a buffer of no bytes was asked for: Metal gives nil".into());
    }
    Some(Retained::new_object(Arc::new(Memory::new(length, shared, tracked)?)))
}

protocol! {
    MTLDevice: NSObjectProtocol {
        fn registryID(&self) -> u64 { 0xC0DE }
        fn name(&self) -> Retained<NSString> { NSString::from_str("metal-on-cpu") }
        fn architecture(&self) -> Retained<MTLArchitecture> { Retained::new_object(MTLArchitectureName) }
        fn hasUnifiedMemory(&self) -> bool { true }
        fn recommendedMaxWorkingSetSize(&self) -> u64 { 48 << 30 }
        fn currentAllocatedSize(&self) -> usize { Memory::allocated() }
        fn maxBufferLength(&self) -> usize { 32 << 30 }
        fn maxThreadgroupMemoryLength(&self) -> usize { 32768 }
        fn newBufferWithLength_options(&self, length: usize, options: MTLResourceOptions) -> Option<Retained<ProtocolObject<dyn MTLBuffer>>> {
            new_buffer(length, options)
        }
        fn newFence(&self) -> Option<Retained<ProtocolObject<dyn MTLFence>>> {
            Some(Retained::new_object(Fence::default()))
        }
        fn newCommandQueue(&self) -> Option<Retained<ProtocolObject<dyn MTLCommandQueue>>> {
            Some(Retained::new_object(Queue::new()))
        }
        fn newLibraryWithSource_options_error(&self, source: &NSString, options: Option<&MTLCompileOptions>) -> Result<Retained<ProtocolObject<dyn MTLLibrary>>, Retained<NSError>> {
            let fast = options.is_none_or(MTLCompileOptions::is_fast);
            Library::from_source(source.as_text(), fast).map(Retained::new_object).map_err(NSError::with_text)
        }
        fn newComputePipelineStateWithFunction_error(&self, function: &ProtocolObject<dyn MTLFunction>) -> Result<Retained<ProtocolObject<dyn MTLComputePipelineState>>, Retained<NSError>> {
            payload::<Function, _>(function).pipeline().map(Retained::new_object).map_err(|e| {
                eprintln!("metal-on-cpu: {e}");
                NSError::with_text(e)
            })
        }
        fn newResidencySetWithDescriptor_error(&self, _descriptor: &MTLResidencySetDescriptor) -> Result<Retained<ProtocolObject<dyn MTLResidencySet>>, Retained<NSError>> {
            Ok(Retained::new_object(()))
        }
    }
    unsafe {
        fn newBufferWithBytes_length_options(&self, pointer: NonNull<c_void>, length: usize, options: MTLResourceOptions) -> Option<Retained<ProtocolObject<dyn MTLBuffer>>> {
            let buffer = new_buffer(length, options)?;
            // SAFETY: the caller's promise; the new memory has as many bytes.
            unsafe { std::ptr::copy_nonoverlapping(pointer.as_ptr().cast::<u8>(), memory(&buffer).data(), length) };
            Some(buffer)
        }
    }
}

struct MTLArchitectureName;

/// Declares classes.
macro_rules! class {
    ($($name:ident),+) => {$(
        #[repr(transparent)]
        pub struct $name(AnyObject);
        // SAFETY: transparent over AnyObject.
        unsafe impl Message for $name {}
    )+};
}

class!(
    MTLArchitecture,
    MTLCompileOptions,
    MTLFunctionConstantValues,
    MTLResidencySetDescriptor,
    MTLCaptureDescriptor,
    MTLCaptureManager
);

impl MTLArchitecture {
    pub fn name(&self) -> Retained<NSString> {
        NSString::from_str(architecture())
    }
}

protocol! { MTLAllocation: NSObjectProtocol {} }
protocol! {
    MTLResource: MTLAllocation {
        fn setLabel(&self, _label: Option<&NSString>) {}
    }
}

/// The memory of a buffer object.
pub(crate) fn memory<P: ?Sized>(buffer: &ProtocolObject<P>) -> &Arc<Memory> {
    payload(buffer)
}

protocol! {
    MTLBuffer: MTLResource {
        fn length(&self) -> usize { memory(self).length() }
        fn contents(&self) -> NonNull<c_void> {
            let memory = memory(self);
            assert!(memory.shared, "contents of a private buffer: nil on macOS");
            NonNull::new(memory.data().cast()).unwrap_or(NonNull::dangling())
        }
        fn didModifyRange(&self, _range: NSRange) {}
    }
}

protocol! { MTLFence: NSObjectProtocol {} }

protocol! {
    MTLResidencySet: NSObjectProtocol {
        fn requestResidency(&self) {}
        fn addAllocation(&self, _allocation: &ProtocolObject<dyn MTLAllocation>) {}
        fn removeAllocation(&self, _allocation: &ProtocolObject<dyn MTLAllocation>) {}
        fn commit(&self) {}
    }
}

impl MTLResidencySetDescriptor {
    pub fn new() -> Retained<Self> {
        Retained::new_object(())
    }
}

/// Whether the mode of the options is the fast one, which is also the default.
struct Fast(Mutex<bool>);

impl MTLCompileOptions {
    pub fn new() -> Retained<Self> {
        Retained::new_object(Fast(Mutex::new(true)))
    }

    fn set(&self, fast: bool) {
        *payload::<Fast, _>(self).0.lock().unwrap_or_else(|e| e.into_inner()) = fast;
    }

    fn is_fast(&self) -> bool {
        *payload::<Fast, _>(self).0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn setMathMode(&self, mode: MTLMathMode) {
        self.set(mode == MTLMathMode::Fast);
    }

    pub fn setMathFloatingPointFunctions(&self, _functions: MTLMathFloatingPointFunctions) {}

    pub fn setFastMathEnabled(&self, fast: bool) {
        self.set(fast);
    }
}

impl MTLFunctionConstantValues {
    pub fn new() -> Retained<Self> {
        Retained::new_object(Mutex::new(Vec::<(usize, String)>::new()))
    }

    /// # Safety
    /// `value` is of the type named.
    pub unsafe fn setConstantValue_type_atIndex(&self, value: NonNull<c_void>, data_type: MTLDataType, index: usize) {
        // SAFETY: the caller's promise.
        let literal = unsafe {
            match data_type {
                MTLDataType::Bool => value.cast::<bool>().read().to_string(),
                MTLDataType::Float => format!("__builtin_bit_cast(float, {}u)", value.cast::<u32>().read()),
                MTLDataType::Int => value.cast::<i32>().read().to_string(),
                MTLDataType::UInt => value.cast::<u32>().read().to_string(),
                MTLDataType::UShort => value.cast::<u16>().read().to_string(),
                MTLDataType::Short => value.cast::<i16>().read().to_string(),
                MTLDataType::ULong => format!("{}ul", value.cast::<u64>().read()),
                MTLDataType::Long => format!("{}l", value.cast::<i64>().read()),
                other => panic!("a function constant of type {other:?}"),
            }
        };
        payload::<Mutex<Vec<(usize, String)>>, _>(self)
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .push((index, literal));
    }

    fn values(&self) -> Vec<(usize, String)> {
        payload::<Mutex<Vec<(usize, String)>>, _>(self).lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

protocol! {
    MTLLibrary: NSObjectProtocol {
        fn functionNames(&self) -> Retained<NSArray<NSString>> {
            NSArray::from_vec(payload::<Arc<Library>, _>(self).names().map(NSString::from_str).collect())
        }
        fn newFunctionWithName(&self, name: &NSString) -> Option<Retained<ProtocolObject<dyn MTLFunction>>> {
            payload::<Arc<Library>, _>(self).function(name.as_text(), Vec::new()).map(Retained::new_object)
        }
        fn newFunctionWithName_constantValues_error(&self, name: &NSString, values: &MTLFunctionConstantValues) -> Result<Retained<ProtocolObject<dyn MTLFunction>>, Retained<NSError>> {
            payload::<Arc<Library>, _>(self)
                .function(name.as_text(), values.values())
                .map(Retained::new_object)
                .ok_or_else(|| NSError::with_text(format!("no function {}", name.as_text())))
        }
    }
}

protocol! { MTLFunction: NSObjectProtocol {} }

protocol! {
    MTLComputePipelineState: NSObjectProtocol {
        fn maxTotalThreadsPerThreadgroup(&self) -> usize { payload::<Arc<Pipeline>, _>(self).max_threads }
        fn threadExecutionWidth(&self) -> usize { 32 }
        fn staticThreadgroupMemoryLength(&self) -> usize { 0 }
    }
}

impl MTLCaptureManager {
    /// # Safety
    /// None needed here.
    pub unsafe fn sharedCaptureManager() -> Retained<Self> {
        Retained::new_object(())
    }

    pub fn startCaptureWithDescriptor_error(
        &self,
        _descriptor: &MTLCaptureDescriptor,
    ) -> Result<(), Retained<NSError>> {
        Err(NSError::with_text("no captures on the CPU".into()))
    }
}

impl MTLCaptureDescriptor {
    pub fn new() -> Retained<Self> {
        Retained::new_object(())
    }

    pub fn setDestination(&self, _destination: MTLCaptureDestination) {}
    pub fn set_capture_device(&self, _device: &ProtocolObject<dyn MTLDevice>) {}
    pub fn setOutputURL(&self, _url: Option<&NSURL>) {}
}
