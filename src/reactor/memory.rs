//! How the kernel backs our memory.

/// Asks for pages of 4 KiB only, whatever the system's default. Where it cannot be had, all goes
/// on, with a larger resident set.
pub fn refuse_huge_pages() {
    const ON: libc::c_ulong = 1;
    const UNUSED: libc::c_ulong = 0;
    // SAFETY: this option takes numbers only and touches no memory of ours.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, ON, UNUSED, UNUSED, UNUSED) };
}
