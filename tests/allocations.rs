//! A call takes nothing from the heap: the whole program on a real machine, its thread counted.
//!
//! The library cannot allocate, since it is built without `alloc`. What the machine's side does
//! (sockets, the virtual modem, the medium, the logger) is counted here: each allocation by the
//! thread of the loop, from the greeting to the hanging up, but for the visit to the LAN server that
//! the login starts: it makes a connection. `scripts/bench line` takes the figure from here.

#![cfg(feature = "daemon")]
#![allow(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait of few lines"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "all of this is test code; a panic here is a failed test"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::alloc::System;
use std::backtrace::Backtrace;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::{fs, thread};

use hal::linux::machine::{Choice, ConsoleChoice, Machine, Parts};
use hal::{Board, Medium, SyncState};
use ringmail::config::{self, CONSOLES, LINES, USERS, VISITS};
use ringmail::gateway::{Gateway, Memory};
use ringmail::mailbox::maildrop::Item;
use ringmail::mailbox::{Ledger, Mailbox, Slot};
use ringmail::poll::visit::Tables;
use ringmail::reconcile::{Key, Listed};
use ringmail::store::{self, Buffers, Geometry, Segment, Space};

struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FIRST: Mutex<Option<String>> = Mutex::new(None);
static ENDS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// This is the thread of the loop, and no allocation of it is being looked at.
    static IS_LOOP: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: all is passed on to the system's allocator, as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) && IS_LOOP.get() {
            IS_LOOP.set(false);
            if COUNT.fetch_add(1, Ordering::Relaxed) == 0 {
                let trace = Backtrace::force_capture().to_string();
                *FIRST.lock().unwrap() = Some(trace);
            }
            IS_LOOP.set(true);
        }
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 1024;
const MAILS: usize = 30;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// The gateway with its state in `dir`, until [`ENDS`].
fn run(dir: &Path, config: &str) {
    let mut config = config::check(config, |line, error| panic!("line {line}: {error}"));
    let mut board = Machine::open(Choice {
        state: dir.to_owned(),
        config: dir.join("ringmail.conf"),
        console: ConsoleChoice::None,
        parts: Parts::default(),
    })
    .unwrap();
    let mut medium = board.open_store(&dir.join("ring"), 8 << 20).unwrap();
    let geometry = Geometry::for_capacity(medium.capacity(), 128 * 1024).unwrap();
    store::format(&mut medium, &geometry, [7; 16], false).unwrap();
    while medium.sync_state() == SyncState::Pending {
        board.wait(None);
    }
    let mut segments = vec![Segment::default(); 4096];
    let mut buffers = Box::new(Buffers::EMPTY);
    let space = Space {
        segments: &mut segments,
        buffers: &mut buffers,
    };
    let (mut slots, mut index) = (vec![Slot::VACANT; ROWS], vec![0; ROWS / 4]);
    let mut ledger = Ledger::new(&mut slots, &mut index);
    let (store, _) = store::mount(medium, space, &mut ledger).unwrap();
    let mailbox = Mailbox::new(ledger, store);
    let mut items: [Vec<Item>; LINES] = core::array::from_fn(|_| vec![Item::default(); ROWS]);
    let entry = Listed::new(Key(0), 0);
    let mut listings: [Vec<Listed>; VISITS] = core::array::from_fn(|_| vec![entry; ROWS]);
    let mut orders: [Vec<u32>; VISITS] = core::array::from_fn(|_| vec![0; ROWS]);
    let slots = || core::array::from_fn(|_| vec![0; ROWS / 32 + 1]);
    let (mut matched, mut settled): ([Vec<u32>; VISITS], [Vec<u32>; VISITS]) = (slots(), slots());
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
    let mut gateway = Gateway::new(&mut board, "gateway", mailbox, memory);
    IS_LOOP.set(true);
    while !ENDS.load(Ordering::Relaxed) {
        let until = gateway.turn(&mut board);
        board.wait(until);
    }
    IS_LOOP.set(false);
}

/// Places with nothing in them.
fn vacant<T>(count: usize) -> Vec<Option<T>> {
    core::iter::repeat_with(|| None).take(count).collect()
}

/// A caller.
struct Call {
    stream: BufReader<TcpStream>,
}

impl Call {
    /// Dials, and waits for the greeting; `None` if there is none.
    fn dial(phone: SocketAddr) -> Option<Self> {
        let mut call = Self {
            stream: BufReader::new(TcpStream::connect(phone).ok()?),
        };
        call.line().ok().filter(|line| line.starts_with("+OK"))?;
        Some(call)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line)
    }

    fn say(&mut self, command: &str) -> String {
        let stream = self.stream.get_mut();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let answer = self.line().unwrap();
        assert!(answer.starts_with("+OK"), "{command}: {answer}");
        answer
    }

    fn body(&mut self) -> usize {
        let mut octets = 0;
        loop {
            let line = self.line().unwrap();
            octets += line.len();
            if line == ".\r\n" {
                return octets;
            }
        }
    }
}

#[test]
fn a_call_takes_nothing_from_the_heap() {
    let dir = std::env::temp_dir().join(format!("ringmail-heap-{}", std::process::id()));
    let mails = dir.join("mails");
    fs::create_dir_all(mails.join("alice")).unwrap();
    fs::write(mails.join("alice/.password"), "desk").unwrap();
    for n in 0..MAILS {
        let body = "a line of a mail\r\n".repeat(300);
        let mail = format!("Subject: {n}\r\nMessage-ID: <{n}@here>\r\n\r\n{body}");
        fs::write(mails.join(format!("alice/{n}.eml")), mail).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lan = listener.local_addr().unwrap();
    let (_lifeline, held) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
    thread::spawn(move || boards::sample::serve_until(&mails, listener, held));
    // As the program logs, but into nothing.
    let target = env_logger::Target::Pipe(Box::new(std::io::sink()));
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .target(target)
        .init();

    let phone = free_address();
    let config = format!(
        "line one phone {phone}\nuser add anna password line\n\
         user anna source pop3://{lan} login alice password desk\nuser anna poll off\nuser anna poll at-login 60s\n"
    );
    let state = dir.clone();
    let gateway = thread::spawn(move || run(&state, &config));
    // The first call shows that all mails are copied, and does once what is done once.
    loop {
        let Some(mut call) = Call::dial(phone) else {
            assert!(!gateway.is_finished());
            thread::yield_now();
            continue;
        };
        call.say("USER anna");
        call.say("PASS line");
        let count = call.say("STAT");
        if count.starts_with(&format!("+OK {MAILS} ")) {
            call.say("RETR 1");
            call.body();
            call.say("DELE 30");
            call.say("QUIT");
            break;
        }
        call.say("QUIT");
    }

    let mut call = loop {
        if let Some(call) = Call::dial(phone) {
            break call;
        }
    };
    COUNTS.store(true, Ordering::Relaxed);
    call.say("CAPA");
    call.body();
    COUNTS.store(false, Ordering::Relaxed);
    // The visit that a login starts makes a connection, and is over when PASS is answered.
    call.say("USER anna");
    call.say("PASS line");
    COUNTS.store(true, Ordering::Relaxed);
    call.say("UIDL");
    call.body();
    let mut octets = 0;
    for n in 1..MAILS {
        call.say(&format!("RETR {n}"));
        octets += call.body();
        call.say(&format!("TOP {n} 0"));
        call.body();
        call.say(&format!("DELE {n}"));
    }
    call.say("NOOP");
    call.say("QUIT");
    // The line is hung up.
    while call.line().is_ok_and(|line| !line.is_empty()) {}
    COUNTS.store(false, Ordering::Relaxed);
    assert!(octets > MAILS * 4000, "{octets}");
    let count = COUNT.load(Ordering::Relaxed);
    println!("figure: allocations in a call: {count}");
    let first = FIRST.lock().unwrap().take().unwrap_or_default();
    assert_eq!(count, 0, "{first}");
    ENDS.store(true, Ordering::Relaxed);
    // Wakes it.
    while !gateway.is_finished() {
        drop(TcpStream::connect(phone));
    }
    gateway.join().unwrap();
    fs::remove_dir_all(dir).unwrap();
}
