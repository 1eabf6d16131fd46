//! The light by Linux's own means: a directory of `/sys/class/leds`.
//!
//! The kernel blinks by itself (trigger `timer`), so that no loop wakes for it. Some lights hang on
//! a chip that answers slowly, so a thread of its own writes; it sleeps until there is news.
//!
//! | shows | how |
//! | --- | --- |
//! | idle | on |
//! | ringing | five times a second |
//! | in call | once a second, on for half of it |
//! | fault | a flash every two seconds |
//! | no gateway | off |

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::light::Light;

/// A light, if there is one and we may write to it.
#[derive(Debug, Default)]
pub(super) struct Lamp {
    thread: Option<(Sender<Light>, JoinHandle<()>)>,
    shown: Option<Light>,
}

impl Lamp {
    /// The light at `directory`. Where there is none, or it is not ours to write to, nothing is
    /// shown.
    pub(super) fn new(directory: Option<&Path>) -> Self {
        let Some(directory) = directory else {
            return Self::default();
        };
        let trigger = fs::OpenOptions::new()
            .write(true)
            .open(directory.join("trigger"));
        if let Err(error) = trigger {
            log::debug!("light {}: {error}", directory.display());
            return Self::default();
        }
        let (sender, receiver) = channel();
        let directory = directory.to_owned();
        let builder = thread::Builder::new().name("light".into());
        let thread = builder.spawn(move || serve(&directory, &receiver)).ok();
        Self {
            thread: thread.map(|thread| (sender, thread)),
            shown: None,
        }
    }

    /// Shows `light`; never waits.
    pub(super) fn show(&mut self, light: Light) {
        if self.shown == Some(light) {
            return;
        }
        self.shown = Some(light);
        if let Some((sender, _)) = &self.thread {
            // A thread that has ended shows nothing, and there is nobody to tell.
            let _ = sender.send(light);
        }
    }
}

impl Drop for Lamp {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            // It switches the light off, and ends.
            let _ = thread.join();
        }
    }
}

/// Chooses a light among those at `leds`, by the names that a Raspberry Pi's activity light has
/// had: `ACT`, and `led0` under older kernels.
#[must_use]
pub fn find(leds: &Path) -> Option<PathBuf> {
    let names = ["ACT", "led0"].into_iter();
    let mut paths = names.map(|name| leds.join(name));
    paths.find(|path| path.join("trigger").exists())
}

fn serve(directory: &Path, news: &Receiver<Light>) {
    while let Ok(light) = news.recv() {
        // Only the latest counts.
        let light = news.try_iter().last().unwrap_or(light);
        if let Err(error) = set(directory, light) {
            log::debug!("light {}: {error}", directory.display());
        }
    }
    // Nobody is there any more to say so of a light that cannot be switched off.
    let _ = steady(directory, false);
}

fn set(directory: &Path, light: Light) -> std::io::Result<()> {
    match light {
        Light::Idle => steady(directory, true),
        Light::Ringing => blink(directory, 100, 100),
        Light::InCall => blink(directory, 500, 500),
        Light::Fault => blink(directory, 100, 1900),
    }
}

fn steady(directory: &Path, on: bool) -> std::io::Result<()> {
    fs::write(directory.join("trigger"), "none")?;
    // What is more than its brightest is taken for that.
    let brightness = if on { "255" } else { "0" };
    fs::write(directory.join("brightness"), brightness)
}

/// On and off for so many milliseconds each.
fn blink(directory: &Path, on: u32, off: u32) -> std::io::Result<()> {
    fs::write(directory.join("trigger"), "timer")?;
    // The kernel makes these two files with that trigger.
    fs::write(directory.join("delay_on"), on.to_string())?;
    fs::write(directory.join("delay_off"), off.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lamp(name: &str) -> (PathBuf, PathBuf) {
        let leds = crate::linux::scratch(name);
        let lamp = leds.join("led0");
        fs::create_dir(&lamp).unwrap();
        for file in ["trigger", "brightness", "delay_on", "delay_off"] {
            fs::write(lamp.join(file), "mmc0").unwrap();
        }
        (leds, lamp)
    }

    fn said(lamp: &Path) -> [String; 4] {
        ["trigger", "brightness", "delay_on", "delay_off"]
            .map(|file| fs::read_to_string(lamp.join(file)).unwrap())
    }

    #[test]
    fn each_state_has_its_own_light() {
        let (leds, lamp) = lamp("light");
        let states = [Light::Idle, Light::Ringing, Light::InCall, Light::Fault];
        let mut seen = Vec::new();
        for light in states {
            set(&lamp, light).unwrap();
            let [trigger, brightness, on, off] = said(&lamp);
            match light {
                Light::Idle => assert_eq!((&*trigger, &*brightness), ("none", "255")),
                _ => assert_eq!(trigger, "timer"),
            }
            assert!(!seen.contains(&(trigger.clone(), on.clone(), off.clone())));
            seen.push((trigger, on, off));
        }
        fs::remove_dir_all(leds).unwrap();
    }

    #[test]
    fn the_thread_shows_the_latest_and_switches_off_at_the_end() {
        let (leds, path) = lamp("light-thread");
        assert_eq!(find(&leds), Some(path.clone()));
        let mut lamp = Lamp::new(find(&leds).as_deref());
        for light in [Light::Idle, Light::Ringing, Light::Ringing, Light::InCall] {
            lamp.show(light);
        }
        drop(lamp);
        let [trigger, brightness, on, off] = said(&path);
        assert_eq!((&*trigger, &*brightness), ("none", "0"));
        // The last that was shown before that.
        assert_eq!((&*on, &*off), ("500", "500"));
        fs::remove_dir_all(leds).unwrap();
    }

    #[test]
    fn a_board_without_a_light_runs() {
        let leds = crate::linux::scratch("light-none");
        assert_eq!(find(&leds), None);
        for directory in [None, Some(leds.join("ACT"))] {
            let mut lamp = Lamp::new(directory.as_deref());
            lamp.show(Light::Fault);
            assert!(lamp.thread.is_none());
        }
        fs::remove_dir_all(leds).unwrap();
    }
}
