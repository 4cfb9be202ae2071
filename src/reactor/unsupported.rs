//! Why there can be no ring here, in one line that says what to do about it.

use std::{fmt, fs, io};

use super::Errno;

/// The reactor cannot start on this kernel, or not with these rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The kernel has no io_uring.
    Missing,
    /// The kernel is too old; what it lacks.
    TooOld(&'static str),
    /// `kernel.io_uring_disabled` has this value.
    Disabled(u8),
    /// Something else forbids the system call: seccomp or a security module.
    Forbidden,
    /// Memory or locked memory is short.
    Memory,
    /// Something that has nothing to do with io_uring; what we were doing.
    Failed(&'static str, Errno),
}

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

impl Unsupported {
    /// Why the kernel refused to make a ring with our flags.
    pub(super) fn from_setup(error: &io::Error) -> Self {
        let disabled = fs::read_to_string(SYSCTL).ok().and_then(|text| text.trim().parse().ok());
        Self::from_errno(error.raw_os_error().unwrap_or(libc::EIO), disabled.unwrap_or(0))
    }

    const fn from_errno(errno: i32, disabled: u8) -> Self {
        match errno {
            libc::ENOSYS => Self::Missing,
            libc::EINVAL => Self::TooOld("SINGLE_ISSUER and DEFER_TASKRUN"),
            libc::EPERM | libc::EACCES if disabled > 0 => Self::Disabled(disabled),
            libc::EPERM | libc::EACCES => Self::Forbidden,
            libc::ENOMEM => Self::Memory,
            _ => Self::Failed("io_uring_setup", Errno(errno)),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str(
                "this kernel has no io_uring: needs Linux 6.1 or later with CONFIG_IO_URING, \
                 and a seccomp profile that allows io_uring_setup",
            ),
            Self::TooOld(lacks) => write!(out, "this kernel's io_uring lacks {lacks}: needs Linux 6.1 or later"),
            Self::Disabled(value) => write!(
                out,
                "io_uring is switched off by kernel.io_uring_disabled={value}: \
                 run `sysctl -w kernel.io_uring_disabled=0`"
            ),
            Self::Forbidden => out.write_str(
                "io_uring is forbidden here, probably by a seccomp profile (Docker's default one does): \
                 allow io_uring_setup, io_uring_enter and io_uring_register",
            ),
            Self::Memory => out.write_str(
                "no memory for io_uring: raise the locked memory limit (`ulimit -l`, LimitMEMLOCK=) or ask for \
                 fewer entries",
            ),
            Self::Failed(what, error) => write!(out, "{what} failed: {error}"),
        }
    }
}

impl std::error::Error for Unsupported {}

#[cfg(test)]
mod tests {
    use super::{Errno, Unsupported};

    #[test]
    fn each_refusal_is_one_line_that_names_the_remedy() {
        let rows = [
            (libc::ENOSYS, 0, Unsupported::Missing, "Linux 6.1"),
            (libc::EINVAL, 0, Unsupported::TooOld("SINGLE_ISSUER and DEFER_TASKRUN"), "Linux 6.1"),
            (libc::EPERM, 2, Unsupported::Disabled(2), "sysctl -w kernel.io_uring_disabled=0"),
            (libc::EPERM, 0, Unsupported::Forbidden, "seccomp"),
            (libc::ENOMEM, 0, Unsupported::Memory, "ulimit -l"),
            (libc::EMFILE, 0, Unsupported::Failed("io_uring_setup", Errno(libc::EMFILE)), "Too many open"),
        ];
        for (errno, disabled, want, remedy) in rows {
            let refusal = Unsupported::from_errno(errno, disabled);
            let line = refusal.to_string();
            assert_eq!(refusal, want);
            assert!(line.contains(remedy) && !line.contains('\n') && !line.contains("  "), "{line}");
        }
    }
}
