//! A UDP socket that only receives, with what the kernel knows of each datagram: when it came, from whom, and how many
//! were dropped before it. What is in it is the caller's business.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::time::Timestamp;

/// A socket that nothing is ever sent through.
#[derive(Debug)]
pub struct DatagramListener {
    socket: Socket,
    address: SocketAddr,
}

/// What came with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Bytes of it in the buffer.
    pub length: usize,
    /// Who sent it; none where the kernel did not say.
    pub from: Option<IpAddr>,
    /// When the kernel had it; none where it did not say.
    pub time: Option<Timestamp>,
    /// Datagrams dropped for want of room since the socket was opened, modulo 2^32; none where there were none yet.
    pub dropped: Option<u32>,
}

impl DatagramListener {
    /// Listens. The kernel's buffer gets `room` bytes, or as many as it allows.
    ///
    /// # Errors
    /// When the address is not one of this machine's, or taken, or a right is missing.
    pub fn open(address: SocketAddr, room: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Beyond the system's limit it takes a right that we need not have.
        let forced = i32::try_from(room).unwrap_or(i32::MAX);
        if set_option(&socket, libc::SO_RCVBUFFORCE, forced).is_err() {
            socket.set_recv_buffer_size(room)?;
        }
        set_option(&socket, libc::SO_TIMESTAMPNS, 1)?;
        set_option(&socket, libc::SO_RXQ_OVFL, 1)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { socket, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next datagram; none when none waits. One that is longer than the buffer is cut.
    ///
    /// # Errors
    /// When the socket is of no more use.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        match receive(&self.socket, buffer) {
            Ok(arrival) => Ok(Some(arrival)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl AsFd for DatagramListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[expect(unsafe_code, reason = "no safe crate of ours sets these options")]
fn set_option(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while the socket is borrowed, and the value is one valid int of the length told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast::<libc::c_void>(),
            length,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The longest address: a `sockaddr_in6`.
const NAME: usize = 28;
/// Room for the ancillary data that is asked for: a time and a counter, 24 to 32 bytes each.
const CONTROL: usize = 128;

#[expect(unsafe_code, reason = "no safe crate of ours gives the kernel's time of a datagram")]
#[allow(clippy::useless_conversion, reason = "the length of control data has 32 bits on some targets")]
fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Arrival> {
    let mut name = [0_u8; NAME];
    // Words, since the kernel lays these out for words.
    let mut control = [0_usize; CONTROL / size_of::<usize>()];
    let mut piece =
        libc::iovec { iov_base: buffer.as_mut_ptr().cast::<libc::c_void>(), iov_len: buffer.len() };
    // SAFETY: a `msghdr` of zeroes is a valid one that points to nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast::<libc::c_void>();
    message.msg_namelen = libc::socklen_t::try_from(NAME).map_err(io::Error::other)?;
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast::<libc::c_void>();
    message.msg_controllen = CONTROL.try_into().map_err(io::Error::other)?;
    // SAFETY: the descriptor is open while the socket is borrowed; name, piece and control are memory of the lengths
    // told, which nobody else uses during the call.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let mut bytes = [0_u8; CONTROL];
    for (bytes, word) in bytes.chunks_exact_mut(size_of::<usize>()).zip(control) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    let told = usize::try_from(message.msg_controllen).unwrap_or(CONTROL);
    let mut arrival = Arrival { length, from: sender(&name), time: None, dropped: None };
    annotate(&mut arrival, bytes.get(..told).unwrap_or(&bytes));
    Ok(arrival)
}

/// From a `sockaddr_in` or `sockaddr_in6`. An IPv4 sender to a socket for both is told as such.
fn sender(name: &[u8; NAME]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    if i32::from(family) == libc::AF_INET {
        let address: [u8; 4] = *name.get(4..)?.first_chunk()?;
        return Some(address.into());
    }
    let address: [u8; 16] = *name.get(8..)?.first_chunk()?;
    (i32::from(family) == libc::AF_INET6).then(|| IpAddr::from(address).to_canonical())
}

/// Reads control messages: each a length with its header, level, type and data, padded to words.
fn annotate(arrival: &mut Arrival, mut bytes: &[u8]) {
    const WORD: usize = size_of::<usize>();
    const HEADER: usize = WORD + 8;
    let number = |bytes: &[u8], at: usize| Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    while let Some(length) = bytes.first_chunk().map(|word| usize::from_ne_bytes(*word)) {
        let Some(data) = bytes.get(HEADER..length) else { return };
        match (number(bytes, WORD), number(bytes, WORD + 4)) {
            (Some(libc::SOL_SOCKET), Some(libc::SO_TIMESTAMPNS)) => arrival.time = time(data),
            (Some(libc::SOL_SOCKET), Some(libc::SO_RXQ_OVFL)) => {
                arrival.dropped = data.first_chunk().map(|count| u32::from_ne_bytes(*count));
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(WORD)..).unwrap_or(&[]);
    }
}

/// Seconds and nanoseconds, as two numbers of 32 or of 64 bits. Those of 32 are unsigned, as the kernel's clock goes
/// on after 2038.
fn time(data: &[u8]) -> Option<Timestamp> {
    let (seconds, nanos) = match data.len() {
        8 => {
            let (seconds, nanos) = data.split_first_chunk()?;
            let nanos = u32::from_ne_bytes(*nanos.first_chunk()?);
            (i64::from(u32::from_ne_bytes(*seconds)), nanos)
        }
        _ => {
            let (seconds, nanos) = data.split_first_chunk()?;
            let nanos = i64::from_ne_bytes(*nanos.first_chunk()?);
            (i64::from_ne_bytes(*seconds), u32::try_from(nanos).ok()?)
        }
    };
    Some(Timestamp::from_parts(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use proptest::prelude::*;

    use super::*;
    use crate::sys::{clock, readable};
    use crate::time::Span;

    fn listener(address: &str, room: usize) -> DatagramListener {
        DatagramListener::open(address.parse().unwrap(), room).unwrap()
    }

    #[test]
    fn a_datagram_comes_with_its_sender_and_time() {
        let before = clock::now();
        let listener = listener("127.0.0.1:0", 1 << 20);
        let mut buffer = [0; 64];
        assert_eq!(listener.receive(&mut buffer).unwrap(), None);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"frame", listener.address()).unwrap();
        assert!(readable(listener.as_fd(), Span::from_secs(5)).unwrap());
        let arrival = listener.receive(&mut buffer).unwrap().unwrap();
        assert_eq!((arrival.length, &buffer[..5]), (5, &b"frame"[..]));
        assert_eq!(arrival.from, Some([127, 0, 0, 1].into()));
        let time = arrival.time.unwrap();
        assert!(time >= before && time <= clock::now(), "{before} {time}");
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let listener = listener("127.0.0.1:0", 4_096);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (sent, payload) = (200, [7; 1_000]);
        for _ in 0..sent {
            sender.send_to(&payload, listener.address()).unwrap();
        }
        let mut buffer = [0; 2_000];
        let mut taken = 0;
        while listener.receive(&mut buffer).unwrap().is_some() {
            taken += 1;
        }
        // The next one to come carries the count.
        sender.send_to(&payload, listener.address()).unwrap();
        let last = listener.receive(&mut buffer).unwrap().unwrap();
        assert!(taken > 0 && taken < sent, "{taken}");
        assert_eq!(last.dropped.map(u64::from), Some(sent - taken));
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let refused = DatagramListener::open("192.0.2.1:37008".parse().unwrap(), 4_096).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
    }

    proptest! {
        #[test]
        fn any_control_data_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..160), name: [u8; NAME]) {
            let mut arrival = Arrival { length: 0, from: sender(&name), time: None, dropped: None };
            annotate(&mut arrival, &bytes);
        }
    }
}
