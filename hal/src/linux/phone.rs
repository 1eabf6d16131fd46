//! A modem line without a modem: its telephone number is a TCP address.
//!
//! `line NAME phone ADDR:PORT`. For the gateway it is a modem like any other, with circuits and
//! result codes; for everybody else it is a port at which a connection is a call.
//!
//! Octets move inside [`ByteStream::read`] and [`ByteStream::write`], which the loop calls for each
//! line in each turn. What the modem does by itself (it rings every six seconds) wakes the loop
//! through an alarm of the reactor.

use core::net::SocketAddr;
use std::io;
use std::time;

use super::reactor::{Alarm, Reactor};
use super::switchboard::Switchboard;
use crate::dce::DceOptions;
use crate::{ByteStream, Circuit, Instant, ModemPort, StreamError};

/// A virtual modem at a TCP port.
pub struct Phone {
    clock: Clock,
    alarm: Alarm,
    switchboard: Switchboard,
}

impl Phone {
    /// A modem that is called at `address`, `ADDR:PORT`, and passes octets as fast as they come.
    ///
    /// # Errors
    /// Why nobody can be called there, in words for the owner.
    pub fn open(reactor: &Reactor, address: &str) -> Result<Self, String> {
        let options = DceOptions {
            connect: heapless::String::try_from("115200").unwrap_or_default(),
            ..DceOptions::default()
        };
        Ok(Self {
            clock: Clock::new(),
            alarm: reactor.alarm(),
            switchboard: Switchboard::open(reactor, address, options)?,
        })
    }

    /// Where it is called: the port that the system chose, if it was told to by port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.switchboard.address()
    }

    fn wake_when_due(&self) {
        let due = self.switchboard.deadline();
        self.alarm.set(due.map(|due| self.clock.moment(due)));
    }

    /// The modem may have said something since the loop last read: it is to look once more.
    fn wake_at_once(&self) {
        self.alarm.set(Some(time::Instant::now()));
    }
}

impl ByteStream for Phone {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let now = self.clock.now();
        self.switchboard.turn(now);
        let count = self.switchboard.give_to_dte(now, buf);
        self.wake_when_due();
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let unread = self.switchboard.unread();
        let count = self.switchboard.take_from_dte(self.clock.now(), octets);
        self.wake_when_due();
        if self.switchboard.unread() > unread {
            self.wake_at_once();
        }
        Ok(count)
    }

    fn pending(&mut self) -> usize {
        self.switchboard.unsent()
    }
}

impl ModemPort for Phone {
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError> {
        self.switchboard.set_dtr(self.clock.now(), on);
        self.wake_at_once();
        Ok(())
    }

    fn dcd(&mut self) -> Circuit {
        self.switchboard.dcd()
    }

    fn discard_output(&mut self) {
        self.switchboard.discard_output(self.clock.now());
        self.wake_at_once();
    }

    /// Nothing can be unplugged here: the modem is switched off and on.
    fn reopen(&mut self) -> Result<(), StreamError> {
        self.switchboard.restart(self.clock.now());
        self.wake_at_once();
        Ok(())
    }
}

/// The modem's own time: since its power came.
pub(super) struct Clock {
    start: time::Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        let start = time::Instant::now();
        Self { start }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// What the system calls `instant`, for an alarm.
    pub(super) fn moment(&self, instant: Instant) -> time::Instant {
        let since = instant.since(Instant::ZERO);
        // Beyond the system's time lie only deadlines that nobody waits for.
        self.start.checked_add(since).unwrap_or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Duration;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::sync::mpsc::channel;
    use std::thread;

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);
    /// A test that waits longer has failed.
    const LONG: Duration = Duration::from_secs(20);

    /// A gateway's side of a phone.
    struct Gateway {
        reactor: Reactor,
        phone: Phone,
        got: Vec<u8>,
    }

    impl Gateway {
        fn new() -> Self {
            let reactor = Reactor::new().unwrap();
            let phone = Phone::open(&reactor, "127.0.0.1:0").unwrap();
            let mut gateway = Self {
                reactor,
                phone,
                got: Vec::new(),
            };
            gateway.say("ATE0\r");
            gateway.hear("OK\r\n");
            gateway
        }

        fn dial(&self) -> TcpStream {
            let caller = TcpStream::connect(self.phone.address().unwrap()).unwrap();
            caller.set_read_timeout(Some(LONG)).unwrap();
            caller
        }

        /// A call that has been answered.
        fn in_call() -> (Self, TcpStream) {
            let mut gateway = Self::new();
            let caller = gateway.dial();
            gateway.answer();
            (gateway, caller)
        }

        fn answer(&mut self) {
            assert_eq!(self.hear("RING\r\n"), "\r\nRING\r\n");
            assert_eq!(self.phone.dcd(), Circuit::Off);
            self.say("ATA\r");
            self.hear("CONNECT 115200\r\n");
            assert_eq!(self.phone.dcd(), Circuit::On);
        }

        fn say(&mut self, text: &str) {
            assert_eq!(self.phone.write(text.as_bytes()), Ok(text.len()));
        }

        fn turn(&mut self, buf: &mut [u8]) -> usize {
            let count = self.phone.read(buf).unwrap();
            self.got.extend_from_slice(&buf[..count]);
            count
        }

        /// Reads on, as the loop does, until `done`.
        fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
            let start = time::Instant::now();
            loop {
                while self.turn(&mut [0; 100]) > 0 {}
                if done(self) {
                    return;
                }
                let heard = String::from_utf8_lossy(&self.got);
                assert!(start.elapsed() < LONG, "heard {heard:?}");
                self.reactor.wait(Some(LONG));
            }
        }

        /// Asks now and then, as the loop does: no event tells that the other end has it all.
        fn drain(&mut self) {
            let start = time::Instant::now();
            while self.phone.pending() > 0 {
                assert!(start.elapsed() < LONG);
                self.reactor.wait(Some(Duration::from_millis(5)));
            }
        }

        /// What came, up to and with `end`.
        fn hear(&mut self, end: &str) -> String {
            let find = |got: &[u8]| got.windows(end.len()).position(|w| w == end.as_bytes());
            self.until(|gateway| find(&gateway.got).is_some());
            let length = find(&self.got).unwrap() + end.len();
            String::from_utf8(self.got.drain(..length).collect()).unwrap()
        }

        /// What `caller` hears until it is hung up on.
        fn overhear(&mut self, mut caller: TcpStream) -> String {
            let (tell, told) = channel();
            let waker = self.reactor.waker();
            thread::spawn(move || {
                let mut text = String::new();
                tell.send(caller.read_to_string(&mut text).map(|_| text))
                    .unwrap();
                waker.wake();
            });
            let mut heard = None;
            self.until(|_| {
                heard = told.try_recv().ok();
                heard.is_some()
            });
            heard.unwrap().unwrap()
        }
    }

    #[test]
    fn a_call_from_ring_to_hang_up() {
        let (mut gateway, mut caller) = Gateway::in_call();
        gateway.say("+OK\r\n");
        let mut five = [0; 5];
        caller.read_exact(&mut five).unwrap();
        assert_eq!(&five, b"+OK\r\n");
        caller.write_all(b"QUIT\r\n").unwrap();
        assert_eq!(gateway.hear("QUIT\r\n"), "QUIT\r\n");
        gateway.say("+OK bye\r\n");
        gateway.drain();
        gateway.phone.set_dtr(false).unwrap();
        gateway.hear("NO CARRIER\r\n");
        assert_eq!(gateway.phone.dcd(), Circuit::Off);
        gateway.phone.set_dtr(true).unwrap();
        assert_eq!(gateway.overhear(caller), "+OK bye\r\n");
        // And the next.
        let _caller = gateway.dial();
        gateway.answer();
    }

    #[test]
    fn an_idle_phone_wakes_nobody() {
        let mut gateway = Gateway::new();
        for _ in 0..100 {
            assert_eq!(gateway.turn(&mut [0; 64]), 0);
            assert_eq!(gateway.phone.switchboard.deadline(), None);
            assert_eq!(gateway.reactor.wait(AT_ONCE), 0);
        }
        let (mut gateway, _caller) = Gateway::in_call();
        for _ in 0..100 {
            assert_eq!(gateway.turn(&mut [0; 64]), 0);
            assert_eq!(gateway.phone.switchboard.deadline(), None);
            assert_eq!(gateway.reactor.wait(AT_ONCE), 0);
        }
    }

    #[test]
    fn a_second_caller_is_told_that_the_line_is_busy() {
        let mut gateway = Gateway::new();
        let mut first = gateway.dial();
        gateway.hear("RING\r\n");
        for answered in [false, true] {
            if answered {
                gateway.say("ATA\r");
                gateway.hear("CONNECT");
            }
            let mut second = gateway.dial();
            second.write_all(b"USER anna\r\n").unwrap();
            assert_eq!(gateway.overhear(second), "BUSY\r\n");
        }
        first.write_all(b"still here").unwrap();
        gateway.hear("still here");
    }

    #[test]
    fn an_answer_finds_out_that_the_caller_is_gone() {
        let (mut gateway, mut caller) = Gateway::in_call();
        caller.write_all(b"STAT\r\n").unwrap();
        drop(caller);
        gateway.hear("STAT\r\n");
        let start = time::Instant::now();
        gateway.say("+OK 0 0\r\n");
        gateway.hear("NO CARRIER\r\n");
        assert!(start.elapsed() < Duration::from_secs(2), "not by a timer");
    }

    #[test]
    fn a_caller_who_only_stopped_sending_hears_the_rest() {
        for early in [false, true] {
            let mut gateway = Gateway::new();
            let mut caller = gateway.dial();
            if !early {
                gateway.answer();
            }
            caller.write_all(b"USER anna\r\nQUIT\r\n").unwrap();
            caller.shutdown(Shutdown::Write).unwrap();
            if early {
                gateway.answer();
            }
            gateway.hear("QUIT\r\n");
            let lot = "x".repeat(300_000);
            let mut hears = caller.try_clone().unwrap();
            let length = lot.len();
            let hearer = thread::spawn(move || {
                let mut heard = vec![0; length];
                hears.read_exact(&mut heard).unwrap();
                heard
            });
            let mut sent = 0;
            gateway.until(|gateway| {
                sent += gateway.phone.write(&lot.as_bytes()[sent..]).unwrap();
                sent == lot.len()
            });
            assert!(hearer.join().unwrap() == lot.as_bytes());
            gateway.say("+OK bye\r\n");
            gateway.phone.set_dtr(false).unwrap();
            assert_eq!(gateway.overhear(caller), "+OK bye\r\n");
        }
    }

    #[test]
    fn hanging_up_throws_away_nothing_that_was_sent() {
        for (by_command, noise) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut gateway = Gateway::new();
            // The escape needs no pause.
            gateway.say("ATS12=0\r");
            gateway.hear("OK\r\n");
            let mut caller = gateway.dial();
            gateway.answer();
            // More than the modem holds, and less than the system does.
            let lot = "x".repeat(20_000);
            assert_eq!(gateway.phone.write(lot.as_bytes()), Ok(20_000));
            if noise {
                // Unread when we hang up: it must not spoil what the caller is to hear.
                caller.write_all(&[b'?'; 50_000]).unwrap();
            }
            if by_command {
                gateway.say("+++");
                gateway.hear("OK\r\n");
                gateway.say("ATH\r");
                gateway.hear("OK\r\n");
            } else {
                gateway.phone.set_dtr(false).unwrap();
            }
            let heard = gateway.overhear(caller);
            let escape = if by_command { "+++" } else { "" };
            assert!(heard == lot + escape, "{by_command} {noise}");
        }
    }

    #[test]
    fn a_megabyte_each_way_as_it_is() {
        let (mut gateway, caller) = Gateway::in_call();
        // Neither contains the escape.
        let pattern = |seed: u32| -> Vec<u8> {
            (0..1_u32 << 20)
                .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8)
                .map(|octet| if octet == b'+' { 0 } else { octet })
                .collect()
        };
        let (ours, theirs) = (pattern(1), pattern(7));
        let mut sends = caller.try_clone().unwrap();
        let to_send = theirs.clone();
        let sender = thread::spawn(move || sends.write_all(&to_send).unwrap());
        let mut hears = caller.try_clone().unwrap();
        let hearer = thread::spawn(move || {
            let mut heard = vec![0; 1 << 20];
            hears.read_exact(&mut heard).unwrap();
            heard
        });
        let mut sent = 0;
        gateway.until(|gateway| {
            let rest = &ours[sent..];
            sent += gateway.phone.write(&rest[..rest.len().min(8192)]).unwrap();
            if sent < ours.len() {
                // As the loop does while it has more to say.
                gateway.reactor.waker().wake();
            }
            sent == ours.len() && gateway.got.len() >= theirs.len()
        });
        sender.join().unwrap();
        assert!(hearer.join().unwrap() == ours);
        assert!(gateway.got == theirs);
        gateway.drain();
    }

    #[test]
    fn what_a_caller_does_not_read_is_pending_and_can_be_thrown_away() {
        let (mut gateway, caller) = Gateway::in_call();
        let octets = [b'x'; 8192];
        let mut sent = 0;
        loop {
            match gateway.phone.write(&octets).unwrap() {
                0 => break,
                count => sent += count,
            }
        }
        assert!(sent > gateway.phone.pending() && gateway.phone.pending() > 4096);
        for _ in 0..10 {
            assert_eq!(gateway.phone.write(&octets), Ok(0));
            assert_eq!(gateway.turn(&mut [0; 64]), 0);
            assert_eq!(gateway.reactor.wait(AT_ONCE), 0, "no spinning");
        }
        let before = gateway.phone.pending();
        gateway.phone.discard_output();
        assert!(gateway.phone.pending() < before);
        // A caller who takes nothing does not hold the line.
        gateway.phone.set_dtr(false).unwrap();
        gateway.hear("NO CARRIER\r\n");
        assert_eq!(gateway.phone.pending(), 0);
        let _next = gateway.dial();
        gateway.hear("RING\r\n");
        drop(caller);
    }

    #[test]
    fn a_restarted_modem_has_hung_up() {
        let (mut gateway, caller) = Gateway::in_call();
        gateway.say("+OK\r\n");
        gateway.phone.reopen().unwrap();
        assert_eq!(gateway.phone.dcd(), Circuit::Off);
        assert_eq!(gateway.overhear(caller), "+OK\r\n");
        gateway.say("AT\r");
        assert_eq!(gateway.hear("OK\r\n"), "AT\r\r\nOK\r\n", "it echoes again");
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let reactor = Reactor::new().unwrap();
        let phone = Phone::open(&reactor, "127.0.0.1:0").unwrap();
        let address = phone.address().unwrap().to_string();
        let error = Phone::open(&reactor, &address).err().unwrap();
        assert_eq!(
            error,
            format!("{address}: address in use by another program")
        );
        for (address, expected) in [
            (
                "192.0.2.1:2000",
                "192.0.2.1:2000: this machine has no such address",
            ),
            (
                "2000",
                "2000: expected an address and a port, as in 127.0.0.1:2000",
            ),
        ] {
            assert_eq!(Phone::open(&reactor, address).err().unwrap(), expected);
        }
    }
}
