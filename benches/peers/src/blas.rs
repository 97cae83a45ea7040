//! BLAS libraries that are loaded at run time when the machine has them, each set to one thread.

use std::env;
use std::ffi::{CStr, c_char, c_int};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Row-major storage, an operand as it is, an operand transposed, the right operand of a product.
const ROW_MAJOR: c_int = 101;
const AS_IT_IS: c_int = 111;
const TRANSPOSED: c_int = 112;
const RIGHT: c_int = 162;
/// An operand in the library's own layout.
const PACKED: c_int = 151;

type Gemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);
type Gemv =
    unsafe extern "C" fn(c_int, c_int, c_int, c_int, f32, *const f32, c_int, *const f32, c_int, f32, *mut f32, c_int);
type PackLen = unsafe extern "C" fn(c_int, c_int, c_int, c_int) -> usize;
type Pack = unsafe extern "C" fn(c_int, c_int, c_int, c_int, c_int, c_int, f32, *const f32, c_int, *mut f32);
type Compute = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);

/// A library, and how one gets it.
struct Source {
    name: &'static str,
    files: &'static [&'static str],
    install: &'static str,
    set_threads: &'static CStr,
    core: Option<&'static CStr>,
}

const SOURCES: [Source; 3] = [
    Source {
        name: "OpenBLAS",
        files: &["libopenblas.so.0", "libopenblas.so"],
        install: "apt install libopenblas0-pthread",
        set_threads: c"openblas_set_num_threads",
        core: Some(c"openblas_get_corename"),
    },
    Source {
        name: "BLIS",
        files: &["libblis.so.4", "libblis.so"],
        install: "apt install libblis4-serial",
        set_threads: c"bli_thread_set_num_threads",
        core: None,
    },
    // Last: it puts its own symbols into the global scope.
    Source {
        name: "MKL",
        files: &[
            concat!(env!("CARGO_MANIFEST_DIR"), "/target/mkl/lib/libmkl_rt.so.3"),
            "libmkl_rt.so.3",
            "libmkl_rt.so.2",
        ],
        install: "benches/peers/setup, which takes it from PyPI",
        set_threads: c"MKL_Set_Num_Threads",
        core: None,
    },
];

/// Names of the libraries that are looked for.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|source| source.name)
}

/// A library that is there.
#[derive(Clone)]
pub struct Blas {
    /// What one calls it.
    pub name: &'static str,
    /// Which file, and which core its kernels are for where it tells.
    pub description: String,
    gemm: Gemm,
    gemv: Gemv,
    pack: Option<(PackLen, Pack, Compute)>,
}

/// Sets what the libraries read when they are loaded: one thread, and no preset core.
///
/// # Safety
/// There is no other thread yet.
pub unsafe fn set_environment() {
    for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "BLIS_ARCH_TYPE", "MKL_ENABLE_INSTRUCTIONS"] {
        if let Some(value) = env::var_os(name) {
            println!("not used: {name}={}", value.display());
        }
        // SAFETY: no other thread, says the caller.
        unsafe { env::remove_var(name) };
    }
    let threads = ["OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"].map(|n| (n, "1"));
    for (name, value) in
        threads.into_iter().chain([("MKL_THREADING_LAYER", "SEQUENTIAL"), ("MKL_INTERFACE_LAYER", "LP64")])
    {
        // SAFETY: no other thread, says the caller.
        unsafe { env::set_var(name, value) };
    }
}

/// Every library: loaded, or what to do to have it.
pub fn libraries() -> Vec<Result<Blas, String>> {
    SOURCES
        .iter()
        .map(|source| {
            let loaded = source.files.iter().find_map(|file| {
                // SAFETY: a BLAS runs nothing but its own set-up when it is loaded.
                let library = unsafe { Library::open(Some(Path::new(file)), RTLD_NOW | RTLD_LOCAL) }.ok()?;
                Blas::new(source, file, library)
            });
            loaded.ok_or_else(|| format!("{}: not here: {}", source.name, source.install))
        })
        .collect()
}

impl Blas {
    fn new(source: &Source, file: &str, library: Library) -> Option<Self> {
        // Never unloaded: the functions live as long as the program.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the C interface of every BLAS declares these functions so.
        let gemm = *unsafe { library.get::<Gemm>(c"cblas_sgemm") }.ok()?;
        // SAFETY: as above.
        let gemv = *unsafe { library.get::<Gemv>(c"cblas_sgemv") }.ok()?;
        // SAFETY: in all three it takes the number of threads (of BLIS' type `dim_t`, as wide as a register).
        let set_threads = unsafe { library.get::<unsafe extern "C" fn(isize)>(source.set_threads) }.ok()?;
        // SAFETY: as above.
        unsafe { set_threads(1) };
        let core = source.core.and_then(|name| {
            // SAFETY: declared so in OpenBLAS' `cblas.h`.
            let core = unsafe { library.get::<unsafe extern "C" fn() -> *const c_char>(name) }.ok()?;
            // SAFETY: it takes nothing.
            let name = unsafe { core() };
            // SAFETY: it returns a constant string.
            Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
        });
        let description = match core {
            Some(core) => format!("{file}, kernels for {core}"),
            None => file.to_owned(),
        };
        Some(Self { name: source.name, description, gemm, gemv, pack: pack(library) })
    }

    /// `y [n, out] = x [n, in]·wᵀ`, `w [out, in]`, by `cblas_sgemm`.
    pub fn gemm(&self, (outputs, inputs, tokens): (usize, usize, usize), w: &[f32], x: &[f32], y: &mut [f32]) {
        check((outputs, inputs, tokens), w, x, y);
        let [m, n, k] = [tokens, outputs, inputs].map(|size| size as c_int);
        let (w, x, y) = (w.as_ptr(), x.as_ptr(), y.as_mut_ptr());
        // SAFETY: the lengths are checked; the strides are those of whole rows.
        unsafe { (self.gemm)(ROW_MAJOR, AS_IT_IS, TRANSPOSED, m, n, k, 1.0, x, k, w, k, 0.0, y, n) }
    }

    /// The same for one token, by `cblas_sgemv`.
    pub fn gemv(&self, (outputs, inputs): (usize, usize), w: &[f32], x: &[f32], y: &mut [f32]) {
        check((outputs, inputs, 1), w, x, y);
        let (m, n) = (outputs as c_int, inputs as c_int);
        let (w, x, y) = (w.as_ptr(), x.as_ptr(), y.as_mut_ptr());
        // SAFETY: the lengths are checked; the strides are those of whole rows.
        unsafe { (self.gemv)(ROW_MAJOR, AS_IT_IS, m, n, 1.0, w, n, x, 1, 0.0, y, 1) }
    }

    /// `w` packed once by the library, where it can: a function that takes `x` and `y`.
    pub fn packed(
        &self,
        (outputs, inputs, tokens): (usize, usize, usize),
        w: &[f32],
    ) -> Option<impl FnMut(&[f32], &mut [f32]) + use<>> {
        let (len, pack, compute) = self.pack?;
        let [m, n, k] = [tokens, outputs, inputs].map(|size| size as c_int);
        assert_eq!(w.len(), outputs * inputs);
        // SAFETY: it takes the four numbers and returns bytes.
        let bytes = unsafe { len(RIGHT, m, n, k) };
        let mut memory = crate::memory::Buffer::zeros(bytes.div_ceil(size_of::<f32>()));
        // SAFETY: `w` is as long as its sizes say, the buffer as long as the library wants it.
        unsafe { pack(ROW_MAJOR, RIGHT, TRANSPOSED, m, n, k, 1.0, w.as_ptr(), k, memory.as_mut_ptr()) };
        Some(move |x: &[f32], y: &mut [f32]| {
            assert_eq!((x.len(), y.len()), (tokens * inputs, tokens * outputs));
            let (w, x, y) = (memory.as_ptr(), x.as_ptr(), y.as_mut_ptr());
            // SAFETY: the lengths are checked; `w` was packed for these sizes.
            unsafe { compute(ROW_MAJOR, AS_IT_IS, PACKED, m, n, k, x, k, w, k, 0.0, y, n) }
        })
    }
}

fn check((outputs, inputs, tokens): (usize, usize, usize), w: &[f32], x: &[f32], y: &[f32]) {
    assert_eq!((w.len(), x.len(), y.len()), (outputs * inputs, tokens * inputs, tokens * outputs));
}

/// MKL's functions for an operand that is packed once.
fn pack(library: &Library) -> Option<(PackLen, Pack, Compute)> {
    // SAFETY: declared so in `mkl_cblas.h`; no other library has functions of these names.
    let len = *unsafe { library.get::<PackLen>(c"cblas_sgemm_pack_get_size") }.ok()?;
    // SAFETY: as above.
    let pack = *unsafe { library.get::<Pack>(c"cblas_sgemm_pack") }.ok()?;
    // SAFETY: as above.
    let compute = *unsafe { library.get::<Compute>(c"cblas_sgemm_compute") }.ok()?;
    Some((len, pack, compute))
}
