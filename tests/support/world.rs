//! A house in the simulated world: the gateway, its machine, its callers, its mail server.
//!
//! ```text
//! let mut house = House::new(seed, config);
//! house.power(|on| { on.call(..); on.run_until(..); });     the gateway runs
//! house.world.disk().cut(..);                                power fails
//! house.power(|on| { .. });                                  and comes again
//! ```

use core::cell::RefCell;
use std::rc::Rc;

use hal::dce::DceOptions;
use hal::sim::{SimMedium, World};
use hal::{Board, Duration, Instant, Medium};
use ringmail::config::{self, CONSOLES, LINES, USERS, VISITS};
use ringmail::gateway::{Gateway, Memory};
use ringmail::mailbox::calls::CallRecord;
use ringmail::mailbox::maildrop::Item;
use ringmail::mailbox::{Ledger, Mailbox, Slot};
use ringmail::poll::visit::Tables;
use ringmail::reconcile::{Key, Listed};
use ringmail::store::{self, Buffers, Geometry, Segment, Space};

use super::dialler::{Dialler, Plan, Record};

/// Rows, and entries of a listing, where a test does not want more.
const ROWS: usize = 512;

pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) config: String,
    pub(crate) lists: usize,
    pub(crate) rows: usize,
}

/// A gateway that runs.
pub(crate) struct Running<'h, 'a> {
    pub(crate) gateway: Gateway<'a, World>,
    pub(crate) world: &'h mut World,
}

/// A store so small that it can be copied thousands of times.
pub(crate) fn small() -> Geometry {
    Geometry {
        page: 512,
        superblock: 16 * 1024,
        config: 1024,
        snapshot: 64 * 1024,
        journal: 64,
        segment: 8 * 1024,
        segments: 32,
        chunk: 1024,
    }
}

/// A store with room for a mail of 20 MB.
pub(crate) fn large() -> Geometry {
    Geometry::for_capacity(48 << 20, 128 * 1024).unwrap()
}

fn capacity(geometry: &Geometry) -> usize {
    let fixed = 2 * (geometry.superblock + geometry.config + geometry.snapshot)
        + geometry.journal * geometry.page;
    // Segments begin at multiples of their size.
    let ring = u64::from(fixed.next_multiple_of(geometry.segment)) + geometry.ring();
    usize::try_from(ring).unwrap()
}

impl House {
    pub(crate) fn new(seed: u64, config: &str) -> Self {
        Self::with_store(seed, config, &small())
    }

    pub(crate) fn with_store(seed: u64, config: &str, geometry: &Geometry) -> Self {
        logging();
        let mut medium = SimMedium::new(capacity(geometry));
        let key = seed.wrapping_mul(0x1234_5678_9ABC_DEF1).to_le_bytes();
        let key = [key, key].concat().try_into().unwrap();
        store::format(&mut medium, geometry, key, false).unwrap();
        assert_eq!(medium.sync_state(), hal::SyncState::Done);
        Self::with_medium(seed, config, medium)
    }

    pub(crate) fn with_medium(seed: u64, config: &str, medium: SimMedium) -> Self {
        logging();
        Self {
            world: World::new(seed, medium),
            config: config.to_owned(),
            lists: ROWS,
            rows: ROWS,
        }
    }

    /// Makes the line with device `/dev/NAME`.
    pub(crate) fn line(&mut self, name: &str, speed: u32, circuits: bool) {
        let options = DceOptions {
            speed,
            latency: Duration::from_millis(50),
            training: Duration::from_secs(2),
            connect: format!("{}", speed.max(300)).as_str().try_into().unwrap(),
            dial: false,
        };
        self.world
            .make_line(&format!("/dev/{name}"), options, circuits);
    }

    /// Power is on, until `body` ends.
    pub(crate) fn power<R>(&mut self, body: impl FnOnce(&mut Running<'_, '_>) -> R) -> R {
        let mut config = config::check(&self.config, |line, error| {
            panic!("configuration line {line}: {error}");
        });
        self.world.restart();
        let mut segments = vec![Segment::default(); 4096];
        let mut buffers = Box::new(Buffers::EMPTY);
        let space = Space {
            segments: &mut segments,
            buffers: &mut buffers,
        };
        let mut slots = vec![Slot::VACANT; self.rows];
        let mut index = vec![0; self.rows / 4];
        let mut calls = vec![CallRecord::default(); 16];
        let mut ledger = Ledger::new(&mut slots, &mut index).with_calls(&mut calls);
        let disk = self.world.disk().clone();
        let (store, _) = store::mount(disk, space, &mut ledger).unwrap();
        let mut mailbox = Mailbox::new(ledger, store);
        mailbox.check_copies();

        let mut items: [Vec<Item>; LINES] =
            core::array::from_fn(|_| vec![Item::default(); self.lists]);
        let entry = Listed::new(Key(0), 0);
        let mut listings: [Vec<Listed>; VISITS] = core::array::from_fn(|_| vec![entry; self.lists]);
        let mut orders: [Vec<u32>; VISITS] = core::array::from_fn(|_| vec![0; self.lists]);
        let slots = || core::array::from_fn(|_| vec![0; self.rows / 32 + 1]);
        let (mut matched, mut settled): ([Vec<u32>; VISITS], [Vec<u32>; VISITS]) =
            (slots(), slots());
        let slots = matched.iter_mut().zip(&mut settled);
        let mut tables = listings.iter_mut().zip(&mut orders).zip(slots);
        let mut saved = config::Config::new();
        let (mut lines, mut places) = (vacant(LINES), vacant(VISITS));
        let (mut pollers, mut terminals) = (vacant(USERS), vacant(CONSOLES));
        let memory = Memory {
            config: &mut config,
            saved: &mut saved,
            lines: &mut lines,
            places: &mut places,
            pollers: &mut pollers,
            terminals: &mut terminals,
            maildrops: items.each_mut().map(Vec::as_mut_slice),
            visits: core::array::from_fn(|_| {
                let ((listing, order), (matched, settled)) = tables.next().unwrap();
                Tables {
                    listing,
                    order,
                    matched,
                    settled,
                }
            }),
        };
        let mut running = Running {
            gateway: Gateway::new(&mut self.world, "gateway", mailbox, memory),
            world: &mut self.world,
        };
        body(&mut running)
    }
}

/// Places with nothing in them.
pub(crate) fn vacant<T>(count: usize) -> Vec<Option<T>> {
    core::iter::repeat_with(|| None).take(count).collect()
}

impl Running<'_, '_> {
    pub(crate) fn now(&mut self) -> Instant {
        Board::now(self.world)
    }

    pub(crate) fn step(&mut self) {
        let until = self.gateway.turn(self.world);
        self.world.wait(until);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        self.run_to(end);
    }

    pub(crate) fn run_to(&mut self, end: Instant) {
        self.world.stop_at(Some(end));
        while self.now() < end {
            self.step();
        }
        self.world.stop_at(None);
    }

    /// Runs until `done`; panics if it takes longer than `limit`.
    #[track_caller]
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now() + limit;
        self.world.stop_at(Some(end));
        loop {
            let until = self.gateway.turn(self.world);
            if done(self) {
                break;
            }
            assert!(self.now() < end, "it takes longer than {limit:?}");
            self.world.wait(until);
        }
        self.world.stop_at(None);
    }

    /// Runs until every line waits for calls.
    #[track_caller]
    pub(crate) fn run_until_ready(&mut self) {
        self.run_until(Duration::from_secs(60), |on| on.world.is_ready());
    }

    /// Somebody calls by the line with device `/dev/NAME`, now.
    pub(crate) fn call(&mut self, line: &str, plan: Plan) -> Rc<RefCell<Record>> {
        let (dialler, record) = Dialler::new(plan);
        self.world.seat(&format!("/dev/{line}"), Box::new(dialler));
        record
    }

    /// A whole call.
    #[track_caller]
    pub(crate) fn whole_call(&mut self, line: &str, plan: Plan) -> Record {
        let record = self.call(line, plan);
        self.run_until(Duration::from_secs(3 * 3600), |_| {
            record.borrow().ended.is_some()
        });
        record.take()
    }
}

/// A mail whose content says which it is.
pub(crate) fn mail(id: &str, octets: usize) -> Vec<u8> {
    let mut mail = format!(
        "From: sender@example.net\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n\
         Subject: mail {id}\r\nMessage-ID: <{id}@example.net>\r\nX-Id: {id}\r\n\r\n"
    )
    .into_bytes();
    let mut n = 0;
    while mail.len() < octets {
        match n % 5 {
            0 => mail.extend(b".\r\n"),
            1 => mail.extend(b"..dots\r\n"),
            2 => mail.extend(format!("line {n} of {id}\r\n").as_bytes()),
            3 => mail.extend(b"\r\n"),
            _ => mail.extend(b"+++ATH0 \xE4\xF6\xFC +OK -ERR NO CARRIER\r\n"),
        }
        n += 1;
    }
    mail
}

/// Which mail this is.
pub(crate) fn id_of(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail);
    let line = text.lines().find_map(|line| line.strip_prefix("X-Id: "));
    line.expect("a mail of this house").to_owned()
}

fn logging() {
    #[cfg(feature = "daemon")]
    if std::env::var_os("RUST_LOG").is_some() {
        let _ = env_logger::builder().is_test(true).try_init();
    }
}
