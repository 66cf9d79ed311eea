//! Libraries, functions, pipelines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use crate::launch::{KIND_BUFFER, KIND_THREADGROUP, ParamInfo};
use crate::msl::compile::{Code, compile, preprocess};
use crate::msl::translate::{Kernel, Translated, translate};
use crate::options::options;

/// Values of function constants by index, as C++ literals.
type Constants = Vec<(usize, String)>;

#[derive(Debug)]
pub struct Library {
    translated: Translated,
    fast: bool,
    pipelines: Mutex<HashMap<(String, Constants), Arc<Pipeline>>>,
}

/// A kernel with the values of its constants, as C++ literals.
#[derive(Clone, Debug)]
pub struct Function {
    library: Arc<Library>,
    kernel: Kernel,
    constants: Vec<(usize, String)>,
}

#[derive(Debug)]
pub struct Pipeline {
    pub name: String,
    pub code: Code,
    pub max_threads: usize,
    /// Parameters that are buffers, in order.
    pub buffers: Vec<ParamInfo>,
    pub threadgroup: Vec<ParamInfo>,
}

impl Library {
    /// Translates a source; each once per process, because every test opens a device of its own.
    pub fn from_source(source: &str, fast: bool) -> Result<Arc<Self>, String> {
        static KNOWN: Mutex<Vec<(String, Arc<Library>)>> = Mutex::new(Vec::new());
        let fast = fast && options().fast_math;
        let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, library)) = known.iter().find(|(text, library)| text == source && library.fast == fast) {
            return Ok(Arc::clone(library));
        }
        let library = Arc::new(Self { translated: translate(&preprocess(source)?), fast, pipelines: Mutex::default() });
        known.push((source.to_owned(), Arc::clone(&library)));
        Ok(library)
    }

    /// The names of all kernels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.translated.kernels.iter().map(|k| k.name.as_str())
    }

    pub fn function(self: &Arc<Self>, name: &str, constants: Vec<(usize, String)>) -> Option<Function> {
        let kernel = self.translated.kernels.iter().find(|k| k.name == name)?.clone();
        Some(Function { library: Arc::clone(self), kernel, constants })
    }
}

impl Function {
    pub fn pipeline(&self) -> Result<Arc<Pipeline>, String> {
        let key = (self.kernel.name.clone(), self.constants.clone());
        if let Some(known) = self.library.pipelines.lock().unwrap_or_else(|e| e.into_inner()).get(&key) {
            return Ok(Arc::clone(known));
        }
        let code = compile(&self.library.translated, &self.kernel, &self.constants, self.library.fast)?;
        // A parameter whose constant is false is not there: what is bound at its index belongs to someone else.
        let is_there = |gate: &Option<String>| {
            let constant =
                gate.as_ref().and_then(|name| self.library.translated.constants.iter().find(|c| c.name == *name));
            constant.is_none_or(|c| self.constants.iter().any(|(i, v)| *i == c.index && v != "false" && v != "0"))
        };
        let there = code.parameters.iter().zip(&self.kernel.gates).filter(|(_, gate)| is_there(gate)).map(|(p, _)| *p);
        let of_kind = |kind| there.clone().filter(|p: &ParamInfo| p.kind == kind).collect();
        let (buffers, threadgroup) = (of_kind(KIND_BUFFER), of_kind(KIND_THREADGROUP));
        let max_threads = self.kernel.max_threads.map_or(1024, |n| n as usize);
        let pipeline = Arc::new(Pipeline { name: self.kernel.name.clone(), code, max_threads, buffers, threadgroup });
        self.library.pipelines.lock().unwrap_or_else(|e| e.into_inner()).insert(key, Arc::clone(&pipeline));
        Ok(pipeline)
    }
}

/// The name of the emulated device's architecture.
pub fn architecture() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| options().architecture.clone())
}
