//! A list in lent memory: it may be large, and lies where its owner has put it.

use core::fmt;

/// As many elements as there are places, in the order they came.
pub(super) struct List<'a, T> {
    /// Those in use come first.
    places: &'a mut [Option<T>],
    count: usize,
}

impl<'a, T> List<'a, T> {
    /// An empty list of at most `places.len()` elements; what lies in them goes.
    pub(super) fn new(places: &'a mut [Option<T>]) -> Self {
        for place in &mut *places {
            *place = None;
        }
        Self { places, count: 0 }
    }

    /// Adds what `make` makes at the end, made in its place; `false`, and nothing is made, if there
    /// is none.
    #[inline]
    pub(super) fn push(&mut self, make: impl FnOnce() -> T) -> bool {
        let Some(place) = self.places.get_mut(self.count) else {
            return false;
        };
        *place = Some(make());
        self.count += 1;
        true
    }

    /// Drops the element at `at`; those behind it move up.
    pub(super) fn remove(&mut self, at: usize) {
        if let Some(used) = self.places.get_mut(at..self.count)
            && let Some(first) = used.first_mut()
        {
            *first = None;
            used.rotate_left(1);
            self.count -= 1;
        }
    }

    /// Drops all elements but those that `stays` is true for.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        for at in (0..self.count).rev() {
            if !self.get(at).is_some_and(&stays) {
                self.remove(at);
            }
        }
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.places.get_mut(at)?.as_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().map_while(Option::as_mut)
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.places.get(at)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.places.iter().map_while(Option::as_ref)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == self.places.len()
    }
}

impl<T> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.count, self.places.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sequences of up to six steps, against a `Vec`.
    #[test]
    fn it_is_like_a_bounded_vector() {
        const PLACES: usize = 3;
        // Push, remove at 0..=3, keep the even ones.
        const STEPS: usize = 6;
        for length in 0..=6 {
            for mut number in 0..STEPS.pow(length) {
                let mut places = [Some(99), None, Some(98)];
                let mut list = List::new(&mut places);
                let mut twin = Vec::new();
                for fresh in 0..length {
                    match number % STEPS {
                        0 if twin.len() < PLACES => {
                            twin.push(fresh);
                            assert!(list.push(|| fresh));
                        }
                        0 => assert!(!list.push(|| unreachable!())),
                        5 => {
                            twin.retain(|it| it % 2 == 0);
                            list.retain(|it| it % 2 == 0);
                        }
                        at => {
                            let at = at - 1;
                            if at < twin.len() {
                                twin.remove(at);
                            }
                            list.remove(at);
                        }
                    }
                    number /= STEPS;
                    assert!(list.iter().eq(&twin));
                    assert!(list.iter_mut().map(|it| *it).eq(twin.iter().copied()));
                    assert_eq!(
                        (list.len(), list.is_full()),
                        (twin.len(), twin.len() == PLACES)
                    );
                    for at in 0..=PLACES {
                        assert_eq!(list.get(at), twin.get(at));
                        assert_eq!(list.get_mut(at).copied(), twin.get(at).copied());
                    }
                }
            }
        }
    }
}
