//! Public keys that verify tokens, as they stand in files and in what identity providers publish.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, ThumbprintHash},
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde::Deserialize;
use serde_json::Value;
use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
        OID_SIG_ED25519,
    },
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

/// Keys of one file or URL at most. Providers publish two to five.
const MAX_KEYS: usize = 100;
/// Bits of an RSA modulus at least (NIST SP 800-131A), and at most, since the time to verify grows
/// with their square.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// All algorithms there are for a token. None of them is symmetric: a public key would be its
/// secret.
pub(super) const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::PS256,
];

/// Why something holds no keys that can be used. None of these repeats what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither form.
    #[error("must be public keys in PEM (PUBLIC KEY) or a JSON Web Key Set")]
    Malformed,
    /// A private key, which the service must not have.
    #[error("holds a private key; services get the public one only")]
    Private,
    /// A key that no accepted algorithm has, or a weak one.
    #[error("holds a key that is not Ed25519, P-256, P-384, or RSA of 2048 to 8192 bits")]
    Unfit,
    /// Nothing that verifies signatures.
    #[error("holds no key that verifies signatures")]
    Empty,
    /// More than a set may have.
    #[error("holds more than 100 keys")]
    TooMany,
    /// Not what signs tokens.
    #[error("the key is not an Ed25519 private key in PEM form")]
    NotPrivate,
}

/// A public key, with the algorithms that it is for.
#[derive(Clone)]
pub(super) struct Key {
    /// By which tokens name it: as its issuer says, or else its thumbprint.
    pub(super) id: String,
    /// Of its own type, never of a token's header.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// The material of a key, in any form.
enum Material {
    Ed25519(Vec<u8>),
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

/// The keys of a file or an answer, in either form.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    let keys = if bytes.trim_ascii_start().starts_with(b"{") {
        of_set(bytes)?
    } else {
        of_pem(bytes)?
    };
    match keys.len() {
        0 => Err(KeyError::Empty),
        1..=MAX_KEYS => Ok(keys),
        _ => Err(KeyError::TooMany),
    }
}

/// Each key of a PEM file must be fit: an operator put it there.
fn of_pem(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|_| KeyError::Malformed)?;
        if kind == SectionKind::PublicKey {
            let material = of_der(&der).ok_or(KeyError::Unfit)?;
            keys.push(Key::new(material, None)?);
        } else if [
            SectionKind::PrivateKey,
            SectionKind::EcPrivateKey,
            SectionKind::RsaPrivateKey,
        ]
        .contains(&kind)
        {
            return Err(KeyError::Private);
        }
    }
    if keys.is_empty() {
        return Err(KeyError::Malformed);
    }
    Ok(keys)
}

/// A `SubjectPublicKeyInfo` (RFC 5280).
fn of_der(der: &[u8]) -> Option<Material> {
    let (_, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
    let algorithm = &info.algorithm.algorithm;
    let bytes = info.subject_public_key.data.to_vec();
    if *algorithm == OID_SIG_ED25519 {
        Some(Material::Ed25519(bytes))
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
        if curve == OID_EC_P256 {
            Some(Material::P256(bytes))
        } else if curve == OID_NIST_EC_P384 {
            Some(Material::P384(bytes))
        } else {
            None
        }
    } else if *algorithm == OID_PKCS1_RSAENCRYPTION
        && let Ok(PublicKey::RSA(key)) = info.parsed()
    {
        Some(Material::Rsa {
            modulus: key.modulus.to_vec(),
            exponent: key.exponent.to_vec(),
        })
    } else {
        None
    }
}

/// Keys of a set that are for something else are left out: providers publish what encrypts, too.
fn of_set(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_slice(bytes).map_err(|_| KeyError::Malformed)?;
    if keys.len() > MAX_KEYS {
        return Err(KeyError::TooMany);
    }
    // Private parts of RFC 7518, sections 6.2.2 and 6.3.2.
    if keys.iter().any(|key| key.get("d").is_some()) {
        return Err(KeyError::Private);
    }
    let keys = keys.into_iter().filter_map(|key| {
        let jwk = serde_json::from_value::<Jwk>(key).ok()?;
        of_jwk(&jwk)
    });
    Ok(keys.collect())
}

fn of_jwk(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let verifies = common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !verifies {
        return None;
    }
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let material = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Material::Ed25519(decoded(&pair.x)?)
        }
        AlgorithmParameters::EllipticCurve(key) => {
            let point = [vec![4], decoded(&key.x)?, decoded(&key.y)?].concat();
            if key.curve == EllipticCurve::P256 {
                Material::P256(point)
            } else if key.curve == EllipticCurve::P384 {
                Material::P384(point)
            } else {
                return None;
            }
        }
        AlgorithmParameters::RSA(key) => Material::Rsa {
            modulus: decoded(&key.n)?,
            exponent: decoded(&key.e)?,
        },
        AlgorithmParameters::OctetKey(_)
        | AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::Other(_)
        | _ => return None,
    };
    let mut key = Key::new(material, common.key_id.clone()).ok()?;
    if let Some(only) = common.key_algorithm {
        let only = Algorithm::try_from(only).ok()?;
        key.algorithms.retain(|algorithm| *algorithm == only);
    }
    (!key.algorithms.is_empty()).then_some(key)
}

impl Key {
    fn new(material: Material, id: Option<String>) -> Result<Self, KeyError> {
        let (decoding, algorithms) = match material {
            Material::Ed25519(key) if key.len() == 32 => {
                (DecodingKey::from_ed_der(&key), vec![Algorithm::EdDSA])
            }
            Material::P256(point) if is_point(&point, 32) => {
                (DecodingKey::from_ec_der(&point), vec![Algorithm::ES256])
            }
            Material::P384(point) if is_point(&point, 48) => {
                (DecodingKey::from_ec_der(&point), vec![Algorithm::ES384])
            }
            Material::Rsa { modulus, exponent } => {
                let (modulus, exponent) = (significant(&modulus), significant(&exponent));
                if !RSA_BITS.contains(&bits(modulus)) {
                    return Err(KeyError::Unfit);
                }
                (
                    DecodingKey::from_rsa_raw_components(modulus, exponent),
                    vec![Algorithm::RS256, Algorithm::PS256],
                )
            }
            Material::Ed25519(_) | Material::P256(_) | Material::P384(_) => {
                return Err(KeyError::Unfit);
            }
        };
        let id = match id {
            Some(id) => id,
            None => Jwk::from_decoding_key(&decoding, None)
                .and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256))
                .map_err(|_| KeyError::Unfit)?,
        };
        Ok(Self {
            id,
            algorithms,
            decoding,
        })
    }
}

fn is_point(point: &[u8], coordinate: usize) -> bool {
    point.len() == 1 + 2 * coordinate && point.first() == Some(&4)
}

/// A number without the zeros before it.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros());
    number.len() * 8 - usize::try_from(unused).unwrap_or(0)
}
