//! [`Types`]: the commonest types that nothing here reads.

use crate::packet::UnknownType;

/// At most [`Types::PLACES`] types with how often they came. A newcomer to a full table takes the place of the rarest, with its
/// count (Metwally, Agrawal, El Abbadi: the space-saving algorithm), so that whoever invents types hides no common one.
#[derive(Clone, Debug, Default)]
pub(super) struct Types {
    places: [Option<(UnknownType, u64)>; Self::PLACES],
}

impl Types {
    const PLACES: usize = 8;

    pub(super) fn note(&mut self, kind: UnknownType) {
        let rarest = self.places.iter_mut().min_by_key(|place| match place {
            Some((known, _)) if *known == kind => (0, 0),
            None => (1, 0),
            Some((_, count)) => (2, *count),
        });
        if let Some(place) = rarest {
            *place = Some((kind, place.map_or(0, |(_, count)| count).saturating_add(1)));
        }
    }

    /// The commonest first.
    pub(super) fn commonest(&self) -> Vec<UnknownType> {
        let mut known: Vec<_> = self.places.iter().flatten().collect();
        known.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
        known.into_iter().map(|(kind, _)| *kind).collect()
    }

    /// Counts half as much as before, so that what does not come any more goes.
    pub(super) fn age(&mut self) {
        for place in &mut self.places {
            *place = place.map(|(kind, count)| (kind, count / 2)).filter(|(_, count)| *count > 0);
        }
    }
}

/// As people and registries write it.
pub(super) fn described(kind: UnknownType) -> String {
    match kind {
        UnknownType::Link(n) => format!("LINKTYPE {n}"),
        UnknownType::Ether(n) => format!("EtherType 0x{n:04x}"),
        UnknownType::Llc(n) => format!("LLC 0x{n:02x}"),
        UnknownType::Ppp(n) => format!("PPP 0x{n:04x}"),
        UnknownType::Ip(n) => format!("IP protocol {n}"),
        UnknownType::Wireless(n) => format!("802.11 type {} subtype {}", n >> 4, n & 15),
        UnknownType::WirelessProtected => "802.11, encrypted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_types_hide_no_common_one() {
        let mut types = Types::default();
        for n in 0..10_000 {
            types.note(UnknownType::Ether(0x88a4));
            types.note(UnknownType::Ether(n));
        }
        assert_eq!(types.commonest().first(), Some(&UnknownType::Ether(0x88a4)));
        for _ in 0..20 {
            types.age();
        }
        assert_eq!(types.commonest(), []);
        assert_eq!(described(UnknownType::Ether(0x88a4)), "EtherType 0x88a4");
    }
}
