//! A USB modem on a cable of TCP: the device's side of USB/IP, and the modem itself.
//!
//! ```text
//!   guest's kernel                                       here
//!   cdc_acm - vhci_hcd ---- TCP: URBs there and back ---- Modem - Phone ~ its phone number ~ a caller
//! ```
//!
//! The device is a modem of the USB communications class (CDC 1.2, PSTN subclass 1.2): octets in
//! two bulk pipes, DTR as a control request, DCD and DSR as `SERIAL_STATE` notifications. All of it
//! comes from the virtual modem's engine, so the guest sees a modem with real circuits, through the
//! very driver that real ones use. A connection that ends is the plug being pulled.
//!
//! The numbers of the messages stand in the kernel's `Documentation/usb/usbip_protocol.rst`. The
//! exchange of device lists before them is left out: the guest hands its socket to the kernel.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use hal::linux::descriptor::Descriptor;
use hal::linux::phone::Phone;
use hal::linux::reactor::{Reactor, Waker};
use hal::{ByteStream, Circuit, ModemPort, StreamError};

use super::process::wait_until;
use super::temp::free_address;

/// A modem that can be plugged in and out.
pub(crate) struct UsbModem {
    phone: SocketAddr,
    socket: SocketAddr,
    orders: Sender<Order>,
    waker: Waker,
    shown: Arc<Shown>,
}

/// What its owner does to it.
enum Order {
    PlugIn(TcpStream),
    Unplug,
    /// It says and takes nothing, until its host configures it anew.
    Wedge,
}

/// What can be seen of it.
#[derive(Default)]
struct Shown {
    plugged: AtomicBool,
    dtr: AtomicBool,
    dcd: AtomicBool,
    /// How often a host has configured it.
    configured: AtomicU32,
}

impl UsbModem {
    /// A modem that is not plugged in.
    pub(crate) fn new() -> Self {
        let (orders, received) = channel();
        let (tell, told) = channel();
        let shown = Arc::new(Shown::default());
        let ours = Arc::clone(&shown);
        thread::spawn(move || {
            let reactor = Reactor::new().unwrap();
            let phone = Phone::open(&reactor, "127.0.0.1:0").unwrap();
            tell.send((phone.address().unwrap(), reactor.waker()))
                .unwrap();
            run(&reactor, phone, &received, &ours);
        });
        let (phone, waker) = told.recv().unwrap();
        Self {
            phone,
            socket: free_address(),
            orders,
            waker,
            shown,
        }
    }

    /// Where it is called.
    pub(crate) fn phone(&self) -> SocketAddr {
        self.phone
    }

    /// Where the guest's end of the cable has to connect to, again and again.
    pub(crate) fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// Plugs it in; returns when a guest has configured it.
    pub(crate) fn plug_in(&self) {
        let before = self.configured();
        // Only while it listens is there a cable: a guest that asks at other times is refused.
        let listener = TcpListener::bind(self.socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (cable, _) = wait_until("the guest to take the plug", || listener.accept().ok());
        drop(listener);
        cable.set_nodelay(true).unwrap();
        self.order(Order::PlugIn(cable));
        wait_until("the guest to configure the modem", || {
            (self.configured() > before).then_some(())
        });
    }

    /// Pulls the plug: its power goes, and with it the call.
    pub(crate) fn unplug(&self) {
        self.order(Order::Unplug);
        wait_until("the plug", || {
            (!self.shown.plugged.load(Ordering::SeqCst)).then_some(())
        });
    }

    /// Wedges it.
    pub(crate) fn wedge(&self) {
        self.order(Order::Wedge);
    }

    /// Circuit 108/2, as the guest's driver has set it.
    pub(crate) fn dtr(&self) -> bool {
        self.shown.dtr.load(Ordering::SeqCst)
    }

    /// Circuit 109, as the guest's driver was told.
    pub(crate) fn dcd(&self) -> bool {
        self.shown.dcd.load(Ordering::SeqCst)
    }

    /// How often a host has configured it.
    pub(crate) fn configured(&self) -> u32 {
        self.shown.configured.load(Ordering::SeqCst)
    }

    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
        self.waker.wake();
    }
}

impl Drop for UsbModem {
    fn drop(&mut self) {
        // Its thread ends when it finds that nobody gives orders any more.
        (self.orders, _) = channel();
        self.waker.wake();
    }
}

/// The life of a modem, until nobody gives orders any more.
fn run(reactor: &Reactor, mut phone: Phone, orders: &Receiver<Order>, shown: &Shown) {
    let mut cable: Option<Cable> = None;
    let mut wedged = false;
    loop {
        match orders.try_recv() {
            Ok(Order::PlugIn(stream)) => {
                let stream = Descriptor::new(reactor, OwnedFd::from(stream)).unwrap();
                cable = Some(Cable::new(stream));
                shown.plugged.store(true, Ordering::SeqCst);
            }
            Ok(Order::Unplug) => {
                cable = None;
                wedged = false;
                phone.reopen().unwrap();
            }
            Ok(Order::Wedge) => wedged = true,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let gone = match &mut cable {
            Some(cable) => cable.turn(&mut phone, shown, &mut wedged).is_err(),
            None => phone.read(&mut []).is_err(),
        };
        if gone {
            cable = None;
        }
        if cable.is_none() {
            shown.plugged.store(false, Ordering::SeqCst);
        }
        reactor.wait(None);
    }
}

/// The device at the end of a cable.
struct Cable {
    stream: Descriptor,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Requests of the guest that wait: for octets, to take octets, for news of the circuits.
    reads: VecDeque<Urb>,
    writes: VecDeque<(Urb, Vec<u8>)>,
    news: VecDeque<Urb>,
    /// The circuits as they were told last.
    told: u8,
}

/// A request: its number, and how many octets it has room for.
#[derive(Clone, Copy)]
struct Urb {
    number: u32,
    room: usize,
}

impl Cable {
    fn new(stream: Descriptor) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            news: VecDeque::new(),
            told: 0,
        }
    }

    fn turn(
        &mut self,
        phone: &mut Phone,
        shown: &Shown,
        wedged: &mut bool,
    ) -> Result<(), StreamError> {
        let mut piece = [0; 4096];
        loop {
            let count = self.stream.read(&mut piece)?;
            self.input.extend(&piece[..count]);
            if count < piece.len() {
                break;
            }
        }
        while let Some(message) = self.message() {
            self.obey(&message, phone, shown, wedged);
        }
        if !*wedged {
            self.exchange(phone, shown);
        }
        while !self.output.is_empty() {
            let count = self.stream.write(&self.output)?;
            if count == 0 {
                break;
            }
            self.output.drain(..count);
        }
        Ok(())
    }

    /// The next whole message that came: 48 octets, and what is written.
    fn message(&mut self) -> Option<Vec<u8>> {
        let head = self.input.get(..48)?;
        let writes = word(head, 0) == SUBMIT && word(head, 12) == 0;
        let length = 48 + if writes { word(head, 24) as usize } else { 0 };
        (self.input.len() >= length).then(|| self.input.drain(..length).collect())
    }

    fn obey(&mut self, message: &[u8], phone: &mut Phone, shown: &Shown, wedged: &mut bool) {
        let urb = Urb {
            number: word(message, 4),
            room: word(message, 24) as usize,
        };
        if word(message, 0) == UNLINK {
            return self.unlink(urb.number, word(message, 20));
        }
        let data = &message[48..];
        match (word(message, 16), word(message, 12)) {
            (0, _) => match self.control(&message[40..48], phone, shown, wedged) {
                Some(answer) => {
                    let count = answer.len().min(urb.room);
                    let count = if message[40] & 0x80 == 0 {
                        urb.room
                    } else {
                        count
                    };
                    self.done(urb, 0, count, answer.get(..count).unwrap_or_default());
                }
                None => self.done(urb, STALL, 0, &[]),
            },
            (EVENTS, 1) => self.news.push_back(urb),
            (BULK, 1) => self.reads.push_back(urb),
            (BULK, _) => self.writes.push_back((urb, data.to_vec())),
            _ => self.done(urb, STALL, 0, &[]),
        }
    }

    /// Octets and circuits go to and fro between modem and guest.
    fn exchange(&mut self, phone: &mut Phone, shown: &Shown) {
        while let Some((urb, octets)) = self.writes.front_mut() {
            let count = phone.write(octets).unwrap();
            octets.drain(..count);
            if !octets.is_empty() {
                break;
            }
            let urb = *urb;
            self.writes.pop_front();
            self.done(urb, 0, urb.room, &[]);
        }
        let mut piece = [0; 4096];
        loop {
            let room = self
                .reads
                .front()
                .map_or(0, |urb| urb.room.min(piece.len()));
            let count = phone.read(&mut piece[..room]).unwrap();
            let Some(urb) = self.reads.front().copied().filter(|_| count > 0) else {
                break;
            };
            self.reads.pop_front();
            self.done(urb, 0, count, &piece[..count]);
        }
        let dcd = phone.dcd() == Circuit::On;
        let circuits = DSR | if dcd { DCD } else { 0 };
        if circuits != self.told
            && let Some(urb) = self.news.pop_front()
        {
            self.told = circuits;
            let state = [0xa1, SERIAL_STATE, 0, 0, 0, 0, 2, 0, circuits, 0];
            self.done(urb, 0, state.len(), &state);
            shown.dcd.store(dcd, Ordering::SeqCst);
        }
    }

    /// USB 2.0 §9.4, and PSTN 1.2 §6.3. `None`: no such request here.
    fn control(
        &mut self,
        setup: &[u8],
        phone: &mut Phone,
        shown: &Shown,
        wedged: &mut bool,
    ) -> Option<Vec<u8>> {
        let (kind, request, low, high) = (setup[0], setup[1], setup[2], setup[3]);
        Some(match (kind, request) {
            // GET_DESCRIPTOR
            (0x80, 6) => match (high, low) {
                (1, _) => DEVICE.to_vec(),
                (2, _) => CONFIGURATION.to_vec(),
                (3, 0) => vec![4, 3, 9, 4],
                (3, _) => text("ringmail test modem"),
                _ => return None,
            },
            // GET_STATUS
            (0x80..=0x82, 0) => vec![0, 0],
            // SET_CONFIGURATION: whatever it was at is over.
            (0, 9) => {
                self.told = 0;
                if low != 0 {
                    phone.reopen().unwrap();
                    *wedged = false;
                    shown.configured.fetch_add(1, Ordering::SeqCst);
                }
                Vec::new()
            }
            // GET_LINE_CODING
            (0xa1, 0x21) => vec![0, 0xc2, 1, 0, 0, 0, 8],
            // SET_CONTROL_LINE_STATE
            (0x21, 0x22) => {
                let dtr = low & 1 != 0;
                phone.set_dtr(dtr).unwrap();
                shown.dtr.store(dtr, Ordering::SeqCst);
                Vec::new()
            }
            // SET_LINE_CODING, SEND_BREAK; CLEAR_FEATURE, SET_INTERFACE
            (0x21, 0x20 | 0x23) | (0..=2, 1) | (1, 11) => Vec::new(),
            _ => return None,
        })
    }

    fn done(&mut self, urb: Urb, status: i32, count: usize, data: &[u8]) {
        let words = [RET_SUBMIT, urb.number, 0, 0, 0];
        let words = words.into_iter().chain([status as u32, count as u32]);
        self.answer(words);
        self.output.extend(data);
    }

    /// The guest does not want `other` any more.
    fn unlink(&mut self, number: u32, other: u32) {
        let before = self.reads.len() + self.writes.len() + self.news.len();
        self.reads.retain(|urb| urb.number != other);
        self.writes.retain(|(urb, _)| urb.number != other);
        self.news.retain(|urb| urb.number != other);
        let waited = self.reads.len() + self.writes.len() + self.news.len() < before;
        let status = if waited { CONNECTION_RESET } else { 0 };
        self.answer([RET_UNLINK, number, 0, 0, 0, status as u32]);
    }

    /// A message of these words, and zeros up to 48 octets.
    fn answer(&mut self, words: impl IntoIterator<Item = u32>) {
        let end = self.output.len() + 48;
        self.output
            .extend(words.into_iter().flat_map(u32::to_be_bytes));
        self.output.resize(end, 0);
    }
}

fn word(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(octets[at..at + 4].try_into().unwrap())
}

/// A string descriptor.
fn text(text: &str) -> Vec<u8> {
    let octets: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [&[octets.len() as u8 + 2, 3], octets.as_slice()].concat()
}

const SUBMIT: u32 = 1;
const UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
/// `-EPIPE`, `-ECONNRESET`.
const STALL: i32 = -32;
const CONNECTION_RESET: i32 = -104;

/// Endpoints: notifications, and octets both ways.
const EVENTS: u32 = 1;
const BULK: u32 = 2;

/// PSTN 1.2 §6.5.4: the notification, and its bits.
const SERIAL_STATE: u8 = 0x20;
const DCD: u8 = 1;
const DSR: u8 = 2;

/// A communications device of full speed. The numbers of maker and product are those that the
/// kernel's own gadgets use.
const DEVICE: [u8; 18] = [
    18, 1, 0, 2, 2, 0, 0, 64, 0x25, 0x05, 0xa7, 0xa4, 0, 1, 1, 1, 1, 1,
];

#[rustfmt::skip]
const CONFIGURATION: [u8; 67] = [
    9, 2, 67, 0, 2, 1, 0, 0xc0, 0,
    // Interface 0: a modem with AT commands (CDC, abstract control model).
    9, 4, 0, 0, 1, 2, 2, 1, 0,
    5, 0x24, 0, 0x10, 1,
    5, 0x24, 1, 0, 1,
    4, 0x24, 2, 2,
    5, 0x24, 6, 0, 1,
    7, 5, 0x81, 3, 16, 0, 10,
    // Interface 1: octets.
    9, 4, 1, 0, 2, 10, 0, 0, 0,
    7, 5, 0x02, 2, 64, 0, 0,
    7, 5, 0x82, 2, 64, 0, 0,
];
