//! Whom a TLS connection believes: read from files, and kept, by a helper thread.
//!
//! The machine's list of authorities has some 140 certificates, on a card that may be slow, and an
//! owner's own may lie anywhere. So a thread of its own reads them and makes of them what a
//! connection needs; the loop asks ([`Authorities::ask`]) and looks for the [`Answer`]. What was
//! made is kept, with its few session tickets, until its file changes.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;
use std::{env, thread};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use super::reactor::Waker;
use crate::tls::{Fingerprint, TlsError, Trust};

/// Asks the helper.
pub(super) struct Authorities {
    waker: Waker,
    clock: Arc<FlooredClock>,
    questions: Option<SyncSender<Question>>,
}

/// What a connection that trusts somebody needs.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) config: Arc<ClientConfig>,
    pub(super) judge: Arc<Judge>,
}

/// What comes of a question.
pub(super) type Outcome = Result<Arc<Trusted>, TlsError>;

/// The place of an answer; dropping it withdraws the question.
pub(super) struct Answer(Arc<Mutex<Option<Outcome>>>);

struct Question {
    wanted: Wanted,
    /// Gone if nobody waits for it any more.
    answer: Weak<Mutex<Option<Outcome>>>,
}

/// A [`Trust`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Machine,
    File(PathBuf),
    Pin(Fingerprint),
}

impl From<Trust<'_>> for Wanted {
    fn from(trust: Trust<'_>) -> Self {
        match trust {
            Trust::Machine => Self::Machine,
            Trust::Authorities(path) => Self::File(path.into()),
            Trust::Pin(pin) => Self::Pin(pin),
        }
    }
}

impl Authorities {
    /// Wakes the loop by `waker` when there is an answer. Certificates are judged by the system's
    /// clock, as if it never showed a moment before `floor`, seconds since 1970-01-01.
    pub(super) fn new(waker: Waker, floor: u64) -> Self {
        Self {
            waker,
            clock: Arc::new(FlooredClock(AtomicU64::new(floor))),
            questions: None,
        }
    }

    /// No certificate is judged as of a moment before `unix` any more.
    pub(super) fn keep_clock_above(&self, unix: u64) {
        self.clock.0.fetch_max(unix, Ordering::Relaxed);
    }

    /// Asks for what a connection with `trust` needs.
    pub(super) fn ask(&mut self, trust: Trust<'_>) -> Answer {
        let answer = Arc::new(Mutex::new(None));
        let question = Question {
            wanted: trust.into(),
            answer: Arc::downgrade(&answer),
        };
        match self.helper().map(|helper| helper.try_send(question)) {
            Some(Ok(())) => Answer(answer),
            // No thread, or more questions than visits could ever ask.
            _ => Answer::ended(Err(TlsError::Unreadable)),
        }
    }

    fn helper(&mut self) -> Option<&SyncSender<Question>> {
        if self.questions.is_none() {
            let (sender, receiver) = sync_channel(QUESTIONS);
            let (waker, clock) = (self.waker.clone(), Arc::clone(&self.clock));
            let helper = thread::Builder::new().name("authorities".into());
            helper
                .spawn(move || serve(&receiver, &clock, &waker))
                .ok()?;
            self.questions = Some(sender);
        }
        self.questions.as_ref()
    }
}

impl Answer {
    /// The outcome, if there is one. Gives it once.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn ended(outcome: Outcome) -> Self {
        Self(Arc::new(Mutex::new(Some(outcome))))
    }
}

/// The helper: answers until nobody can ask any more.
fn serve(questions: &Receiver<Question>, clock: &Arc<FlooredClock>, waker: &Waker) {
    let mut known = Vec::new();
    for question in questions {
        let Some(answer) = question.answer.upgrade() else {
            continue;
        };
        let outcome = look(&mut known, question.wanted, clock);
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        waker.wake();
    }
}

/// What was made once.
struct Known {
    wanted: Wanted,
    stamp: Option<Stamp>,
    trusted: Arc<Trusted>,
}

/// Which state of which file something was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path, metadata: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            place: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is wanted, if need be made anew.
fn look(known: &mut Vec<Known>, wanted: Wanted, clock: &Arc<FlooredClock>) -> Outcome {
    let file = match &wanted {
        Wanted::Machine => Some(machines_file()?),
        Wanted::File(path) => Some(path.clone()),
        Wanted::Pin(_) => None,
    };
    let stamp = match &file {
        Some(path) => {
            // A pipe or a terminal would hold us for ever.
            let metadata = fs::metadata(path).ok().filter(Metadata::is_file);
            Some(Stamp::of(path, &metadata.ok_or(TlsError::Unreadable)?))
        }
        None => None,
    };
    let same = |it: &&Known| it.wanted == wanted && it.stamp == stamp;
    if let Some(found) = known.iter().find(same) {
        return Ok(Arc::clone(&found.trusted));
    }
    let provider = Arc::new(ring::default_provider());
    let rule = match (&wanted, &file) {
        (Wanted::Pin(pin), _) => Rule::Pin(*pin),
        (_, Some(path)) => Rule::Authorities(verifier(path, &provider)?),
        (_, None) => return Err(TlsError::NoAuthorities),
    };
    let trusted = Arc::new(Trusted::new(rule, provider, clock)?);
    known.retain(|it| it.wanted != wanted);
    if known.len() == KNOWN {
        known.remove(0);
    }
    known.push(Known {
        wanted,
        stamp,
        trusted: Arc::clone(&trusted),
    });
    Ok(trusted)
}

/// Where this machine keeps the authorities that it trusts.
fn machines_file() -> Result<PathBuf, TlsError> {
    if let Some(path) = env::var_os("SSL_CERT_FILE") {
        return Ok(path.into());
    }
    let there = BUNDLES.iter().map(Path::new).find(|path| path.exists());
    Ok(there.ok_or(TlsError::NoAuthorities)?.to_owned())
}

/// What judges by the authorities in the file at `path`.
fn verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_OCTETS).read_to_end(&mut octets));
    if read.is_err() || octets.len() as u64 == FILE_OCTETS {
        return Err(TlsError::Unreadable);
    }
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&octets);
    // One that is broken, or too old to be understood, is nobody's fault who uses the others.
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        // Some programs write a single one without any text around it.
        let _ = roots.add(CertificateDer::from(octets));
    }
    let roots = Arc::new(roots);
    let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
    builder.build().map_err(|_| TlsError::NoCertificates)
}

impl Trusted {
    fn new(
        rule: Rule,
        provider: Arc<CryptoProvider>,
        clock: &Arc<FlooredClock>,
    ) -> Result<Self, TlsError> {
        let judge = Arc::new(Judge {
            rule,
            algorithms: provider.signature_verification_algorithms,
            seen: Mutex::new(None),
        });
        let clock: Arc<dyn TimeProvider> = Arc::<FlooredClock>::clone(clock);
        let builder = ClientConfig::builder_with_details(provider, clock);
        // The versions that are safe are all that the library knows: 1.2 and 1.3.
        let builder = builder.with_safe_default_protocol_versions();
        let mut config = builder
            .map_err(|_| TlsError::Misbehaved)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Judge>::clone(&judge))
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SERVERS);
        let config = Arc::new(config);
        Ok(Self { config, judge })
    }
}

/// Judges a server's certificate, and remembers which it was: an owner who is to be told of it
/// needs its fingerprint.
#[derive(Debug)]
pub(super) struct Judge {
    rule: Rule,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Fingerprint>>,
}

#[derive(Debug)]
enum Rule {
    Authorities(Arc<WebPkiServerVerifier>),
    Pin(Fingerprint),
}

impl Judge {
    /// The certificate that was judged since this was asked last. One thread shakes hands, one
    /// connection after the other.
    pub(super) fn take_seen(&self) -> Option<Fingerprint> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = Fingerprint(Sha256::digest(end_entity).into());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        match &self.rule {
            Rule::Pin(pin) if *pin == fingerprint => Ok(ServerCertVerified::assertion()),
            Rule::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Rule::Authorities(authorities) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The system's clock, but never before a moment that is known to have passed.
#[derive(Debug)]
struct FlooredClock(AtomicU64);

impl TimeProvider for FlooredClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let floor = Duration::from_secs(self.0.load(Ordering::Relaxed));
        let now = since.unwrap_or_default().max(floor);
        Some(UnixTime::since_unix_epoch(now))
    }
}

/// Where systems keep the authorities that they trust: Debian and its kin, Fedora's, Alpine's.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// A file of authorities is shorter than this: Debian's has 220 KB.
const FILE_OCTETS: u64 = 4 << 20;
/// Questions that may wait: twice as many as visits open side by side.
const QUESTIONS: usize = 8;
/// So many different ways to trust are kept ready; a list of 140 authorities takes some 100 KB.
const KNOWN: usize = 8;
/// Servers of which session tickets are kept, for each way to trust.
const SERVERS: usize = 4;

/// What the helper would answer, at once; certificates are judged as of `floor` at the earliest.
#[cfg(test)]
pub(super) fn at_once(trust: Trust<'_>, floor: u64) -> Outcome {
    let wanted = Wanted::from(trust);
    let clock = Arc::new(FlooredClock(AtomicU64::new(floor)));
    look(&mut Vec::new(), wanted, &clock)
}
