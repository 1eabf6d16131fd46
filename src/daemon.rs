//! `ringmail run`: memory, store, configuration, and then the loop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use hal::linux::machine::Machine;
use hal::{Board, Medium, SyncState};
use ringmail::config::{self, CONSOLES, Config, LINES, USERS, VISITS};
use ringmail::gateway::{Gateway, Memory};
use ringmail::mailbox::calls::{CallRecord, RECORD_OCTETS};
use ringmail::mailbox::index::ROW_OCTETS;
use ringmail::mailbox::maildrop::Item;
use ringmail::mailbox::{Ledger, Mailbox, Slot};
use ringmail::poll::visit::Tables;
use ringmail::reconcile::{Key, Listed};
use ringmail::store::{
    self, Buffers, Content, Geometry, MountError, Segment, Space, Store, StoreError,
};

use crate::arguments::{RunOptions, StoreVerb};
use crate::card;

/// Rows of the ledger: mails known, of all users together.
const ROWS: usize = 200_000;
/// Chains of the ledger's hash index: with 31 octets a row, 31.7 octets a row all told.
const HEADS: usize = 1 << 15;
const _: () = assert!(ROWS * size_of::<Slot>() + HEADS * size_of::<u32>() <= ROWS * 32);
/// Calls that the log of calls keeps.
const CALLS: usize = 1000;
/// Mails that one maildrop can list, and one listing of a LAN server.
const LISTED: usize = 100_000;
/// Segments of the largest ring: 64 GiB in allocation units of 4 MiB.
const SEGMENTS: usize = 16_384;

/// Runs the gateway until it is asked to end.
pub(crate) fn run(options: &RunOptions) -> Result<(), String> {
    let mut house = build(options)?;
    house.gateway.run(&mut house.board);
    Ok(())
}

/// All that runs.
struct House {
    board: Machine,
    gateway: Gateway<'static, Machine>,
    /// Ends with us.
    _sample: Option<boards::host::SampleLan>,
}

/// Mounts the store, reads the configuration and makes the gateway. Much of that lies on the stack
/// for a moment, so it is kept out of the frame that stays.
#[inline(never)]
fn build(options: &RunOptions) -> Result<Box<House>, String> {
    let opened = boards::open(
        &options.board,
        boards::Options {
            state: options.state.clone(),
            config: options.config.clone(),
            console: options.console.clone(),
        },
    )?;
    let mut board = opened.machine;
    let on_card = opened.ring.is_some();
    // On a card the store is needed to know which configuration holds.
    let mut config = match on_card {
        false => configuration(&opened.origin, &opened.config)?,
        true => new_config(),
    };
    let path = opened
        .ring
        .unwrap_or_else(|| store_path(&config, &opened.state));
    let size = match config.store.size {
        0 => config::STORE_DEFAULT_OCTETS,
        size => size,
    };
    let medium = board
        .open_store(&path, size)
        .map_err(|error| format!("store {}: {error}", path.display()))?;
    let memory = StoreMemory::new();
    let mut ledger = new_ledger();
    let mut store = open_store(&mut board, medium, memory, &mut ledger)
        .map_err(|error| format!("store {}: {error}", path.display()))?;
    let mut faults = Vec::new();
    let mut mark = None;
    if on_card {
        let kept = card::kept(&mut store)?;
        let offered = opened.offered.as_deref();
        let chosen = card::choose(kept.as_deref(), offered, &opened.config);
        mark = Some(chosen.mark);
        let until = board.now() + hal::Duration::from_secs(5);
        let mut keeps = chosen.takes_in;
        while keeps {
            keeps = false;
            match card::keep(&mut store, &chosen) {
                Ok(()) => {}
                // A store that was just made, or read, is still at it.
                Err(StoreError::Busy) if board.now() < until => {
                    store.step(&mut ledger);
                    let soon = board.now() + hal::Duration::from_millis(20);
                    board.wait(Some(soon));
                    keeps = true;
                }
                Err(error) => faults.push(format!("ringmail.conf cannot be kept: {error}")),
            }
        }
        faults.extend(chosen.faults);
        config = chosen.config;
        let newest = ledger.rows().map(|(_, row)| row.since).max();
        board.keep_clock_above(u64::from(newest.unwrap_or(0)) * 86_400);
    }
    let mailbox = Mailbox::new(ledger, store);
    let [a, b, c, d] = lend(&LISTINGS);
    let memory = Memory {
        config: Box::leak(config),
        saved: Box::leak(new_config()),
        lines: places(LINES),
        places: places(VISITS),
        pollers: places(USERS),
        terminals: places(CONSOLES),
        maildrops: lend(&MAILDROPS)
            .each_mut()
            .map(|items| items.as_mut_slice()),
        visits: [a, b, c, d].map(|listing| Tables {
            listing,
            order: zeros(LISTED),
            matched: zeros(ROWS / 32 + 1),
            settled: zeros(ROWS / 32 + 1),
        }),
    };
    let mut gateway = Gateway::new(&mut board, &opened.hostname, mailbox, memory);
    if let Some(mark) = mark {
        gateway.keep_config_in_store(mark);
    }
    for fault in faults {
        gateway.report(&mut board, format_args!("{fault}"));
    }
    Ok(Box::new(House {
        board,
        gateway,
        _sample: opened.sample,
    }))
}

/// `ringmail store verify|dump IMAGE`.
pub(crate) fn inspect(verb: StoreVerb, image: &Path) -> Result<ExitCode, String> {
    let medium = hal::linux::image::Image::open(image)
        .map_err(|error| format!("{}: {error}", image.display()))?;
    let mut ledger = new_ledger();
    let memory = StoreMemory::new();
    let (store, mounted) = store::mount(medium, memory.space(), &mut ledger)
        .map_err(|error| format!("{}: {error}", image.display()))?;
    let usage = store.usage();
    println!(
        "ring: {} of {} segments of {} KiB used, {} damaged",
        usage.written,
        usage.segments,
        usage.segment_octets / 1024,
        mounted.segments_damaged
    );
    println!(
        "journal: {} entries, {} of them not settled, {}",
        mounted.entries,
        mounted.unsettled,
        if mounted.journal_damaged {
            "committed entries are missing"
        } else {
            "whole"
        }
    );
    if let Some(copies) = mounted.rebuilt {
        println!("index: lost; {copies} copies found in the ring");
    }
    let mut mailbox = Mailbox::new(ledger, store);
    let mut faults = 0;
    for slot in 0..mailbox.ledger().used() {
        let Some(row) = mailbox.ledger().row(slot) else {
            continue;
        };
        if verb == StoreVerb::Dump {
            println!("{slot}: {row:?}");
        }
        if !mailbox.has_whole_copy(slot) {
            faults += 1;
            println!("{slot}: its copy is damaged, or another mail's");
        }
    }
    let ledger = mailbox.ledger();
    let (rows, _) = ledger.fill();
    println!("{rows} mails known, {faults} copies damaged");
    Ok(if faults == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The text of a configuration file.
pub(crate) fn read_config(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The configuration in `text`, which came from `origin`. One with a fault is refused whole: half
/// of what the owner meant is not what the owner meant.
fn configuration(origin: &str, text: &str) -> Result<Box<Config>, String> {
    let mut faults = String::new();
    let mut config = new_config();
    config.apply_all(text, |line, error| {
        faults.push_str(&format!("\n{origin}:{line}: {error}"));
    });
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(format!("the configuration has faults:{faults}"))
    }
}

fn store_path(config: &Config, state: &Path) -> PathBuf {
    if config.store.path.is_empty() {
        state.join("ring")
    } else {
        PathBuf::from(config.store.path.as_str())
    }
}

/// Mounts the store, or makes one on a blank medium.
fn open_store<B: Board>(
    board: &mut B,
    mut medium: B::Medium,
    memory: StoreMemory,
    ledger: &mut Ledger<'static>,
) -> Result<Store<'static, B::Medium>, String> {
    let content = store::content(&mut medium).map_err(|error| error.to_string())?;
    if content == Content::Blank {
        format(board, &mut medium)?;
    }
    match store::mount(medium, memory.space(), ledger) {
        Ok((store, mounted)) => {
            let (rows, _) = ledger.fill();
            log::info!("store: {rows} mails known, epoch {}", mounted.epoch);
            if let Some(copies) = mounted.rebuilt {
                log::error!(
                    "store: its index was lost; {copies} copies were found in the ring, and what \
                     calls took is forgotten"
                );
            }
            if mounted.unused > u64::from(store.geometry().segment) {
                log::warn!(
                    "store: {} MiB of the medium are not used: it has grown since it was made",
                    mounted.unused >> 20
                );
            }
            if mounted.journal_damaged || mounted.segments_damaged > 0 {
                log::warn!("store: damage was found: {mounted:?}");
            }
            Ok(store)
        }
        Err(MountError::Foreign) => Err(String::from(
            "something else lies there; give another path, or overwrite its start with zeros",
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn format<B: Board>(board: &mut B, medium: &mut B::Medium) -> Result<(), String> {
    let rows = (ROWS * ROW_OCTETS + CALLS * RECORD_OCTETS) as u64;
    let geometry = Geometry::for_capacity(medium.capacity(), rows)
        .ok_or("too small: 4M is the least a store needs")?;
    let mut seed = [0; 16];
    board.fill(&mut seed);
    store::format(medium, &geometry, seed, false).map_err(|error| error.to_string())?;
    loop {
        match medium.sync_state() {
            SyncState::Done => break,
            SyncState::Pending => board.wait(None),
            SyncState::Failed(errno) => return Err(format!("cannot be written: error {errno}")),
        }
    }
    log::info!("store: made, {} MiB for mail", geometry.ring() >> 20);
    Ok(())
}

/// What the store works in.
struct StoreMemory {
    segments: &'static mut [Segment],
    buffers: &'static mut Buffers,
}

impl StoreMemory {
    fn new() -> Self {
        Self {
            segments: lend(&SEGMENT_TABLE).as_mut_slice(),
            buffers: lend(&BUFFERS),
        }
    }

    fn space(self) -> Space<'static> {
        Space {
            segments: self.segments,
            buffers: self.buffers,
        }
    }
}

fn new_ledger() -> Ledger<'static> {
    Ledger::new(lend(&SLOTS).as_mut_slice(), zeros(HEADS)).with_calls(lend(&RECORDS).as_mut_slice())
}

// The large tables. All of them are zeros to begin with, so they are no part of the program's
// file, and a page of them takes memory only once it is written to.
static SLOTS: Mutex<[Slot; ROWS]> = Mutex::new([Slot::VACANT; ROWS]);
static RECORDS: Mutex<[CallRecord; CALLS]> = Mutex::new([CallRecord::EMPTY; CALLS]);
static MAILDROPS: Mutex<[[Item; LISTED]; LINES]> = Mutex::new([[Item::EMPTY; LISTED]; LINES]);
static SEGMENT_TABLE: Mutex<[Segment; SEGMENTS]> = Mutex::new([Segment::BLANK; SEGMENTS]);
static BUFFERS: Mutex<Buffers> = Mutex::new(Buffers::EMPTY);
static LISTINGS: Mutex<[[Listed; LISTED]; VISITS]> =
    Mutex::new([[Listed::new(Key(0), 0); LISTED]; VISITS]);

/// A table, for the life of the program.
fn lend<T>(table: &'static Mutex<T>) -> &'static mut T {
    let lock = table.try_lock().expect("each table is lent once");
    &mut *Box::leak(Box::new(lock))
}

/// A configuration of nothing. Not inlined: whoever has one made does not need its room on the
/// stack for good.
#[inline(never)]
fn new_config() -> Box<Config> {
    Box::default()
}

/// Empty places, for the life of the program. What comes into them lies on the heap, and was never
/// larger on the stack than one of them.
fn places<T>(count: usize) -> &'static mut [Option<T>] {
    let mut places = Vec::with_capacity(count);
    places.resize_with(count, || None);
    places.leak()
}

/// Zeros, for the life of the program; untouched until they are written to.
fn zeros(length: usize) -> &'static mut [u32] {
    vec![0; length].leak()
}
