//! The comparison of a whole listing with what is known: pure (patent P0040-P0046, fig. 3).
//!
//! ```text
//! listing, known rows -> Look: ask the headers of these ids, and call again
//!                     -> Plan: what each id is, and which rows are not listed any more
//! ```
//!
//! An id with a row is known. A new id may be an old mail under another name: a server that has
//! lost or rebuilt its list renumbers everything. So where rows have gone from the listing, the
//! header identity of each new id is compared with theirs, and a match is re-keyed: nothing is
//! copied again, nothing sent again (design 2.3). An id that comes back after it was gone keeps
//! its row only if its identity agrees (design 2.5). Ids may be equal (RFC 1939 §7): then all
//! headers are looked at, and identity parts the mails (design 2.6).

use crate::identity::Identity;

/// Keyed 128-bit hash of a unique-id. Keyed, so that no sender can forge a collision: with 100,000
/// rows the odds that a new id is taken for an old one are 3 in 10^34.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u64; 2]);

/// One entry of a listing, and what has become known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its unique-id, hashed.
    pub key: Key,
    /// Its message-number at the LAN server.
    pub number: u32,
    /// Octets as the LAN server has it, once asked.
    pub size: Option<u32>,
    /// Whether the LAN server marks it as read.
    pub seen: bool,
    /// Its header identity, once looked at.
    pub identity: Option<Identity>,
    /// The day of its header's date, once looked at.
    pub day: Option<u16>,
    /// What it is; written by [`reconcile`].
    pub verdict: Verdict,
    /// The gateway's own UID that its row will get: given out in the order of the listing.
    pub uid: Option<u32>,
    /// What the visit will ask of it: see [`Errand`].
    pub errand: Errand,
}

/// What a visit has still to ask of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errand {
    /// Nothing.
    #[default]
    Nothing,
    /// Its header.
    Header,
    /// Its size.
    Size,
    /// All of it.
    Copy,
}

impl Listed {
    /// An entry of which nothing is known but its id.
    #[must_use]
    pub const fn new(key: Key, number: u32) -> Self {
        Self {
            key,
            number,
            size: None,
            seen: false,
            identity: None,
            day: None,
            verdict: Verdict::Unjudged,
            uid: None,
            errand: Errand::Nothing,
        }
    }
}

impl Default for Listed {
    fn default() -> Self {
        Self::new(Key([0; 2]), 0)
    }
}

/// What an entry of a listing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not judged yet.
    #[default]
    Unjudged,
    /// Its header must be looked at first.
    Look,
    /// It is the mail of this row, under this key.
    Known(u32),
    /// It is the mail of this row, under another key than before.
    Rekeyed(u32),
    /// A mail that was never here.
    New,
}

/// The rows of one user, as [`reconcile`] sees them. Slots are numbered from 0.
pub trait Known {
    /// The `nth` slot, counted from 0, of the rows whose key is `key`.
    fn find(&self, key: Key, nth: u32) -> Option<u32>;

    /// One more than the highest slot.
    fn slots(&self) -> u32;

    /// The row in `slot`, if one of this user's lies there.
    fn standing(&self, slot: u32) -> Option<Standing>;
}

/// What [`reconcile`] must know of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the previous listing had it.
    pub listed: bool,
    /// Whether callers took it: of equal rows, the one not yet taken is kept (design 2.6).
    pub taken: bool,
    /// Its header identity, if it was ever seen.
    pub identity: Option<Identity>,
    /// Octets: exact where there is a copy, else the LAN server's figure.
    pub size: u32,
}

/// What [`reconcile`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The headers of so many entries, those with [`Verdict::Look`], must be looked at first.
    Look(u32),
    /// All entries are judged; a row of this user that is not in the set of matched slots is not
    /// listed any more.
    Plan(Plan),
}

/// The judgement in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Entries that were known under their id.
    pub known: u32,
    /// Entries whose row gets another key.
    pub rekeyed: u32,
    /// Entries that were never here.
    pub new: u32,
}

/// A set of slots, lent: one bit each.
#[derive(Debug)]
pub struct Slots<'a>(&'a mut [u32]);

impl<'a> Slots<'a> {
    /// The empty set, with room for `32 * words.len()` slots.
    pub fn new(words: &'a mut [u32]) -> Self {
        words.fill(0);
        Self(words)
    }

    /// The set as `words` hold it.
    pub fn resume(words: &'a mut [u32]) -> Self {
        Self(words)
    }

    /// Whether `slot` is in it.
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        let word = self.0.get(slot as usize / 32);
        word.is_some_and(|word| word & (1 << (slot % 32)) != 0)
    }

    /// Puts `slot` in.
    pub fn insert(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 32) {
            *word |= 1 << (slot % 32);
        }
    }
}

/// Judges every entry of a whole listing. Writes their verdicts and the set of matched slots,
/// nothing else. `order` is scratch of at least as many words as entries.
///
/// Calling it again after the headers were looked at ends in a [`Plan`]: what could not be looked
/// at by then (`looked` = true) counts as new.
pub fn reconcile(
    listing: &mut [Listed],
    known: &impl Known,
    matched: &mut Slots<'_>,
    order: &mut [u32],
    looked: bool,
) -> Outcome {
    let mut plan = Plan::default();
    match_keys(listing, known, matched, order, looked, &mut plan);
    let unlisted =
        (0..known.slots()).any(|slot| !matched.contains(slot) && known.standing(slot).is_some());
    let mut looks = 0;
    for entry in listing.iter_mut() {
        if entry.verdict == Verdict::Look && (looked || entry.identity.is_some()) {
            entry.verdict = Verdict::New;
        }
        if entry.verdict == Verdict::New && entry.identity.is_none() && unlisted && !looked {
            entry.verdict = Verdict::Look;
        }
        looks += u32::from(entry.verdict == Verdict::Look);
    }
    if looks > 0 {
        return Outcome::Look(looks);
    }
    match_identities(listing, known, matched, order, &mut plan);
    plan.new = count(listing, |verdict| verdict == Verdict::New);
    Outcome::Plan(plan)
}

/// Gives each entry the row of its key.
fn match_keys(
    listing: &mut [Listed],
    known: &impl Known,
    matched: &mut Slots<'_>,
    order: &mut [u32],
    looked: bool,
    plan: &mut Plan,
) {
    // Entries in the order of their keys stand beside their equals.
    let order = sorted_by(listing, order, |entry| entry.key);
    let key = |listing: &[Listed], at: u32| listing.get(at as usize).map(|entry| entry.key);
    let mut rest: &[u32] = order;
    while let Some(key) = rest.first().and_then(|&at| key(listing, at)) {
        let differs = |&at: &u32| {
            listing
                .get(at as usize)
                .is_none_or(|entry| entry.key != key)
        };
        let length = rest.iter().position(differs).unwrap_or(rest.len());
        let (equals, others) = rest.split_at(length);
        rest = others;
        for &at in equals {
            if let Some(entry) = listing.get_mut(at as usize) {
                entry.verdict = Verdict::New;
            }
        }
        if known.find(key, 0).is_none() {
            continue;
        }
        if equals.len() > 1 || known.find(key, 1).is_some() {
            match_equals(listing, known, matched, key, equals, looked, plan);
        } else if let &[at] = equals
            && let Some(entry) = listing.get_mut(at as usize)
        {
            match_key(entry, known, matched, plan);
        }
    }
}

/// Gives `entry` the one row that has its key.
fn match_key(entry: &mut Listed, known: &impl Known, matched: &mut Slots<'_>, plan: &mut Plan) {
    let Some(slot) = known.find(entry.key, 0) else {
        return;
    };
    let Some(standing) = known.standing(slot) else {
        return;
    };
    // An id that was gone and is back may have been given to another mail.
    entry.verdict = match (standing.listed, standing.identity, entry.identity) {
        (true, _, _) | (false, None, _) => Verdict::Known(slot),
        (false, Some(before), Some(now)) if before == now => Verdict::Known(slot),
        (false, Some(_), Some(_)) => Verdict::New,
        (false, Some(_), None) => Verdict::Look,
    };
    if entry.verdict == Verdict::Known(slot) {
        matched.insert(slot);
        plan.known += 1;
    }
}

/// Gives entries with one key the rows with it: where there are several of either, only their
/// headers tell which is which.
fn match_equals(
    listing: &mut [Listed],
    known: &impl Known,
    matched: &mut Slots<'_>,
    key: Key,
    equals: &[u32],
    looked: bool,
    plan: &mut Plan,
) {
    let rows = || (0..).map_while(|nth| known.find(key, nth));
    let mut looks = false;
    for &at in equals {
        if let Some(entry) = listing.get_mut(at as usize)
            && entry.identity.is_none()
            && !looked
        {
            entry.verdict = Verdict::Look;
            looks = true;
        }
    }
    if looks {
        // Which of them has gone is not known yet: none, until it is.
        rows().for_each(|slot| matched.insert(slot));
        return;
    }
    // First by identity: of rows that are equal even so, those not taken. Then, in order, what
    // has none to go by, on either side.
    for (by_identity, taken) in [(true, false), (true, true), (false, false), (false, true)] {
        for slot in rows() {
            let Some(standing) = known.standing(slot) else {
                continue;
            };
            if matched.contains(slot) || standing.taken != taken {
                continue;
            }
            let free = equals.iter().find(|&&at| {
                let entry = listing.get(at as usize);
                entry.is_some_and(|entry| {
                    let agrees = match (standing.identity, entry.identity) {
                        (Some(before), Some(now)) => by_identity && before == now,
                        (None, _) | (_, None) => !by_identity,
                    };
                    agrees && entry.verdict == Verdict::New
                })
            });
            if let Some(entry) = free.and_then(|&at| listing.get_mut(at as usize)) {
                entry.verdict = Verdict::Known(slot);
                matched.insert(slot);
                plan.known += 1;
            }
        }
    }
}

/// Gives each new entry whose identity is known the row that has it and is not listed, one each.
fn match_identities(
    listing: &mut [Listed],
    known: &impl Known,
    matched: &mut Slots<'_>,
    order: &mut [u32],
    plan: &mut Plan,
) {
    let order = sorted_by(listing, order, |entry| entry.identity);
    // Rows not taken yet choose first: of two equal mails, one taken, the other must stay.
    for taken in [false, true] {
        for slot in 0..known.slots() {
            let Some(standing) = known.standing(slot) else {
                continue;
            };
            if matched.contains(slot) || standing.taken != taken {
                continue;
            }
            let Some(identity) = standing.identity else {
                continue;
            };
            let from = order.partition_point(|&at| {
                listing.get(at as usize).and_then(|entry| entry.identity) < Some(identity)
            });
            let equals = order.get(from..).unwrap_or_default().iter();
            let free = equals
                .map_while(|&at| {
                    let entry = listing.get(at as usize)?;
                    (entry.identity == Some(identity)).then_some((at, entry))
                })
                .find(|(_, entry)| {
                    entry.verdict == Verdict::New && sizes_agree(standing.size, entry.size)
                });
            let Some((at, _)) = free else {
                continue;
            };
            if let Some(entry) = listing.get_mut(at as usize) {
                entry.verdict = Verdict::Rekeyed(slot);
                matched.insert(slot);
                plan.rekeyed += 1;
            }
        }
    }
}

/// Whether a mail of `known` octets may be the one that is listed with `listed`. Servers count line
/// ends as one octet or two, so a sixteenth is forgiven. Mails made by programs may have equal
/// headers; and one that was copied again costs less than one taken for another.
fn sizes_agree(known: u32, listed: Option<u32>) -> bool {
    listed.is_some_and(|listed| known.abs_diff(listed) <= known.max(listed) / 16 + 8)
}

/// The entries' positions, sorted by `field` and, where that is equal, as they were listed.
fn sorted_by<'o, F: Ord>(
    listing: &[Listed],
    order: &'o mut [u32],
    field: impl Fn(&Listed) -> F,
) -> &'o mut [u32] {
    let length = listing.len().min(order.len());
    let order = order.get_mut(..length).unwrap_or_default();
    for (at, position) in (0..).zip(order.iter_mut()) {
        *position = at;
    }
    order.sort_unstable_by_key(|&at| (listing.get(at as usize).map(&field), at));
    order
}

fn count(listing: &[Listed], is: impl Fn(Verdict) -> bool) -> u32 {
    let n = listing.iter().filter(|entry| is(entry.verdict)).count();
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Rows as a plain list: key, listed, taken, identity.
    #[derive(Clone, Debug, Default)]
    struct Rows(Vec<(Key, Standing)>);

    impl Known for Rows {
        fn find(&self, key: Key, nth: u32) -> Option<u32> {
            let slots = (0..).zip(&self.0).filter(|(_, row)| row.0 == key);
            slots.map(|(slot, _)| slot).nth(nth as usize)
        }

        fn slots(&self) -> u32 {
            u32::try_from(self.0.len()).unwrap()
        }

        fn standing(&self, slot: u32) -> Option<Standing> {
            self.0.get(slot as usize).map(|row| row.1)
        }
    }

    fn key(id: u64) -> Key {
        Key([id, !id])
    }

    fn listed_row(id: u64) -> (Key, Standing) {
        let standing = Standing {
            listed: true,
            taken: false,
            identity: Some(Identity(1000 + id)),
            size: 500,
        };
        (key(id), standing)
    }

    /// Runs it to a plan; headers that are asked for are given by `header`.
    fn plan(
        ids: &[u64],
        rows: &Rows,
        header: impl Fn(u64) -> Option<Identity>,
    ) -> (Vec<Listed>, Vec<u32>, Plan, u32) {
        let mut listing: Vec<Listed> = (1..)
            .zip(ids)
            .map(|(number, &id)| Listed::new(key(id), number))
            .collect();
        let mut words = vec![0; rows.0.len() / 32 + 1];
        let mut order = vec![0; listing.len()];
        let mut looks = 0;
        for looked in [false, true] {
            let mut matched = Slots::new(&mut words);
            match reconcile(&mut listing, rows, &mut matched, &mut order, looked) {
                Outcome::Plan(plan) => {
                    let gone = (0..rows.slots()).filter(|&slot| !matched.contains(slot));
                    return (listing, gone.collect(), plan, looks);
                }
                Outcome::Look(count) => {
                    let asked = listing
                        .iter()
                        .filter(|e| e.verdict == Verdict::Look)
                        .count();
                    assert_eq!(count as usize, asked);
                    looks += count;
                    for (entry, &id) in listing.iter_mut().zip(ids) {
                        if entry.verdict == Verdict::Look {
                            entry.identity = header(id);
                            entry.size = Some(505);
                        }
                    }
                }
            }
        }
        panic!("no plan after headers were looked at");
    }

    /// All lists of distinct ids out of `0..universe`.
    fn subsets(universe: u64) -> Vec<Vec<u64>> {
        (0..1_u64 << universe)
            .map(|bits| (0..universe).filter(|id| bits & (1 << id) != 0).collect())
            .collect()
    }

    /// Patent P0040-P0044 against plain sets: what vanished, what is new, what stays.
    #[test]
    fn all_pairs_of_small_listings_and_ledgers_agree_with_sets() {
        for before in subsets(5) {
            let rows = Rows(before.iter().map(|&id| listed_row(id)).collect());
            for now in subsets(5) {
                // Every mail has a header of its own.
                let (listing, gone, plan, _) = plan(&now, &rows, |id| Some(Identity(1000 + id)));
                let old: BTreeSet<u64> = before.iter().copied().collect();
                let new: BTreeSet<u64> = now.iter().copied().collect();
                let vanished: Vec<u64> = gone.iter().map(|&slot| before[slot as usize]).collect();
                assert!(
                    vanished.iter().eq(old.difference(&new)),
                    "{before:?} {now:?}"
                );
                let fresh = listing
                    .iter()
                    .zip(&now)
                    .filter(|(e, _)| e.verdict == Verdict::New);
                assert!(fresh.map(|(_, id)| id).eq(new.difference(&old)));
                assert_eq!(plan.known as usize, old.intersection(&new).count());
                assert_eq!(plan.rekeyed, 0);
            }
        }
    }

    /// Design 2.3: all renumbered, some gone, some new: nothing is new that was here.
    #[test]
    fn sentence_2_3_a_renumbered_listing_is_known_by_its_headers() {
        for before in subsets(4) {
            let rows = Rows(before.iter().map(|&id| listed_row(id)).collect());
            for now in subsets(6) {
                let renumbered: Vec<u64> = now.iter().map(|id| id + 100).collect();
                let (listing, gone, plan, _) =
                    plan(&renumbered, &rows, |id| Some(Identity(1000 + id - 100)));
                for (entry, id) in listing.iter().zip(&now) {
                    let slot = before.iter().position(|old| old == id);
                    let expected = slot.map_or(Verdict::New, |slot| {
                        Verdict::Rekeyed(u32::try_from(slot).unwrap())
                    });
                    assert_eq!(entry.verdict, expected, "{before:?} {now:?}");
                }
                let vanished = gone.iter().map(|&slot| before[slot as usize]);
                assert!(vanished.eq(before.iter().copied().filter(|id| !now.contains(id))));
                let again = now.iter().filter(|id| before.contains(id)).count();
                assert_eq!(plan.rekeyed as usize, again);
            }
        }
    }

    /// Design 2.3: "size only parts candidates": equal headers do not make equal mails.
    #[test]
    fn a_mail_of_another_size_is_another_mail() {
        for (known, listed, same) in [
            (500, 500, true),
            (500, 539, true),
            (500, 542, false),
            (500, 430, false),
            (0, 8, true),
            (0, 9, false),
            (u32::MAX, u32::MAX - 1000, true),
        ] {
            assert_eq!(sizes_agree(known, Some(listed)), same, "{known} {listed}");
        }
        assert!(!sizes_agree(500, None));
        let mut row = listed_row(1);
        row.1.size = 5000;
        let (listing, _, _, _) = plan(&[101], &Rows(vec![row]), |_| Some(Identity(1001)));
        assert_eq!(listing[0].verdict, Verdict::New);
    }

    /// Design 2.3: "where rows are unlisted, new ids are asked": only then.
    #[test]
    fn headers_are_looked_at_only_where_something_has_gone() {
        let rows = Rows(vec![listed_row(1), listed_row(2)]);
        let (_, _, _, looks) = plan(&[1, 2, 3, 4], &rows, |_| None);
        assert_eq!(looks, 0);
        let (_, _, _, looks) = plan(&[1, 3, 4], &rows, |_| None);
        assert_eq!(looks, 2);
    }

    /// Design 2.5: an id that returns keeps its row only if its identity agrees.
    #[test]
    fn sentence_2_5_an_id_that_returns_is_looked_at() {
        let mut gone = listed_row(1);
        gone.1.listed = false;
        let rows = Rows(vec![gone]);
        let (same, _, _, looks) = plan(&[1], &rows, |_| Some(Identity(1001)));
        assert_eq!((same[0].verdict, looks), (Verdict::Known(0), 1));
        let (other, left, _, _) = plan(&[1], &rows, |_| Some(Identity(5)));
        assert_eq!((other[0].verdict, left), (Verdict::New, vec![0]));
        // A header that could not be had proves nothing: copied again rather than lost.
        let (unknown, _, _, _) = plan(&[1], &rows, |_| None);
        assert_eq!(unknown[0].verdict, Verdict::New);
    }

    /// Design 2.6 and RFC 1939 §7: equal ids are as many mails as there are entries.
    #[test]
    fn sentence_2_6_equal_keys_are_counted() {
        for before in 0..4 {
            for now in 0..4 {
                let rows = Rows((0..before).map(|_| listed_row(7)).collect());
                let ids = vec![7; now];
                let (listing, gone, plan, _) = plan(&ids, &rows, |_| Some(Identity(1007)));
                let slots: BTreeMap<_, _> = listing
                    .iter()
                    .filter_map(|entry| match entry.verdict {
                        Verdict::Known(slot) => Some((slot, entry.number)),
                        _ => None,
                    })
                    .collect();
                assert_eq!(slots.len(), now.min(before), "no row serves twice");
                assert_eq!(gone.len(), before.saturating_sub(now));
                assert_eq!(plan.new as usize, now.saturating_sub(before));
            }
        }
    }

    /// Design 2.6: of equal mails one of which was taken, the other must stay to be taken.
    #[test]
    fn of_equal_rows_the_one_not_taken_is_kept() {
        let mut taken = listed_row(1);
        taken.1.taken = true;
        let mut open = listed_row(2);
        open.1.identity = taken.1.identity;
        for rows in [vec![taken, open], vec![open, taken]] {
            let untaken = (0..).zip(&rows).find(|(_, row)| !row.1.taken).unwrap().0;
            let (listing, _, _, _) = plan(&[50], &Rows(rows), |_| Some(Identity(1001)));
            assert_eq!(listing[0].verdict, Verdict::Rekeyed(untaken));
        }
    }
}
