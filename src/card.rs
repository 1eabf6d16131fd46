//! A card: which configuration holds, the one that lies on it or the one that the store keeps.

use hal::Medium;
use ringmail::config::{Config, saved};
use ringmail::store::{Store, StoreError};

/// What is to hold.
pub(crate) struct Chosen {
    pub(crate) config: Box<Config>,
    /// The mark of the offered configuration that was taken in last.
    pub(crate) mark: u32,
    /// The offered one is to be kept from now on.
    pub(crate) takes_in: bool,
    /// What the owner must know.
    pub(crate) faults: Vec<String>,
}

/// Chooses between what the store keeps, what is offered on the card, and what the board itself
/// brings; whichever has a fault is passed over whole.
pub(crate) fn choose(kept: Option<&str>, offered: Option<&str>, board: &str) -> Chosen {
    let mut faults = Vec::new();
    let taken_in = kept.map_or(0, saved::mark_of);
    if let Some(offered) = offered {
        let mark = saved::mark(offered);
        if kept.is_none() || mark != taken_in {
            if let Some(config) = sound(offered, "ringmail.conf", &mut faults) {
                return Chosen {
                    config,
                    mark,
                    takes_in: true,
                    faults,
                };
            }
            faults.push("ringmail.conf is not taken in: correct it and start again".into());
        }
    }
    let config = kept.and_then(|kept| sound(kept, "saved", &mut faults));
    let config = config.unwrap_or_else(|| {
        let mut config = Box::<Config>::default();
        config.apply_all(board, |_, _| {});
        config
    });
    Chosen {
        config,
        mark: taken_in,
        takes_in: false,
        faults,
    }
}

/// What the store keeps, if it keeps a configuration.
pub(crate) fn kept<M: Medium>(store: &mut Store<'_, M>) -> Result<Option<String>, String> {
    let mut octets = vec![0; saved::OCTETS];
    let length = store.load_config(&mut octets);
    let length = length.map_err(|error| format!("the saved configuration: {error}"))?;
    let octets = length.and_then(|length| octets.get(..length));
    Ok(octets.map(|octets| String::from_utf8_lossy(octets).into_owned()))
}

/// Lets the store keep what was chosen.
pub(crate) fn keep<M: Medium>(store: &mut Store<'_, M>, chosen: &Chosen) -> Result<(), StoreError> {
    let text = saved::text(&chosen.config, chosen.mark);
    // Durable with the next commit; if the power goes before, it is taken in once more.
    store.save_config(text.as_bytes()).map(drop)
}

fn sound(text: &str, origin: &str, faults: &mut Vec<String>) -> Option<Box<Config>> {
    let before = faults.len();
    let mut config = Box::<Config>::default();
    config.apply_all(text, |line, error| {
        faults.push(format!("{origin}:{line}: {error}"));
    });
    (faults.len() == before).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmail::config;

    const BOARD: &str = "hostname board\n";

    fn hostname(kept: Option<&str>, offered: Option<&str>) -> (String, bool, usize) {
        let chosen = choose(kept, offered, BOARD);
        let name = chosen.config.hostname.as_str().to_owned();
        (name, chosen.takes_in, chosen.faults.len())
    }

    #[test]
    fn what_is_offered_is_taken_in_once() {
        let first = choose(None, Some("hostname card\n"), BOARD);
        assert!(first.takes_in && first.faults.is_empty());
        // The owner changed it at the console, and saved.
        let kept = saved::text(&config::check("hostname console", |_, _| {}), first.mark);
        let same = hostname(Some(&kept), Some("hostname card\n"));
        assert_eq!(same, ("console".into(), false, 0));
        let other = hostname(Some(&kept), Some("hostname other\n"));
        assert_eq!(other, ("other".into(), true, 0));
        assert_eq!(hostname(Some(&kept), None), ("console".into(), false, 0));
        // A saved one keeps the mark.
        assert_eq!(choose(Some(&kept), None, BOARD).mark, first.mark);
    }

    #[test]
    fn what_has_a_fault_is_passed_over_whole() {
        let bad = "hostname card\nhostnam x\n";
        assert_eq!(hostname(None, Some(bad)), ("board".into(), false, 2));
        let kept = "hostname console\n";
        assert_eq!(
            hostname(Some(kept), Some(bad)),
            ("console".into(), false, 2)
        );
        assert_eq!(hostname(Some("rubbish"), None), ("board".into(), false, 1));
        assert_eq!(hostname(None, None), ("board".into(), false, 0));
        let good = hostname(Some("rubbish"), Some("hostname card"));
        assert_eq!(good, ("card".into(), true, 0));
    }
}
