//! Both ends of TLS in one thread, over a stream that gives and takes as little as the test says.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};

use super::*;
use crate::Lan;
use crate::linux::authorities;
use crate::linux::reactor::Reactor;
use crate::linux::tcp::LinuxLan;

const HOST: &str = "mail.example.net";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
/// A day in 2036: certificates of this test are judged as of then, whatever the system's clock.
const NOW: u64 = 2_098_396_800;
const YEAR: u64 = 365 * 86_400;

/// A certificate, and the key to it.
struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.certificate).into())
    }
}

/// An authority.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        valid(&mut params, 0, 4 * NOW);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// For `name`, valid from `from` to `until`.
    fn sign(&self, name: &str, from: u64, until: u64) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        valid(&mut params, from, until);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: signed.der().clone(),
            key: key.serialize_der(),
        }
    }

    fn good(&self) -> Identity {
        self.sign(HOST, NOW - YEAR, NOW + YEAR)
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }
}

fn self_signed(name: &str, authority: bool) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    valid(&mut params, NOW - YEAR, NOW + YEAR);
    let key = KeyPair::generate().unwrap();
    Identity {
        certificate: params.self_signed(&key).unwrap().der().clone(),
        key: key.serialize_der(),
    }
}

fn valid(params: &mut CertificateParams, from: u64, until: u64) {
    let date = |unix: u64| {
        let year = 1970 + unix / YEAR;
        rcgen::date_time_ymd(i32::try_from(year).unwrap(), 1, 1)
    };
    (params.not_before, params.not_after) = (date(from), date(until));
}

/// A directory for one test, gone when it ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        Self(crate::linux::scratch(name))
    }

    fn write(&self, name: &str, octets: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, octets).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The server's end.
struct Server {
    tls: ServerConnection,
    /// What it sends once hands are shaken.
    script: Vec<u8>,
    /// It says good-bye after that.
    polite: bool,
    said: bool,
    heard: Vec<u8>,
}

fn server_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(identity.key.clone()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], key)
        .unwrap()
}

impl Server {
    fn new(config: &Arc<ServerConfig>, script: &[u8]) -> Self {
        let mut tls = ServerConnection::new(Arc::clone(config)).unwrap();
        // A test's script is sent whole.
        tls.set_buffer_limit(None);
        Self {
            tls,
            script: script.to_vec(),
            polite: true,
            said: false,
            heard: Vec::new(),
        }
    }

    /// Takes `octets`, and gives what it has to send.
    fn turn(&mut self, mut octets: &[u8]) -> Vec<u8> {
        while !octets.is_empty() {
            self.tls.read_tls(&mut octets).unwrap();
            // What is wrong with it the client is told by an alert.
            let _ = self.tls.process_new_packets();
        }
        let mut buf = [0; 4096];
        while let Ok(count @ 1..) = self.tls.reader().read(&mut buf) {
            self.heard.extend(&buf[..count]);
        }
        if !self.tls.is_handshaking() && !self.said {
            self.said = true;
            self.tls.writer().write_all(&self.script).unwrap();
            if self.polite {
                self.tls.send_close_notify();
            }
        }
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).unwrap();
        }
        out
    }
}

/// The stream below: what is on its way in both directions.
struct Pipe {
    wire: Rc<Wires>,
    chunk: usize,
}

#[derive(Default)]
struct Wires {
    down: RefCell<Vec<u8>>,
    up: RefCell<Vec<u8>>,
    /// The server's end is closed.
    closed: Cell<bool>,
    /// So much room there is on the way to the server.
    room: Cell<Option<usize>>,
}

impl ByteStream for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let mut down = self.wire.down.borrow_mut();
        let count = buf.len().min(down.len()).min(self.chunk);
        if count == 0 && self.wire.closed.get() {
            return Err(StreamError::Closed);
        }
        for (slot, octet) in buf.iter_mut().zip(down.drain(..count)) {
            *slot = octet;
        }
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let room = self.wire.room.get();
        let count = octets.len().min(self.chunk).min(room.unwrap_or(usize::MAX));
        self.wire.room.set(room.map(|room| room - count));
        self.wire.up.borrow_mut().extend(&octets[..count]);
        Ok(count)
    }
}

impl LanStream for Pipe {
    fn connection(&mut self) -> Connection {
        Connection::Open
    }

    fn start_tls(&mut self, _: Trust<'_>) {}

    fn is_near(&self) -> bool {
        true
    }
}

/// A client's end over a pipe, which trusts as `outcome` says.
fn client(outcome: authorities::Outcome, chunk: usize) -> (Secured<Pipe>, Rc<Wires>) {
    let wire = Rc::<Wires>::default();
    let pipe = Pipe {
        wire: Rc::clone(&wire),
        chunk,
    };
    let waker = Reactor::new().unwrap().waker();
    let authorities = Rc::new(RefCell::new(Authorities::new(waker, 0)));
    let mut client = Secured::new(pipe, HOST, authorities);
    client.state = State::Asking(Answer::ended(outcome));
    (client, wire)
}

/// What came of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    octets: Vec<u8>,
    failed: Option<TlsError>,
    ended: bool,
}

/// Runs both ends until nothing moves; `alter` sees each piece that the server sends, and may close
/// the wire.
fn run(
    client: &mut Secured<Pipe>,
    wire: &Wires,
    server: &mut Server,
    mut alter: impl FnMut(&mut Vec<u8>) -> bool,
) -> Came {
    let mut came = Came::default();
    let mut buf = [0; 700];
    loop {
        match client.connection() {
            Connection::Failed(ConnectError::Tls(error)) => {
                came.failed = Some(error);
                return came;
            }
            Connection::Open => {}
            _ => assert_eq!(client.read(&mut buf), Ok(0)),
        }
        let mut moved = false;
        if client.connection() == Connection::Open {
            match client.read(&mut buf) {
                Ok(count) => {
                    came.octets.extend(&buf[..count]);
                    moved |= count > 0;
                }
                Err(_) => {
                    came.ended = true;
                    return came;
                }
            }
        }
        let up = mem::take(&mut *wire.up.borrow_mut());
        let mut down = server.turn(&up);
        moved |= !up.is_empty() || !down.is_empty();
        if !down.is_empty() && alter(&mut down) {
            wire.closed.set(true);
        }
        wire.down.borrow_mut().extend(&down);
        moved |= !wire.down.borrow().is_empty() || wire.closed.get();
        if !moved {
            return came;
        }
    }
}

fn trusting(trust: Trust<'_>) -> authorities::Outcome {
    authorities::at_once(trust, NOW)
}

/// A connection to `identity` by someone with `trust`; a word goes both ways if all is well.
fn verdict(identity: &Identity, outcome: authorities::Outcome) -> Result<(), TlsError> {
    let mut verdicts = VERSIONS.map(|version| {
        let config = Arc::new(server_config(identity, &[version]));
        let mut server = Server::new(&config, b"+OK");
        let (mut client, wire) = client(outcome.clone(), 1000);
        let came = run(&mut client, &wire, &mut server, |_| false);
        match came.failed {
            Some(error) => {
                // Nothing was said to a server that is not trusted.
                assert!(server.heard.is_empty());
                Err(error)
            }
            None => {
                assert_eq!(came.octets, b"+OK");
                Ok(())
            }
        }
    });
    verdicts.rotate_left(1);
    assert_eq!(verdicts[0], verdicts[1], "both versions judge alike");
    verdicts[0]
}

#[test]
fn octets_pass_at_every_chunk_size() {
    let identity = self_signed(HOST, false);
    let trusted = trusting(Trust::Pin(identity.fingerprint())).unwrap();
    let script: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for version in VERSIONS {
        let config = Arc::new(server_config(&identity, &[version]));
        for chunk in (1..=64).chain([100, 1000, 5000, 70_000]) {
            let mut server = Server::new(&config, &script);
            let (mut client, wire) = client(Ok(Arc::clone(&trusted)), chunk);
            assert_eq!(client.connection(), Connection::Pending);
            // Nothing is taken before it is safe.
            assert_eq!(client.write(b"PASS secret"), Ok(0));
            let came = run(&mut client, &wire, &mut server, |_| false);
            assert!(came.octets == script && came.ended, "chunk {chunk}");
            assert_eq!(server.heard, b"");
        }
    }
}

#[test]
fn what_is_written_waits_for_room_and_comes_whole() {
    let identity = self_signed(HOST, false);
    let trusted = trusting(Trust::Pin(identity.fingerprint())).unwrap();
    let config = Arc::new(server_config(&identity, &VERSIONS));
    let mut server = Server::new(&config, b"");
    server.polite = false;
    let (mut client, wire) = client(Ok(trusted), 500);
    run(&mut client, &wire, &mut server, |_| false);
    let said: Vec<u8> = (0..50_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut at = 0;
    for turn in 0.. {
        assert!(turn < 10_000, "it never ends: {at}");
        // A server that reads now and then, and a little of it.
        wire.room.set(Some(turn % 7 * 300));
        at += client.write(&said[at..]).unwrap();
        client.connection();
        let up = mem::take(&mut *wire.up.borrow_mut());
        server.turn(&up);
        if server.heard.len() == said.len() {
            break;
        }
    }
    assert!(server.heard == said);
    assert_eq!(client.pending(), 0);
    // The end is said.
    wire.room.set(None);
    drop(client);
    let up = mem::take(&mut *wire.up.borrow_mut());
    server.turn(&up);
    assert_eq!(server.tls.reader().read(&mut [0]).unwrap(), 0, "good-bye");
}

#[test]
fn a_connection_cut_at_any_octet_gives_a_beginning_and_an_end() {
    let identity = self_signed(HOST, false);
    let pin = Trust::Pin(identity.fingerprint());
    let script = b"+OK\r\n1 one\r\n2 two\r\n.\r\n";
    for version in VERSIONS {
        let config = Arc::new(server_config(&identity, &[version]));
        for polite in [true, false] {
            let mut secure = 0;
            // Each shakes hands anew, so that all have as many octets: nothing is taken up.
            for cut in 0.. {
                let mut server = Server::new(&config, script);
                server.polite = polite;
                let (mut client, wire) = client(trusting(pin), 61);
                let mut left = cut;
                let came = run(&mut client, &wire, &mut server, |piece| {
                    let cut = piece.len() >= left;
                    piece.truncate(left);
                    left -= piece.len();
                    cut
                });
                if left > 0 {
                    // All has passed: without a cut there is no end but what the server says.
                    assert_eq!((&came.octets[..], came.ended), (&script[..], polite));
                    assert!(secure > 20, "{secure}");
                    break;
                }
                match came.failed {
                    Some(error) => assert_eq!(error, TlsError::Cut, "{cut}"),
                    None => {
                        assert!(script.starts_with(&came.octets) && came.ended, "{cut}");
                        // A record comes whole, or nothing of it.
                        assert!(came.octets.is_empty() || came.octets == script, "{cut}");
                        secure += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn a_wrong_octet_anywhere_gives_nothing_that_was_not_said() {
    let identity = self_signed(HOST, false);
    let pin = Trust::Pin(identity.fingerprint());
    let script = b"+OK\r\n";
    for version in VERSIONS {
        let config = Arc::new(server_config(&identity, &[version]));
        for wrong in 0.. {
            let mut server = Server::new(&config, script);
            let (mut client, wire) = client(trusting(pin), 900);
            let mut passed = 0;
            let came = run(&mut client, &wire, &mut server, |piece| {
                if let Some(octet) = piece.get_mut(usize::wrapping_sub(wrong, passed)) {
                    *octet ^= 0x21;
                }
                passed += piece.len();
                // A length made longer waits for ever.
                false
            });
            let whole = came.octets == script;
            assert!(came.octets.is_empty() || whole, "{wrong}");
            // Behind the script stands the good-bye alone.
            assert!(
                !whole || wrong + 40 > passed || came.ended,
                "{wrong} of {passed}"
            );
            if wrong > passed {
                break;
            }
        }
    }
}

#[test]
fn certificates_are_judged() {
    let directory = Directory::new("tls-judged");
    let authority = Authority::new();
    let own = directory.write("own.pem", authority.pem());
    let own = Trust::Authorities(&own);
    let good = authority.good();
    let fingerprint = good.fingerprint();
    assert_eq!(verdict(&good, trusting(own)), Ok(()));
    assert_eq!(verdict(&good, trusting(Trust::Pin(fingerprint))), Ok(()));

    // Signed by somebody else, or by somebody who only has the same name.
    let other = directory.write("other.pem", Authority::new().pem());
    let stranger = verdict(&good, trusting(Trust::Authorities(&other)));
    assert_eq!(stranger, Err(TlsError::UnknownAuthority(fingerprint)));
    let lone = self_signed(HOST, false);
    let unknown = TlsError::UnknownAuthority(lone.fingerprint());
    assert_eq!(verdict(&lone, trusting(own)), Err(unknown));
    // An authority that vouches for itself: nobody else does, so only a pin helps.
    let both = self_signed(HOST, true);
    let judged = verdict(&both, trusting(own));
    let unfit = TlsError::Unfit(both.fingerprint());
    let unknown = TlsError::UnknownAuthority(both.fingerprint());
    assert!(judged == Err(unfit) || judged == Err(unknown), "{judged:?}");
    for identity in [&lone, &both] {
        let pin = Trust::Pin(identity.fingerprint());
        assert_eq!(verdict(identity, trusting(pin)), Ok(()));
        let another = TlsError::OtherCertificate(identity.fingerprint());
        let wrong = trusting(Trust::Pin(fingerprint));
        assert_eq!(verdict(identity, wrong), Err(another));
    }

    // Another host, its parent, its child.
    for name in [
        "mail.example.com",
        "example.net",
        "a.mail.example.net",
        "*.mail.example.net",
    ] {
        let identity = authority.sign(name, NOW - YEAR, NOW + YEAR);
        let wrong = TlsError::OtherName(identity.fingerprint());
        assert_eq!(verdict(&identity, trusting(own)), Err(wrong), "{name}");
        let pin = Trust::Pin(identity.fingerprint());
        assert_eq!(verdict(&identity, trusting(pin)), Ok(()), "{name}");
    }
    let star = authority.sign("*.example.net", NOW - YEAR, NOW + YEAR);
    assert_eq!(verdict(&star, trusting(own)), Ok(()));

    // Dates: by a clock that never shows less than what is known to have passed.
    let old = authority.sign(HOST, NOW - 9 * YEAR, NOW - 2 * YEAR);
    let expired = verdict(&old, trusting(own));
    let Err(TlsError::Expired { until, now }) = expired else {
        panic!("{expired:?}");
    };
    assert_eq!((until < now, now), (true, NOW));
    let young = authority.sign(HOST, NOW + 3 * YEAR, NOW + 9 * YEAR);
    let early = verdict(&young, trusting(own));
    let Err(TlsError::NotYetValid { from, now }) = early else {
        panic!("{early:?}");
    };
    assert_eq!((from > now, now), (true, NOW));
    assert_eq!(
        verdict(&young, authorities::at_once(own, NOW + 5 * YEAR)),
        Ok(())
    );
    for identity in [&old, &young] {
        let pin = Trust::Pin(identity.fingerprint());
        assert_eq!(verdict(identity, trusting(pin)), Ok(()));
    }
}

#[test]
fn files_of_authorities_are_read_as_people_have_them() {
    let directory = Directory::new("tls-files");
    let authority = Authority::new();
    let good = authority.good();
    let pem = authority.pem();
    let others = Authority::new().pem();
    let text = format!("# what we trust\r\n{others}\n\nours:\n{pem}trailing");
    let crlf = pem.replace('\n', "\r\n");
    let broken = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{pem}");
    let der = authority.issuer.der().to_vec();
    for (name, octets) in [
        ("text", text.as_bytes()),
        ("crlf", crlf.as_bytes()),
        ("broken", broken.as_bytes()),
        ("der", &der),
    ] {
        let path = directory.write(name, octets);
        let outcome = trusting(Trust::Authorities(&path));
        assert_eq!(verdict(&good, outcome), Ok(()), "{name}");
    }
    for (name, octets) in [
        ("empty", &b""[..]),
        ("words", b"no certificate\n"),
        ("key", b"\0"),
    ] {
        let path = directory.write(name, octets);
        let outcome = trusting(Trust::Authorities(&path));
        assert_eq!(outcome.err(), Some(TlsError::NoCertificates), "{name}");
    }
    let huge = directory.write("huge", vec![b'#'; 5 << 20]);
    let absent = directory.0.join("absent");
    for path in [&huge, absent.to_str().unwrap(), "/dev/zero", "/"] {
        let outcome = trusting(Trust::Authorities(path));
        assert_eq!(outcome.err(), Some(TlsError::Unreadable), "{path}");
    }
}

#[test]
fn a_server_without_tls_is_seen_at_its_first_octets() {
    let trusted = trusting(Trust::Pin(Fingerprint([0; 32]))).unwrap();
    let texts = [
        &b"+OK POP3 server ready\r\n"[..],
        b"* OK IMAP4rev1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR\r\n",
        &[0; 40],
        &[0xff; 40],
    ];
    for text in texts {
        for chunk in 1..=text.len() {
            let (mut client, wire) = client(Ok(Arc::clone(&trusted)), chunk);
            wire.down.borrow_mut().extend(text);
            assert_eq!(
                client.connection(),
                Connection::Failed(ConnectError::Tls(TlsError::NotTls)),
                "{}, chunk {chunk}",
                text.escape_ascii()
            );
            assert_eq!(client.read(&mut [0]), Err(StreamError::Closed));
            assert_eq!(client.write(b"x"), Err(StreamError::Closed));
        }
    }
}

/// The server hears nothing but noise: the alert that it sends is told to the owner.
#[test]
fn a_server_that_refuses_is_heard() {
    for (alert, told) in [
        (40, TlsError::NothingInCommon),
        (70, TlsError::NothingInCommon),
        (80, TlsError::Refused(80)),
        (112, TlsError::Refused(112)),
    ] {
        let trusted = trusting(Trust::Pin(Fingerprint([0; 32])));
        let (mut client, wire) = client(trusted, 3);
        wire.down.borrow_mut().extend([21, 3, 3, 0, 2, 2, alert]);
        assert_eq!(
            client.connection(),
            Connection::Failed(ConnectError::Tls(told)),
            "{alert}"
        );
    }
}

#[test]
fn noise_without_end_is_given_up() {
    let identity = self_signed(HOST, false);
    let trusted = trusting(Trust::Pin(identity.fingerprint())).unwrap();
    // Thousands of tickets: each is genuine, and none is a word.
    let mut config = server_config(&identity, &[&version::TLS13]);
    config.send_tls13_tickets = 4000;
    let mut server = Server::new(&Arc::new(config), b"+OK\r\n");
    let (mut client, wire) = client(Ok(trusted), usize::MAX);
    let came = run(&mut client, &wire, &mut server, |_| false);
    assert_eq!((came.octets.len(), came.ended), (0, true));
    assert!(!wire.down.borrow().is_empty(), "not all of it was read");
}

#[test]
fn the_second_connection_takes_up_the_first() {
    let identity = self_signed(HOST, false);
    let trusted = trusting(Trust::Pin(identity.fingerprint())).unwrap();
    for version in VERSIONS {
        let config = Arc::new(server_config(&identity, &[version]));
        let kinds = [0; 3].map(|_| {
            let mut server = Server::new(&config, b"+OK\r\n");
            let (mut client, wire) = client(Ok(Arc::clone(&trusted)), 999);
            let came = run(&mut client, &wire, &mut server, |_| false);
            assert_eq!(came.octets, b"+OK\r\n");
            server.tls.handshake_kind()
        });
        let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));
        assert_eq!(kinds, [full, resumed, resumed], "{version:?}");
    }
}

/// A server of one connection on a socket, in a thread: it shakes hands when it may.
fn listen(identity: &Identity, may: Arc<AtomicBool>) -> (u16, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(server_config(identity, &VERSIONS));
    let serve = move || {
        let (mut socket, _) = listener.accept().unwrap();
        while !may.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let mut tls = ServerConnection::new(config).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&[b'x'; 40_000]).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        heard.to_vec()
    };
    (port, thread::spawn(serve))
}

#[test]
fn a_stalled_handshake_holds_nobody_and_wakes_the_loop_when_it_goes_on() {
    let directory = Directory::new("tls-socket");
    let authority = Authority::new();
    // As of today: this is judged by the system's clock.
    let identity = authority.sign("127.0.0.1", 0, 2 * NOW);
    let own = directory.write("own.pem", authority.pem());
    let reactor = Reactor::new().unwrap();
    let mut lan = LinuxLan::new(&reactor);
    let may = Arc::new(AtomicBool::new(false));
    let (port, server) = listen(&identity, Arc::clone(&may));
    let mut stream = lan.connect("127.0.0.1", port);
    // While the connection is on its way: TLS from the first octet.
    stream.start_tls(Trust::Authorities(&own));
    for _ in 0..50 {
        assert_eq!(stream.connection(), Connection::Pending);
        assert_eq!(stream.read(&mut [0; 9]), Ok(0));
        assert_eq!(stream.write(b"CAPA"), Ok(0));
        reactor.wait(Some(Duration::from_millis(1)));
    }
    may.store(true, Ordering::Release);
    while stream.connection() == Connection::Pending {
        reactor.wait(None);
    }
    assert_eq!(stream.connection(), Connection::Open);
    assert!(stream.is_near());
    assert_eq!(stream.write(b"CAPA"), Ok(4));
    let mut octets = 0;
    let mut buf = [0; 1000];
    let end = loop {
        match stream.read(&mut buf) {
            Ok(0) => drop(reactor.wait(None)),
            Ok(count) => octets += count,
            Err(end) => break end,
        }
    };
    assert_eq!((octets, end), (40_000, StreamError::Closed));
    assert_eq!(server.join().unwrap(), b"CAPA");
}

#[test]
fn a_connection_that_comes_to_nothing_says_so_before_tls() {
    let reactor = Reactor::new().unwrap();
    let mut lan = LinuxLan::new(&reactor);
    let deserted = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut stream = lan.connect("127.0.0.1", deserted);
    stream.start_tls(Trust::Machine);
    while stream.connection() == Connection::Pending {
        reactor.wait(None);
    }
    let refused = ConnectError::Refused;
    let Connection::Failed(error) = stream.connection() else {
        panic!("{:?}", stream.connection());
    };
    // A machine without authorities may say that first.
    let lacking = ConnectError::Tls(TlsError::NoAuthorities);
    assert!(error == refused || error == lacking, "{error}");
}
