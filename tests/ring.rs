//! The store in octets and flushes: what the medium has to take for the mail it keeps.
//!
//! Counted on a medium that knows pages, as a page cache does: a page that was written to since
//! the last sync is written whole at the next one. So each figure is exact, and the same on every
//! machine. `cargo test --test ring -- --nocapture` prints them; `scripts/bench store` takes them
//! from there, and repeats them on a block device whose own counters it reads, named in
//! `RINGMAIL_RING_DEVICE`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use hal::{Duration, Medium, MediumError, SyncState};
use ringmail::mailbox::index::ROW_OCTETS;
use ringmail::mailbox::{Lan, Ledger, Mailbox, Row, Slot, Taken};
use ringmail::store::{self, Buffers, Geometry, Segment, Space};
use support::world::{House, mail};

/// What a card writes at once, and what a page cache keeps.
const PAGE: u64 = 4096;
/// Rows of the ledger.
const ROWS: usize = 24_000;

/// What the medium was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Octets, in whole pages, that reached the device.
    written: u64,
    flushes: u64,
    /// Octets read, and by how many reads.
    read: u64,
    reads: u64,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            written: self.written - before.written,
            flushes: self.flushes - before.flushes,
            read: self.read - before.read,
            reads: self.reads - before.reads,
        }
    }
}

/// Memory, or a block device behind a page cache, with counters.
struct Counted {
    place: Place,
    dirty: BTreeSet<u64>,
    counts: Counts,
}

enum Place {
    Memory(Vec<u8>),
    Device(File),
}

impl Counted {
    fn new(octets: u64) -> Self {
        let place = match std::env::var_os("RINGMAIL_RING_DEVICE") {
            Some(path) => Place::Device(blank(Path::new(&path), octets)),
            None => Place::Memory(vec![0; octets as usize]),
        };
        Self {
            place,
            dirty: BTreeSet::new(),
            counts: Counts::default(),
        }
    }
}

/// The device at `path`, its first `octets` zeroed.
fn blank(path: &Path, octets: u64) -> File {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.unwrap();
    let zeros = vec![0; 1 << 20];
    for at in 0..octets / zeros.len() as u64 {
        file.write_all_at(&zeros, at * zeros.len() as u64).unwrap();
    }
    file.sync_all().unwrap();
    file
}

impl Medium for Counted {
    fn capacity(&self) -> u64 {
        match &self.place {
            Place::Memory(octets) => octets.len() as u64,
            Place::Device(_) => RING,
        }
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.counts.read += buf.len() as u64;
        self.counts.reads += 1;
        match &self.place {
            Place::Memory(octets) => buf.copy_from_slice(&octets[offset as usize..][..buf.len()]),
            Place::Device(file) => file.read_exact_at(buf, offset).unwrap(),
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        let end = offset + octets.len() as u64;
        self.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
        match &mut self.place {
            Place::Memory(all) => all[offset as usize..end as usize].copy_from_slice(octets),
            Place::Device(file) => file.write_all_at(octets, offset).unwrap(),
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        self.counts.written += PAGE * self.dirty.len() as u64;
        self.counts.flushes += 1;
        self.dirty.clear();
        if let Place::Device(file) = &self.place {
            file.sync_data().unwrap();
        }
        Ok(())
    }

    fn sync_state(&mut self) -> SyncState {
        SyncState::Done
    }
}

/// Octets of the medium.
const RING: u64 = 128 << 20;

/// Memory lent to a mailbox.
struct Lent {
    segments: Vec<Segment>,
    buffers: Box<Buffers>,
    slots: Vec<Slot>,
    index: Vec<u32>,
}

impl Lent {
    fn new() -> Self {
        Self {
            segments: vec![Segment::default(); 4096],
            buffers: Box::new(Buffers::EMPTY),
            slots: vec![Slot::VACANT; ROWS],
            index: vec![0; ROWS / 4],
        }
    }

    fn mount(&mut self, medium: Counted) -> Mailbox<'_, Counted> {
        let mut ledger = Ledger::new(&mut self.slots, &mut self.index);
        let space = Space {
            segments: &mut self.segments,
            buffers: &mut self.buffers,
        };
        let (store, _) = store::mount(medium, space, &mut ledger).unwrap();
        let mut mailbox = Mailbox::new(ledger, store);
        mailbox.check_copies();
        mailbox
    }
}

fn formatted() -> Counted {
    let mut medium = Counted::new(RING);
    let geometry = Geometry::for_capacity(RING, 2 << 20).unwrap();
    store::format(&mut medium, &geometry, *b"sixteen octets!!", true).unwrap();
    medium
}

fn counts(mailbox: &mut Mailbox<'_, Counted>) -> Counts {
    mailbox.store().medium().counts
}

/// Steps until what was asked for is durable, and nothing is under way.
fn settle(mailbox: &mut Mailbox<'_, Counted>) {
    let ticket = mailbox.commit();
    while mailbox.step() {}
    assert_eq!(mailbox.committed(ticket), Ok(true));
}

/// The row of a mail that is not copied.
fn uncopied(mailbox: &mut Mailbox<'_, Counted>, number: u32) -> Row {
    Row {
        key: mailbox.key(&number.to_le_bytes()),
        identity: None,
        size: 0,
        uid: mailbox.fresh_uid(),
        copy: None,
        since: 20_000,
        call: 0,
        user: 0,
        lan: Lan::Unread,
        taken: Taken::No,
    }
}

/// Keeps one mail of `size` octets; returns its slot.
fn keep(mailbox: &mut Mailbox<'_, Counted>, number: u32, size: usize) -> u32 {
    let mut row = Row {
        size: size as u32,
        ..uncopied(mailbox, number)
    };
    let writer = mailbox.begin_copy(&row).unwrap();
    let content = content(number, size);
    let mut rest = &content[..];
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(1000)];
        match mailbox.append(writer, piece) {
            Ok(taken) => rest = &rest[taken..],
            Err(_) => assert!(mailbox.step()),
        }
    }
    let stored = loop {
        match mailbox.finish_copy(writer) {
            Ok(stored) => break stored,
            Err(_) => assert!(mailbox.step()),
        }
    };
    row.copy = Some(stored.place);
    loop {
        match mailbox.enter(&row) {
            Ok(slot) => return slot,
            Err(_) => assert!(mailbox.step()),
        }
    }
}

fn content(number: u32, size: usize) -> Vec<u8> {
    let mut state = u64::from(number) + 1;
    let mut octets = Vec::with_capacity(size + 8);
    while octets.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(size);
    octets
}

/// 500 sizes, log-normal with a median of 16 KiB, from 1 KiB to 5 MiB: 48 KB in the mean.
fn mix() -> Vec<usize> {
    let normal = |i: usize| {
        // Twelve uniform numbers make a normal one, about.
        let mut state = i as u64 + 1;
        let uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        core::iter::repeat_with(uniform).take(12).sum::<f64>() - 6.0
    };
    let size = |i| 16_384.0 * (1.5 * normal(i)).exp();
    (0..500)
        .map(|i| size(i).clamp(1024.0, 5.0 * 1_048_576.0) as usize)
        .collect()
}

/// Octets for an octet of mail, and flushes a mail, with `group` mails in a commit.
fn insert(sizes: &[usize], group: usize) -> (f64, f64) {
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(formatted());
    mailbox.account("anna", |_| true).unwrap();
    settle(&mut mailbox);
    let before = counts(&mut mailbox);
    for (number, size) in sizes.iter().enumerate() {
        keep(&mut mailbox, number as u32, *size);
        if number % group == group - 1 {
            settle(&mut mailbox);
        }
    }
    settle(&mut mailbox);
    let spent = counts(&mut mailbox).since(before);
    let octets: usize = sizes.iter().sum();
    (
        spent.written as f64 / octets as f64,
        spent.flushes as f64 / sizes.len() as f64,
    )
}

fn figure(name: &str, ours: f64, bound: f64) {
    println!("figure: {name}: {ours:.4} at most {bound}");
    assert!(ours <= bound, "{name}: {ours} is more than {bound}");
}

#[test]
fn mail_costs_its_own_octets_and_little_more() {
    let cases = [
        ("mix, one commit a mail", mix(), 1, 1.07, 1.0),
        ("mix, batches of 8", mix(), 8, 1.03, 0.13),
        ("4 KB, one commit a mail", vec![4096; 1000], 1, 2.05, 1.0),
        ("4 KB, batches of 8", vec![4096; 1000], 8, 1.16, 0.13),
    ];
    for (name, sizes, group, octets, flushes) in cases {
        let (written, synced) = insert(&sizes, group);
        figure(&format!("{name}, octets"), written, octets);
        figure(&format!("{name}, flushes"), synced, flushes);
    }
}

#[test]
fn what_a_caller_took_costs_one_page_and_one_flush() {
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(formatted());
    mailbox.account("anna", |_| true).unwrap();
    let slots: Vec<u32> = (0..1024).map(|n| keep(&mut mailbox, n, 600)).collect();
    settle(&mut mailbox);
    // One page each. Now and then a snapshot goes with one of them: the mean tells.
    let mut costs = Vec::new();
    for slot in &slots {
        let before = counts(&mut mailbox);
        take(&mut mailbox, *slot, Taken::Full);
        settle(&mut mailbox);
        costs.push(counts(&mut mailbox).since(before));
    }
    let mean = costs.iter().map(|cost| cost.written).sum::<u64>() as f64 / costs.len() as f64;
    costs.sort_unstable_by_key(|cost| cost.written);
    let median = costs[costs.len() / 2];
    figure("taken, alone, octets", median.written as f64, 4096.0);
    figure("taken, alone, flushes", median.flushes as f64, 1.0);
    figure("taken, alone, octets with snapshots", mean, 4796.0);
    let before = counts(&mut mailbox);
    for group in slots.chunks(64) {
        for slot in group {
            take(&mut mailbox, *slot, Taken::No);
        }
        settle(&mut mailbox);
    }
    let spent = counts(&mut mailbox).since(before);
    let each = |all: u64| all as f64 / slots.len() as f64;
    figure("taken, in groups of 64, octets", each(spent.written), 64.0);
    figure(
        "taken, in groups of 64, flushes",
        each(spent.flushes),
        0.016,
    );
}

fn take(mailbox: &mut Mailbox<'_, Counted>, slot: u32, taken: Taken) {
    while mailbox.set_taken(slot, taken, 1).is_err() {
        assert!(mailbox.step());
    }
}

#[test]
fn ten_thousand_mails_are_mounted_by_reading_little() {
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(formatted());
    mailbox.account("anna", |_| true).unwrap();
    for number in 0..10_000 {
        keep(&mut mailbox, number, 4096);
        if number % 8 == 7 {
            settle(&mut mailbox);
        }
    }
    // Not settled: the power goes with this one under way.
    keep(&mut mailbox, 10_000, 4096);
    let (medium, read) = mount_reads(mailbox.into_medium(), 10_000);
    figure("mount of 10,000 mails, after a cut, MB", read, 0.6);
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(medium);
    stop(&mut mailbox);
    let (medium, read) = mount_reads(mailbox.into_medium(), 10_000);
    figure("mount of 10,000 mails, after a clean stop, MB", read, 0.6);

    // Cut at any time since.
    let mut medium = medium;
    let mut worst = 0.0_f64;
    for life in 0..120 {
        let mut lent = Lent::new();
        let mut mailbox = lent.mount(medium);
        for number in 0..7 {
            keep(&mut mailbox, 20_000 + 7 * life + number, 4096);
            if number % 3 == 2 {
                settle(&mut mailbox);
            }
        }
        let read;
        (medium, read) = mount_reads(mailbox.into_medium(), 10_000);
        worst = worst.max(read);
    }
    figure(
        "mount of 10,000 mails, the worst of 120 cuts, MB",
        worst,
        0.6,
    );

    // As many again that were read at the desk, and are remembered.
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(medium);
    let rows = mailbox.ledger().fill().0;
    for number in 0..10_000 - (rows - 10_000) {
        let row = Row {
            lan: Lan::Absent,
            ..uncopied(&mut mailbox, 50_000 + number)
        };
        while mailbox.enter(&row).is_err() {
            assert!(mailbox.step());
        }
        if number % 64 == 63 {
            settle(&mut mailbox);
        }
    }
    let (medium, read) = mount_reads(mailbox.into_medium(), 20_000);
    figure(
        "mount of 10,000 mails and as many tombstones, after a cut, MB",
        read,
        0.6,
    );
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(medium);
    stop(&mut mailbox);
    let (_, read) = mount_reads(mailbox.into_medium(), 20_000);
    figure(
        "mount of 10,000 mails and as many tombstones, MB",
        read,
        0.6,
    );
}

/// An orderly end.
fn stop(mailbox: &mut Mailbox<'_, Counted>) {
    mailbox.store().take_snapshot();
    settle(mailbox);
    while mailbox.step() {}
}

/// What a mount reads, in MB, whose ledger has so many rows or more.
fn mount_reads(mut medium: Counted, rows: u32) -> (Counted, f64) {
    medium.counts = Counts::default();
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(medium);
    let read = counts(&mut mailbox).read as f64 / 1e6;
    assert!(mailbox.ledger().fill().0 >= rows);
    (mailbox.into_medium(), read)
}

#[test]
fn a_poll_without_a_change_writes_nothing() {
    const CONFIG: &str = "line a device /dev/a\nuser add anna password rot\n\
        user anna source pop3://post login anna password blau\nuser anna start new\n\
        user anna poll off\nuser anna poll at-login off\n";
    let geometry = Geometry::for_capacity(32 << 20, 2 << 20).unwrap();
    let mut house = House::with_store(1, CONFIG, &geometry);
    (house.lists, house.rows) = (12_000, 12_000);
    house.line("a", 33_600, true);
    let net = house.world.net().clone();
    net.post().open_account("anna", "blau");
    for id in 0..10_000 {
        let id = format!("{id:08}");
        net.post().deliver("anna", &id, &mail(&id, 200));
    }
    house.power(|on| {
        on.run_until_ready();
        let mut spent = (u64::MAX, u64::MAX);
        // The first ones learn what there is, and how the server behaves.
        for _ in 0..4 {
            let (before, listings) = (on.world.disk().counts(), net.post().listings("anna"));
            let console = on.world.attach("poll anna\r");
            on.run_for(Duration::from_secs(3600));
            console.close();
            on.run_for(Duration::from_secs(1));
            assert!(net.post().listings("anna") > listings);
            let after = on.world.disk().counts();
            spent = (after.written - before.written, after.syncs - before.syncs);
        }
        assert_eq!(on.gateway.mailbox().ledger().fill().0, 10_000);
        figure(
            "poll of 10,000 ids without a change, octets",
            spent.0 as f64,
            0.0,
        );
        figure(
            "poll of 10,000 ids without a change, flushes",
            spent.1 as f64,
            0.0,
        );
    });
}

#[test]
fn a_row_takes_its_octets_and_no_more() {
    figure(
        "row on the medium, its slot included, octets",
        ROW_OCTETS as f64,
        48.0,
    );
    // One chain of the index for four rows: more than the program has.
    let memory = size_of::<Slot>() as f64 + size_of::<u32>() as f64 / 4.0;
    figure("memory for a known id or a held mail, octets", memory, 32.0);
}

#[test]
fn one_small_mail_is_fetched_by_one_read() {
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(formatted());
    mailbox.account("anna", |_| true).unwrap();
    let slots: Vec<u32> = (0..64).map(|n| keep(&mut mailbox, n, 4096)).collect();
    settle(&mut mailbox);
    let before = counts(&mut mailbox);
    for slot in &slots {
        let mut reader = mailbox.open_copy(*slot).unwrap().unwrap();
        let mut verifier = mailbox.store().verifier(&reader);
        let whole = loop {
            if let Some(whole) = mailbox.store().verify(&mut verifier, usize::MAX) {
                break whole;
            }
        };
        assert_eq!(whole.unwrap().octets, 4096);
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let at = all.len() as u64;
            match mailbox.store().read(&mut reader, at, &mut piece).unwrap() {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
        assert_eq!(all.len(), 4096);
    }
    let spent = counts(&mut mailbox).since(before);
    figure(
        "fetch of a 4 KB mail, reads",
        spent.reads as f64 / 64.0,
        1.0,
    );
    figure(
        "fetch of a 4 KB mail, octets",
        spent.read as f64 / 64.0,
        8192.0,
    );
}

/// The ring is filled three times: the second and third time cost what the first did.
#[test]
fn giving_up_old_mail_costs_nothing() {
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(formatted());
    mailbox.account("anna", |_| true).unwrap();
    settle(&mut mailbox);
    let mails = (RING / 4096 / 10) as u32;
    let mut laps = Vec::new();
    let mut slots = std::collections::VecDeque::new();
    for lap in 0..3 {
        let before = counts(&mut mailbox);
        for number in 0..mails {
            slots.push_back(keep(&mut mailbox, lap * mails + number, 40_960));
            // What callers took may go.
            if slots.len() > 1000 {
                let old = slots.pop_front().unwrap();
                while mailbox.set_lan(old, Lan::Absent, 20_000).is_err() {
                    assert!(mailbox.step());
                }
            }
            if number % 8 == 7 {
                settle(&mut mailbox);
            }
        }
        settle(&mut mailbox);
        let spent = counts(&mut mailbox).since(before);
        laps.push(spent.written as f64 / (f64::from(mails) * 40_960.0));
    }
    let extra = (laps[2] - laps[0]) / laps[0];
    figure("eviction, extra octets of the third lap", extra, 0.005);
}

/// Not asked for, unless a device is named: what the system counted for it.
#[test]
fn the_device_counts_what_we_count() {
    let Some(device) = std::env::var_os("RINGMAIL_RING_DEVICE") else {
        return;
    };
    let name = Path::new(&device).file_name().unwrap();
    let stat = Path::new("/sys/block").join(name).join("stat");
    let written = || {
        let stat = fs::read_to_string(&stat).unwrap();
        let sectors = stat.split_whitespace().nth(6).unwrap();
        512 * sectors.parse::<u64>().unwrap()
    };
    let mut lent = Lent::new();
    let mut mailbox = lent.mount(formatted());
    mailbox.account("anna", |_| true).unwrap();
    settle(&mut mailbox);
    for (name, group) in [("one commit a mail", 1), ("batches of 8", 8)] {
        let (before, counted) = (written(), counts(&mut mailbox));
        for (number, size) in mix().iter().enumerate() {
            keep(&mut mailbox, number as u32, *size);
            if number % group == group - 1 {
                settle(&mut mailbox);
            }
        }
        settle(&mut mailbox);
        let (ours, device) = (
            counts(&mut mailbox).since(counted).written as f64,
            (written() - before) as f64,
        );
        figure(
            &format!("device over count, mix, {name}"),
            device / ours,
            1.01,
        );
    }
}
