//! A cable between two network namespaces: a sender's own, and that of the test, where the tap listens. Removed when
//! dropped.

use std::process::{Command, Output};

use super::{is_root, tool};

pub(crate) struct Cable {
    namespace: String,
    /// The interface at the tap's end.
    pub(crate) tap: String,
}

impl Cable {
    /// A veth pair whose ends are up and have no address, so that the kernel itself says nothing on it; or why there
    /// is none.
    pub(crate) fn new(name: &str) -> Result<Self, &'static str> {
        if !is_root() {
            return Err("network namespaces need root");
        }
        if tool("ip").is_none() || tool("tcpreplay").is_none() {
            return Err("`ip` or `tcpreplay` is not installed");
        }
        // Unique on this machine, and at most 15 characters.
        let unique = format!("tg{}{name}", std::process::id());
        let cable = Self { namespace: unique.clone(), tap: unique };
        cable.remove();
        if !ip(&format!("netns add {}", cable.namespace)).status.success() || !cable.plug() {
            return Err("this machine has no network namespaces");
        }
        Ok(cable)
    }

    /// Plugs the cable in.
    pub(crate) fn plug(&self) -> bool {
        let (namespace, tap) = (&self.namespace, &self.tap);
        let quiet = |link: &str| format!("net.ipv6.conf.{link}.disable_ipv6=1");
        let made = ip(&format!("link add {tap} type veth peer name out netns {namespace}")).status.success();
        // A kernel without IPv6 has nothing to switch off.
        drop(Command::new("sysctl").args(["-q", "-w", &quiet(tap)]).output());
        drop(self.at_sender(&["sysctl", "-q", "-w", &quiet("out")]).output());
        made && ip(&format!("link set {tap} up")).status.success()
            && ip(&format!("-n {namespace} link set out up")).status.success()
    }

    /// Switches the tap's end off.
    pub(crate) fn switch_off(&self) {
        assert!(ip(&format!("link set {} down", self.tap)).status.success());
    }

    /// Pulls it.
    pub(crate) fn pull(&self) {
        assert!(ip(&format!("link del {}", self.tap)).status.success());
    }

    /// Plays a capture file into the cable, `times` as fast as it was.
    pub(crate) fn play(&self, file: &str, times: &str) {
        let speed = format!("--multiplier={times}");
        let output = self.at_sender(&["tcpreplay", "-q", &speed, "-i", "out", file]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Plays a capture file into the cable so many times, as fast as this machine can.
    pub(crate) fn play_at_top_speed(&self, file: &str, loops: u64) {
        let loops = format!("--loop={loops}");
        let words = ["tcpreplay", "-q", "--topspeed", "--preload-pcap", &loops, "-i", "out", file];
        let output = self.at_sender(&words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn at_sender(&self, words: &[&str]) -> Command {
        let mut command = Command::new(tool("ip").unwrap());
        command.args(["netns", "exec", &self.namespace]).args(words);
        command
    }

    fn remove(&self) {
        drop(ip(&format!("link del {}", self.tap)));
        drop(ip(&format!("netns del {}", self.namespace)));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(line: &str) -> Output {
    Command::new(tool("ip").unwrap()).args(line.split_whitespace()).output().unwrap()
}
