//! A station's network card: two bounded queues of frames, one each way, as a smoltcp device. It knows no time.

use std::collections::VecDeque;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Frames held in each direction.
const CAPACITY: usize = 512;

/// Ethernet header and 1500 bytes.
const LARGEST_FRAME: usize = 1514;

/// A network card. A frame that arrives while 512 wait is dropped, as a card does; while 512 wait to be sent, the stack
/// is told to wait.
pub(crate) struct Port {
    arrived: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
}

impl Port {
    pub(crate) fn new() -> Self {
        Self { arrived: VecDeque::with_capacity(16), leaving: VecDeque::with_capacity(16) }
    }

    /// A frame from the network, for the stack.
    pub(crate) fn push_arrived(&mut self, frame: Vec<u8>) {
        if self.arrived.len() < CAPACITY {
            self.arrived.push_back(frame);
        }
    }

    /// A frame for the network that no stack made; dropped when the queue is full.
    pub(crate) fn push_leaving(&mut self, frame: Vec<u8>) {
        if self.leaving.len() < CAPACITY {
            self.leaving.push_back(frame);
        }
    }

    /// The next frame for the network.
    pub(crate) fn pop_leaving(&mut self) -> Option<Vec<u8>> {
        self.leaving.pop_front()
    }
}

impl Device for Port {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Arrived, Leaving<'_>)> {
        if self.leaving.len() >= CAPACITY {
            return None;
        }
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame), Leaving(&mut self.leaving)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<Leaving<'_>> {
        (self.leaving.len() < CAPACITY).then_some(Leaving(&mut self.leaving))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LARGEST_FRAME;
        capabilities
    }
}

/// A received frame on its way into the stack.
pub(crate) struct Arrived(Vec<u8>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for one frame out of the stack.
pub(crate) struct Leaving<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}
