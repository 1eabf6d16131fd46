//! What a modem says of itself, and what follows from that.
//!
//! `ATI` is answered by every modem, and harms none: before anything else is sent, it tells the
//! kinds apart to which our usual commands mean something else. A network modem takes `ATZ` for
//! closing its listeners and `AT&D2` for a delimiter (Zimodem), and has no carrier to wait for.
//! What is not in the table is an ordinary modem, and each command it may not know is asked for.

use super::starts;
use crate::config::ModemKind;

/// Words by which a modem gives away its kind, anywhere in an answer to `ATI`.
const WORDS: &[(&str, ModemKind)] = &[
    ("ZIMODEM", ModemKind::Wifi),
    ("WIFI", ModemKind::Wifi), // RetroWiFiModem, WiFi232, WiModem
    ("WI-FI", ModemKind::Wifi),
    ("ESP8266", ModemKind::Wifi),
    ("ESP32", ModemKind::Wifi),
    ("TCPSER", ModemKind::Wifi),
    ("SIEMENS", ModemKind::Gsm),
    ("NOKIA", ModemKind::Gsm),
    ("WAVECOM", ModemKind::Gsm),
    ("ERICSSON", ModemKind::Gsm),
    ("SIMCOM", ModemKind::Gsm),
    ("GSM", ModemKind::Gsm),
];

/// The kind that `line`, an answer to `ATI`, gives away.
#[must_use]
pub fn kind(line: &str) -> Option<ModemKind> {
    let row = WORDS.iter().find(|(word, _)| {
        let mut ends = (0..line.len()).filter_map(|at| line.get(at..));
        ends.any(|end| starts(end, word).is_some())
    });
    row.map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modem_gives_its_kind_away() {
        for (line, expected) in [
            ("Zimodem Firmware v4.0", Some(ModemKind::Wifi)),
            ("Retro WiFi modem", Some(ModemKind::Wifi)),
            ("sdk=3.0 chipid=1 esp8266", Some(ModemKind::Wifi)),
            ("SIEMENS TC35i", Some(ModemKind::Gsm)),
            ("56000", None),
            ("5601", None),
            ("U.S. Robotics 56K FAX USB V1.2.23", None),
            ("ringmail virtual modem", None),
            ("", None),
        ] {
            assert_eq!(kind(line), expected, "{line}");
        }
    }
}
