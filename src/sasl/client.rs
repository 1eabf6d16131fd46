//! Our end, where we call a LAN server.
//!
//! No initial response is ever sent along with the command: servers older than RFC 5034 know
//! none, and a round trip on a LAN costs nothing. Thus each mechanism begins with a challenge; for
//! `PLAIN` and SCRAM it says no more than "go on".

use core::fmt;

use base64ct::{Base64, Encoding};

use super::salting::{Digest, Salting};
use super::scram::{self, Transcript};
use super::{Hex, Line, Mechanism, Message, Nonce, cram, decode, encode};
use crate::config::Secret;

/// Most iterations a server may ask for. Servers are set to 4096 to 600,000; a million takes a
/// Raspberry Pi a few seconds, in slices, and a hostile server no more than those.
pub const MOST_ITERATIONS: u32 = 1_000_000;

/// Fewest: RFC 7677 §4. A server that asks for fewer wants to learn the password cheaply.
pub const LEAST_ITERATIONS: u32 = 4096;

/// Who we are at the server; looked at while a line is made and kept nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The login.
    pub login: &'a str,
    /// The password.
    pub password: &'a Secret,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// `out` holds the line to be sent; it may be empty.
    Send,
    /// There is more to compute: call [`Client::work`] soon.
    Working,
}

/// Why the exchange cannot go on: cancel it with the line `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A challenge that is not base64, or longer than a message may be.
    NotBase64,
    /// A challenge that is not what the mechanism has at this place.
    Malformed,
    /// A challenge after the last one.
    OutOfTurn,
    /// The nonce is not ours made longer: somebody plays an old exchange again.
    Nonce,
    /// Fewer iterations than [`LEAST_ITERATIONS`], or more than [`MOST_ITERATIONS`].
    Iterations {
        /// As the server wants.
        got: u32,
    },
    /// The server gave no proof, or a wrong one: it does not know the password.
    Signature,
    /// The server said why it goes no further: mostly a wrong password.
    Refused,
    /// Login and password make a message that is too long, or hold a NUL.
    Unsendable,
}

/// One exchange.
pub struct Client {
    mechanism: Mechanism,
    nonce: Nonce,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, and no heap")]
enum State {
    /// Nothing was sent.
    Fresh,
    /// `LOGIN`: the login was sent. SCRAM: the first message was.
    First,
    /// SCRAM: the server's first message is there, and the password is being salted.
    Salting {
        server_first: Message,
        salting: Salting,
    },
    /// SCRAM: the proof was sent, and this must come back.
    Proven { signature: Digest },
    /// Nothing more is to be sent.
    Done,
}

impl Client {
    /// Begins an exchange; `nonce` is for this one alone.
    #[must_use]
    pub fn new(mechanism: Mechanism, nonce: Nonce) -> Self {
        Self {
            mechanism,
            nonce,
            state: State::Fresh,
        }
    }

    /// Answers the server's challenge `line`: what stood behind `+ `.
    ///
    /// # Errors
    /// [`Fault`]: the exchange is over, and nothing that the server says of it is to be believed.
    pub fn respond(
        &mut self,
        who: Credentials<'_>,
        line: &[u8],
        out: &mut Line,
    ) -> Result<Progress, Fault> {
        out.clear();
        let state = core::mem::replace(&mut self.state, State::Done);
        match (self.mechanism, state) {
            (Mechanism::Login, State::Fresh) => {
                encode(who.login.as_bytes(), out);
                self.state = State::First;
            }
            (Mechanism::Login, State::First) => encode(who.password.reveal().as_bytes(), out),
            (Mechanism::Plain, State::Fresh) => encode(&plain(who)?, out),
            (Mechanism::CramMd5, State::Fresh) => {
                let challenge = decode(line).ok_or(Fault::NotBase64)?;
                encode(&cram_response(who, &challenge)?, out);
            }
            (Mechanism::ScramSha256, State::Fresh) => {
                let mut first = Message::from_slice(scram::UNBOUND).unwrap_or_default();
                let bare = self.first_bare(who)?;
                let fits = first.extend_from_slice(&bare);
                fits.map_err(|_| Fault::Unsendable)?;
                encode(&first, out);
                self.state = State::First;
            }
            (Mechanism::ScramSha256, State::First) => {
                let server_first = decode(line).ok_or(Fault::NotBase64)?;
                let salting = self.salting(who, &server_first)?;
                self.state = State::Salting {
                    server_first,
                    salting,
                };
                return self.work(who, out);
            }
            (Mechanism::ScramSha256, State::Proven { signature }) => {
                let last = decode(line).ok_or(Fault::NotBase64)?;
                check_signature(&last, &signature)?;
            }
            _ => return Err(Fault::OutOfTurn),
        }
        Ok(Progress::Send)
    }

    /// Goes on with what [`Progress::Working`] left undone.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn work(&mut self, who: Credentials<'_>, out: &mut Line) -> Result<Progress, Fault> {
        let State::Salting {
            server_first,
            salting,
        } = &mut self.state
        else {
            return Err(Fault::OutOfTurn);
        };
        let Some(salted) = salting.work() else {
            return Ok(Progress::Working);
        };
        let server_first = core::mem::take(server_first);
        self.state = State::Done;
        let (nonce, _) = scram::attribute(&server_first, b"r").ok_or(Fault::Malformed)?;
        let mut last = Message::from_slice(b"c=biws,r=").unwrap_or_default();
        let fits = last.extend_from_slice(nonce);
        fits.map_err(|_| Fault::Malformed)?;
        let transcript = Transcript {
            client_first_bare: &self.first_bare(who)?,
            server_first: &server_first,
            client_final_without_proof: &last.clone(),
        };
        let fits = last.extend_from_slice(b",p=").ok();
        fits.and_then(|()| scram::push_base64(&mut last, &scram::proof(&salted, &transcript)))
            .ok_or(Fault::Malformed)?;
        encode(&last, out);
        self.state = State::Proven {
            signature: scram::server_signature(&salted, &transcript),
        };
        Ok(Progress::Send)
    }

    /// Whether the server's word that we are logged in may be believed: all was sent and, in
    /// SCRAM, the server has proven that it knows the password.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// By which mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    fn first_bare(&self, who: Credentials<'_>) -> Result<Message, Fault> {
        let make = || {
            let mut bare = Message::from_slice(b"n=").ok()?;
            scram::push_name(&mut bare, who.login)?;
            bare.extend_from_slice(b",r=").ok()?;
            bare.extend_from_slice(&scram::printable(&self.nonce))
                .ok()?;
            Some(bare)
        };
        make().ok_or(Fault::Unsendable)
    }

    fn salting(&self, who: Credentials<'_>, server_first: &[u8]) -> Result<Salting, Fault> {
        // RFC 5802 §5.1: `m=` before the nonce is an extension that must be understood.
        let (nonce, rest) =
            scram::attribute(server_first, b"r").ok_or(match server_first.starts_with(b"e=") {
                true => Fault::Refused,
                false => Fault::Malformed,
            })?;
        let (salt, rest) = scram::attribute(rest, b"s").ok_or(Fault::Malformed)?;
        let (iterations, _) = scram::attribute(rest, b"i").ok_or(Fault::Malformed)?;
        let ours = scram::printable(&self.nonce);
        let theirs = nonce.strip_prefix(&ours).ok_or(Fault::Nonce)?;
        if theirs.is_empty() || !theirs.iter().all(u8::is_ascii_graphic) {
            return Err(Fault::Nonce);
        }
        // The answer repeats the nonce, and has 50 octets more than that.
        if nonce.len() > super::MESSAGE_OCTETS - 64 {
            return Err(Fault::Malformed);
        }
        let mut octets = [0; super::MESSAGE_OCTETS];
        let salt = Base64::decode(salt, &mut octets).map_err(|_| Fault::Malformed)?;
        let digits = iterations.iter().all(u8::is_ascii_digit);
        let iterations = core::str::from_utf8(iterations).ok().filter(|_| digits);
        let iterations: u32 = iterations
            .and_then(|text| text.parse().ok())
            .ok_or(Fault::Malformed)?;
        if !(LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(Fault::Iterations { got: iterations });
        }
        let password = who.password.reveal().as_bytes();
        Ok(Salting::new(password, salt, iterations))
    }
}

/// `NUL login NUL password` (RFC 4616 §2).
fn plain(who: Credentials<'_>) -> Result<Message, Fault> {
    let mut message = Message::new();
    for part in [who.login, who.password.reveal()] {
        if part.contains('\0') {
            return Err(Fault::Unsendable);
        }
        let fits = message.push(0).ok();
        fits.and_then(|()| message.extend_from_slice(part.as_bytes()).ok())
            .ok_or(Fault::Unsendable)?;
    }
    Ok(message)
}

/// `login digest` (RFC 2195 §2).
fn cram_response(who: Credentials<'_>, challenge: &[u8]) -> Result<Message, Fault> {
    use core::fmt::Write;
    let digest = cram::digest(who.password.reveal().as_bytes(), challenge);
    let mut response = Message::new();
    let fits = write!(response, "{} {}", who.login, Hex(&digest));
    fits.map_err(|_| Fault::Unsendable)?;
    Ok(response)
}

fn check_signature(last: &[u8], signature: &Digest) -> Result<(), Fault> {
    if scram::attribute(last, b"e").is_some() {
        return Err(Fault::Refused);
    }
    let (claimed, _) = scram::attribute(last, b"v").ok_or(Fault::Malformed)?;
    let mut octets = [0; super::MESSAGE_OCTETS];
    let claimed = Base64::decode(claimed, &mut octets).map_err(|_| Fault::Malformed)?;
    match scram::equal(claimed, signature) {
        true => Ok(()),
        false => Err(Fault::Signature),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the states hold lets a guesser try passwords.
        let state = match self.state {
            State::Fresh => "Fresh",
            State::First => "First",
            State::Salting { .. } => "Salting",
            State::Proven { .. } => "Proven",
            State::Done => "Done",
        };
        write!(f, "Client({}, {state})", self.mechanism)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 => f.write_str("challenge is not base64, or too long"),
            Self::Malformed => f.write_str("challenge cannot be understood"),
            Self::OutOfTurn => f.write_str("challenge out of turn"),
            Self::Nonce => f.write_str("nonce is not ours"),
            Self::Iterations { got } => write!(
                f,
                "{got} iterations asked for, {LEAST_ITERATIONS} to {MOST_ITERATIONS} are allowed"
            ),
            Self::Signature => f.write_str("the server does not prove that it knows the password"),
            Self::Refused => f.write_str("the server broke off: login or password are wrong"),
            Self::Unsendable => f.write_str("login or password cannot be sent"),
        }
    }
}

impl core::error::Error for Fault {}
