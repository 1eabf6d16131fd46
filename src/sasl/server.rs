//! Our end, where a caller proves who they are.
//!
//! No answer and no amount of work tells whether an account exists. A login that nobody has is
//! led through the same steps with a password nobody can know, and refused at the same place; its
//! salt is the same at each try, as a real one's is.
//!
//! ```text
//! AUTH m [initial] -> start -> Say, or as below
//! a line           -> respond -> Say | Working | Accepted | Refused | Malformed | Cancelled
//! Working          -> work    -> Say | Working | Refused
//! ```

use core::fmt::{self, Write};

use base64ct::{Base64, Encoding};

use super::salting::{Digest, Salting, hmac};
use super::scram::{self, Transcript};
use super::{Hex, Line, Mechanism, Message, Nonce, cram, decode, encode};
use crate::config::Secret;

/// Rounds of a salted password: what RFC 7677 §4 asks for at least. The password itself stands in
/// the configuration, so more of them would protect nothing but a recorded call.
pub const ITERATIONS: u32 = 4096;

/// Longest login that is taken, in octets; a longer one is nobody's.
pub const LOGIN_OCTETS: usize = 64;

/// A login, as the caller gave it.
pub type Login = heapless::String<LOGIN_OCTETS>;

/// Who may log in.
pub trait Passwords {
    /// The password of `login`; `None` if nobody is called so.
    fn password(&self, login: &str) -> Option<&Secret>;
}

/// What salts come from: random octets drawn at start, and never told.
pub struct Salts([u8; 32]);

impl Salts {
    /// Takes `key` from the machine's entropy.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The salt of `login`: the same until the next start, whether or not there is such a login.
    fn salt(&self, login: &str) -> [u8; SALT_OCTETS] {
        let whole = hmac(&self.0, &[b"salt", login.as_bytes()]);
        let mut salt = [0; SALT_OCTETS];
        salt.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        salt
    }

    /// A password that nobody knows.
    fn decoy(&self, login: &str) -> Digest {
        hmac(&self.0, &[b"decoy", login.as_bytes()])
    }
}

const SALT_OCTETS: usize = 16;

impl fmt::Debug for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Secret::MASK)
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// `out` holds a challenge, possibly empty, to be sent behind `+ `.
    Say,
    /// There is more to compute: call [`Server::work`] soon.
    Working,
    /// The caller is who they say.
    Accepted(Login),
    /// They are not. In the words of a wrong password, whatever was wrong.
    Refused,
    /// The line is no base64, or not what the mechanism has at this place (RFC 5034 §4: `-ERR`).
    Malformed,
    /// The caller broke off, with `*`.
    Cancelled,
}

/// One exchange.
pub struct Server {
    mechanism: Mechanism,
    nonce: Nonce,
    host: heapless::String<64>,
    login: Option<Login>,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, and no heap")]
enum State {
    /// No response has come.
    Fresh,
    /// `LOGIN`: the login has come.
    Named,
    /// SCRAM: the first message has come; its gs2 header and nonce are so long.
    Challenged(First),
    /// SCRAM: the proof has come, and the password is being salted.
    Salting {
        first: First,
        proof: Digest,
        salting: Salting,
        known: bool,
    },
    /// SCRAM: our own proof was sent, the caller's empty line is to come.
    Proven,
    /// It is over.
    Done,
}

/// The client's first message.
#[derive(Clone, Debug)]
struct First {
    message: heapless::Vec<u8, FIRST_OCTETS>,
    /// Where the bare message begins: behind the gs2 header.
    bare: usize,
}

/// A login of [`LOGIN_OCTETS`] that are all written as three, and a nonce of 100.
const FIRST_OCTETS: usize = 320;

impl Server {
    /// Begins an exchange. `nonce` is for this one alone; `host` is our name, for challenges that
    /// look like a message-id.
    #[must_use]
    pub fn new(mechanism: Mechanism, nonce: Nonce, host: &str) -> Self {
        Self {
            mechanism,
            nonce,
            // A longer one is nobody's, and nobody looks at it.
            host: heapless::String::try_from(host).unwrap_or_default(),
            login: None,
            state: State::Fresh,
        }
    }

    /// The first turn: takes the initial response that stood behind the mechanism's name, if one
    /// did; `=` is an empty one (RFC 5034 §4).
    pub fn start(
        &mut self,
        passwords: &impl Passwords,
        salts: &Salts,
        initial: Option<&[u8]>,
        out: &mut Line,
    ) -> Progress {
        out.clear();
        match (self.mechanism, initial) {
            // RFC 4422 §5: the server speaks first here.
            (Mechanism::CramMd5, Some(_)) => self.end(Progress::Malformed),
            (Mechanism::CramMd5, None) => {
                encode(&self.challenge(), out);
                Progress::Say
            }
            (Mechanism::Login, None) => {
                encode(b"Username:", out);
                Progress::Say
            }
            (Mechanism::Plain | Mechanism::ScramSha256, None) => Progress::Say,
            (_, Some(b"=")) => self.respond(passwords, salts, b"", out),
            (_, Some(line)) => self.respond(passwords, salts, line, out),
        }
    }

    /// Takes a line of the caller's, without its CR LF.
    pub fn respond(
        &mut self,
        passwords: &impl Passwords,
        salts: &Salts,
        line: &[u8],
        out: &mut Line,
    ) -> Progress {
        out.clear();
        if line == b"*" {
            return self.end(Progress::Cancelled);
        }
        let Some(message) = decode(line) else {
            return self.end(Progress::Malformed);
        };
        let state = core::mem::replace(&mut self.state, State::Done);
        match (self.mechanism, state) {
            (Mechanism::Plain, State::Fresh) => self.plain(passwords, &message),
            (Mechanism::Login, State::Fresh) => {
                self.login = login(&message);
                self.state = State::Named;
                encode(b"Password:", out);
                Progress::Say
            }
            (Mechanism::Login, State::Named) => self.verdict(passwords, &message),
            (Mechanism::CramMd5, State::Fresh) => self.cram(passwords, &message),
            (Mechanism::ScramSha256, State::Fresh) => match self.first(salts, &message, out) {
                Some(progress) => progress,
                None => Progress::Malformed,
            },
            (Mechanism::ScramSha256, State::Challenged(first)) => {
                match self.last(passwords, salts, first, &message) {
                    Some(()) => self.work(salts, out),
                    None => Progress::Malformed,
                }
            }
            (Mechanism::ScramSha256, State::Proven) => match (message.is_empty(), &self.login) {
                (true, Some(login)) => Progress::Accepted(login.clone()),
                _ => Progress::Malformed,
            },
            _ => Progress::Malformed,
        }
    }

    /// Goes on with what [`Progress::Working`] left undone.
    pub fn work(&mut self, salts: &Salts, out: &mut Line) -> Progress {
        let State::Salting { salting, .. } = &mut self.state else {
            return Progress::Malformed;
        };
        let Some(salted) = salting.work() else {
            return Progress::Working;
        };
        let state = core::mem::replace(&mut self.state, State::Done);
        let State::Salting {
            first,
            proof,
            known,
            ..
        } = state
        else {
            return Progress::Malformed;
        };
        let messages = self.server_first(salts, &first).zip(self.bound(&first));
        let Some((server_first, last)) = messages else {
            return Progress::Malformed;
        };
        let transcript = Transcript {
            client_first_bare: first.bare(),
            server_first: &server_first,
            client_final_without_proof: &last,
        };
        let right = scram::equal(&scram::proof(&salted, &transcript), &proof);
        if !right || !known {
            return Progress::Refused;
        }
        let mut message = Message::from_slice(b"v=").unwrap_or_default();
        let signature = scram::server_signature(&salted, &transcript);
        if scram::push_base64(&mut message, &signature).is_none() {
            return Progress::Malformed;
        }
        encode(&message, out);
        self.state = State::Proven;
        Progress::Say
    }

    /// Who the caller claims to be, as soon as that is known.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// By which mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether [`work`](Self::work) is to be called.
    #[must_use]
    pub fn is_working(&self) -> bool {
        matches!(self.state, State::Salting { .. })
    }

    fn end(&mut self, progress: Progress) -> Progress {
        self.state = State::Done;
        progress
    }

    /// `[authzid] NUL login NUL password` (RFC 4616 §2).
    fn plain(&mut self, passwords: &impl Passwords, message: &[u8]) -> Progress {
        let mut parts = message.splitn(3, |&octet| octet == 0);
        let (Some(other), Some(name), Some(password)) = (parts.next(), parts.next(), parts.next())
        else {
            return Progress::Malformed;
        };
        if password.contains(&0) {
            return Progress::Malformed;
        }
        // Nobody here acts for somebody else.
        let same = other.is_empty() || other == name;
        self.login = login(name).filter(|_| same);
        self.verdict(passwords, password)
    }

    /// Whether `password` is that of the login.
    fn verdict(&mut self, passwords: &impl Passwords, password: &[u8]) -> Progress {
        let nobody = Secret::default();
        let login = self.login.clone().unwrap_or_default();
        let secret = passwords.password(&login);
        let right = secret.unwrap_or(&nobody).matches(password);
        match right && secret.is_some() && self.login.is_some() {
            true => Progress::Accepted(login),
            false => Progress::Refused,
        }
    }

    /// `login digest` (RFC 2195 §2).
    fn cram(&mut self, passwords: &impl Passwords, message: &[u8]) -> Progress {
        let Some(blank) = message.iter().rposition(|&octet| octet == b' ') else {
            return Progress::Malformed;
        };
        let (name, digest) = message.split_at(blank);
        self.login = login(name);
        let name = self.login.clone().unwrap_or_default();
        let secret = passwords.password(&name);
        let nobody = Secret::default();
        let key = secret.unwrap_or(&nobody).reveal().as_bytes();
        let mut right: heapless::String<32> = heapless::String::new();
        // 16 octets make 32 digits.
        let _ = write!(right, "{}", Hex(&cram::digest(key, &self.challenge())));
        let equal = scram::equal(right.as_bytes(), digest.trim_ascii());
        match equal && secret.is_some() && self.login.is_some() {
            true => Progress::Accepted(name),
            false => Progress::Refused,
        }
    }

    /// The challenge of CRAM-MD5: it looks like a message-id (RFC 2195 §2).
    fn challenge(&self) -> Message {
        let mut challenge = Message::new();
        // 36 digits and the name fit by far.
        let _ = write!(challenge, "<{}@{}>", Hex(&self.nonce), self.host);
        challenge
    }

    /// SCRAM: the client's first message.
    fn first(&mut self, salts: &Salts, message: &[u8], out: &mut Line) -> Option<Progress> {
        // `y`: the client could bind to a channel and believes that we cannot. `p`: it wants to.
        let rest = message
            .strip_prefix(b"n,")
            .or_else(|| message.strip_prefix(b"y,"))?;
        let comma = rest.iter().position(|&octet| octet == b',')?;
        let (other, rest) = (rest.get(..comma)?, rest.get(comma + 1..)?);
        let (name, after) = scram::attribute(rest, b"n")?;
        let (nonce, _) = scram::attribute(after, b"r")?;
        if nonce.is_empty() || !nonce.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let same = other.is_empty() || other.strip_prefix(b"a=") == Some(name);
        self.login = name_of(name).filter(|_| same);
        let first = First {
            message: heapless::Vec::from_slice(message).ok()?,
            bare: message.len() - rest.len(),
        };
        encode(&self.server_first(salts, &first)?, out);
        self.state = State::Challenged(first);
        Some(Progress::Say)
    }

    /// SCRAM: our first message.
    fn server_first(&self, salts: &Salts, first: &First) -> Option<Message> {
        let mut message = Message::from_slice(b"r=").ok()?;
        message.extend_from_slice(first.nonce()?).ok()?;
        message
            .extend_from_slice(&scram::printable(&self.nonce))
            .ok()?;
        message.extend_from_slice(b",s=").ok()?;
        let login = self.login.as_deref().unwrap_or_default();
        scram::push_base64(&mut message, &salts.salt(login))?;
        write!(message, ",i={ITERATIONS}").ok()?;
        Some(message)
    }

    /// SCRAM: the client's last message, as it must be up to its proof.
    ///
    /// Deviation: RFC 5802 §7 lets extensions stand before the proof. None is registered.
    fn bound(&self, first: &First) -> Option<Message> {
        let mut message = Message::from_slice(b"c=").ok()?;
        scram::push_base64(&mut message, first.message.get(..first.bare)?)?;
        message.extend_from_slice(b",r=").ok()?;
        message.extend_from_slice(first.nonce()?).ok()?;
        message
            .extend_from_slice(&scram::printable(&self.nonce))
            .ok()?;
        Some(message)
    }

    /// SCRAM: the client's last message.
    fn last(
        &mut self,
        passwords: &impl Passwords,
        salts: &Salts,
        first: First,
        message: &[u8],
    ) -> Option<()> {
        let claimed = message.strip_prefix(self.bound(&first)?.as_slice())?;
        let claimed = claimed.strip_prefix(b",p=")?;
        let mut proof = [0; 32];
        let length = Base64::decode(claimed, &mut proof).ok()?.len();
        if length != proof.len() {
            return None;
        }
        let login = self.login.clone().unwrap_or_default();
        let secret = passwords.password(&login).filter(|_| self.login.is_some());
        let decoy = salts.decoy(&login);
        let key = secret.map_or(&decoy[..], |secret| secret.reveal().as_bytes());
        self.state = State::Salting {
            first,
            proof,
            salting: Salting::new(key, &salts.salt(&login), ITERATIONS),
            known: secret.is_some(),
        };
        Some(())
    }
}

impl First {
    fn bare(&self) -> &[u8] {
        self.message.get(self.bare..).unwrap_or_default()
    }

    fn nonce(&self) -> Option<&[u8]> {
        let (_, after) = scram::attribute(self.bare(), b"n")?;
        Some(scram::attribute(after, b"r")?.0)
    }
}

/// A login that somebody could have.
fn login(octets: &[u8]) -> Option<Login> {
    let text = core::str::from_utf8(octets).ok()?;
    Login::try_from(text).ok().filter(|login| !login.is_empty())
}

/// A login as SCRAM writes it: `=2C` is a comma, `=3D` an equals sign (RFC 5802 §5.1).
fn name_of(written: &[u8]) -> Option<Login> {
    let mut name: heapless::Vec<u8, LOGIN_OCTETS> = heapless::Vec::new();
    let mut rest = written;
    while let Some((&octet, after)) = rest.split_first() {
        let (octet, after) = match octet {
            b'=' => match (after.strip_prefix(b"2C"), after.strip_prefix(b"3D")) {
                (Some(after), _) => (b',', after),
                (_, Some(after)) => (b'=', after),
                _ => return None,
            },
            _ => (octet, after),
        };
        name.push(octet).ok()?;
        rest = after;
    }
    login(&name)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Fresh => "Fresh",
            State::Named => "Named",
            State::Challenged(_) => "Challenged",
            State::Salting { .. } => "Salting",
            State::Proven => "Proven",
            State::Done => "Done",
        };
        write!(f, "Server({}, {state})", self.mechanism)
    }
}
