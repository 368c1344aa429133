//! What passwords open: PBES2, and the older schemes of PKCS#12.

use pkcs8::der::{Decode, ErrorKind};
use pkcs8::pkcs5;
use pkcs8::pkcs5::pbes2::{Kdf, PBES2_OID, Parameters};
use x509_cert::der::Encode;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// Why something stays shut. The caller knows the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    WrongPassword,
    /// Written in a way that is not read here: which.
    Unsupported(String),
    Malformed(String),
    TooManyRounds(u64),
}

/// How many rounds of key derivation a file may still cost.
pub(super) struct Rounds(u64);

impl Rounds {
    /// Several seconds' worth. The slowest files seen in earnest want 600,000.
    pub(super) const LIMIT: u64 = 5_000_000;

    pub(super) fn new() -> Self {
        Self(Self::LIMIT)
    }

    pub(super) fn spend(&mut self, rounds: u64) -> Result<(), Failure> {
        match self.0.checked_sub(rounds) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Failure::TooManyRounds((Self::LIMIT - self.0).saturating_add(rounds))),
        }
    }
}

/// A password in the two shapes that the schemes want.
pub(super) struct Password<'a> {
    pub(super) text: &'a str,
    /// UTF-16, big-endian, with a terminator; no bytes at all is what .NET makes of no password.
    #[cfg(feature = "pfx")]
    pub(super) wide: Vec<u8>,
}

impl<'a> Password<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            #[cfg(feature = "pfx")]
            wide: text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect(),
        }
    }

    #[cfg(feature = "pfx")]
    pub(super) fn of_no_bytes() -> Self {
        Self {
            text: "",
            wide: Vec::new(),
        }
    }
}

/// Opens what an algorithm has closed. A wrong password is not always noticed here: the caller looks at what comes out.
pub(super) fn decrypt(
    algorithm: &AlgorithmIdentifierOwned,
    data: &[u8],
    password: &Password<'_>,
    rounds: &mut Rounds,
) -> Result<Vec<u8>, Failure> {
    let parameters = algorithm.parameters.as_ref().map(Encode::to_der);
    let Some(Ok(parameters)) = parameters else {
        return Err(Failure::Malformed("its encryption has no parameters".to_owned()));
    };
    if algorithm.oid == PBES2_OID {
        pbes2(&parameters, data, password, rounds)
    } else {
        older(algorithm, &parameters, data, password, rounds)
    }
}

fn pbes2(parameters: &[u8], data: &[u8], password: &Password<'_>, rounds: &mut Rounds) -> Result<Vec<u8>, Failure> {
    let parameters = Parameters::from_der(parameters).map_err(|error| match error.kind() {
        ErrorKind::OidUnknown { oid } => Failure::Unsupported(format!("encryption with the algorithm {oid}")),
        _ => Failure::Malformed(format!("the parameters of its encryption are damaged ({error})")),
    })?;
    match &parameters.kdf {
        Kdf::Pbkdf2(it) => rounds.spend(it.iteration_count.into())?,
        Kdf::Scrypt(it) => {
            let blocks = it.cost_parameter.saturating_mul(it.block_size.into());
            if blocks > MAX_SCRYPT_BLOCKS {
                let memory = blocks.saturating_mul(128) >> 20;
                return Err(Failure::Unsupported(format!("scrypt with {memory} MiB of memory")));
            }
            rounds.spend(blocks.saturating_mul(it.parallelization.into()))?;
        }
        _ => return Err(Failure::Unsupported("an unknown key derivation".to_owned())),
    }
    parameters.decrypt(password.text, data).map_err(|error| match error {
        pkcs5::Error::UnsupportedAlgorithm { oid } => {
            Failure::Unsupported(format!("encryption with the algorithm {oid}"))
        }
        pkcs5::Error::AlgorithmParametersInvalid { .. } => {
            Failure::Malformed("the parameters of its encryption are wrong".to_owned())
        }
        _ => Failure::WrongPassword,
    })
}

/// 64 MiB; OpenSSL takes 16 MiB.
const MAX_SCRYPT_BLOCKS: u64 = (64 << 20) / 128;

#[cfg(not(feature = "pfx"))]
fn older(
    algorithm: &AlgorithmIdentifierOwned,
    _: &[u8],
    _: &[u8],
    _: &Password<'_>,
    _: &mut Rounds,
) -> Result<Vec<u8>, Failure> {
    Err(Failure::Unsupported(format!(
        "encryption with the algorithm {} (the feature pfx, which is off, may know it)",
        algorithm.oid
    )))
}

#[cfg(feature = "pfx")]
fn older(
    algorithm: &AlgorithmIdentifierOwned,
    parameters: &[u8],
    data: &[u8],
    password: &Password<'_>,
    rounds: &mut Rounds,
) -> Result<Vec<u8>, Failure> {
    use pkcs12::{
        PKCS_12_PBE_WITH_SHAAND2_KEY_TRIPLE_DES_CBC as TRIPLE_DES_2,
        PKCS_12_PBE_WITH_SHAAND3_KEY_TRIPLE_DES_CBC as TRIPLE_DES, PKCS_12_PBE_WITH_SHAAND128_BIT_RC2_CBC as RC2_128,
        PKCS_12_PBEWITH_SHAAND40_BIT_RC2_CBC as RC2_40,
    };
    let open = match algorithm.oid {
        TRIPLE_DES => pkcs12_cbc::<des::TdesEde3, 24>,
        TRIPLE_DES_2 => pkcs12_cbc::<des::TdesEde2, 16>,
        RC2_128 => pkcs12_cbc::<rc2::Rc2, 16>,
        RC2_40 => pkcs12_cbc::<rc2::Rc2, 5>,
        other => return Err(Failure::Unsupported(format!("encryption with the algorithm {other}"))),
    };
    let parameters = pkcs12::pbe_params::Pkcs12PbeParams::from_der(parameters)
        .map_err(|error| Failure::Malformed(format!("the parameters of its encryption are damaged ({error})")))?;
    open(&parameters, data, password, rounds)
}

/// RFC 7292 appendix C: key and initialisation vector from the password, then a block cipher in CBC mode.
#[cfg(feature = "pfx")]
fn pkcs12_cbc<Cipher, const KEY: usize>(
    parameters: &pkcs12::pbe_params::Pkcs12PbeParams,
    data: &[u8],
    password: &Password<'_>,
    rounds: &mut Rounds,
) -> Result<Vec<u8>, Failure>
where
    Cipher: cbc::cipher::KeyInit + cbc::cipher::BlockCipherDecrypt,
{
    use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
    use pkcs12::kdf::{Pkcs12KeyType, derive_key};
    use sha1::Sha1;

    let salt = parameters.salt.as_bytes();
    let count = checked_rounds(parameters.iterations)?;
    // Two blocks of SHA-1 at most for the key, one for the vector.
    rounds.spend(u64::from(count.unsigned_abs()) * 3)?;
    let key = derive_key::<Sha1>(&password.wide, salt, Pkcs12KeyType::EncryptionKey, count, KEY);
    let vector = derive_key::<Sha1>(&password.wide, salt, Pkcs12KeyType::Iv, count, 8);
    let cipher = cbc::Decryptor::<Cipher>::new_from_slices(&key, &vector)
        .map_err(|_| Failure::Malformed("the key of its encryption has a wrong length".to_owned()))?;
    cipher
        .decrypt_padded_vec::<Pkcs7>(data)
        .map_err(|_| Failure::WrongPassword)
}

/// A count of rounds as PKCS#12 has it, where at least one is meant.
#[cfg(feature = "pfx")]
pub(super) fn checked_rounds(count: i32) -> Result<i32, Failure> {
    match count {
        1.. => Ok(count),
        _ => Err(Failure::Malformed(format!(
            "it asks for {count} rounds of key derivation"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit for each round alone would let a file with many of them take minutes.
    #[test]
    fn rounds_are_counted_over_the_whole_file() {
        let mut rounds = Rounds::new();
        assert_eq!(rounds.spend(3_000_000), Ok(()));
        assert_eq!(rounds.spend(2_000_000), Ok(()));
        assert_eq!(rounds.spend(1), Err(Failure::TooManyRounds(5_000_001)));
        assert_eq!(rounds.spend(0), Ok(()));
        assert_eq!(Rounds::new().spend(u64::MAX), Err(Failure::TooManyRounds(u64::MAX)));
    }
}
