//! The operations we ask of the ring, each a submission entry.
//!
//! SHUTDOWN and CLOSE are not here: the kernel hands SHUTDOWN to a worker thread, where it could hit the
//! next owner of the descriptor, and a plain close costs no more.

use std::os::fd::RawFd;
use std::ptr;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd};

use super::token::Token;

/// The opcodes below, to be probed, with their names.
pub(super) const OPCODES: [(u8, &str); 6] = [
    (opcode::AcceptMulti::CODE, "ACCEPT"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::RecvMulti::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::Read::CODE, "READ"),
    (opcode::AsyncCancel2::CODE, "ASYNC_CANCEL"),
];

/// Goes on until it fails or is cancelled.
pub(super) fn accept(fd: RawFd, token: Token) -> Entry {
    opcode::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC).build().user_data(token.to_bits())
}

/// `address` must stay where it is until the entry was submitted.
#[expect(clippy::cast_possible_truncation, reason = "the length of a sockaddr")]
pub(super) fn connect(fd: RawFd, address: &[u8], token: Token) -> Entry {
    let len = address.len() as libc::socklen_t;
    opcode::Connect::new(Fd(fd), address.as_ptr().cast(), len).build().user_data(token.to_bits())
}

/// Goes on, a buffer of `group` each time, until end of stream, error, cancel or want of buffers.
pub(super) fn receive(fd: RawFd, group: u16, token: Token) -> Entry {
    opcode::RecvMulti::new(Fd(fd), group).build().user_data(token.to_bits())
}

/// Takes one buffer of `group` at most.
pub(super) fn receive_once(fd: RawFd, group: u16, token: Token) -> Entry {
    let receive = opcode::Recv::new(Fd(fd), ptr::null_mut(), 0).buf_group(group).build();
    receive.flags(Flags::BUFFER_SELECT).user_data(token.to_bits())
}

/// `bytes` must stay where they are until the completion. More than 2 GiB are sent in parts, as
/// the kernel's answer could not count them.
pub(super) fn send(fd: RawFd, bytes: &[u8], token: Token) -> Entry {
    const SEND_BYTES_MAX: usize = 1 << 30;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just here")]
    let len = bytes.len().min(SEND_BYTES_MAX) as u32;
    let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
    opcode::Send::new(Fd(fd), bytes.as_ptr(), len).flags(flags).build().user_data(token.to_bits())
}

/// `into` must stay writable until the completion.
pub(super) fn read(fd: RawFd, into: *mut u8, len: u32, token: Token) -> Entry {
    opcode::Read::new(Fd(fd), into, len).build().user_data(token.to_bits())
}

/// Cancels the one operation that carries `target`.
pub(super) fn cancel(target: Token, token: Token) -> Entry {
    opcode::AsyncCancel2::new(CancelBuilder::user_data(target.to_bits())).build().user_data(token.to_bits())
}

/// Cancels all operations on a descriptor.
pub(super) fn cancel_socket(fd: RawFd, token: Token) -> Entry {
    opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(fd)).all()).build().user_data(token.to_bits())
}
