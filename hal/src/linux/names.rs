//! Look-ups of host names, in a helper thread of their own.
//!
//! `getaddrinfo` blocks, for 5 to 20 s where the name server is silent. So one thread does all
//! look-ups, one after the other; it is started by the first of them and lives as long as the
//! process. Whoever asks gets a [`LookUp`] to look into; dropping it withdraws the question.
//! Addresses in digits are no question at all.

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::net::ToSocketAddrs;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use super::reactor::Waker;
use crate::lan::ConnectError;

/// The addresses of a host, best first; never empty.
pub(super) type Addresses = Vec<SocketAddr>;

/// What the system's resolver says of a host and a port.
pub(super) type Resolve = fn(&str, u16) -> Result<Addresses, ConnectError>;

/// Looks names up.
pub(super) struct Names {
    waker: Waker,
    resolve: Resolve,
    questions: Option<SyncSender<Question>>,
}

/// A look-up under way.
pub(super) struct LookUp(Arc<Answer>);

type Answer = Mutex<Option<Result<Addresses, ConnectError>>>;

struct Question {
    host: String,
    port: u16,
    /// Gone if nobody waits for it any more.
    answer: Weak<Answer>,
}

impl Names {
    /// Looks names up with `resolve`, and wakes the loop by `waker` when there is an answer.
    pub(super) fn new(waker: Waker, resolve: Resolve) -> Self {
        Self {
            waker,
            resolve,
            questions: None,
        }
    }

    /// Starts to look up `host`; at once ended if it is an address.
    pub(super) fn look_up(&mut self, host: &str, port: u16) -> LookUp {
        // A literal IPv6 address may come in brackets (RFC 3986 §3.2.2).
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
            return LookUp::ended(Ok(vec![SocketAddr::new(address, port)]));
        }
        let answer = Arc::new(Mutex::new(None));
        let question = Question {
            host: host.to_owned(),
            port,
            answer: Arc::downgrade(&answer),
        };
        match self.helper().map(|helper| helper.try_send(question)) {
            Some(Ok(())) => LookUp(answer),
            // No thread, or more questions than visits could ever ask.
            _ => LookUp::ended(Err(ConnectError::LookupFailed)),
        }
    }

    fn helper(&mut self) -> Option<&SyncSender<Question>> {
        if self.questions.is_none() {
            let (sender, receiver) = sync_channel(QUESTIONS);
            let (waker, resolve) = (self.waker.clone(), self.resolve);
            let helper = thread::Builder::new().name("names".into());
            helper
                .spawn(move || serve(&receiver, resolve, &waker))
                .ok()?;
            self.questions = Some(sender);
        }
        self.questions.as_ref()
    }
}

impl LookUp {
    /// What was found, if the look-up has ended. Gives it once.
    pub(super) fn answer(&self) -> Option<Result<Addresses, ConnectError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn ended(answer: Result<Addresses, ConnectError>) -> Self {
        Self(Arc::new(Mutex::new(Some(answer))))
    }
}

/// The helper: answers until nobody can ask any more.
fn serve(questions: &Receiver<Question>, resolve: Resolve, waker: &Waker) {
    for question in questions {
        if question.answer.strong_count() == 0 {
            continue;
        }
        let found = resolve(&question.host, question.port);
        if let Some(answer) = question.answer.upgrade() {
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            waker.wake();
        }
    }
}

/// Asks the system's resolver. Blocks.
pub(super) fn system(host: &str, port: u16) -> Result<Addresses, ConnectError> {
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| failure(&error));
    let addresses: Addresses = found?.take(ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(ConnectError::NoSuchHost);
    }
    Ok(addresses)
}

/// The standard library gives the resolver's words, not its number: glibc says "Name or service
/// not known" and "No address associated with hostname", musl "Name does not resolve". All else
/// is taken for a name server that does not answer, which is worth another try.
fn failure(error: &io::Error) -> ConnectError {
    let words = error.to_string();
    let unknown = [
        "not known",
        "No address",
        "not resolve",
        "has no usable address",
    ];
    match unknown.iter().any(|it| words.contains(it)) {
        true => ConnectError::NoSuchHost,
        false => ConnectError::LookupFailed,
    }
}

/// Questions that may wait: twice as many as visits open side by side.
const QUESTIONS: usize = 8;
/// Addresses of one host that are tried.
const ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::reactor::Reactor;

    fn answer(reactor: &Reactor, look_up: &LookUp) -> Result<Addresses, ConnectError> {
        loop {
            if let Some(answer) = look_up.answer() {
                return answer;
            }
            reactor.wait(None);
        }
    }

    #[test]
    fn digits_are_answered_at_once_and_need_no_thread() {
        let reactor = Reactor::new().unwrap();
        let mut names = Names::new(reactor.waker(), |_, _| panic!("asked"));
        for (host, address) in [
            ("192.0.2.1", "192.0.2.1:110"),
            ("2001:db8::1", "[2001:db8::1]:110"),
            ("[2001:db8::1]", "[2001:db8::1]:110"),
        ] {
            let found = names.look_up(host, 110).answer().unwrap();
            assert_eq!(found, Ok(vec![address.parse().unwrap()]));
        }
        assert!(names.questions.is_none());
    }

    #[test]
    fn a_name_is_looked_up_and_wakes_the_loop() {
        let reactor = Reactor::new().unwrap();
        let mut names = Names::new(reactor.waker(), |host, port| match host {
            "mail" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
            _ => Err(ConnectError::NoSuchHost),
        });
        let known = names.look_up("mail", 995);
        let unknown = names.look_up("nobody", 995);
        let address = SocketAddr::from(([127, 0, 0, 1], 995));
        assert_eq!(answer(&reactor, &known), Ok(vec![address]));
        assert_eq!(answer(&reactor, &unknown), Err(ConnectError::NoSuchHost));
    }

    #[test]
    fn a_dropped_question_is_not_asked_and_too_many_are_refused() {
        static SILENCE: Mutex<()> = Mutex::new(());
        let silence = SILENCE.lock().unwrap();
        let reactor = Reactor::new().unwrap();
        let mut names = Names::new(reactor.waker(), |host, _| {
            assert_ne!(host, "dropped");
            drop(SILENCE.lock());
            Err(ConnectError::NoSuchHost)
        });
        let first = names.look_up("silent", 110);
        drop(names.look_up("dropped", 110));
        let many: Vec<_> = (0..20).map(|_| names.look_up("more", 110)).collect();
        let refused = many.iter().filter_map(LookUp::answer).count();
        // The silent one and the dropped one may take a place too.
        assert!(
            (20 - QUESTIONS..=20 - QUESTIONS + 2).contains(&refused),
            "{refused}"
        );
        assert!(first.answer().is_none());
        drop(silence);
        assert_eq!(answer(&reactor, &first), Err(ConnectError::NoSuchHost));
    }

    #[test]
    fn the_system_knows_localhost() {
        let addresses = system("localhost", 110).unwrap();
        assert!(
            addresses
                .iter()
                .all(|it| it.ip().is_loopback() && it.port() == 110)
        );
    }
}
