//! The fields of a request after its proxies were believed.

use super::walk::{FOR, HOST, PREFIX, PROTO, Told, Watched};
use crate::handler::{Peer, Request};
use crate::http1::RawField;
use std::borrow::Cow;

/// The fields as the handler sees them.
pub(super) fn changed<'a>(
    watched: &'a [Option<Watched>; 4],
    fields: &[RawField<'a>],
    told: &Told<'_, 'a>,
    originals: &'a [Option<Cow<'a, str>>; 4],
) -> Vec<RawField<'a>> {
    let kinds = told.kinds();
    let replaced = || {
        (watched.iter().zip(kinds).enumerate())
            .filter_map(|(kind, (field, is_told))| Some((kind, field.as_ref().filter(|_| is_told)?)))
    };
    let new_host = told.host.map(|host| RawField {
        name: "Host",
        value: host.value().as_bytes(),
    });
    let kept = fields.iter().enumerate().filter_map(|(index, field)| {
        if let Some((kind, _)) = replaced().find(|(_, header)| field.name.eq_ignore_ascii_case(&header.name)) {
            let value = told.left[kind].and_then(|left| left.rest_of(index))?;
            return Some(RawField { value, ..*field });
        }
        // A client can send such a field too; the handler is to find what stands below, and nothing else.
        let is_forged = replaced().any(|(_, header)| field.name.eq_ignore_ascii_case(&header.original));
        let is_old_host = new_host.is_some() && field.name.eq_ignore_ascii_case("host");
        (!is_forged && !is_old_host).then_some(*field)
    });
    let kept_originals = replaced().filter_map(|(kind, header)| {
        let value = originals[kind].as_ref()?;
        Some(RawField {
            name: &header.original,
            value: value.as_bytes(),
        })
    });
    new_host.into_iter().chain(kept).chain(kept_originals).collect()
}

/// What the fields replace; nothing where there was nothing.
pub(super) fn originals<'a>(request: &'a Request<'_>) -> [Option<Cow<'a, str>>; 4] {
    let mut originals = [const { None }; 4];
    originals[FOR] = match request.client() {
        Peer::Tcp(address) => Some(Cow::Owned(address.to_string())),
        Peer::Unix => None,
    };
    originals[PROTO] = Some(Cow::Borrowed(request.scheme()));
    originals[HOST] = request.host.as_ref().map(|host| Cow::Borrowed(host.value()));
    originals[PREFIX] = Some(request.path_base())
        .filter(|prefix| !prefix.is_empty())
        .map(Cow::Borrowed);
    originals
}
