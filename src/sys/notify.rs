//! Telling the service manager how we are: the datagrams of sd_notify(3). What is told and when is the caller's.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use super::clock;
use crate::time::Span;

/// The service manager that started this process; nobody where there is none, and then telling is no error.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager {
    socket: Option<SocketAddr>,
    watchdog: Option<Span>,
}

impl ServiceManager {
    /// A full queue of the manager may not hold us up for longer than this.
    const PATIENCE: Span = Span::from_secs(1);

    /// From what it left in the environment: `NOTIFY_SOCKET` (a path, or `@` and an abstract name), `WATCHDOG_USEC`
    /// and `WATCHDOG_PID`, which is to be `pid` where it is set. A watchdog without a socket is none.
    ///
    /// # Errors
    /// When the socket's address is of a kind that is not known here, or too long.
    pub fn from_environment(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let number = |name| variable(name)?.into_string().ok()?.parse::<u64>().ok();
        let ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|&micros| ours && micros > 0);
        let watchdog = watchdog.map(|micros| Span::from_nanos(micros.saturating_mul(1_000)));
        Ok(Self { socket: Some(address(name.as_bytes())?), watchdog })
    }

    /// Time within which it wants to hear [`Self::alive`]; none where it does not watch.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Span> {
        self.watchdog
    }

    /// The service runs, or runs again after a reload.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read again; [`Self::ready`] ends this.
    pub fn reloading(&self) {
        let micros = clock::since_boot().as_nanos() / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The service is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The watchdog's food.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// One line for people.
    pub fn status(&self, line: &str) {
        self.tell(&format!("STATUS={}", line.replace(['\n', '\r'], " ")));
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = send(socket, message.as_bytes())
        {
            tracing::warn!("the service manager was not told {}: {error}", message.replace('\n', " "));
        }
    }
}

fn send(to: &SocketAddr, message: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(ServiceManager::PATIENCE.to_std()))?;
    socket.send_to_addr(message, to).map(drop)
}

fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name))),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> io::Result<ServiceManager> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        ServiceManager::from_environment(7, find)
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_by_path_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(&[("NOTIFY_SOCKET", path.to_str().unwrap())]).unwrap();
        manager.ready();
        manager.status("two\nlines");
        manager.reloading();
        assert_eq!(received(&socket), "READY=1");
        assert_eq!(received(&socket), "STATUS=two lines");
        let reloading = received(&socket);
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn an_abstract_socket_is_told() {
        let name = format!("tapguard-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        manager(&[("NOTIFY_SOCKET", &format!("@{name}"))]).unwrap().alive();
        assert_eq!(received(&socket), "WATCHDOG=1");
    }

    #[test]
    fn the_watchdog_is_ours_or_none() {
        let watchdog = |pid: &[(&str, &str)]| {
            let all = [&[("NOTIFY_SOCKET", "@x"), ("WATCHDOG_USEC", "30000000")], pid].concat();
            manager(&all).unwrap().watchdog()
        };
        assert_eq!(watchdog(&[]), Some(Span::from_secs(30)));
        assert_eq!(watchdog(&[("WATCHDOG_PID", "7")]), Some(Span::from_secs(30)));
        assert_eq!(watchdog(&[("WATCHDOG_PID", "8")]), None);
        assert_eq!(manager(&[("WATCHDOG_USEC", "30000000")]).unwrap().watchdog(), None);
    }

    #[test]
    fn nobody_and_somebody_unknown() {
        manager(&[]).unwrap().ready();
        assert!(manager(&[("NOTIFY_SOCKET", "vsock:2:1")]).is_err());
    }
}
