//! The call that rings: how often, from whom, and whether it is to be answered.

use hal::{Duration, Instant};

use super::{CallerName, Number, Options, Style, caller_id};

/// Rings are six seconds apart at most; after ten without one the caller has given up.
pub const GAP: Duration = Duration::from_secs(10);

/// The call that rings, if one does.
#[derive(Debug, Default)]
pub(super) struct Ringing {
    rings: u8,
    number: Option<Number>,
    name: Option<CallerName>,
    style: Option<Style>,
    /// The last sign of it; `None` if nothing rings.
    last: Option<Instant>,
    refused: bool,
    /// The operator wants to answer, whoever it is.
    forced: bool,
}

/// What is to be done about the call that rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, or not yet.
    Wait,
    /// Now.
    Answer,
    /// Never: its number may not call.
    Refuse,
}

/// A call that stopped ringing before it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) rings: u8,
    pub(super) number: Option<Number>,
    pub(super) name: Option<CallerName>,
    /// It was not to be answered anyway.
    pub(super) refused: bool,
}

impl Ringing {
    /// It rings; returns for which time, and who, as far as is known.
    pub(super) fn ring(&mut self, now: Instant, number: Option<Number>) -> (u8, Option<Number>) {
        self.last = Some(now);
        self.rings = self.rings.saturating_add(1);
        if number.is_some() {
            self.number = number;
        }
        // Nobody waits to hear from whom a call is that will not be answered.
        (self.rings, self.number.clone().filter(|_| !self.refused))
    }

    /// The number was told. In some countries it comes before the first ring.
    pub(super) fn number(&mut self, now: Instant, number: Number) {
        self.last = Some(now);
        self.number = Some(number);
    }

    /// The name was told.
    pub(super) fn name(&mut self, name: CallerName) {
        self.name = Some(name);
    }

    /// It rings in a style of its own.
    pub(super) fn style(&mut self, style: Style) {
        self.style = Some(style);
    }

    /// The operator wants to answer.
    pub(super) fn force(&mut self, now: Instant) {
        self.last = Some(now);
        self.forced = true;
    }

    /// It will not be answered.
    pub(super) fn refuse(&mut self) -> Option<Number> {
        self.refused = true;
        self.number.clone()
    }

    /// The call was answered, or is no more. Who called, as far as told.
    pub(super) fn forget(&mut self) -> (Option<Number>, Option<CallerName>) {
        let gone = core::mem::take(self);
        (gone.number, gone.name)
    }

    /// Forgets a call that has stopped ringing, and tells of it.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Missed> {
        if self.expiry()? > now {
            return None;
        }
        let gone = core::mem::take(self);
        (gone.rings > 0).then_some(Missed {
            rings: gone.rings,
            number: gone.number,
            name: gone.name,
            refused: gone.refused,
        })
    }

    /// When the call that rings counts as gone.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.last.map(|last| last + GAP)
    }

    /// Whether the operator wants to answer.
    pub(super) fn is_forced(&self) -> bool {
        self.forced
    }

    /// Whether something rings.
    pub(super) fn rings(&self) -> bool {
        self.last.is_some()
    }

    pub(super) fn verdict(&self, options: &Options) -> Verdict {
        if self.forced {
            return Verdict::Answer;
        }
        if self.refused || self.rings < options.rings.max(1) {
            return Verdict::Wait;
        }
        if !options.distinctive.is_empty() && self.style.as_ref() != Some(&options.distinctive) {
            return Verdict::Refuse;
        }
        let among = |list| self.number.as_ref().is_some_and(|it| is_among(list, it));
        if among(&options.deny) || (!options.allow.is_empty() && !among(&options.allow)) {
            return Verdict::Refuse;
        }
        Verdict::Answer
    }
}

/// Whether `list` names `number`.
pub(super) fn is_among(list: &[Number], number: &Number) -> bool {
    list.iter().any(|entry| caller_id::same(entry, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(allow: &[&str], deny: &[&str]) -> Options {
        let numbers = |list: &[&str]| list.iter().map(|n| Number::try_from(*n).unwrap()).collect();
        Options {
            allow: numbers(allow),
            deny: numbers(deny),
            rings: 2,
            ..Options::default()
        }
    }

    #[test]
    fn allow_and_deny_decide_with_the_second_ring() {
        use Verdict::{Answer, Refuse};
        for (allow, deny, number, expected) in [
            (&["123"][..], &[][..], Some("1-23"), Answer),
            (&["123"], &[], Some("124"), Refuse),
            (&["123"], &[], None, Refuse),
            (&[], &["123"], Some("123"), Refuse),
            (&[], &["123"], Some("124"), Answer),
            (&[], &["123"], None, Answer),
            (&["123"], &["123"], Some("123"), Refuse),
        ] {
            let options = options(allow, deny);
            let mut ringing = Ringing::default();
            ringing.ring(Instant::ZERO, None);
            assert_eq!(ringing.verdict(&options), Verdict::Wait);
            if let Some(number) = number {
                ringing.number(Instant::ZERO, Number::try_from(number).unwrap());
            }
            ringing.ring(Instant::ZERO, None);
            assert_eq!(
                ringing.verdict(&options),
                expected,
                "{allow:?} {deny:?} {number:?}"
            );
            ringing.force(Instant::ZERO);
            assert_eq!(ringing.verdict(&options), Answer);
        }
    }

    #[test]
    fn only_the_style_of_the_line_is_answered() {
        let options = Options {
            distinctive: Style::try_from("2").unwrap(),
            ..Options::default()
        };
        for (style, expected) in [
            (None, Verdict::Refuse),
            (Some("1"), Verdict::Refuse),
            (Some("2"), Verdict::Answer),
        ] {
            let mut ringing = Ringing::default();
            if let Some(style) = style {
                ringing.style(Style::try_from(style).unwrap());
            }
            ringing.ring(Instant::ZERO, None);
            assert_eq!(ringing.verdict(&options), expected, "{style:?}");
        }
    }

    #[test]
    fn a_gap_ends_the_call() {
        let mut ringing = Ringing::default();
        assert_eq!(ringing.expire(Instant::ZERO + GAP), None);
        ringing.ring(Instant::ZERO, None);
        let just_before = Instant::from_micros(9_999_999);
        assert_eq!(ringing.expire(just_before), None);
        assert_eq!(ringing.ring(just_before, None).0, 2);
        let missed = ringing.expire(just_before + GAP).unwrap();
        assert_eq!(missed.rings, 2);
        assert!(!ringing.rings());
    }
}
