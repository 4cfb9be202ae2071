//! Hyperscan behind owner types: a database, the scratch of one worker, the state of one stream.
//!
//! All `unsafe` of scanning is here. The `hyperscan` crate was not taken: from safe code its stream may
//! outlive its database, its `deserialize_at` writes past a smaller one, what is dropped leaks. Its
//! `-sys` half is the library's own header and nothing else, so we stand on that and own the rules:
//!
//! * A [`Stream`] holds an `Arc` of its [`Database`] and closes itself on drop, before the `Arc` goes.
//! * A [`Scratch`] knows which databases it was grown for; a scan grows it first if it was not for this one.
//!   `&mut` keeps it to one scan at a time, and the callback only notes ends in a list: it cannot re-enter.
//! * A serialised database is taken back only inside a seal of ours: a SHA-256 over bytes, library version
//!   and mode. The seal finds damage, not a forger: who may write the cache may choose what runs.
//! * No pattern is compiled with the UTF8 flag, for which other input would be undefined: bytes are bytes.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperscan_sys as hs;
use sha2::{Digest, Sha256};

const SUCCESS: hs::hs_error_t = 0;
const SEAL: &[u8; 8] = b"postern1";
const DIGEST_BYTES: usize = 32;

/// Hyperscan's flags of one expression, those that we use.
pub(super) const CASELESS: u32 = hs::HS_FLAG_CASELESS;
pub(super) const DOTALL: u32 = hs::HS_FLAG_DOTALL;
pub(super) const MULTILINE: u32 = hs::HS_FLAG_MULTILINE;

/// What the library answered instead of doing what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineFault(pub i32);

/// Why a set did not compile, and which of its expressions is to blame if one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompileFault {
    pub(super) index: Option<usize>,
    pub(super) message: String,
}

/// A regular expression in Hyperscan's syntax; hits carry its index in the slice it was compiled from.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    pub(super) source: CString,
    pub(super) flags: u32,
}

/// Plain bytes to find.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Literal {
    pub(super) bytes: Vec<u8>,
    pub(super) caseless: bool,
}

impl Literal {
    /// The expression that finds the same.
    pub(super) fn to_regex(&self) -> Regex {
        let mut source = String::with_capacity(self.bytes.len() * 4);
        for byte in &self.bytes {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => source.push(char::from(*byte)),
                _ => source.push_str(&format!("\\x{byte:02x}")),
            }
        }
        let source = CString::new(source).unwrap_or_default();
        Regex { source, flags: if self.caseless { CASELESS } else { 0 } }
    }
}

/// How long a match of an expression can be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
}

/// A compiled set of expressions in streaming mode, never changed after.
#[derive(Debug)]
pub(super) struct Database {
    raw: NonNull<hs::hs_database_t>,
    /// Unique in this process, so that a scratch can remember it without holding it.
    id: u64,
    bytes: usize,
    stream_bytes: usize,
}

// SAFETY: the library never writes to a compiled database; its manual allows any number of threads.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

/// The library's version and build date.
pub fn library_version() -> String {
    // SAFETY: the library returns a static string.
    let version = unsafe { CStr::from_ptr(hs::hs_version()) };
    version.to_string_lossy().into_owned()
}

/// What the library's parser says of one expression.
pub(super) fn width(regex: &Regex) -> Result<Width, String> {
    let mut info: *mut hs::hs_expr_info_t = ptr::null_mut();
    let mut error: *mut hs::hs_compile_error_t = ptr::null_mut();
    // SAFETY: the source ends in NUL; both outputs are ours and are freed below.
    let code =
        unsafe { hs::hs_expression_info(regex.source.as_ptr(), regex.flags, &raw mut info, &raw mut error) };
    if code != SUCCESS || info.is_null() {
        return Err(compile_fault(error).message);
    }
    // SAFETY: success means that `info` points to a filled structure.
    let (min, max) = unsafe { ((*info).min_width, (*info).max_width) };
    // SAFETY: the misc allocator is malloc, for nobody set another.
    unsafe { libc::free(info.cast()) };
    Ok(Width { min, max: (max != c_uint::MAX).then_some(max) })
}

impl Database {
    /// Compiles regular expressions into one streaming database.
    pub(super) fn of_regexes(regexes: &[Regex]) -> Result<Arc<Self>, CompileFault> {
        let sources: Vec<_> = regexes.iter().map(|regex| regex.source.as_ptr()).collect();
        let flags: Vec<_> = regexes.iter().map(|regex| regex.flags).collect();
        let ids = ids(regexes.len())?;
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: three arrays of `ids.len()` elements, each source ending in NUL and alive until the end.
        let code = unsafe {
            hs::hs_compile_multi(
                sources.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                count(&ids),
                hs::HS_MODE_STREAM,
                ptr::null(),
                &raw mut raw,
                &raw mut error,
            )
        };
        Self::compiled(code, raw, error)
    }

    /// Compiles plain literals, NULs and all, into one streaming database.
    pub(super) fn of_literals(literals: &[Literal]) -> Result<Arc<Self>, CompileFault> {
        let bytes: Vec<_> = literals.iter().map(|literal| literal.bytes.as_ptr().cast::<c_char>()).collect();
        let lengths: Vec<_> = literals.iter().map(|literal| literal.bytes.len()).collect();
        let flags: Vec<_> =
            literals.iter().map(|literal| if literal.caseless { CASELESS } else { 0 }).collect();
        let ids = ids(literals.len())?;
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: four arrays of `ids.len()` elements, each literal as long as its length says.
        let code = unsafe {
            hs::hs_compile_lit_multi(
                bytes.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                lengths.as_ptr(),
                count(&ids),
                hs::HS_MODE_STREAM,
                ptr::null(),
                &raw mut raw,
                &raw mut error,
            )
        };
        Self::compiled(code, raw, error)
    }

    /// Its size and the state that each open stream needs, in bytes.
    pub(super) const fn sizes(&self) -> (usize, usize) {
        (self.bytes, self.stream_bytes)
    }

    /// The bytes from which [`unseal`](Self::unseal) makes it again.
    pub(super) fn seal(&self) -> Result<Vec<u8>, EngineFault> {
        let (mut bytes, mut length) = (ptr::null_mut(), 0);
        // SAFETY: the database is alive; on success we own `length` bytes at `bytes`.
        check(unsafe { hs::hs_serialize_database(self.raw.as_ptr(), &raw mut bytes, &raw mut length) })?;
        // SAFETY: as the call promised.
        let payload = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        let sealed = [SEAL.as_slice(), &digest(payload), payload].concat();
        // SAFETY: the misc allocator is malloc, for nobody set another.
        unsafe { libc::free(bytes.cast()) };
        Ok(sealed)
    }

    /// A database from what [`seal`](Self::seal) gave; `None` if it is damaged, or made by another library or
    /// for another processor.
    pub(super) fn unseal(sealed: &[u8]) -> Option<Arc<Self>> {
        let (digested, payload) = sealed.strip_prefix(SEAL)?.split_at_checked(DIGEST_BYTES)?;
        if digested != digest(payload) {
            return None;
        }
        let mut raw = ptr::null_mut();
        // SAFETY: the digest says that these are bytes which this version of the library wrote for a streaming
        // database; the library checks version, platform, length and CRC once more and copies them.
        let code =
            unsafe { hs::hs_deserialize_database(payload.as_ptr().cast(), payload.len(), &raw mut raw) };
        check(code).ok()?;
        Self::own(raw).ok()
    }

    fn compiled(
        code: hs::hs_error_t,
        raw: *mut hs::hs_database_t,
        error: *mut hs::hs_compile_error_t,
    ) -> Result<Arc<Self>, CompileFault> {
        if code != SUCCESS {
            return Err(compile_fault(error));
        }
        Self::own(raw).map_err(|fault| CompileFault { index: None, message: format!("{fault:?}") })
    }

    /// Takes over a database that the library has just made.
    fn own(raw: *mut hs::hs_database_t) -> Result<Arc<Self>, EngineFault> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let raw = NonNull::new(raw).ok_or(EngineFault(hs::HS_NOMEM))?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut database = Self { raw, id, bytes: 0, stream_bytes: 0 };
        // SAFETY: the database is alive, the output is ours.
        check(unsafe { hs::hs_database_size(raw.as_ptr(), &raw mut database.bytes) })?;
        // SAFETY: as above. The call refuses a database that is not a streaming one.
        check(unsafe { hs::hs_stream_size(raw.as_ptr(), &raw mut database.stream_bytes) })?;
        Ok(Arc::new(database))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: each stream holds an `Arc` of us, so nothing uses the database any more.
        unsafe { hs::hs_free_database(self.raw.as_ptr()) };
    }
}

/// The working memory of one worker's scans, for any number of databases.
#[derive(Debug)]
pub(super) struct Scratch {
    raw: *mut hs::hs_scratch_t,
    /// Ids of the databases it was grown for.
    grown: Vec<u64>,
}

// SAFETY: it is memory of ours, bound to no thread; `&mut` keeps it to one at a time.
unsafe impl Send for Scratch {}

impl Scratch {
    pub(super) const fn new() -> Self {
        Self { raw: ptr::null_mut(), grown: Vec::new() }
    }

    /// Makes it large enough for `database`; nothing to do if it is.
    pub(super) fn grow(&mut self, database: &Database) -> Result<(), EngineFault> {
        if self.grown.contains(&database.id) {
            return Ok(());
        }
        // SAFETY: `raw` is NULL or a scratch of the library's; it is replaced if it must grow, and set to NULL
        // if that fails, in which case nothing was grown for anyone.
        let code = unsafe { hs::hs_alloc_scratch(database.raw.as_ptr(), &raw mut self.raw) };
        if let Err(fault) = check(code) {
            self.grown.clear();
            return Err(fault);
        }
        self.grown.push(database.id);
        Ok(())
    }

    /// Forgets for whom it was grown: the databases of an old configuration leave no trace. It shrinks
    /// never; a stream that is still open on an old one makes itself known again.
    pub(super) fn forget(&mut self) {
        self.grown.clear();
    }

    pub(super) fn bytes(&self) -> usize {
        let mut bytes = 0;
        // SAFETY: the library answers HS_INVALID for NULL; the output is ours.
        unsafe { hs::hs_scratch_size(self.raw, &raw mut bytes) };
        bytes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: NULL or ours, and no scan is running: a scan would hold `&mut self`.
        unsafe { hs::hs_free_scratch(self.raw) };
    }
}

/// Takes the ends of matches; called by the library in the middle of a scan, so it may do no more than note.
pub(super) trait Note {
    /// `end` counts from the start of the stream. Whether the scan is to go on.
    fn note(&mut self, index: u32, end: u64) -> bool;
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    Whole,
    /// A note asked for it. The stream finds nothing more until it is abandoned.
    Stopped,
}

/// Where one stream stands in one database.
#[derive(Debug)]
pub(super) struct Stream {
    raw: NonNull<hs::hs_stream_t>,
    /// Dropped after `raw` was closed.
    database: Arc<Database>,
}

// SAFETY: the state is memory of its own, bound to no thread; `&mut` keeps it to one at a time.
unsafe impl Send for Stream {}

impl Stream {
    pub(super) fn open(database: &Arc<Database>) -> Result<Self, EngineFault> {
        let mut raw = ptr::null_mut();
        // SAFETY: the database is alive and is kept so by the `Arc` beside the stream.
        check(unsafe { hs::hs_open_stream(database.raw.as_ptr(), 0, &raw mut raw) })?;
        let raw = NonNull::new(raw).ok_or(EngineFault(hs::HS_NOMEM))?;
        Ok(Self { raw, database: Arc::clone(database) })
    }

    /// Scans the next bytes of the stream.
    pub(super) fn scan<N: Note>(
        &mut self,
        bytes: &[u8],
        scratch: &mut Scratch,
        notes: &mut N,
    ) -> Result<Scanned, EngineFault> {
        scratch.grow(&self.database)?;
        let length = c_uint::try_from(bytes.len()).map_err(|_| EngineFault(hs::HS_INVALID))?;
        let context: *mut N = notes;
        // SAFETY: stream and scratch belong to the same database (grown above) and are ours alone for the
        // call; `context` is an `N` that nobody else touches until the call is over.
        let code = unsafe {
            hs::hs_scan_stream(
                self.raw.as_ptr(),
                bytes.as_ptr().cast(),
                length,
                0,
                scratch.raw,
                Some(on_match::<N>),
                context.cast(),
            )
        };
        if code == hs::HS_SCAN_TERMINATED {
            return Ok(Scanned::Stopped);
        }
        check(code).map(|()| Scanned::Whole)
    }

    /// Ends the stream, which may give matches that had to see the end, and stands at the start of a new one.
    pub(super) fn finish<N: Note>(
        &mut self,
        scratch: &mut Scratch,
        notes: &mut N,
    ) -> Result<(), EngineFault> {
        scratch.grow(&self.database)?;
        let context: *mut N = notes;
        // SAFETY: as in `scan`.
        check(unsafe {
            hs::hs_reset_stream(self.raw.as_ptr(), 0, scratch.raw, Some(on_match::<N>), context.cast())
        })
    }

    /// Stands at the start of a new stream; nobody wants to know how the old one ended.
    pub(super) fn abandon(&mut self) -> Result<(), EngineFault> {
        // SAFETY: without a callback no scratch is needed.
        check(unsafe { hs::hs_reset_stream(self.raw.as_ptr(), 0, ptr::null_mut(), None, ptr::null_mut()) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is ours and its database lives until after this; without a callback no scratch
        // is needed.
        unsafe { hs::hs_close_stream(self.raw.as_ptr(), ptr::null_mut(), None, ptr::null_mut()) };
    }
}

/// Zero lets the scan go on.
///
/// # Safety
/// `context` must point to an `N` that is borrowed by nobody else; `Stream::scan` and `finish` see to it.
unsafe extern "C" fn on_match<N: Note>(
    index: c_uint,
    _from: c_ulonglong,
    end: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: the contract above.
    let notes = unsafe { &mut *context.cast::<N>() };
    c_int::from(!notes.note(index, end))
}

fn check(code: hs::hs_error_t) -> Result<(), EngineFault> {
    if code == SUCCESS { Ok(()) } else { Err(EngineFault(code)) }
}

/// Reads and frees what a failed compilation left.
fn compile_fault(error: *mut hs::hs_compile_error_t) -> CompileFault {
    if error.is_null() {
        return CompileFault { index: None, message: "the library gave no reason".to_owned() };
    }
    // SAFETY: a failed compilation leaves a structure with a string in it, which is ours to free.
    let (index, message) = unsafe {
        let message = CStr::from_ptr((*error).message).to_string_lossy().into_owned();
        let index = (*error).expression;
        hs::hs_free_compile_error(error);
        (index, message)
    };
    CompileFault { index: usize::try_from(index).ok(), message }
}

fn ids(count: usize) -> Result<Vec<c_uint>, CompileFault> {
    let count = c_uint::try_from(count)
        .map_err(|_| CompileFault { index: None, message: "too many expressions".to_owned() })?;
    Ok((0..count).collect())
}

/// `ids` are numbered by `c_uint`, so their count is one.
fn count(ids: &[c_uint]) -> c_uint {
    ids.last().map_or(0, |last| last + 1)
}

/// What a seal vouches for.
fn digest(payload: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = Sha256::new();
    digest.update(library_version());
    digest.update(b"\0streaming\0");
    digest.update(payload);
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
