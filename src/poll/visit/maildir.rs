//! A Maildir as a visit sees it: a source that is asked and answers without a connection.
//!
//! | request | answer |
//! | --- | --- |
//! | the listing | the names in `new` and `cur`, oldest first; read is what has `S` or `T` |
//! | `Size` | the octets of the file with CR LF at every line's end: it is read through |
//! | `Header`, `Mail`, `Retr` | the file, as a POP3 server would send it |
//!
//! The unique-id is the unique part of the file's name, so a mail that is moved or gets flags stays
//! the same. One that is not there any more when it is asked for was read at the desk meanwhile.
//!
//! Reading goes in bounded pieces: a step ends when it has done its work, though there is more.

use hal::maildir::{MailName, Next, Opened};
use hal::{FolderError, MailFolder, Medium};

use crate::config::Seen;

use super::Failure;
use super::remote::{Client, Kind, Reply, Request, ServerFailure, Text};
use super::run::{Round, Run, State, Turn};

/// Work of one step: so many octets read, or as much worth of names.
const STEP_OCTETS: usize = 16 * 1024;

/// What a name costs of it.
const NAME_COST: usize = 128;

/// What is read at once. On the wire it is twice as long at the most, and one CR LF.
const READ_OCTETS: usize = 2040;
const _: () = assert!(2 * READ_OCTETS + 2 <= super::PIECE_OCTETS);

/// A Maildir that is visited.
#[derive(Debug)]
pub(in crate::poll) struct Maildir {
    seen: Seen,
    task: Task,
    /// What this step may still do.
    left: usize,
}

/// What was asked, and how far it is.
#[derive(Clone, Copy, Debug)]
enum Task {
    Nothing,
    Starting,
    Listing {
        count: u32,
    },
    Opening {
        number: u32,
        purpose: Purpose,
    },
    Reading {
        purpose: Purpose,
        reading: Reading,
    },
    /// The last piece was told; its end is not.
    Ending,
    Quitting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Size { number: u32 },
    Header,
    Mail,
}

/// A file that is read.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    wire: Wire,
    /// Octets on the wire so far.
    octets: u64,
}

/// Lines as the wire carries them: whatever ends a line in the file, here it is CR LF.
#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    /// The last octet was a CR.
    carriage: bool,
    /// Octets of this line, its end left out; as far as 1.
    filled: bool,
    /// An empty line has come: the header is over.
    past_header: bool,
}

impl Maildir {
    pub(super) fn new(seen: Seen) -> Self {
        Self {
            seen,
            task: Task::Nothing,
            left: STEP_OCTETS,
        }
    }

    /// Another step: it may do its piece of work.
    pub(super) fn begin_step(&mut self) {
        self.left = STEP_OCTETS;
    }

    /// Whether the step is over only because its work was done.
    pub(super) fn works_on(&self) -> bool {
        self.left == 0
    }

    pub(super) fn outstanding(&self) -> usize {
        usize::from(!matches!(self.task, Task::Nothing))
    }

    pub(super) fn request(&mut self, request: Request<'_>) -> bool {
        if self.outstanding() > 0 {
            return false;
        }
        let opening = |number, purpose| Task::Opening { number, purpose };
        self.task = match request {
            Request::Size(number) => opening(number, Purpose::Size { number }),
            Request::Header(number) => opening(number, Purpose::Header),
            Request::Mail(number) | Request::Retr(number) => opening(number, Purpose::Mail),
            Request::Quit => Task::Quitting,
            // Sizes are asked one by one, and only those that are wanted.
            Request::Sizes | Request::Part { .. } | Request::Pop3(_) => return false,
        };
        true
    }

    pub(super) fn step(&mut self, folder: &mut dyn MailFolder, out: &mut [u8]) -> Option<Reply> {
        match self.go_on(folder, out) {
            Ok(reply) => reply,
            Err(error) => {
                self.task = Task::Nothing;
                Some(Reply::Failed(ServerFailure::Maildir(error)))
            }
        }
    }

    fn go_on(
        &mut self,
        folder: &mut dyn MailFolder,
        out: &mut [u8],
    ) -> Result<Option<Reply>, FolderError> {
        while self.left > 0 {
            let reply = match self.task {
                Task::Nothing => return Ok(None),
                Task::Starting => {
                    folder.start()?;
                    self.task = Task::Listing { count: 0 };
                    None
                }
                Task::Listing { count } => self.list(folder, count, out)?,
                Task::Opening { number, purpose } => self.open(folder, number, purpose)?,
                Task::Reading { purpose, reading } => self.read(folder, purpose, reading, out)?,
                Task::Ending => {
                    self.task = Task::Nothing;
                    Some(Reply::BodyEnd)
                }
                Task::Quitting => {
                    self.task = Task::Nothing;
                    Some(Reply::Ended)
                }
            };
            if reply.is_some() {
                return Ok(reply);
            }
        }
        Ok(None)
    }

    fn list(
        &mut self,
        folder: &mut dyn MailFolder,
        count: u32,
        out: &mut [u8],
    ) -> Result<Option<Reply>, FolderError> {
        match folder.next(out)? {
            Next::NotYet => self.left = 0,
            Next::End => {
                self.task = Task::Nothing;
                let expected = Some(count);
                return Ok(Some(Reply::ListingEnd { expected }));
            }
            Next::Found { number, length } => {
                self.spend(NAME_COST);
                let name = out.get(..length).unwrap_or_default();
                let Some(name) = MailName::parse(name) else {
                    return Ok(None);
                };
                self.task = Task::Listing { count: count + 1 };
                let read = name.is_seen() || name.is_trashed();
                return Ok(Some(Reply::Entry {
                    number,
                    // The unique part is the beginning of the name.
                    length: name.unique.len(),
                    seen: read && self.seen == Seen::Read,
                    size: None,
                }));
            }
        }
        Ok(None)
    }

    fn open(
        &mut self,
        folder: &mut dyn MailFolder,
        number: u32,
        purpose: Purpose,
    ) -> Result<Option<Reply>, FolderError> {
        match folder.open(number)? {
            Opened::NotYet => self.left = 0,
            Opened::Gone => {
                self.task = Task::Nothing;
                return Ok(Some(match purpose {
                    // A mail without a size is left alone.
                    Purpose::Size { .. } => Reply::SizesEnd,
                    Purpose::Header | Purpose::Mail => Reply::Refused {
                        kind: Kind::Maildir,
                        code: None,
                        text: Text::try_from("it is not there any more").unwrap_or_default(),
                    },
                }));
            }
            Opened::Open { octets } => {
                self.spend(NAME_COST);
                let huge = u32::try_from(octets).is_err();
                if let (Purpose::Size { number }, true) = (purpose, huge) {
                    // No ring has room for it: how much more it is on the wire means nothing.
                    self.task = Task::Nothing;
                    return Ok(Some(Reply::Size { number, octets }));
                }
                let reading = Reading::default();
                self.task = Task::Reading { purpose, reading };
            }
        }
        Ok(None)
    }

    fn read(
        &mut self,
        folder: &mut dyn MailFolder,
        purpose: Purpose,
        mut reading: Reading,
        out: &mut [u8],
    ) -> Result<Option<Reply>, FolderError> {
        let mut raw = [0; READ_OCTETS];
        let count = folder.read(&mut raw)?;
        self.spend(count.max(1));
        let raw = raw.get(..count).unwrap_or_default();
        let header = purpose == Purpose::Header;
        let mut length = 0;
        for &octet in raw {
            length += reading.wire.put(octet, out.get_mut(length..));
            if header && reading.wire.past_header {
                break;
            }
        }
        let over = count == 0 || header && reading.wire.past_header;
        if count == 0 {
            length += reading.wire.end(reading.octets, out);
        }
        reading.octets += length as u64;
        self.task = match (purpose, over) {
            (_, false) => Task::Reading { purpose, reading },
            (Purpose::Size { number }, true) => {
                self.task = Task::Nothing;
                let octets = reading.octets;
                return Ok(Some(Reply::Size { number, octets }));
            }
            (_, true) => Task::Ending,
        };
        let told = length > 0 && !matches!(purpose, Purpose::Size { .. });
        Ok(told.then_some(Reply::Body { length }))
    }

    fn spend(&mut self, work: usize) {
        self.left = self.left.saturating_sub(work);
    }
}

impl Wire {
    /// Writes what `octet` of the file is on the wire; returns how many octets that is.
    fn put(&mut self, octet: u8, out: Option<&mut [u8]>) -> usize {
        let ends = octet == b'\n';
        let octets: &[u8] = match (ends, self.carriage) {
            (true, false) => b"\r\n",
            (true, true) => b"\n",
            (false, _) => &[octet],
        };
        if ends {
            self.past_header |= !self.filled;
            self.filled = false;
        } else {
            // A CR may be the beginning of the line's end; one before it was not.
            self.filled |= octet != b'\r' || self.carriage;
        }
        self.carriage = octet == b'\r';
        write(octets, out)
    }

    /// Writes what the last line lacks to its end, after `octets` on the wire.
    fn end(&mut self, octets: u64, out: &mut [u8]) -> usize {
        let missing: &[u8] = match (octets, self.carriage, self.filled) {
            (0, ..) => b"",
            (_, true, _) => b"\n",
            (_, false, true) => b"\r\n",
            (_, false, false) => b"",
        };
        write(missing, Some(out))
    }
}

fn write(octets: &[u8], out: Option<&mut [u8]>) -> usize {
    let room = out.and_then(|out| out.get_mut(..octets.len()));
    let Some(room) = room else {
        // A piece has room for twice what is read.
        return 0;
    };
    room.copy_from_slice(octets);
    octets.len()
}

impl Run {
    /// There is nobody to log in to: the listing begins.
    pub(super) fn open_maildir<M: Medium>(
        &mut self,
        _: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let Client::Maildir(maildir) = &mut self.client else {
            return Err(Failure::Closed);
        };
        maildir.task = Task::Starting;
        self.listed = 0;
        Ok(self.enter(State::Listing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `file` is on the wire, read in pieces of `chunk`; the header alone, if `header`.
    fn sent(file: &[u8], chunk: usize, header: bool) -> Vec<u8> {
        let mut maildir = Maildir::new(Seen::Read);
        let purpose = if header {
            Request::Header(1)
        } else {
            Request::Mail(1)
        };
        assert!(maildir.request(purpose));
        let mut folder = OneMail { file, at: 0, chunk };
        let (mut out, mut got) = ([0; super::super::PIECE_OCTETS], Vec::new());
        for _ in 0..10 * file.len() + 10 {
            maildir.begin_step();
            match maildir.step(&mut folder, &mut out) {
                Some(Reply::Body { length }) => got.extend(&out[..length]),
                Some(Reply::BodyEnd) => return got,
                other => assert_eq!(other, None),
            }
        }
        panic!("it does not end");
    }

    fn size(file: &[u8]) -> u64 {
        let mut maildir = Maildir::new(Seen::Read);
        assert!(maildir.request(Request::Size(7)));
        let chunk = 100;
        let mut folder = OneMail { file, at: 0, chunk };
        let mut out = [0; super::super::PIECE_OCTETS];
        loop {
            maildir.begin_step();
            match maildir.step(&mut folder, &mut out) {
                Some(Reply::Size { number: 7, octets }) => return octets,
                other => assert_eq!(other, None),
            }
        }
    }

    struct OneMail<'f> {
        file: &'f [u8],
        at: usize,
        chunk: usize,
    }

    impl MailFolder for OneMail<'_> {
        fn start(&mut self) -> Result<(), FolderError> {
            Ok(())
        }

        fn next(&mut self, _: &mut [u8]) -> Result<Next, FolderError> {
            Ok(Next::End)
        }

        fn open(&mut self, _: u32) -> Result<Opened, FolderError> {
            self.at = 0;
            let octets = self.file.len() as u64;
            Ok(Opened::Open { octets })
        }

        fn read(&mut self, buf: &mut [u8]) -> Result<usize, FolderError> {
            let rest = &self.file[self.at..];
            let count = rest.len().min(buf.len()).min(self.chunk);
            buf[..count].copy_from_slice(&rest[..count]);
            self.at += count;
            Ok(count)
        }
    }

    /// A slow twin: every line ends with CR LF.
    fn lines(file: &[u8]) -> Vec<Vec<u8>> {
        let lines = file.split_inclusive(|&octet| octet == b'\n');
        let ended = lines.map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            [line, b"\r\n"].concat()
        });
        ended.collect()
    }

    #[test]
    fn every_short_file_is_sent_in_whole_lines_at_every_chunk_size() {
        for length in 0..=7 {
            for nth in 0..4_usize.pow(length) {
                let octet = |at: u32| b"a.\r\n"[nth / 4_usize.pow(at) % 4];
                let file: Vec<u8> = (0..length).map(octet).collect();
                let whole = lines(&file);
                let expected = whole.concat();
                let blank = whole.iter().position(|line| line == b"\r\n");
                let header = whole[..blank.map_or(whole.len(), |at| at + 1)].concat();
                for chunk in 1..=file.len().max(1) {
                    assert_eq!(sent(&file, chunk, false), expected, "{file:?}");
                    assert_eq!(sent(&file, chunk, true), header, "{file:?}");
                }
                assert_eq!(size(&file), expected.len() as u64, "{file:?}");
            }
        }
    }

    #[test]
    fn a_step_is_bounded_and_line_ends_alone_fill_no_piece() {
        for file in [vec![b'\n'; 100_000], vec![b'x'; 100_000]] {
            assert_eq!(sent(&file, usize::MAX, false), lines(&file).concat());
            let mut maildir = Maildir::new(Seen::Read);
            assert!(maildir.request(Request::Size(1)));
            let (at, chunk) = (0, usize::MAX);
            let mut folder = OneMail {
                file: &file,
                at,
                chunk,
            };
            let mut out = [0; super::super::PIECE_OCTETS];
            assert_eq!(maildir.step(&mut folder, &mut out), None);
            assert!(maildir.works_on());
            assert!(folder.at <= STEP_OCTETS + READ_OCTETS, "{}", folder.at);
        }
    }
}
