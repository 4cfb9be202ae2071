//! Sockets before the ring knows them: creation, options, addresses.
//!
//! All are blocking ones: with `O_NONBLOCK` the ring would answer EAGAIN instead of waiting.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::thread;
use std::time::Duration;
use std::{io, slice};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Connections the kernel holds for us until they are accepted. Small backlogs collapse under a
/// few dozen parallel connects.
const BACKLOG: i32 = 4096;

/// What the kernel may hold for us of each accepted connection (it takes no more than
/// `net.core.rmem_max`). Left to itself it grows to megabytes, and one receive after a pause brings
/// all of it at once: the bound on our memory per connection would be the kernel's, not ours. A
/// window of less than a few receive buffers makes each receive wait for the sender: 128 KiB cost 1.6
/// times the CPU of 512 KiB for messages of 1 MiB.
const RECEIVE_WINDOW_BYTES: usize = 512 * 1024;

/// After SIGKILL the kernel lets go of a port only 5 to 18 ms later.
const BIND_RETRIES_MAX: u32 = 20;
const BIND_RETRY: Duration = Duration::from_millis(10);

/// A listening socket. With `SO_REUSEPORT` each worker has one of its own on the same address,
/// and the kernel spreads the connections.
pub(super) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit both: fewer system calls for each.
    socket.set_tcp_nodelay(true)?;
    // Before listen, because the window's scale is agreed upon in the handshake.
    socket.set_recv_buffer_size(RECEIVE_WINDOW_BYTES)?;
    if address.is_ipv6() {
        // `[::]:25` and `0.0.0.0:25` are two listeners.
        socket.set_only_v6(true)?;
    }
    bind(&socket, address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[expect(clippy::disallowed_methods, reason = "at start only, before any connection waits")]
fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let mut retries = 0;
    loop {
        match socket.bind(&address.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && retries < BIND_RETRIES_MAX => {
                retries += 1;
                thread::sleep(BIND_RETRY);
            }
            ended => return ended,
        }
    }
}

/// A socket that can be connected to `address`.
pub(super) fn for_connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(address)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// The same, from an address of ours. The port is chosen by the connect, which sees the other side as well:
/// tens of thousands of connections from one address to different ones find a port each.
pub(super) fn for_connect_from(from: IpAddr, address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = for_connect(address)?;
    set_option(&fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    SockRef::from(&fd).bind(&SocketAddr::new(from, 0).into())?;
    Ok(fd)
}

fn set_option(fd: &OwnedFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let (at, len) = (&raw const value, size_of_val(&value));
    #[expect(clippy::cast_possible_truncation, reason = "the length of an int")]
    // SAFETY: `at` points to `len` bytes that live until the call returns.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, at.cast(), len as libc::socklen_t) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn stream(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

/// Makes a socket from elsewhere fit for the ring.
pub(super) fn prepare(fd: &OwnedFd) -> io::Result<()> {
    SockRef::from(fd).set_nonblocking(false)
}

/// The kernel's form of an address.
pub(super) fn address_bytes(address: SocketAddr) -> Vec<u8> {
    let address = SockAddr::from(address);
    // SAFETY: the storage is initialised and `len` bytes of it are the address.
    unsafe { slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.len() as usize) }.to_vec()
}

pub(super) fn local_address(fd: impl AsFd) -> io::Result<SocketAddr> {
    inet(&SockRef::from(&fd).local_addr()?)
}

pub(super) fn peer_address(fd: impl AsFd) -> io::Result<SocketAddr> {
    inet(&SockRef::from(&fd).peer_addr()?)
}

fn inet(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// Sends FIN. On a socket whose connection is gone there is nothing to tell.
pub(super) fn shut(fd: impl AsFd) {
    let _ = SockRef::from(&fd).shutdown(std::net::Shutdown::Write);
}

/// Makes the close of the socket a reset.
pub(super) fn reset_on_close(fd: impl AsFd) {
    let _ = SockRef::from(&fd).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::{SocketAddr, address_bytes, io, listen, local_address};

    #[test]
    fn two_workers_listen_on_one_address() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let first = listen(address.parse().unwrap()).unwrap();
            let address = local_address(&first).unwrap();
            let second = listen(address).unwrap();
            assert_eq!(local_address(second).unwrap(), address);
        }
    }

    #[test]
    fn a_port_of_someone_else_is_refused_after_the_retries() {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let other = super::stream(address).unwrap();
        other.bind(&address.into()).unwrap();
        other.listen(1).unwrap();
        let refused = listen(local_address(&other).unwrap()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_has_the_kernels_form() {
        for (address, len) in [("127.0.0.1:25", 16), ("[::1]:25", 28)] {
            let bytes = address_bytes(address.parse().unwrap());
            assert_eq!((bytes.len(), &bytes[2..4]), (len, &[0, 25][..]));
        }
    }
}
