//! Turns and octets: a line that waits for nothing it could have had before.

use hal::{ByteStream, StreamError};

use super::MAILS;
use super::twin::{OPTIONS, Talk, Twin};
use crate::link::LINK_OCTETS;

/// Counts how often the port is given something.
#[derive(Default)]
struct Port {
    input: Vec<u8>,
    writes: Vec<Vec<u8>>,
}

impl ByteStream for Port {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let count = buf.len().min(self.input.len());
        buf[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        self.writes.push(octets.to_vec());
        Ok(octets.len())
    }
}

/// One turn of the loop at a time, as the gateway takes them: exchange, step, exchange.
fn writes(talk: &mut Talk, input: &str) -> Vec<Vec<u8>> {
    let mut port = Port {
        input: input.as_bytes().to_vec(),
        ..Port::default()
    };
    for _ in 0..100 {
        talk.link.exchange(&mut port).unwrap();
        talk.turn(0);
        talk.link.exchange(&mut port).unwrap();
    }
    port.writes
}

fn transaction(mails: &[&[u8]]) -> Talk {
    Talk::in_transaction(Twin::of(mails), OPTIONS)
}

/// Status line, mail and dot leave together: two small writes would wait for each other.
#[test]
fn a_reply_is_one_write_whatever_it_consists_of() {
    for command in [
        "RETR 1", "TOP 1 0", "LIST", "UIDL", "CAPA", "STAT", "DELE 1", "NOOP",
    ] {
        let writes = writes(&mut transaction(&MAILS), &format!("{command}\r\n"));
        assert_eq!(writes.len(), 1, "{command}: {writes:?}");
    }
}

/// A whole session that was pipelined takes one write, and as many as full links for large mails.
#[test]
fn replies_to_what_is_pipelined_leave_together() {
    let session = "UIDL\r\nLIST\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nDELE 1\r\n";
    assert_eq!(writes(&mut transaction(&MAILS), session).len(), 1);
    let mail = b"x\r\n".repeat(20_000);
    let mails = [&mail[..]; 5];
    let session: String = (1..=5).map(|n| format!("RETR {n}\r\n")).collect();
    let writes = writes(&mut transaction(&mails), &session);
    let octets: usize = writes.iter().map(Vec::len).sum();
    assert!(
        writes.len() <= octets.div_ceil(LINK_OCTETS - 600),
        "{}",
        writes.len()
    );
}

/// mutt asks for the header of each mail; asked for together, they cost one turn.
#[test]
fn headers_asked_for_together_cost_one_turn() {
    let header = b"Subject: x\r\n\r\n".to_vec();
    let mail = [&header[..], &b"body\r\n".repeat(5000)].concat();
    let mails = vec![&mail[..]; 100];
    let session: String = (1..=100).map(|n| format!("TOP {n} 0\r\n")).collect();
    let writes = writes(&mut transaction(&mails), &session);
    assert_eq!(writes.len(), 1);
    let one = [b"+OK\r\n", &header[..], b".\r\n"].concat();
    assert_eq!(
        writes[0],
        one.repeat(100),
        "and not an octet of their bodies"
    );
}

/// What stands in a status line costs line time with each mail.
#[test]
fn status_lines_are_short() {
    let mut talk = transaction(&MAILS);
    assert_eq!(talk.ask("DELE 1\r\n").len(), 5);
    assert_eq!(talk.ask("TOP 2 0\r\n").lines().next(), Some("+OK"));
    assert_eq!(talk.ask("RETR 2\r\n").lines().next(), Some("+OK 31 octets"));
}
