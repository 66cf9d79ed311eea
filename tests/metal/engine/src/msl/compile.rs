//! Runs clang: once over a library for its macros, once per pipeline for its code.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::translate::{Kernel, Translated};
use crate::launch::{Launch, ParamInfo, Worker};

/// The two headers, `msl_runtime.h` and `msl_types.h`. Those of `METAL_ON_CPU_INCLUDE` if set: work on them then needs no
/// rebuild of candle, which depends on this crate.
fn headers() -> &'static (String, String) {
    static HEADERS: OnceLock<(String, String)> = OnceLock::new();
    HEADERS.get_or_init(|| match std::env::var_os("METAL_ON_CPU_INCLUDE").map(PathBuf::from) {
        Some(dir) => {
            let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            (read("msl_runtime.h"), read("msl_types.h"))
        }
        None => (include_str!("../../include/msl_runtime.h").into(), include_str!("../../include/msl_types.h").into()),
    })
}

/// The folder of the headers under the cache, named by what they say.
fn headers_folder() -> String {
    format!("headers-{:016x}", hash(headers()))
}

/// The headers that MSL includes; all is in `msl_types.h`, which comes before the text.
const EMPTY_HEADERS: [&str; 14] = [
    "metal_stdlib",
    "metal_simdgroup",
    "metal_simdgroup_matrix",
    "metal_math",
    "metal_limits",
    "metal_integer",
    "metal_atomic",
    "metal_common",
    "metal_geometric",
    "metal_compute",
    "metal_relational",
    "metal_type_traits",
    "metal_matrix",
    "metal_config",
];

/// Code of one pipeline.
#[derive(Debug)]
pub struct Code {
    pub run: unsafe extern "C" fn(*const Launch, *mut Worker, u64, u64),
    pub group_size: usize,
    pub parameters: Vec<ParamInfo>,
}

/// Where compiled kernels are kept.
fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let dir = std::env::var_os("METAL_ON_CPU_CACHE")
            .map_or_else(|| std::env::temp_dir().join("metal-on-cpu"), PathBuf::from);
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
                publish(&path, text.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            }
        };
        std::fs::create_dir_all(dir.join("empty")).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        for name in EMPTY_HEADERS {
            write(&format!("empty/{name}"), "");
        }
        let folder = headers_folder();
        std::fs::create_dir_all(dir.join(&folder)).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        write(&format!("{folder}/msl_runtime.h"), &headers().0);
        write(&format!("{folder}/msl_types.h"), &headers().1);
        dir
    })
}

/// Writes a file so that another process sees all of it or nothing.
fn publish(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension(format!("{}.{:?}", std::process::id(), std::thread::current().id()));
    std::fs::File::create(&unfinished)?.write_all(bytes)?;
    std::fs::rename(unfinished, path)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn compiler() -> String {
    std::env::var("METAL_ON_CPU_CXX").unwrap_or_else(|_| "clang++-19".into())
}

fn run_compiler(args: &[&str], input: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new(compiler())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}; METAL_ON_CPU_CXX names another clang", compiler()))?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    writer.join().map_err(|_| "writer panicked")?.map_err(|e| e.to_string())?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The source with its macros expanded.
pub fn preprocess(source: &str) -> Result<String, String> {
    let kept = cache().join(format!("{:016x}.ii", hash(&source)));
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(text);
    }
    let empty = cache().join("empty");
    let args = [
        "-E",
        "-P",
        "-x",
        "c++",
        "-std=gnu++17",
        "-undef",
        "-D__METAL__=1",
        "-D__METAL_VERSION__=320",
        "-D__HAVE_BFLOAT__=1",
        "-D__METAL_MACOS__=1",
        "-nostdinc",
        "-I",
        empty.to_str().unwrap_or_default(),
        "-",
    ];
    let text = String::from_utf8_lossy(&run_compiler(&args, source)?).into_owned();
    // Loops unroll where it pays; full unrolling would cost minutes of compiling.
    let text: String =
        text.lines().filter(|l| !l.trim_start().starts_with("#pragma")).fold(String::new(), |t, l| t + l + "\n");
    publish(&kept, text.as_bytes()).map_err(|e| e.to_string())?;
    Ok(text)
}

/// The C++ of a pipeline: the library with its constants and one kernel's entry.
fn cpp(library: &Translated, kernel: &Kernel, constants: &[(usize, String)]) -> String {
    let plain = if kernel.waits { "" } else { "#define MSL_PLAIN\n" };
    let mut text = format!("{plain}#include \"{}/{}/msl_types.h\"\n", cache().display(), headers_folder());
    for constant in &library.constants {
        let value = constants.iter().find(|(index, _)| *index == constant.index).map(|(_, value)| value.as_str());
        let (type_name, name) = (&constant.type_name, &constant.name);
        let _ = writeln!(text, "static const {type_name} {name} = ({type_name})({});", value.unwrap_or("0"));
        let _ = writeln!(text, "static const bool {name}_is_defined = {};", value.is_some());
    }
    text += "#define is_function_constant_defined(x) x##_is_defined\n";
    text += &library.text;
    let expression = &kernel.expression;
    let parameters: String =
        kernel.parameters.iter().map(|p| format!(", ::msl::{}", p.replace("Value<", "Value<::msl::"))).collect();
    let _ = write!(
        text,
        "\nusing MslCall = ::msl::Call<decltype({expression}){parameters}>;\n\
         namespace msl {{ static void run_thread(Fiber *f) {{ MslCall::run({expression}, f); }} }}\n\
         extern \"C\" __attribute__((visibility(\"default\"))) const ::msl::ParamInfo *msl_parameters(uint32_t *n) {{ *n = MslCall::count; return MslCall::infos; }}\n"
    );
    text
}

/// Compiles and loads a pipeline's code.
pub fn compile(
    library: &Translated,
    kernel: &Kernel,
    constants: &[(usize, String)],
    fast: bool,
) -> Result<Code, String> {
    let text = cpp(library, kernel, constants);
    let mut flags = vec![
        "-x",
        "c++",
        "-std=gnu++17",
        "-O2",
        "-w",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
        "-fno-exceptions",
        "-fno-rtti",
        "-fsigned-char",
        "-ffp-contract=fast",
        "-fno-math-errno",
        "-fno-strict-aliasing",
        "-fno-stack-protector",
        "-nostdinc++",
        "-Xclang",
        "-ffloat16-excess-precision=none",
        "-Xclang",
        "-fbfloat16-excess-precision=none",
        "-fwrapv",
        "-Wno-error",
        "-ferror-limit=20",
    ];
    if cfg!(target_arch = "x86_64") {
        flags.push("-march=x86-64-v3");
    }
    if fast {
        flags.push("-ffast-math");
    }
    let extra = std::env::var("METAL_ON_CPU_CXXFLAGS").unwrap_or_default();
    flags.extend(extra.split_whitespace());
    let stem = format!("{:.60}-{:016x}", kernel.name, hash(&(&text, &flags)));
    let library_path = cache().join(format!("{stem}.so"));
    if !library_path.exists() {
        let source = cache().join(format!("{stem}.cpp"));
        publish(&source, text.as_bytes()).map_err(|e| e.to_string())?;
        let unfinished = cache().join(format!("{stem}.{}.{:?}.tmp", std::process::id(), std::thread::current().id()));
        let mut args = flags.clone();
        args.extend(["-o", unfinished.to_str().unwrap_or_default(), source.to_str().unwrap_or_default(), "-lm"]);
        run_compiler(&args, "").map_err(|e| format!("kernel {}: {e}", kernel.name))?;
        std::fs::rename(&unfinished, &library_path).map_err(|e| e.to_string())?;
    }
    load(&library_path)
}

fn load(path: &Path) -> Result<Code, String> {
    let c_path = CString::new(path.to_str().unwrap_or_default()).map_err(|e| e.to_string())?;
    // SAFETY: our own code, whose loading runs nothing; it is never unloaded.
    unsafe {
        let handle = libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() {
            return Err(CStr::from_ptr(libc::dlerror()).to_string_lossy().into_owned());
        }
        let symbol = |name: &CStr| {
            let at = libc::dlsym(handle, name.as_ptr());
            if at.is_null() { Err(format!("{}: no {name:?}", path.display())) } else { Ok(at) }
        };
        let run = std::mem::transmute::<*mut libc::c_void, unsafe extern "C" fn(*const Launch, *mut Worker, u64, u64)>(
            symbol(c"msl_run")?,
        );
        let size = std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> usize>(symbol(c"msl_group_size")?);
        let parameters = std::mem::transmute::<*mut libc::c_void, extern "C" fn(*mut u32) -> *const ParamInfo>(symbol(
            c"msl_parameters",
        )?);
        let mut count = 0;
        let first = parameters(&raw mut count);
        Ok(Code { run, group_size: size(), parameters: std::slice::from_raw_parts(first, count as usize).to_vec() })
    }
}
