//! Certificates, made as a test needs them: of an authority, self-signed, for any name and time.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

/// A server's certificate and its key, in PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// From the first day of one year to that of another.
pub(crate) type Years = (i32, i32);

/// So long that no test lives to see its end.
pub(crate) const ALWAYS: Years = (1990, 2200);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = params(&[], ALWAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self(issuer.unwrap())
    }

    /// Its own certificate, in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `names` that it has signed. It lasts as long as the test.
    pub(crate) fn sign(&self, names: &[&str], years: Years) -> &'static Identity {
        let key = KeyPair::generate().unwrap();
        let signed = params(names, years).signed_by(&key, &self.0).unwrap();
        Box::leak(Box::new(Identity {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        }))
    }
}

/// A certificate that nobody vouches for. It lasts as long as the test.
pub(crate) fn self_signed(names: &[&str]) -> &'static Identity {
    let key = KeyPair::generate().unwrap();
    let own = params(names, ALWAYS).self_signed(&key).unwrap();
    Box::leak(Box::new(Identity {
        certificate: own.pem(),
        key: key.serialize_pem(),
    }))
}

fn params(names: &[&str], (from, until): Years) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}

impl Identity {
    /// What `pin` wants, as `openssl` computes it: another program than the one under test.
    pub(crate) fn fingerprint(&self) -> String {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut openssl = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl");
        let mut input = openssl.stdin.take().unwrap();
        input.write_all(self.certificate.as_bytes()).unwrap();
        drop(input);
        let said = openssl.wait_with_output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let (_, digits) = said.trim().split_once('=').expect("NAME=HEX");
        format!("sha256:{digits}")
    }
}
