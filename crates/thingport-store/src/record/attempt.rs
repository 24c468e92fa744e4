//! The stored form of a refused CONNECT: what stands behind the device in an incident.

use thingport_model::attempt::{Attempt, Fingerprint, PresentedCertificate, UserNameHash};
use thingport_model::id::{DeviceProfileId, NIL};
use thingport_model::time::Timestamp;
use uuid::Uuid;

use crate::codec::{Cursor, put_bytes, put_signed};

pub(super) fn write(out: &mut Vec<u8>, attempt: &Attempt) {
    out.push(VERSION);
    for text in [&attempt.tls_version, &attempt.cipher, &attempt.tried] {
        put_bytes(out, text.as_bytes());
    }
    out.extend_from_slice(attempt.profile.map_or(NIL, |profile| profile.0).as_bytes());
    put_bytes(out, attempt.user_name.as_ref().map_or(&[], |hash| &hash.0[..]));
    let chain = attempt.chain.iter().take(Attempt::CHAIN_MAX);
    out.extend_from_slice(&[attempt.presented, u8::try_from(chain.len()).unwrap_or_default()]);
    chain.for_each(|certificate| write_certificate(out, certificate));
}

/// None when there is none, when it is damaged or of a later version: the incident is still good.
pub(super) fn read(rest: &mut Cursor<'_>) -> Option<Attempt> {
    if rest.byte()? != VERSION {
        return None;
    }
    let mut text = || rest.text().map(str::to_owned);
    let (tls_version, cipher, tried) = (text()?, text()?, text()?);
    let profile = Uuid::from_bytes(rest.array()?);
    let profile = (profile != NIL).then_some(DeviceProfileId(profile));
    let user_name = rest.counted()?.try_into().ok().map(UserNameHash);
    let (presented, count) = (rest.byte()?, usize::from(rest.byte()?));
    if count > Attempt::CHAIN_MAX {
        return None;
    }
    let chain = (0..count).map(|_| read_certificate(rest)).collect::<Option<_>>()?;
    Some(Attempt { tls_version, cipher, chain, presented, tried, profile, user_name })
}

fn write_certificate(out: &mut Vec<u8>, it: &PresentedCertificate) {
    for text in [&it.subject, &it.issuer, &it.serial, &it.key] {
        put_bytes(out, text.as_bytes());
    }
    put_signed(out, it.not_before.map_or(UNKNOWN, Timestamp::ms));
    put_signed(out, it.not_after.map_or(UNKNOWN, Timestamp::ms));
    out.extend_from_slice(&it.fingerprint.0);
    out.extend_from_slice(&it.sha256.0);
}

fn read_certificate(rest: &mut Cursor<'_>) -> Option<PresentedCertificate> {
    let mut text = || rest.text().map(str::to_owned);
    let (subject, issuer, serial, key) = (text()?, text()?, text()?, text()?);
    let mut time = || rest.signed().map(|ms| (ms != UNKNOWN).then_some(Timestamp(ms)));
    let (not_before, not_after) = (time()?, time()?);
    let fingerprint = Fingerprint(rest.array()?);
    let sha256 = Fingerprint(rest.array()?);
    Some(PresentedCertificate {
        subject,
        issuer,
        serial,
        not_before,
        not_after,
        key,
        fingerprint,
        sha256,
    })
}

const VERSION: u8 = 1;
/// No time that a certificate can name.
const UNKNOWN: i64 = i64::MIN;
