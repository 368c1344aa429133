//! Certificates of all sorts.

use crate::certificate::Certificate;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Somebody who issues certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
}

/// A certificate with its key.
pub(super) struct Issued {
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
    key: KeyPair,
}

/// What a certificate says beyond its name.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts {
    pub(super) usage: Usage,
    pub(super) days: Days,
    pub(super) is_authority: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Usage {
    #[default]
    Any,
    Client,
    Server,
    Code,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Days {
    #[default]
    Now,
    Past,
    Future,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// One below it.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn issue(&self, name: &str, facts: Facts) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, facts).signed_by(&key, &self.issuer).unwrap();
        Issued::new(&certificate, key)
    }

    /// For a server of that name.
    pub(super) fn server(&self, name: &str) -> Certificate {
        self.issue(name, Facts::default()).certificate()
    }
}

impl Issued {
    pub(super) fn self_signed(name: &str, facts: Facts) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, facts).self_signed(&key).unwrap();
        Self::new(&certificate, key)
    }

    fn new(certificate: &rcgen::Certificate, key: KeyPair) -> Self {
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }

    pub(super) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.pem.as_bytes(), self.key.serialize_pem().as_bytes(), None).unwrap()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn params(name: &str, facts: Facts) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = match facts.usage {
        Usage::Any => Vec::new(),
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Code => vec![ExtendedKeyUsagePurpose::CodeSigning],
    };
    let (first, last) = match facts.days {
        Days::Now => (2020, 4000),
        Days::Past => (2020, 2021),
        Days::Future => (3000, 4000),
    };
    params.not_before = date_time_ymd(first, 1, 1);
    params.not_after = date_time_ymd(last, 1, 1);
    if facts.is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}
