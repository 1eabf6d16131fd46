//! TLS over a connection, without waiting.
//!
//! ```text
//!            start_tls            answered         connected          hands shaken
//!   Plain ------------> Asking ----------> Trusting --------> Shaking -----------> Secure
//!                          |                                     |
//!                          +-----------> Failed <----------------+
//! ```
//!
//! Each touch goes on with what is under way as far as the octets go that are there. What a
//! connection takes of memory is bounded: one record of 16 KiB in each direction, and messages of
//! a handshake of 64 KiB at the most; so is what it takes of time: a server that sends and sends,
//! and nothing of it is for us, is given up.

use core::cell::RefCell;
use core::mem;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConnection, Error};

use super::authorities::{Answer, Authorities, Judge, Trusted};
use crate::lan::ConnectError;
use crate::tls::{Fingerprint, TlsError, Trust};
use crate::{ByteStream, Connection, LanStream, StreamError};

/// A connection, with TLS once that was started.
pub struct Secured<S: LanStream> {
    stream: S,
    /// Whom it leads to, as certificates call it.
    host: String,
    authorities: Rc<RefCell<Authorities>>,
    state: State,
}

enum State {
    /// Octets pass as they are.
    Plain,
    /// Whom to trust is being read.
    Asking(Answer),
    /// The connection is not open yet.
    Trusting(Arc<Trusted>),
    Shaking(Box<Tls>),
    Secure(Box<Tls>),
    Failed(TlsError),
}

/// TLS itself.
struct Tls {
    client: ClientConnection,
    judge: Arc<Judge>,
    /// Octets that came since something of them was for us.
    idle: usize,
    /// How the stream below has ended.
    end: Option<StreamError>,
}

/// What one look at the stream below brought.
enum Took {
    Octets,
    Nothing,
    End,
}

impl<S: LanStream> Secured<S> {
    pub(super) fn new(stream: S, host: &str, authorities: Rc<RefCell<Authorities>>) -> Self {
        Self {
            stream,
            host: host.to_owned(),
            authorities,
            state: State::Plain,
        }
    }

    /// Goes on with what is under way, as far as it goes now.
    fn go_on(&mut self) {
        // Each turn is a step towards Secure or Failed.
        loop {
            let state = mem::replace(&mut self.state, State::Failed(TlsError::Cut));
            let (state, goes_on) = self.next(state);
            self.state = state;
            if !goes_on {
                return;
            }
        }
    }

    /// What follows `state` now, and whether that may go on at once.
    fn next(&mut self, state: State) -> (State, bool) {
        match state {
            State::Asking(answer) => match answer.outcome() {
                None => (State::Asking(answer), false),
                Some(Ok(trusted)) => (State::Trusting(trusted), true),
                Some(Err(error)) => (State::Failed(error), false),
            },
            State::Trusting(trusted) if self.stream.connection() == Connection::Open => {
                match Tls::new(&self.host, &trusted) {
                    Ok(tls) => (State::Shaking(Box::new(tls)), true),
                    Err(error) => (State::Failed(error), false),
                }
            }
            State::Shaking(mut tls) => match tls.shake(&mut self.stream) {
                Ok(true) => (State::Secure(tls), false),
                Ok(false) => (State::Shaking(tls), false),
                Err(error) => (State::Failed(error), false),
            },
            State::Secure(mut tls) => {
                // What could not be sent at once goes when there is room.
                tls.flush(&mut self.stream);
                (State::Secure(tls), false)
            }
            State::Plain | State::Trusting(_) | State::Failed(_) => (state, false),
        }
    }
}

impl<S: LanStream> LanStream for Secured<S> {
    fn connection(&mut self) -> Connection {
        // Also while nobody knows yet whom to trust: addresses are looked up and tried meanwhile.
        let below = self.stream.connection();
        self.go_on();
        match (&self.state, below) {
            (State::Failed(error), _) => Connection::Failed(ConnectError::Tls(*error)),
            (State::Plain, below) | (_, below @ Connection::Failed(_)) => below,
            (State::Secure(_), _) => Connection::Open,
            (State::Asking(_) | State::Trusting(_) | State::Shaking(_), _) => Connection::Pending,
        }
    }

    fn start_tls(&mut self, trust: Trust<'_>) {
        if matches!(self.state, State::Plain) {
            self.state = State::Asking(self.authorities.borrow_mut().ask(trust));
        }
    }

    fn is_near(&self) -> bool {
        self.stream.is_near()
    }
}

impl<S: LanStream> ByteStream for Secured<S> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        self.go_on();
        match &mut self.state {
            State::Plain => self.stream.read(buf),
            State::Asking(_) | State::Trusting(_) | State::Shaking(_) => Ok(0),
            State::Secure(tls) => tls.read(&mut self.stream, buf),
            State::Failed(_) => Err(StreamError::Closed),
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        self.go_on();
        match &mut self.state {
            State::Plain => self.stream.write(octets),
            State::Asking(_) | State::Trusting(_) | State::Shaking(_) => Ok(0),
            State::Secure(tls) => tls.write(&mut self.stream, octets),
            State::Failed(_) => Err(StreamError::Closed),
        }
    }

    fn pending(&mut self) -> usize {
        let held = match &self.state {
            State::Secure(tls) => usize::from(tls.client.wants_write()),
            _ => 0,
        };
        held + self.stream.pending()
    }
}

/// Says good-bye, so that the server need not take the end for an attack.
impl<S: LanStream> Drop for Secured<S> {
    fn drop(&mut self) {
        if let State::Secure(tls) = &mut self.state {
            tls.client.send_close_notify();
            tls.flush(&mut self.stream);
        }
    }
}

impl Tls {
    fn new(host: &str, trusted: &Trusted) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::BadName)?;
        let config = Arc::clone(&trusted.config);
        let client = ClientConnection::new(config, name).map_err(|_| TlsError::Misbehaved)?;
        Ok(Self {
            client,
            judge: Arc::clone(&trusted.judge),
            idle: 0,
            end: None,
        })
    }

    /// Goes on with the handshake; returns whether it is done.
    fn shake<S: ByteStream>(&mut self, stream: &mut S) -> Result<bool, TlsError> {
        // Each turn takes octets, of which there is a limit, or ends.
        loop {
            self.flush(stream);
            if !self.client.is_handshaking() {
                self.idle = 0;
                return Ok(true);
            }
            match self.take(stream) {
                Ok(Took::Octets) if self.idle > IDLE_OCTETS => return Err(TlsError::Misbehaved),
                Ok(Took::Octets) => {}
                Ok(Took::Nothing) => return Ok(false),
                Ok(Took::End) => return Err(TlsError::Cut),
                Err(error) => {
                    let error = fault(&error, self.judge.take_seen());
                    // So that the server's log says why.
                    self.flush(stream);
                    return Err(error);
                }
            }
        }
    }

    fn read<S: ByteStream>(
        &mut self,
        stream: &mut S,
        buf: &mut [u8],
    ) -> Result<usize, StreamError> {
        if buf.is_empty() {
            return Ok(0);
        }
        // Each turn takes octets, of which there is a limit, or ends.
        loop {
            match self.client.reader().read(buf) {
                // The server has said that this is the end.
                Ok(0) => return Err(StreamError::Closed),
                Ok(count) => {
                    self.idle = 0;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It was cut: what came before is genuine, and nothing says that it was all.
                Err(_) => return Err(self.end.unwrap_or(StreamError::Closed)),
            }
            if let Some(end) = self.end {
                return Err(end);
            }
            match self.take(stream) {
                Ok(Took::Octets) if self.idle <= IDLE_OCTETS => {}
                Ok(Took::Octets) => self.end = Some(StreamError::Closed),
                Ok(Took::Nothing) => return Ok(0),
                Ok(Took::End) => {}
                Err(error) => {
                    log::debug!("tls: {error}");
                    self.flush(stream);
                    self.end = Some(StreamError::Closed);
                }
            }
            self.flush(stream);
        }
    }

    fn write<S: ByteStream>(
        &mut self,
        stream: &mut S,
        octets: &[u8],
    ) -> Result<usize, StreamError> {
        if let Some(end) = self.end {
            return Err(end);
        }
        if self.client.wants_write() {
            return Ok(0);
        }
        let count = self.client.writer().write(octets).unwrap_or(0);
        self.flush(stream);
        Ok(count)
    }

    /// Takes what is there from the stream below, once.
    fn take<S: ByteStream>(&mut self, stream: &mut S) -> Result<Took, Error> {
        let mut wire = Wire { stream, end: None };
        let taken = self.client.read_tls(&mut wire);
        self.end = self.end.or(wire.end);
        match taken {
            // The reader is to see the end after all that came before it.
            Ok(0) => {
                self.client.process_new_packets()?;
                Ok(Took::End)
            }
            Ok(count) => {
                self.idle += count;
                self.judge.take_seen();
                self.client.process_new_packets()?;
                Ok(Took::Octets)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Took::Nothing),
            Err(_) => {
                self.end = self.end.or(Some(StreamError::Closed));
                Ok(Took::End)
            }
        }
    }

    /// Sends what there is, as far as there is room; the stream below wakes us when there is more.
    fn flush<S: ByteStream>(&mut self, stream: &mut S) {
        let mut wire = Wire { stream, end: None };
        while self.client.wants_write() {
            match self.client.write_tls(&mut wire) {
                Ok(count) if count > 0 => {}
                // What has ended shows at the next look.
                _ => return,
            }
        }
    }
}

/// A stream as the library wants it.
struct Wire<'s, S> {
    stream: &'s mut S,
    end: Option<StreamError>,
}

impl<S: ByteStream> Read for Wire<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buf) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            Ok(count) => Ok(count),
            Err(end) => {
                self.end = Some(end);
                Ok(0)
            }
        }
    }
}

impl<S: ByteStream> Write for Wire<'_, S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self.stream.write(octets) {
            Ok(0) | Err(_) => Err(ErrorKind::WouldBlock.into()),
            Ok(count) => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `error` says to an owner, where `seen` is the certificate that was judged last.
fn fault(error: &Error, seen: Option<Fingerprint>) -> TlsError {
    let seen = seen.unwrap_or(Fingerprint([0; 32]));
    match error {
        Error::InvalidCertificate(error) => match error {
            // A bad signature is that of an authority of the same name as the one we trust.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsError::UnknownAuthority(seen)
            }
            CertificateError::ApplicationVerificationFailure => TlsError::OtherCertificate(seen),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsError::OtherName(seen)
            }
            CertificateError::ExpiredContext { time, not_after } => TlsError::Expired {
                until: not_after.as_secs(),
                now: time.as_secs(),
            },
            CertificateError::NotValidYetContext { time, not_before } => TlsError::NotYetValid {
                from: not_before.as_secs(),
                now: time.as_secs(),
            },
            _ => TlsError::Unfit(seen),
        },
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => TlsError::NotTls,
        Error::PeerIncompatible(_) => TlsError::NothingInCommon,
        Error::AlertReceived(alert) => match alert {
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity => TlsError::NothingInCommon,
            other => TlsError::Refused(u8::from(*other)),
        },
        _ => TlsError::Misbehaved,
    }
}

/// So much may come without a word for us. A handshake is shorter: its messages have 64 KiB each
/// at the most, and certificates are a few.
const IDLE_OCTETS: usize = 256 * 1024;

#[cfg(test)]
mod tests;
